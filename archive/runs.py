"""Provenance: every command that changes anything is a run.

The row of a run is committed when it starts, its end is a row of its own. A run holds a database session for
as long as it lives: where the session is gone and no end was written, the view ``run_status`` says
``abandoned``.
"""

import getpass
import json
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hapctl.archive.database import Catalog
from hapctl.archive.errors import ServiceUnavailableError
from hapctl.archive.memory import PeakMemory
from hapctl.archive.passwords import without_password
from hapctl.archive.schema import database_version
from hapctl.sql import read_sql
from sqlalchemy import Connection, text

_LIBRARIES = (
    *("alembic", "astropy", "astropy-healpix", "astroquery", "mocpy", "numpy", "pillow", "psycopg"),
    *("pyarrow", "scipy", "sep", "sqlalchemy", "stwcs"),
)
_INTERRUPTED = 130


@dataclass
class Run:
    """A run under way.

    Attributes
    ----------
    id : int
        ``run_id`` of every row the run makes.
    connection : sqlalchemy.Connection
        The session of the run, each statement committed by itself; holds its advisory locks. Not for threads.
    summary : dict
        Figures of the run, written with its end.
    """

    id: int
    connection: Connection
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int = 0
    message: str = ""

    def refused(self, message: str, exit_code: int = 1) -> None:
        """Say that the run ends in order, but with a refusal (exit code 1) or a partial failure (others)."""
        self.message, self.exit_code = message, exit_code


@contextmanager
def recorded_run(
    catalog: Catalog, command: str, parameters: Mapping[str, Any], arguments: Sequence[str] = ()
) -> Iterator[Run]:
    """Record a run around a block.

    Parameters
    ----------
    catalog : Catalog
        Where it is recorded.
    command : str
        What is run, such as ``align``.
    parameters : mapping
        All parameters in effect; their canonical JSON is kept with its hash.
    arguments : sequence of str
        The command line.

    Yields
    ------
    Run
        With its `id`. An error that leaves the block ends the run as refused (exit code 1), failed, or
        interrupted, with the error's line; it is passed on.
    """
    with catalog.connect() as connection:
        run = Run(_begin(connection, command, parameters, arguments), connection)
        with PeakMemory() as memory:
            try:
                yield run
            except BaseException as error:
                _note(run, error)
                # With the database gone the run stays without an end; the error itself must be seen.
                with suppress(ServiceUnavailableError):
                    _end(catalog, run, _outcome(run, error), memory.sample())
                raise
        _end(catalog, run, _outcome(run, None), memory.peak_bytes)


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no blanks; paths and dates become strings."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str, allow_nan=False)


def parameters_sha256(parameters: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the canonical JSON of the parameters."""
    return sha256(canonical_json(parameters).encode()).hexdigest()


def software_versions(connection: Connection) -> dict[str, str]:
    """Return the versions of all that bears on a result: interpreter, compiler, libraries, server, schema."""
    return {
        **_local_versions(),
        "postgresql": str(connection.scalar(text("SHOW server_version"))),
        "schema": str(database_version(connection).revision),
    }


def _begin(
    connection: Connection, command: str, parameters: Mapping[str, Any], arguments: Sequence[str]
) -> int:
    row = {
        "command": command,
        "arguments": [without_password(_as_text(argument)) for argument in arguments],
        "parameters": canonical_json(parameters),
        "parameters_sha256": parameters_sha256(parameters),
        "hapctl_version": version("hapctl"),
        "software": canonical_json(software_versions(connection)),
        "host": platform.node() or "unknown",
        "cpu": _processor(),
        "operator": _operator(),
        "pid": os.getpid(),
    }
    return int(connection.execute(text(read_sql("statements/begin_run.sql")), row).scalar_one())


def _as_text(argument: str) -> str:
    """Return an argument as PostgreSQL can hold it: file names need not be UTF-8."""
    return argument.encode("utf-8", "backslashreplace").decode()


def _end(catalog: Catalog, run: Run, outcome: str, peak_memory_bytes: int) -> None:
    row = {
        "run_id": run.id,
        "outcome": outcome,
        "exit_code": run.exit_code,
        "message": run.message,
        "peak_memory_bytes": peak_memory_bytes,
        "summary": canonical_json(run.summary),
    }
    # Not by the run's own session: that may be what was lost.
    with catalog.begin() as connection:
        connection.execute(text(read_sql("statements/end_run.sql")), row)


def _note(run: Run, error: BaseException) -> None:
    if isinstance(error, KeyboardInterrupt | SystemExit):
        run.exit_code, run.message = _INTERRUPTED, run.message or "interrupted"
        return
    run.exit_code = getattr(error, "exit_code", 70) or 70
    run.message = " ".join(str(getattr(error, "message", None) or f"{type(error).__name__}: {error}").split())


def _outcome(run: Run, error: BaseException | None) -> str:
    if run.exit_code == 0:
        return "done"
    if run.exit_code == _INTERRUPTED:
        return "interrupted"
    return "refused" if run.exit_code == 1 or error is None else "failed"


@cache
def _local_versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "python_compiler": platform.python_compiler(),
        "kernel_compiler": _kernel_compiler(),
        "system": platform.platform(),
        **{name: found for name in _LIBRARIES if (found := _version(name))},
    }


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _kernel_compiler() -> str:
    """Read the compiler's name from a compiled kernel, where GCC and Clang leave it."""
    spec = find_spec("hapctl.ext.mapping")
    if spec is None or spec.origin is None:
        return "unknown"
    found = re.search(rb"(?:GCC: \([^)\0]*\)|clang version) [0-9][0-9.]*", Path(spec.origin).read_bytes())
    return found[0].decode() if found else "unknown"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _operator() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())

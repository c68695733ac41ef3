"""Runs hapctl as a user does: in this process (fast) or in one of its own."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

from hapctl.cli.main import main

Runner = Callable[..., "Result"]


@dataclass(frozen=True)
class Result:
    """What a command left: exit code and texts."""

    exit_code: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        """Return stdout as exactly one JSON document."""
        return json.loads(self.stdout)


def run_here(arguments: tuple[object, ...], stdin: str = "") -> Result:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.stdin = sys.stdin, io.StringIO(stdin)
    code = 0
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main([str(argument) for argument in arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stdin = before
    return Result(code, out.getvalue(), err.getvalue())


def run_apart(
    arguments: tuple[object, ...], stdin: str = "", environment: Mapping[str, str] | None = None
) -> Result:
    """Run a command in a process of its own; `environment` adds to that of this one."""
    done = subprocess.run(
        [sys.executable, "-c", "from hapctl.cli.main import main; main()", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
        timeout=300,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)

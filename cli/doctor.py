"""``hapctl doctor``: checks the installation and names the remedy of each trouble."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from hapctl.cli.output import json_option, print_json
from hapctl.cli.settings import Settings, key_named, settings_from

OK, NOTE, TROUBLE = "ok", "note", "trouble"
REFERENCE_VARIABLES = ("iref", "jref", "uref", "lref", "nref", "oref", "CRDS_PATH")
SERVICES = ("database", "schema", "reader", "gaia", "vizier", "mast", "astrometry")
_ENOUGH_BYTES = 10 * 1024**3
_LEAST_BYTES = 1024**3
_SERVICE_SECONDS = 15.0
# The form of every requirement in pyproject.toml that is no extra; the bounds may come in any order.
_REQUIREMENT = re.compile(r"([\w-]+)(?:\[\w+\])?((?:(?:>=|<)[\d.]+,?)+)")
_DUMP_AND_RESTORE = (
    "to move on: pg_dump the database that 'hapctl db status' names, "
    "'hapctl db start' with a new HAPCTL_HOME, and psql the dump there"
)


@dataclass(frozen=True)
class Finding:
    """One thing looked at: ok, a note, or trouble with its remedy."""

    check: str
    state: str
    message: str
    remedy: str = ""


@click.command()
@click.option("--offline", is_flag=True, help="Do not ask whether Gaia and other services are reachable.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, offline: bool, as_json: bool) -> int:
    """Check the installation and name the remedy of each trouble.

    Gaia's service is asked, and of the others (services.vizier, mast, astrometry) those that are not where
    they usually are. Exit code 0 where nothing is in the way, 4 where a database or service is not available,
    else 1.

    \b
    hapctl doctor
    hapctl doctor --offline --json
    """
    findings = list(examine(settings_from(ctx), offline))
    troubled = [finding.check for finding in findings if finding.state == TROUBLE]
    if as_json:
        print_json({"ok": not troubled, "findings": [asdict(finding) for finding in findings]})
    else:
        _print(findings)
    if not troubled:
        return 0
    return 4 if set(troubled) & set(SERVICES) else 1


def examine(settings: Settings, offline: bool) -> Iterator[Finding]:
    """Yield the findings, one or more for each check."""
    yield _home(settings.home)
    yield from _disk(settings)
    yield _kernels()
    yield from _versions()
    yield from _database(settings)
    yield from (_reference_folder(name, os.environ.get(name)) for name in REFERENCE_VARIABLES)
    yield _service("gaia", "gaia.url", settings.gaia.url, offline, "/availability")
    for name, path in (("vizier", "/availability"), ("mast", ""), ("astrometry", "")):
        url, key = getattr(settings.services, name), f"services.{name}"
        if url != key_named(key).default():
            yield _service(name, key, url, offline, path)


def _home(home: Path) -> Finding:
    # Asking for permission is not enough: root may write where a read-only file system will not let it.
    probe = home / f".doctor-{os.getpid()}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"hapctl")
        probe.unlink()
    except OSError as error:
        return Finding(
            "home",
            TROUBLE,
            f"{home} can't be written: {error.strerror}",
            "choose another by HAPCTL_HOME or --home",
        )
    return Finding("home", OK, f"{home} can be written")


def _disk(settings: Settings) -> Iterator[Finding]:
    for name, folder in (("home", settings.home), ("output", settings.output)):
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(existing).free
        message = f"{free / 1024**3:.1f} GiB free for {name} ({folder})"
        remedy = f"make room, or move '{name}' to another disk ('hapctl config show')"
        if free < _LEAST_BYTES:
            yield Finding("disk", TROUBLE, message, remedy)
        elif free < _ENOUGH_BYTES:
            yield Finding("disk", NOTE, f"{message}: enough for few products", remedy)
        else:
            yield Finding("disk", OK, message)


def _kernels() -> Finding:
    import importlib
    import platform
    from importlib.metadata import version

    try:
        importlib.import_module("hapctl.ext.mapping")
    except ImportError as error:
        return Finding(
            "software", TROUBLE, f"the compiled kernels can't be loaded: {error}", "install hapctl again"
        )
    return Finding("software", OK, f"hapctl {version('hapctl')}, Python {platform.python_version()}")


def _versions() -> Iterator[Finding]:
    """Compare what is installed with what hapctl asks for."""
    from importlib.metadata import requires

    wanted = [found for line in requires("hapctl") or () if (found := _REQUIREMENT.fullmatch(line))]
    troubles = [trouble for found in wanted if (trouble := _version_trouble(*found.groups()))]
    yield from troubles
    if not troubles:
        yield Finding("versions", OK, f"all {len(wanted)} packages are as hapctl needs them")


def _version_trouble(name: str, bounds: str) -> Finding | None:
    from importlib.metadata import PackageNotFoundError, version

    remedy = f"pip install '{name}{bounds}'"
    try:
        installed = version(name)
    except PackageNotFoundError:
        return Finding("versions", TROUBLE, f"{name} is not installed", remedy)
    for sign, bound in re.findall(r"(>=|<)([\d.]+)", bounds):
        if (_numbers(installed) < _numbers(bound)) != (sign == "<"):
            return Finding("versions", TROUBLE, f"{name} is {installed}, hapctl needs {name}{bounds}", remedy)
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _database(settings: Settings) -> Iterator[Finding]:
    from hapctl.archive.errors import ArchiveError
    from hapctl.archive.server import embedded_server
    from hapctl.cli.database_report import database_report
    from hapctl.cli.opening import is_embedded

    if is_embedded(settings):
        try:
            server = embedded_server(settings.home)
            if server.version is not None:
                server.ensure_running()
        except ArchiveError as error:
            yield Finding("database", TROUBLE, error.message, error.remedy)
            return
        except OSError as error:
            message = f"the embedded database can't work in {settings.home}: {error.strerror}"
            yield Finding("database", TROUBLE, message, "choose another home by HAPCTL_HOME or --home")
            return
        yield from _embedded(server.version)
    report = database_report(settings)
    if not report["running"]:
        yield Finding("database", TROUBLE, report["problem"], report["remedy"])
        return
    yield Finding("database", OK, f"PostgreSQL {report['server_version']}, {report['database']}")
    if report["superuser"]:
        yield Finding(
            "database",
            NOTE,
            "the catalog is used as a superuser",
            "let a role without that right own the database",
        )
    if report["problem"]:
        yield Finding("schema", TROUBLE, report["problem"], report["remedy"])
        return
    yield Finding("schema", OK, f"schema {report['schema']}, {report['size_bytes'] / 1024**2:.0f} MiB")
    yield _reader(settings, report["has_reader"])


def _embedded(version: int | None) -> Iterator[Finding]:
    from hapctl.archive.server import NEW_DATA_VERSION
    from hapctl.archive.server_places import orphaned_folders

    if version is not None and version < NEW_DATA_VERSION:
        message = f"the data are of PostgreSQL {version}; new ones are of {NEW_DATA_VERSION}"
        yield Finding("database", NOTE, message, _DUMP_AND_RESTORE)
    for folder in orphaned_folders():
        remedy = f"end the server that {folder}/data/postmaster.pid names, if it runs, and remove {folder}"
        yield Finding("database", NOTE, f"{folder} holds the data of a home that is gone", remedy)


def _reader(settings: Settings, has_reader: bool) -> Finding:
    from hapctl.archive.errors import ArchiveError
    from hapctl.archive.reader import ask, reader_url
    from hapctl.archive.server import embedded_server
    from hapctl.cli.opening import is_embedded

    if not has_reader:
        return Finding(
            "reader",
            TROUBLE,
            "the role hapctl_reader does not exist, so 'hapctl sql' and 'hapctl query' can't log in",
            "let an administrator run 'CREATE ROLE hapctl_reader LOGIN', then run 'hapctl db upgrade'",
        )
    url = embedded_server(settings.home).url() if is_embedded(settings) else settings.database
    try:
        with ask(reader_url(url, settings.reader), "SELECT rootname FROM active_solution LIMIT 1") as answer:
            list(answer.rows)
    except ArchiveError as error:
        return Finding("reader", TROUBLE, error.message, error.remedy)
    return Finding("reader", OK, "questions are asked as hapctl_reader")


def _reference_folder(name: str, value: str | None) -> Finding:
    if not value:
        return Finding("reference files", OK, f"{name} is not set")
    check, shown = "reference files", f"{name} = {value}"
    if not Path(value).is_dir():
        return Finding(check, TROUBLE, f"{shown} is no folder", f"export {name}=FOLDER/, or unset {name}")
    if not os.access(value, os.R_OK | os.X_OK):
        return Finding(check, TROUBLE, f"{shown} can't be read", f"chmod u+rx {value}")
    if name != "CRDS_PATH" and not value.endswith("/"):
        # Headers say jref$name, and many tools replace jref$ by the value as it stands.
        return Finding(check, NOTE, f"{shown} has no slash at its end", f"export {name}={value}/")
    return Finding(check, OK, shown)


def _service(name: str, key: str, url: str, offline: bool, path: str) -> Finding:
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    variable = key_named(key).variable
    if offline:
        return Finding(name, OK, "not asked (--offline)")
    if not url.startswith(("http://", "https://")):
        return Finding(name, TROUBLE, f"{url} is no web address", f"correct {key} ({variable})")
    try:
        with urlopen(f"{url.rstrip('/')}{path}", timeout=_SERVICE_SECONDS) as answer:
            answer.read(1)
    except HTTPError as error:
        if error.code >= 500:
            return _silent(name, variable, url, f"HTTP {error.code}")
    except (URLError, HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        return _silent(name, variable, url, str(getattr(error, "reason", error)))
    return Finding(name, OK, f"{url} answers")


def _silent(name: str, variable: str, url: str, reason: str) -> Finding:
    remedy = f"try later, name another service by {variable}, or work with what is cached (--offline)"
    return Finding(name, TROUBLE, f"{url} does not answer: {reason}", remedy)


def _print(findings: list[Finding]) -> None:
    for finding in findings:
        click.echo(f"{finding.state:8} {finding.check}: {finding.message}")
        if finding.remedy:
            click.echo(f"         -> {finding.remedy}")

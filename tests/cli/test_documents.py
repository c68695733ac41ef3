"""README and help: what they name exists, and what exists is named."""

import re
import shlex
from pathlib import Path

import click
import pytest
from hapctl.cli.main import COMMANDS, cli, command_for
from hapctl.cli.settings import KEYS
from support.data import REPOSITORY

DOCUMENTS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def command_lines(text: str) -> list[str]:
    """The hapctl commands of a document's indented blocks and inline code, without comments."""
    blocks = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    inline = re.findall(r"`(hapctl [^`]+)`", text.replace("\n", " "))
    found = (re.search(r"(?:^|[\s/])hapctl (.*)", line.partition(" # ")[0].rstrip()) for line in blocks)
    return [match[1] for match in found if match] + [line.removeprefix("hapctl ") for line in inline]


def follow(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that words lead to, and the words left for it."""
    command: click.Command = cli
    context = click.Context(cli)
    while words and isinstance(command, click.Group):
        if words[0].startswith("-"):
            words = words[1:]  # an option of the group itself, and its values
            while words and not words[0].startswith("-") and command.get_command(context, words[0]) is None:
                words = words[1:]
            continue
        deeper = command.get_command(context, words[0])
        assert deeper is not None, f"there is no command {words[0]!r} in {command.name}"
        command, words = deeper, words[1:]
    return command, words


def inside(name: str) -> dict[str, click.Command]:
    """The commands of a group, also of one that loads them when they are called; a command itself as ''."""
    group = command_for(name)
    if not isinstance(group, click.Group):
        return {"": group}
    context = click.Context(group)
    found = {sub: group.get_command(context, sub) for sub in group.list_commands(context)}
    return {sub: command for sub, command in found.items() if command is not None}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_that_is_written_exists(name: str) -> None:
    lines = command_lines((REPOSITORY / name).read_text(encoding="utf-8"))
    for line in lines:
        if "|" in line:
            continue
        command, rest = follow(shlex.split(line))
        options = {
            flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)
        }
        for word in rest:
            if word.startswith("--"):
                assert word in options, f"{name}: hapctl {line}: no option {word}"
    assert lines or name == "CONTRIBUTING.md"


def test_alternatives_written_with_a_bar_exist() -> None:
    text = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8").replace("\n", " ")
    written = re.findall(r"`(?:hapctl )?([a-z]+) ([a-z]+(?:\|[a-z]+)+)`", text)
    assert len(written) >= 5
    for group, names in written:
        known = command_for(group).list_commands(click.Context(cli))
        assert set(names.split("|")) <= set(known), group


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme_or_shows_an_example(name: str) -> None:
    help_text = command_for(name).get_help(click.Context(cli, info_name="hapctl"))
    examples = any(
        f"hapctl {name}" in text for text in (help_text, *(sub.help or "" for sub in inside(name).values()))
    )
    assert examples or re.search(rf"hapctl (?:--\S+ \S+ )?{name}\b", README), name
    changes = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"`[^`]*\b{name}\b[^`]*`", changes), f"{name} is not in the changelog"


def test_every_command_and_option_has_a_help_text() -> None:
    for name in COMMANDS:
        group = command_for(name)
        for command in (group, *inside(name).values()):
            assert command.help, command.name
            for parameter in command.params:
                if isinstance(parameter, click.Option):
                    assert parameter.help, f"{name} {command.name} {parameter.name}"


@pytest.mark.parametrize(
    "name",
    [
        *("init", "status", "doctor", "config", "tile", "gaia", "db", "query", "sql"),
        *("ingest", "exposure", "root", "wcs", "product", "drizzle", "help", "undo"),
        *("process", "mosaic", "params", "cutout", "hips"),
    ],
)
def test_the_help_of_a_command_shows_an_example_that_would_be_understood(name: str) -> None:
    for sub, command in inside(name).items():
        lines = re.findall(rf"^\s*(hapctl (?:--database \S+ )?{name}.*)", command.help or "", re.MULTILINE)
        assert lines, f"{name} {sub}"
        for line in lines:
            alone = re.split(r" \| | > [a-z]|  {2,}", line)[0]  # no pipes, no words beside
            found, rest = follow(shlex.split(alone)[1:])
            found.make_context(name, rest, resilient_parsing=False)


def test_exit_codes_of_the_readme_are_those_of_the_errors() -> None:
    from hapctl.archive import errors as archive
    from hapctl.processing import errors as processing

    classes = [c for module in (archive, processing) for c in vars(module).values() if isinstance(c, type)]
    used = {c.exit_code for c in classes if issubclass(c, archive.ArchiveError | processing.ProcessingError)}
    written = {int(code) for code in re.findall(r"^\| (\d+) \|", README, flags=re.MULTILINE)}
    assert used <= written
    assert {0, 2, 130} <= written


def test_settings_named_in_the_readme_exist() -> None:
    keys = {key.name for key in KEYS}
    assert {"reader", "output", "home"} <= keys
    of_tests = {"HAPCTL_TEST_DATA", "HAPCTL_PEER_ENVIRONMENT"}
    variables = set(re.findall(r"HAPCTL_[A-Z_]+\b", README)) - of_tests - {"HAPCTL_DEBUG", "HAPCTL_"}
    assert variables <= {f"HAPCTL_{key.upper().replace('.', '_')}" for key in keys} | {"HAPCTL_DATABASE_URL"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert (REPOSITORY / target).exists(), target
    for place in re.findall(r"\]\(#([^)]+)\)", text):
        headings = [
            line.lstrip("# ").lower().replace(" ", "-") for line in text.splitlines() if line[:1] == "#"
        ]
        assert place in headings


@pytest.mark.parametrize("target", ["demo", "test", "lint", "bench", "types"])
def test_make_has_the_targets_that_are_written(target: str) -> None:
    makefile = Path(REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)

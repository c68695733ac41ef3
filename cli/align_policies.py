"""``hapctl align policies``: the rules of alignment as data; and ``--set``, which changes one for a run."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from hapctl.cli.output import json_option, print_json

if TYPE_CHECKING:
    from hapctl.archive.policies import PolicyKind, PolicyRow
    from sqlalchemy import Connection

_KINDS = click.Choice(["acceptance", "ladder", "preference"])
_DEFAULTS = ("align-default", "ladder-default", "preference-default")


@click.group()
def policies() -> None:
    """List, show, record and put in force the rules of alignment.

    acceptance: by which numbers fits are judged. ladder: which catalogs, methods and geometries are tried in
    what order. preference: which of the known solutions an alignment begins with, and which is put in force
    at ingest.
    """


@policies.command(name="list")
@json_option
@click.pass_context
def list_all(ctx: click.Context, as_json: bool) -> None:
    """List the policies of alignment and those in force.

    \b
    hapctl align policies list
    """
    from hapctl.archive.policies import list_policies
    from hapctl.cli.settings import open_from

    _, catalog = open_from(ctx)
    with catalog.begin() as connection:
        lines = [line for line in list_policies(connection) if line.kind in _KINDS.choices]
    if as_json:
        print_json({"policies": [vars(line) for line in lines]})
        return
    for line in lines:
        since = f"in force since {line.since:%Y-%m-%d %H:%M:%S} UTC" if line.since else ""
        click.echo(f"{line.kind:12s}{line.name}@{line.version}  run {line.run_id}  {since}".rstrip())
    if not lines:
        click.echo("None is recorded: those of this software hold. See: hapctl align policies show KIND")


@policies.command()
@click.argument("kind", type=_KINDS)
@click.argument("name", required=False)
@json_option
@click.pass_context
def show(ctx: click.Context, kind: str, name: str | None, as_json: bool) -> None:
    """Show a policy as JSON: NAME or NAME@VERSION, by default the one in force.

    \b
    hapctl align policies show ladder
    hapctl align policies show acceptance align-default > rule.json
    """
    from hapctl.cli.settings import open_from

    _, catalog = open_from(ctx)
    with catalog.begin() as connection:
        row = _row(connection, cast("PolicyKind", kind), name)
    del as_json  # the document is JSON in any case
    print_json({"kind": kind, "name": row.name, "version": row.version, "content": dict(row.content)})


@policies.command(name="set")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--activate", "put_in_force", is_flag=True, help="Put it in force as well.")
@json_option
@click.pass_context
def set_policy(ctx: click.Context, file: Path, put_in_force: bool, as_json: bool) -> None:
    """Record a policy from a TOML or JSON file with kind, name and content, as `show` writes it.

    Of an acceptance rule or a preference only the entries that differ from the default are needed.

    \b
    hapctl align policies set my_ladder.toml
    hapctl align policies set rule.json --activate
    """
    from hapctl.archive.policies import activate_policy, named_policy, record_policy
    from hapctl.archive.runs import recorded_run
    from hapctl.cli.settings import open_from
    from hapctl.processing.pipeline.alignment_policies import checked_policy

    kind, name, content = checked_policy(_read(file))
    if name in _DEFAULTS:
        raise click.UsageError(f"{name} is the name of this software's own: choose another")
    _, catalog = open_from(ctx)
    parameters = {"kind": kind, "name": name, "content": content, "activate": put_in_force}
    with (
        recorded_run(catalog, "align policies set", parameters, sys.argv[1:]) as run,
        catalog.begin() as connection,
    ):
        policy_id = record_policy(connection, run.id, kind, name, content)
        if put_in_force:
            activate_policy(connection, run.id, kind, policy_id)
        row = named_policy(connection, kind, name)
    _say_policy(kind, row, put_in_force, as_json)


@policies.command()
@click.argument("kind", type=_KINDS)
@click.argument("name")
@json_option
@click.pass_context
def activate(ctx: click.Context, kind: str, name: str, as_json: bool) -> None:
    """Put a recorded policy in force: NAME or NAME@VERSION, or that of this software (`...-default`).

    \b
    hapctl align policies activate ladder my-ladder
    hapctl align policies activate ladder ladder-default
    """
    from hapctl.archive.policies import activate_policy, named_policy, record_policy
    from hapctl.archive.runs import recorded_run
    from hapctl.cli.settings import open_from
    from hapctl.processing.pipeline.alignment_policies import default_policy

    chosen = cast("PolicyKind", kind)
    default = default_policy(chosen)
    if name != default.name and name.partition("@")[0] in _DEFAULTS:
        raise click.UsageError(f"{name}: this software's own {kind} is {default.name}, in its newest version")
    _, catalog = open_from(ctx)
    with (
        recorded_run(catalog, "align policies activate", {"kind": kind, "name": name}, sys.argv[1:]) as run,
        catalog.begin() as connection,
    ):
        if name == default.name:
            record_policy(connection, run.id, chosen, name, default.content)
        row = named_policy(connection, chosen, name)
        activate_policy(connection, run.id, chosen, row.policy_id)
    _say_policy(kind, row, True, as_json)


def _say_policy(kind: str, row: "PolicyRow", in_force: bool, as_json: bool) -> None:
    if as_json:
        print_json({"kind": kind, "name": row.name, "version": row.version, "in_force": in_force})
        return
    click.echo(f"{kind} {row.name}@{row.version} is {'in force' if in_force else 'recorded'}")


def _row(connection: "Connection", kind: "PolicyKind", name: str | None) -> "PolicyRow":
    from hapctl.archive.policies import active_policy, named_policy
    from hapctl.processing.pipeline.alignment_policies import default_policy

    default = default_policy(kind)
    active = active_policy(connection, kind)
    if name is None:
        return active or default
    return default if name == default.name else named_policy(connection, kind, name)


def _read(file: Path) -> dict[str, Any]:
    """A policy file as a document; TOML by its name, else JSON."""
    import json
    import tomllib

    from hapctl.processing.errors import MissingFileError, UsageProblemError

    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise MissingFileError(f"{file} can't be read: {error.strerror}", "check the path") from error
    try:
        document = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    except ValueError as error:
        raise UsageProblemError(f"{file}: {error}", "write TOML (*.toml) or JSON") from error
    if not isinstance(document, dict):
        raise UsageProblemError(f"{file} holds no table", "it has kind, name and content")
    return document


def changed_rule(changes: tuple[str, ...]) -> dict[str, Any]:
    """The entries of ``--set rule.KEY=VALUE``.

    Raises
    ------
    UsageProblemError
        One is not of that form, or the rule has no such entry.
    """
    import json

    from hapctl.processing.errors import UsageProblemError
    from hapctl.processing.pipeline.alignment_policies import checked_rule

    values: dict[str, Any] = {}
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or not key.startswith("rule."):
            raise UsageProblemError(f"--set {change}: not rule.KEY=VALUE", "such as rule.most_rms_mas=20")
        try:
            values[key.removeprefix("rule.")] = json.loads(text)
        except ValueError as error:
            raise UsageProblemError(f"--set {change}: {text!r} is no number", "such as 20") from error
    return checked_rule("--set", values)

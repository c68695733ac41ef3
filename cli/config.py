"""``hapctl config``: what is set, and where each value comes from."""

import click
from hapctl.archive.passwords import without_password
from hapctl.cli.output import json_option, print_json
from hapctl.cli.settings import KEYS, Settings, settings_from, user_file


@click.group()
def config() -> None:
    """Show the configuration and where each value comes from."""


@config.command()
@click.option("--origin", is_flag=True, help="Show where each value comes from.")
@json_option
@click.pass_context
def show(ctx: click.Context, origin: bool, as_json: bool) -> None:
    """Show every key with its value in effect.

    Later sources win: defaults, the user's file, the project file (hapctl.toml here, or --config),
    environment variables, options.

    \b
    hapctl config show --origin
    HAPCTL_THREADS=4 hapctl config show --json
    """
    settings = settings_from(ctx)
    if as_json:
        print_json(_document(settings, origin))
        return
    if origin:
        click.echo(f"# user file: {user_file()}")
    for key in KEYS:
        line = f"{key.name} = {_shown(settings, key.name)}"
        click.echo(f"{line:60} # {settings.origins[key.name]}" if origin else line)


def _document(settings: Settings, origin: bool) -> dict[str, object]:
    if not origin:
        return {key.name: _shown(settings, key.name) for key in KEYS}
    return {
        key.name: {
            "value": _shown(settings, key.name),
            "origin": settings.origins[key.name],
            "variable": key.variable,
            "meaning": key.help,
        }
        for key in KEYS
    }


def _shown(settings: Settings, name: str) -> object:
    value = settings.value(name)
    return without_password(value) if name in ("database", "reader") else value

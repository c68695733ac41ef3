"""What commands with many parameters share: showing them, and editing them in a form."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from hapctl.cli.output import print_json, say

if TYPE_CHECKING:
    from hapctl.processing.parameter_values import ParameterSet

Chosen = tuple[Any, list[str]]
"""Parameters, and what is to be said of where they come from."""


def show_parameters(known: "ParameterSet", chosen: Chosen, *, as_json: bool) -> int:
    """Print all parameters, documented."""
    from dataclasses import asdict

    from hapctl.processing.parameter_file import toml_text

    parameters, notes = chosen
    if as_json:
        print_json({"parameters": asdict(parameters), "notes": notes})
    else:
        click.echo(toml_text(known, parameters), nl=False)
    return 0


def edit_parameters(
    known: "ParameterSet",
    choose: Callable[[Path | None], Chosen],
    target: Path | None,
    *,
    usual: Path,
    then: str,
    as_json: bool,
    check: Callable[[Any], None] = lambda _: None,
) -> int:
    """Edit parameters in a form, and save them.

    Parameters
    ----------
    known : ParameterSet
    choose : callable
        Returns the parameters to begin with, those of a file if it is given one.
    target : Path or None
        The file to edit; it may not be there yet. None: `usual`.
    usual : Path
    then : str
        The command that uses them, but for its ``--config``.
    as_json : bool
    check : callable
        Raises UsageProblemError where values do not go together.

    Raises
    ------
    UsageProblemError
        There is no terminal.
    """
    from hapctl.processing.errors import UsageProblemError

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageProblemError("the form needs a terminal", "write a file with --show-config and edit that")
    from hapctl.cli.parameter_form import ParameterForm

    loaded = target is not None and target.exists()
    parameters, notes = choose(target if loaded else None)
    saved = ParameterForm(known, parameters, target or usual, loaded=loaded, check=check).run()
    if as_json:
        print_json({"saved": saved, "notes": notes})
    elif saved:
        say(f"saved {saved}; next: {then} --config {saved}")
    return 0

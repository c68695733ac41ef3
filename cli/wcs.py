"""``hapctl wcs``: the group of commands on WCS solutions; each lives in a module imported on first use."""

import click
from hapctl.cli.lazy import LazyGroup

COMMANDS: dict[str, tuple[str, str]] = {
    # name: (module:attribute, one-line help)
    "list": ("hapctl.cli.wcs_catalog:list_solutions", "List the solutions of an exposure."),
    "show": ("hapctl.cli.wcs_catalog:show", "Show a solution with its chips."),
    "why": ("hapctl.cli.wcs_why:why", "Say in words which solution is in force and why."),
    "diff": ("hapctl.cli.wcs_diff:diff", "Compare two solutions, as a table and a plot."),
    "history": ("hapctl.cli.wcs_history:history", "List what was in force, when and why."),
    "activate": ("hapctl.cli.wcs_catalog:activate", "Put a solution in force by hand."),
    "revert": ("hapctl.cli.wcs_history:revert", "Put in force again what was before."),
    "fetch": ("hapctl.cli.wcs_fetch:fetch", "Register solutions from MAST's astrometry service."),
    "import": ("hapctl.cli.wcs_exchange:import_command", "Register solutions from files."),
    "export": ("hapctl.cli.wcs_exchange:export", "Write solutions as headerlets and DS9 regions."),
    "apply": ("hapctl.cli.wcs_files:apply", "Make a solution the primary WCS of files."),
    "attach": ("hapctl.cli.wcs_files:attach", "Attach headerlets to a file."),
    "extract": ("hapctl.cli.wcs_files:extract", "Write the solutions of files as headerlets."),
    "delete": ("hapctl.cli.wcs_files:delete", "Delete alternates and HDRLETs from a file."),
    "update": ("hapctl.cli.wcs_update:update", "Make the WCS of files anew from their references."),
}


@click.group(cls=LazyGroup, table=COMMANDS)
def wcs() -> None:
    """List, compare, explain, activate, move and write WCS solutions."""

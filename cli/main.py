"""The entry point: a click group that imports a command only when it is called."""

import sys
from typing import NoReturn

import click
from hapctl.cli.lazy import LazyGroup

COMMANDS: dict[str, tuple[str, str]] = {
    # name: (module:attribute, one-line help); kept here so that --help imports nothing
    "init": ("hapctl.cli.database:init", "Create the catalog, or bring it up to date."),
    "ingest": (
        "hapctl.cli.ingest:ingest",
        "Record what HST files say: exposures, WCS solutions, tiles.",
    ),
    "exposure": ("hapctl.cli.ingest:exposure", "Show an exposure, withdraw it, or take it into use again."),
    "root": ("hapctl.cli.ingest:root", "List the archive roots, or say that one has moved."),
    "align": ("hapctl.cli.align:align", "Align a visit to Gaia and record every fit."),
    "mosaic": ("hapctl.cli.mosaic:mosaic", "Make the products of a visit or a sky tile."),
    "cutout": ("hapctl.cli.cutout:cutout", "Cut a field out of products, all images with WCS and inputs."),
    "process": ("hapctl.cli.process:process", "Bring visits from exposures to products, step by step."),
    "drizzle": ("hapctl.cli.drizzle:drizzle", "Combine exposures from files alone, without a catalog."),
    "find": ("hapctl.cli.find:find", "Find and measure the sources of an exposure or a product."),
    "tweak": ("hapctl.cli.tweak:tweak", "Align images from files alone, as TweakReg does."),
    "tweakback": ("hapctl.cli.tweakback:tweakback", "Carry a product's corrected WCS back to its inputs."),
    "status": ("hapctl.cli.status:status", "Show what the catalog holds and what is stale."),
    "query": ("hapctl.cli.query:query", "Answer a named question from the catalog."),
    "sql": ("hapctl.cli.query:sql", "Ask the catalog in SQL, as a reader."),
    "wcs": ("hapctl.cli.wcs:wcs", "List, show, explain and activate WCS solutions."),
    "undo": ("hapctl.cli.undo:undo", "Bring back files that a run changed in place."),
    "product": (
        "hapctl.cli.product:product",
        "List and show products and what they were made from.",
    ),
    "params": (
        "hapctl.cli.params:params",
        "Show, explain and change how products are drizzled.",
    ),
    "tile": ("hapctl.cli.tile:tile", "Find and show sky tiles."),
    "hips": ("hapctl.cli.hips:hips", "Make a HiPS of sky tiles, to be looked at in Aladin."),
    "gaia": ("hapctl.cli.gaia:gaia", "Fetch, load and list Gaia sources."),
    "config": (
        "hapctl.cli.config:config",
        "Show the configuration and where each value comes from.",
    ),
    "simulate": ("hapctl.cli.simulate:simulate", "Make a synthetic visit with a known truth."),
    "demo": ("hapctl.cli.demo:demo", "Run the whole main job on a simulated visit."),
    "doctor": (
        "hapctl.cli.doctor:doctor",
        "Check the installation and name the remedy of each trouble.",
    ),
    "db": ("hapctl.cli.database:db", "Start, stop, inspect and upgrade the database."),
    "help": ("hapctl.cli.help:show_help", "Show the help of a command, or a topic."),
}


@click.group(cls=LazyGroup, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hapctl")
@click.option("--home", type=click.Path(file_okay=False), help="Where all state lives (HAPCTL_HOME).")
@click.option("--database", metavar="URL", help="PostgreSQL to use in place of the embedded one.")
@click.option("--config", "config_file", type=click.Path(dir_okay=False), help="Project file (hapctl.toml).")
@click.pass_context
def cli(ctx: click.Context, home: str | None, database: str | None, config_file: str | None) -> None:
    """Process Hubble images with a catalog that can explain every pixel.

    \b
    hapctl ingest ~/hst/*_flc.fits      record exposures and their WCS solutions
    hapctl align --visit j8bt09         align to Gaia, record every fit
    hapctl mosaic --visit j8bt09        make the products
    hapctl wcs why j8bt09jcq            explain the WCS in force
    """
    ctx.obj = {"home": home, "database": database, "config_file": config_file}


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line; turn the errors of all floors into one line and an exit code."""
    from hapctl.cli.output import run_and_exit

    run_and_exit(cli, sys.argv[1:] if argv is None else argv)


def command_for(name: str) -> click.Command | None:
    """Return the click command of that name (for tests and documentation)."""
    return cli.get_command(click.Context(cli), name)

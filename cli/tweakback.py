"""``hapctl tweakback``: a product's corrected WCS carried back to its inputs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from hapctl.cli.output import json_option, print_json, say

if TYPE_CHECKING:
    from hapctl.processing.pipeline.tweakback_files import Tweakback


@click.command()
@click.argument("product", type=click.Path(dir_okay=False, path_type=Path), metavar="DRZ")
@click.argument("files", nargs=-1, metavar="[FILE...]")
@click.option("--wcsname", default="", help="The corrected WCS of DRZ, by name or key [default: primary].")
@click.option(
    "--origwcs",
    default="",
    help="The WCS it was made with, by name or key [default: the first alternate IDC_..., else the last].",
)
@click.option("--newname", default="", help="WCSNAME in the inputs [default: as in DRZ].")
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    metavar="DIR",
    help="Write copies there.",
)
@click.option("--in-place", is_flag=True, help="Change the inputs themselves; their old WCS is kept.")
@click.option("--overwrite", is_flag=True, help="Replace older copies.")
@click.option("--force", is_flag=True, help="Also where an input has a WCS of that name.")
@json_option
def tweakback(product: Path, files: tuple[str, ...], **options: Any) -> int:
    """Carry the corrected WCS of a drizzled product back to the exposures it was made from.

    DRZ has two WCSs: the corrected one, and as an alternate the one it was made with. Every chip of the
    inputs is moved rigidly by the transformation of the sky between the two. FILE is a file, a pattern or an
    @list; without any, the inputs are those that DRZ names (D001DATA ..., HDRTAB), beside it.

    \b
    hapctl tweakback m31_drc.fits --output-dir corrected
    hapctl tweakback m31_drc.fits *_flc.fits --in-place
    hapctl tweakback m31_drc.fits --origwcs IDC_4bb1536oj --newname DRZ_GAIA --output-dir corrected
    """
    from hapctl.processing.errors import UsageProblemError
    from hapctl.processing.pipeline.tweakback_files import TweakbackOptions
    from hapctl.processing.pipeline.tweakback_files import tweakback as carry_back

    as_json = options.pop("as_json")
    folder = options.pop("output_dir")
    if folder is None and not options["in_place"]:
        raise UsageProblemError("where the result goes is not said", "give --output-dir DIR, or --in-place")
    chosen = TweakbackOptions(folder=folder or Path(), **options)
    done = carry_back(product, files, chosen, on_progress=lambda words: say(f"hapctl: {words}"))
    if as_json:
        print_json(_document(done))
        return 0
    move = done.move
    click.echo(
        f"{done.product}: {move.old} to {move.new}: {move.shift_mas:.2f} mas, rotation "
        f"{move.rotation_deg:+.6f} deg, scale {move.scale:.8f}"
    )
    for one in done.inputs:
        click.echo(f"{one.path}: {one.wcsname} (was {one.previous}) in {one.written_to}")
    return 0


def _document(done: "Tweakback") -> dict[str, Any]:
    move = {key: value for key, value in vars(done.move).items() if key != "matrix"}
    return {
        "product": str(done.product),
        **move,
        "inputs": [{key: str(value) for key, value in vars(one).items()} for one in done.inputs],
    }

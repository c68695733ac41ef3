"""``hapctl tweak``: align images from files alone, without a catalog of exposures."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from hapctl.cli.output import json_option, print_json, say

if TYPE_CHECKING:
    from hapctl.cli.parameters import Chosen
    from hapctl.processing.astrometry.tweak_parameters import TweakParameters
    from hapctl.processing.pipeline.tweak_run import Tweaked, TweakedImage
    from hapctl.processing.pipeline.tweak_writing import TweakPlaces, Written

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("files", nargs=-1, metavar="FILE...")
@click.option("--refcat", metavar="FILE|NAME", help="Reference: a list of sources, or GAIADR3, PS1DR2 ...")
@click.option("--config", type=_FILE, metavar="FILE", help="Parameters in TOML (see --show-config).")
@click.option(
    "--set", "settings", multiple=True, metavar="SECTION.NAME=VALUE", help="One parameter; repeatable."
)
@click.option(
    "--import-cfg",
    "cfgs",
    multiple=True,
    type=_FILE,
    metavar="FILE",
    help="Parameters of TweakReg (tweakreg.cfg, imagefindpars.cfg), as TEAL saved them; repeatable.",
)
@click.option("--show-config", is_flag=True, help="Print all parameters that would be used, documented.")
@click.option("--edit", is_flag=True, help="Edit the parameters in a form, and save them to --config.")
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Where all files go, also copies of the images [default: here].",
)
@click.option("--updatehdr", is_flag=True, help="Write the new WCS into copies in --output-dir.")
@click.option("--in-place", is_flag=True, help="Write the new WCS into the images themselves.")
@click.option("--overwrite", is_flag=True, help="Replace older files.")
@click.option(
    "--lookup-origin", type=click.Choice(["hst", "fits"]), help="Where distortion lookup tables begin."
)
@json_option
@click.pass_context
def tweak(ctx: click.Context, files: tuple[str, ...], **options: Any) -> int:
    """Align images to a reference, or to each other, from files alone: no database, no ingest.

    FILE is a file, a pattern, several of them joined by commas, an @list, or an association table. All images
    are solved together with the stars that two of them see; what does not pass the rule of acceptance keeps
    the WCS it has, and the reason is said. Images change only with --updatehdr (copies) or --in-place.
    Written: sources (.coo), matches (TweakReg's 18 columns), shifts.txt, plots; headerlets if asked for.
    Parameters come from the defaults, then --import-cfg, --config and --set; the last one holds.

    \b
    hapctl tweak *_flc.fits --refcat GAIADR3 --output-dir aligned --updatehdr
    hapctl tweak *_flc.fits --refcat stars.ecsv --set fit.fitgeometry=rscale
    hapctl tweak *_flt.fits                           onto each other, without a reference
    hapctl tweak *_flc.fits --set images.refimage=old_drc.fits
    hapctl tweak *_flc.fits --refcat gaia.cat --set headerlet.headerlet=true
    hapctl tweak --show-config > tweak.toml           all parameters, to be edited
    hapctl tweak --edit --config tweak.toml           the same in a form
    hapctl tweak --import-cfg tweakreg.cfg --show-config > tweak.toml
    """
    if options["edit"]:
        return _edit(options)
    chosen = _chosen(options, options["config"])
    if options["show_config"]:
        from hapctl.cli.parameters import show_parameters
        from hapctl.processing.astrometry.tweak_parameters import TWEAK

        return show_parameters(TWEAK, chosen, as_json=options["as_json"])
    return _tweak(ctx, files, chosen, options)


def _chosen(options: dict[str, Any], file: Path | None) -> "Chosen":
    from hapctl.processing.astrometry.tweak_import import choose_tweak

    settings = list(options["settings"])
    if options["refcat"]:
        settings.append(f"reference.refcat={options['refcat']}")
    if options["updatehdr"] or options["in_place"]:
        settings.append("header.updatehdr=true")
    if options["lookup_origin"]:
        settings.append(f"lookup_origin={options['lookup_origin']}")
    parameters, notes = choose_tweak(options["cfgs"], file, settings)
    for note in notes:
        say(f"hapctl: {note}")
    return parameters, notes


def _edit(options: dict[str, Any]) -> int:
    from hapctl.cli.parameters import edit_parameters
    from hapctl.processing.astrometry.tweak_parameters import TWEAK

    return edit_parameters(
        TWEAK,
        lambda file: _chosen(options, file),
        options["config"],
        usual=Path("tweak.toml"),
        then="hapctl tweak FILE...",
        as_json=options["as_json"],
    )


def _tweak(ctx: click.Context, files: tuple[str, ...], chosen: "Chosen", options: dict[str, Any]) -> int:
    from hapctl.cli.gaia import services_of
    from hapctl.cli.settings import settings_from
    from hapctl.processing.pipeline.tweak_run import tweak as align
    from hapctl.processing.pipeline.tweak_writing import TweakPlaces, check_header_update, write_tweaked

    parameters, notes = chosen
    places = TweakPlaces(options["output_dir"], options["in_place"], options["overwrite"])
    services = services_of(settings_from(ctx))
    tweaked = align(
        files,
        parameters,
        services,
        on_images=lambda images: check_header_update(images, parameters, places),
        on_progress=_told,
    )
    written = write_tweaked(tweaked, parameters, places, on_progress=_told)
    for one in tweaked.left_out:
        say(f"hapctl: left out {one.name}: {one.reason}")
    return _report(tweaked, parameters, places, written, notes, as_json=options["as_json"])


def _told(words: str) -> None:
    say(f"hapctl: {words}")


def _report(
    tweaked: "Tweaked",
    parameters: "TweakParameters",
    places: "TweakPlaces",
    written: "Written",
    notes: list[str],
    *,
    as_json: bool,
) -> int:
    accepted = [one for one in tweaked.images if one.accepted]
    if as_json:
        print_json(
            {
                "reference": tweaked.reference.name,
                "geometry": parameters.fit.fitgeometry,
                "images": [_document(one, written) for one in tweaked.images],
                "left_out": [vars(one) for one in tweaked.left_out],
                "notes": [*notes, *tweaked.reference.notes],
                "files": [str(path) for path in written.files],
            }
        )
    else:
        for one in tweaked.images:
            click.echo(_words(one, written))
        click.echo(f"{len(written.files)} files in {places.folder}")
    return 0 if accepted else 1


def _document(one: "TweakedImage", written: "Written") -> dict[str, Any]:
    row = one.row
    header = written.headers.get(one.image.path.name)
    return {
        "file": str(one.image.path),
        "outcome": "accepted" if one.accepted else "refused",
        "code": one.code,
        "reason": one.reason,
        "frame": one.frame if one.accepted else None,
        "wcsname": None if one.solution is None else one.solution.name,
        "sources": len(one.image.sources),
        "nmatches": one.used,
        "rms_ra_mas": _number(one.rms_mas[0]),
        "rms_dec_mas": _number(one.rms_mas[1]),
        "weighted_rms_ra_mas": _number(one.residuals.weighted_rms[0]),
        "weighted_rms_dec_mas": _number(one.residuals.weighted_rms[1]),
        "predicted_error_mas": _number(one.predicted_error_mas),
        "shift": None if row is None else {key: value for key, value in vars(row).items() if key != "name"},
        "written_to": None if header is None else str(header),
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _words(one: "TweakedImage", written: "Written") -> str:
    name = one.image.path.name
    if not one.accepted or one.row is None:
        return f"{name}: refused: {one.reason}"
    row, rms = one.row, one.residuals.weighted_rms
    words = (
        f"{name}: {one.used} stars, weighted rms {rms[0]:.2f} / {rms[1]:.2f} mas against {one.frame}; "
        f"dx {row.dx:+.3f} dy {row.dy:+.3f} pixels, rotation {row.rotation:.5f} deg, scale {row.scale:.6f}"
    )
    if one.to_catalog and math.isfinite(one.predicted_error_mas):  # else it is that of the guide stars
        words += f"; predicted error {one.predicted_error_mas:.2f} mas"
    header = written.headers.get(name)
    if header is None or one.solution is None:
        return words
    return f"{words}; {header} has it as {one.solution.name}"

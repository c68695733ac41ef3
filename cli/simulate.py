"""`hapctl simulate`: a synthetic visit with a known truth."""

from pathlib import Path

import click
from hapctl.cli.output import json_option, print_json, say

DETECTORS = ("wfc", "uvis", "ir", "both")


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--exposures", type=click.IntRange(1, 468), default=2, show_default=True, help="Of each filter."
)
@click.option(
    "--detector",
    type=click.Choice(DETECTORS, case_sensitive=False),
    default="wfc",
    show_default=True,
    help="Of ACS (wfc) or WFC3 (uvis, ir, both).",
)
@click.option("--filters", multiple=True, metavar="NAME", help="Filter; repeat it, or separate by commas.")
@click.option("--visit", help="Visit name, ipppss; jhap01 or ihap01 by default.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Same seed, same bytes."
)
@click.option(
    "--stars", type=click.IntRange(0, 200_000), default=2000, show_default=True, help="In the field."
)
@click.option("--ra", type=click.FloatRange(0, 360), default=152.0, show_default=True, help="Degrees.")
@click.option("--dec", type=click.FloatRange(-90, 90), default=2.0, show_default=True, help="Degrees.")
@click.option(
    "--exposure-time", type=click.FloatRange(0.5, 5000), default=130.0, show_default=True, help="s."
)
@click.option(
    "--pointing-error",
    type=click.FloatRange(0, 60),
    default=1.0,
    show_default=True,
    help="Largest error of the header's position, arcsec.",
)
@click.option(
    "--roll-error",
    type=click.FloatRange(0, 5),
    default=0.05,
    show_default=True,
    help="Largest error of the header's orientation, degrees.",
)
@click.option(
    "--reference-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take the distortion from real *_idc, *_npl, *_d2i files; they are copied beside the exposures.",
)
@click.option(
    "--small",
    is_flag=True,
    help="Chips of 1024 x 2048 pixels (IR: 507 x 507): a quarter of the field, of the files, of the time.",
)
@click.option("--masks", is_flag=True, help="Write the pixels hit by cosmic rays, too.")
@json_option
def simulate(
    out: Path,
    exposures: int,
    detector: str,
    filters: tuple[str, ...],
    visit: str | None,
    seed: int,
    stars: int,
    ra: float,
    dec: float,
    exposure_time: float,
    pointing_error: float,
    roll_error: float,
    reference_dir: Path | None,
    small: bool,
    masks: bool,
    as_json: bool,
) -> None:
    """Make ACS/WFC or WFC3 exposures as the archive delivers them, with a known truth.

    Beside the *_flc.fits (WFC3/IR: *_flt.fits) lie a Gaia-like extract of the same sky
    (gaia_extract.ecsv), the true WCS of every chip (truth.json), the true pixel of every star (truth.ecsv)
    and the true sky (sky.ecsv).

    \b
    hapctl simulate visit                             two exposures in each of two filters
    hapctl simulate visit --filters F606W --seed 7    one filter, another sky
    hapctl simulate visit --small                     a quarter of everything, to try things out
    hapctl simulate visit --dec -72.1 --stars 5000    a denser field in the south
    hapctl simulate visit --detector both --filters F606W,F160W    WFC3, each filter in its detector
    """
    from hapctl.processing.simulation.cameras import CAMERAS, DEFAULT_FILTERS, DEFAULT_VISIT
    from hapctl.processing.simulation.plan import VisitPlan
    from hapctl.processing.simulation.visit import simulate_visit

    names = tuple(name.strip().upper() for text in filters for name in text.split(",") if name.strip())
    chosen = detector.upper()
    visit = visit or DEFAULT_VISIT[chosen]
    plan = VisitPlan(
        visit=visit,
        detector=chosen,
        filters=names or DEFAULT_FILTERS[chosen],
        exposures=exposures,
        seed=seed,
        stars=stars,
        ra=ra % 360.0,
        dec=dec,
        exposure_time=exposure_time,
        pointing_error=pointing_error,
        roll_error=roll_error,
        reference_dir=reference_dir,
        chip_shape=CAMERAS[chosen][0].small_shape if small else None,
    )
    made = simulate_visit(out, plan, masks=masks)
    covers = str(made.truth.covers)
    report = {
        "visit": visit,
        "folder": made.folder,
        "files": [
            {"path": path, "rootname": exposure.rootname, "filter": exposure.filter}
            for path, exposure in zip(made.files, made.truth.exposures, strict=True)
        ],
        "reference_files": list(made.reference_files),
        "gaia_extract": made.gaia_extract,
        "release": "DR3",
        "covers": covers,
        "truth": made.truth_file,
        "stars": made.star_file,
        "sky": made.sky_file,
    }
    if as_json:
        print_json(report)
        return
    for path in made.files:
        click.echo(str(path))
    say(f"visit {visit}: {len(made.files)} exposures; the truth is in {made.truth_file}")
    say("next:")
    suffixes = {camera.suffix for camera in plan.cameras}
    say(f"  hapctl ingest {made.folder}/*_{'fl?' if len(suffixes) > 1 else suffixes.pop()}.fits")
    say(f'  hapctl gaia load {made.gaia_extract} --release DR3 --covers "{covers}"')
    say(f"  hapctl align --visit {visit} --offline")

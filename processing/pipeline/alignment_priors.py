"""What is known of exposures before a star is looked at, from their rows and, where given, jitter files."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hapctl.archive.alignments import PointingFacts as PointingRow
from hapctl.archive.products import EligibleExposure
from hapctl.processing.astrometry.joint_priors import (
    PointingFacts,
    StatedPrior,
    exposure_priors,
    facts_of,
    guide_stars,
)
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.astrometry.wcsname import parse_wcsname
from hapctl.processing.errors import UnusableFileError

_ENGINEERING = ("{0}_spt.fits", "{1}j_jit.fits", "{1}j_jif.fits")
"""Names of the files that name guide stars: support of the exposure itself, jitter table, jitter image."""


def known_priors(
    exposures: Sequence[EligibleExposure],
    starts: Sequence[WcsSolution],
    rows: Sequence[PointingRow],
    jit_folder: Path | None = None,
) -> tuple[StatedPrior, ...]:
    """Return what is known of the pointing of exposures that will be solved together.

    Parameters
    ----------
    exposures : sequence of EligibleExposure
    starts : sequence of WcsSolution
        Where each begins.
    rows : sequence of PointingFacts
        What the catalog knows of each.
    jit_folder : Path, optional
        Where jitter or support files may lie; exposures without one are sorted into guide-star sets by
        visit, detector, lock and time.

    Raises
    ------
    UnusableFileError
        A jitter file can't be read.
    """
    facts = [_facts(*one, jit_folder) for one in zip(exposures, starts, rows, strict=True)]
    return exposure_priors(facts)


def _facts(
    exposure: EligibleExposure, start: WcsSolution, row: PointingRow, jit_folder: Path | None
) -> PointingFacts:
    stars = () if jit_folder is None else _guide_stars(exposure.rootname, jit_folder)
    facts = facts_of(
        start,
        visit=exposure.visit,
        detector=exposure.detector,
        start_mjd=exposure.mjd_start,
        fgs_lock=row.fgs_lock,
        guide_stars=stars,
    )
    # The primary header says for all WCSs of the file but that of the ground system that updatewcs made them.
    made = bool(str(row.header.get("UPWCSVER") or "").strip()) and parse_wcsname(start.name).kind != "opus"
    return replace(facts, updated=facts.updated or made)


def _guide_stars(rootname: str, folder: Path) -> tuple[str, ...]:
    """The guide stars that the engineering files of an exposure name; none where there are no such files."""
    for pattern in _ENGINEERING:
        path = folder / pattern.format(rootname, rootname[:-1])
        if path.is_file():
            found = guide_stars(_primary_header(path))
            if found:
                return found
    return ()


def _primary_header(path: Path) -> dict[str, object]:
    from astropy.io import fits

    try:
        return dict(fits.getheader(path, 0))
    except (OSError, ValueError) as error:
        raise UnusableFileError(f"{path} can't be read: {error}", "leave it out of --jit") from error

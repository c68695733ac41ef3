"""The reference of an alignment by its name: a catalog of the sky, a user's list, a visit, a product.

``GAIADR3``, ``2MASS`` ... ask a service or the database; ``file:PATH`` (or the path of a file that exists) is
a list of stars; ``visit:IPPPSS`` the stars of an aligned visit; ``product:PATH`` the sources of an image.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hapctl.archive.database import Catalog
from hapctl.archive.gaia_rows import answer_sha256
from hapctl.archive.local_references import (
    LocalReference,
    local_sources,
    reference_of_list,
    reference_of_visit,
)
from hapctl.archive.reference_answers import COVERED_FRACTION, ReferenceSources
from hapctl.archive.reference_catalogs import ReferenceServices, find_catalog, reference_sources
from hapctl.archive.sky_region import Region, ranges_of_cells, regions_around, union_of_ranges
from hapctl.archive.user_lists import read_user_list
from hapctl.processing.astrometry.detection import UNFIT
from hapctl.processing.astrometry.fits_structure import Extension, number, read_fits, text
from hapctl.processing.astrometry.footprint import solution_polygons
from hapctl.processing.astrometry.lookup_reading import TableStore
from hapctl.processing.astrometry.reading import chip_wcs, image_shape, solutions_in
from hapctl.processing.astrometry.reference_stars import reference_stars
from hapctl.processing.astrometry.solution import LookupOrigin, WcsSolution
from hapctl.processing.astrometry.wcsname import absolute_frame_of
from hapctl.processing.errors import RefusedError
from hapctl.processing.imaging.image_sources import find_sources

LOCAL = ("file:", "visit:", "product:")
CORRELATED_NOISE = 1.5
"""Errors of sources of a product grow by this: neighbouring pixels of a drizzled image share their noise."""


def reference_for_alignment(
    catalog: Catalog,
    run_id: int,
    regions: Sequence[Region],
    *,
    name: str = "GAIADR3",
    services: ReferenceServices | None = None,
    offline: bool = False,
    least_fraction: float = COVERED_FRACTION,
    epoch: float = 2016.0,
    origin: LookupOrigin = "hst",
) -> ReferenceSources:
    """Return the stars of a reference in some regions, whatever kind it is; what is used is kept.

    Parameters
    ----------
    catalog, run_id, regions, services, offline, least_fraction
        As for `reference_catalogs.reference_sources`.
    name : str
        A catalog of the sky in any spelling, or ``file:PATH``, ``visit:IPPPSS``, ``product:PATH``.
    epoch : float
        Julian year of the exposures to be aligned: that of a list or product that says none.
    origin : {"hst", "fits"}
        Where lookup tables begin.

    Returns
    -------
    ReferenceSources
        ``name`` is for WCSNAME, ``frame`` for the solutions.

    Raises
    ------
    CatalogUsageError, NotInCatalogError, RefusedByCatalogError, ServiceUnavailableError
        As `reference_sources`, `read_user_list`, `reference_of_visit`, `local_sources`.
    UnusableFileError, MissingFileError, RefusedError
        The product can't be used, or has no sources.
    """
    reference = local_reference(catalog, name, epoch, origin)
    if reference is not None:
        return local_sources(catalog, run_id, regions, reference)
    return reference_sources(
        catalog, run_id, regions, name=name, services=services, offline=offline, least_fraction=least_fraction
    )


def reference_name(name: str) -> str:
    """How a reference is spelt for people and policies: catalogs as in WCSNAME, others as they were given."""
    return name if is_local(name) else find_catalog(name).name


def is_local(name: str) -> bool:
    """Whether a name is that of a list, a visit or a product, for which no service is asked."""
    return name.startswith(LOCAL) or Path(name).expanduser().is_file()


def local_reference(
    catalog: Catalog, name: str, epoch: float, origin: LookupOrigin = "hst"
) -> LocalReference | None:
    """Read the list, visit or product that a name stands for; None for a catalog of the sky."""
    if not is_local(name):
        return None
    kind, _, what = name.partition(":") if name.startswith(LOCAL) else ("file", "", name)
    if kind == "visit":
        with catalog.begin() as connection:
            return reference_of_visit(connection, what)
    path = Path(what).expanduser()
    if kind == "file":
        return reference_of_list(read_user_list(path, epoch))
    return reference_of_product(path, epoch, origin)


def reference_of_product(path: Path, epoch: float, origin: LookupOrigin = "hst") -> LocalReference:
    """Sources of a drizzled product, or of any image with a WCS, as a reference in the frame of that WCS.

    Parameters
    ----------
    path : Path
    epoch : float
        Julian year where the file has no EXPSTART and EXPEND.
    origin : {"hst", "fits"}
        Where lookup tables begin.

    Raises
    ------
    MissingFileError, UnusableFileError
        No such file, or no image with a WCS in it.
    RefusedError
        No sources that a fit would use.
    """
    found = find_sources(path, origin=origin)
    catalog = found.catalog.filtered(without=int(UNFIT))
    good = np.isfinite(catalog.ra) & np.isfinite(catalog.dec) & (catalog.x_err > 0) & (catalog.y_err > 0)
    if not good.any():
        raise RefusedError(f"{path}: no star-like sources on the sky in it", "choose another reference")
    catalog = catalog.chosen(good)
    extensions = read_fits(path)
    solution = _solution(extensions, path)
    scale = 3.6e6 * np.sqrt(abs(np.linalg.det(solution.chips[0].cd_matrix)))
    errors = CORRELATED_NOISE * scale * np.sqrt(0.5 * (catalog.x_err**2 + catalog.y_err**2))
    times = [number(extensions[0].header, key) for key in ("EXPSTART", "EXPEND")]
    if np.isfinite(times).all():
        epoch = 2000.0 + (0.5 * sum(times) - 51544.5) / 365.25
    stars = reference_stars(
        catalog.ra,
        catalog.dec,
        ref_epoch=epoch,
        ra_error=errors,
        dec_error=errors,
        phot_g_mean_mag=catalog.magnitude,
    )
    frame = absolute_frame_of(found.wcs) or f"product {path.name} {answer_sha256(stars)[:12]}"
    question = f"{len(stars)} sources found, placed by {found.wcs or 'its WCS'}"
    outlines = [regions_around([ring], 0.0)[0] for ring in solution_polygons(solution, origin)]
    covered = union_of_ranges([ranges_of_cells(*outline.cells) for outline in outlines])
    return LocalReference("product", path.name, question, stars, frame, covered)


def _solution(extensions: list[Extension], path: Path) -> WcsSolution:
    """The WCS of an exposure or product, or of an image in the primary HDU."""
    if any(extension.name == "SCI" for extension in extensions):
        return solutions_in(extensions, str(path))[0].solution
    header = extensions[0].header
    chip = chip_wcs(header, TableStore(extensions), "", 1, 1, image_shape(header))
    return WcsSolution("", text(header, "WCSNAME", "OPUS"), (chip,))

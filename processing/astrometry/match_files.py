"""Sources and matches as the text files TweakReg writes, and as ECSV with what those can't say.

Pixels in these files are 1-based, as in TweakReg's. Match files hold the stars that the fit used: 18 columns
(``_catalog_fit.match``); ECSV holds all of them, with weights, errors and magnitudes.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hapctl.processing.astrometry.joint_alignment import ExposureOutcome, ExposureSources
from hapctl.processing.astrometry.plane import PlaneFit, TangentPlane, sky_positions
from hapctl.processing.astrometry.shift_file import ShiftFrame, ShiftRow
from hapctl.processing.astrometry.source_list import SourceList
from numpy.typing import NDArray

Array = NDArray[np.float64]
_COLUMNS = (
    *("X (reference)", "Y (reference)", "X (input)", "Y (input)", "X (fit)", "Y (fit)", "X (residual)"),
    *("Y (residual)", "Original X (reference)", "Original Y (reference)", "Original X (input)"),
    *("Original Y (input)", "Ref ID", "Input ID", "Input EXTVER ID", "RA (fit)", "Dec (fit)"),
    "Ref source provenience",
)


@dataclass(frozen=True)
class MatchTable:
    """The matched stars of an image in the frame of the shift file; arrays of n rows.

    Attributes
    ----------
    reference, measured, fitted : ndarray, shape (n, 2)
        1-based pixels of the frame: the star, the source by the old WCS, and by the new one.
    source : ndarray of int
        Row in the image's list of sources.
    reference_id : ndarray of int
        Row of the reference catalog; of a star of no catalog, minus its number in the solution less one.
    extver : ndarray of int
    x, y : ndarray
        1-based pixels of the chip.
    ra, dec : ndarray
        Of the source by the new WCS, degrees.
    errors, weights, magnitudes : ndarray
        Expected error of a coordinate (mas), robust weight, instrumental magnitude.
    """

    reference: Array
    measured: Array
    fitted: Array
    source: NDArray[np.intp]
    reference_id: NDArray[np.intp]
    extver: NDArray[np.int64]
    x: Array
    y: Array
    ra: Array
    dec: Array
    errors: Array
    weights: Array
    magnitudes: Array

    def __len__(self) -> int:
        return len(self.x)

    @property
    def used(self) -> NDArray[np.bool_]:
        """Those the fit used."""
        return self.weights > 0


def match_table(
    exposure: ExposureSources,
    outcome: ExposureOutcome,
    plane: TangentPlane,
    frame: ShiftFrame,
    *,
    against_catalog: bool,
) -> MatchTable:
    """Gather the matches of an image.

    Parameters
    ----------
    exposure, outcome : ExposureSources, ExposureOutcome
    plane : TangentPlane
        Of the alignment.
    frame : ShiftFrame
    against_catalog : bool
        Only stars of the catalog, at the catalog's places; else all stars at those of the solution.
    """
    found, fit = outcome.matches, outcome.fit or PlaneFit.identity()
    rows = found.reference >= 0 if against_catalog else np.ones(len(found.source), dtype=np.bool_)
    source, sources = found.source[rows], exposure.sources
    ra, dec = (found.catalog_ra, found.catalog_dec) if against_catalog else (found.star_ra, found.star_dec)
    measured = plane.project_sky(sources.ra[source], sources.dec[source])
    fitted = fit(measured)
    new_ra, new_dec = sky_positions(plane.deproject(fitted))
    return MatchTable(
        reference=frame.pixels(plane.project_sky(ra[rows], dec[rows])),
        measured=frame.pixels(measured),
        fitted=frame.pixels(fitted),
        source=source,
        reference_id=np.where(found.reference[rows] >= 0, found.reference[rows], -1 - found.star[rows]),
        extver=sources.extver[source],
        x=sources.x[source] + 1.0,
        y=sources.y[source] + 1.0,
        ra=new_ra,
        dec=new_dec,
        errors=found.errors[rows],
        weights=found.weights[rows],
        magnitudes=sources.magnitudes[source],
    )


def match_text(name: str, table: MatchTable, frame: ShiftFrame, row: ShiftRow, origin_name: str) -> str:
    """The stars used, in TweakReg's 18 columns; columns 1 to 4 count from the tangent point.

    Parameters
    ----------
    name : str
        Of the image's file.
    table : MatchTable
    frame : ShiftFrame
    row : ShiftRow
        Of the image.
    origin_name : str
        Where the reference comes from.
    """
    lines = [
        f"# Input image: {name}",
        "# Coordinate mapping parameters: ",
        f"#    X and Y rms: {row.x_rms:.2g}  {row.y_rms:.2g}",
        f"#    X and Y shift: {row.dx:.4f}  {row.dy:.4f}",
        f"#    X and Y scale: {row.scale:.10g}  {row.scale:.10g}",
        f"#    X and Y rotation: {row.rotation:.10g}  {row.rotation:.10g}",
        f"#    <rotation> and skew: {row.rotation:.10g}  0",
        "# ",
        "# Input Coordinate Listing",
        *(f"#     Column {number}: {title}" for number, title in enumerate(_COLUMNS, 1)),
        "#",
    ]
    centre, rows = np.array(frame.crpix), np.nonzero(table.used)[0]
    residuals = table.fitted - table.reference
    pixels = np.column_stack(
        [
            *(table.reference - centre, table.measured - centre, table.fitted, residuals),
            *(table.reference, table.x, table.y),
        ]
    )
    for one in rows:
        numbers = "".join(f"{value:15.6f}" for value in pixels[one])
        integers = "".join(f"{v:8d}" for v in (table.reference_id[one], table.source[one], table.extver[one]))
        lines.append(f"{numbers}{integers}{table.ra[one]:20.12f}{table.dec[one]:20.12f}   {origin_name}")
    return "\n".join(lines) + "\n"


def match_ecsv(name: str, table: MatchTable, frame: ShiftFrame, origin_name: str) -> str:
    """All matches, used or rejected, as ECSV with units."""
    from astropy.table import Table

    residuals = table.fitted - table.reference
    vectors = residuals @ np.linalg.inv(frame.axes).T * 1000.0
    columns = {
        "used": (table.used, None),
        **{"extver": (table.extver, None), "x": (table.x, "pixel"), "y": (table.y, "pixel")},
        **{"ra": (table.ra, "deg"), "dec": (table.dec, "deg")},
        **{"residual_east": (vectors[:, 0], "mas"), "residual_north": (vectors[:, 1], "mas")},
        **{"error": (table.errors, "mas"), "weight": (table.weights, None)},
        "magnitude": (table.magnitudes, "mag"),
        **{"reference_x": (table.reference[:, 0], "pixel"), "reference_y": (table.reference[:, 1], "pixel")},
        **{"reference_id": (table.reference_id, None), "source_id": (table.source, None)},
    }
    made = Table({key: values for key, (values, _) in columns.items()})
    for key, (_, unit) in columns.items():
        made[key].unit = unit
    made.meta |= {"image": name, "reference": origin_name, "pixel_origin": 1}
    stream = io.StringIO()
    made.write(stream, format="ascii.ecsv")
    return stream.getvalue()


def chip_catalog_text(name: str, sources: SourceList, extver: int) -> str:
    """The sources of a chip (``_sciN_xy_catalog.coo``): x, y, counts per second, number in the image."""
    rows = np.nonzero(sources.extver == extver)[0]
    flux = 10.0 ** (-0.4 * sources.magnitudes)
    head = [f"# Source catalog derived for {name}", "# Columns: ", "#    X      Y         Flux       ID"]
    body = [f"{sources.x[n] + 1:.6f}  {sources.y[n] + 1:.6f}  {flux[n]:.6g}  {n}" for n in rows]
    return "\n".join([*head, "#   (pixels)   (pixels)", *body]) + "\n"


def sky_catalog_text(name: str, ra: Array, dec: Array) -> str:
    """Places on the sky (``_sky_catalog.coo``), degrees."""
    rows = [f"{a:.12f}  {d:.12f}" for a, d in zip(ra, dec, strict=True)]
    return "\n".join([f"#Sky positions for: {name}", "#RA        Dec", "#(deg)     (deg)", *rows]) + "\n"


def pixel_catalog_text(name: str, pixels: Array) -> str:
    """Places in the frame of the shift file (``_refxy_catalog.coo``), 1-based pixels."""
    rows = [f"{x:.6f}  {y:.6f}" for x, y in pixels]
    return "\n".join([f"#Pixel positions for: {name}", "#X           Y", "#(pix)       (pix)", *rows]) + "\n"


def catfile_text(names: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Which catalogs belong to which image: a file that ``sources.catfile`` takes."""
    return "".join(f"{name}    {'  '.join(catalogs)}\n" for name, catalogs in names)

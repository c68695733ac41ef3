"""A field of the sky that a mosaic is asked for: which projection cell holds it, and its grid there.

The pixels of 0.04 arcsec are those of the projection cell, so those of its tiles, of which a field may cross
several; but a field must lie in one projection cell whole, because the pixels of two differ in direction.
Pixels of 0.12 arcsec have no lattice that all tiles share: tiles are 21442 fine pixels apart, no multiple of
three, so that HAP's coarse layers differ by thirds of a pixel. Those of a field lie about the tangent point;
coarse pixels of a tile come from cut-outs of its layers.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from hapctl.archive.sky_cells import (
    CELLS_PER_SIDE,
    CENTRE,
    PITCH,
    PIXEL_DEGREES,
    SIZE,
    ProjectionCell,
    SkyCell,
    cells_containing,
    cells_overlapping,
)
from hapctl.processing.astrometry.footprint import Ring, healpix_ranges
from hapctl.processing.astrometry.mapping import plane_to_sky, sky_to_plane
from hapctl.processing.errors import RefusedError, UsageProblemError
from hapctl.processing.imaging.grid import OutputGrid, storable
from hapctl.processing.imaging.product_names import field_place, layer_scales
from hapctl.processing.imaging.visit_grid import COARSE_BINNING

_LOW = 0.5 - CENTRE
_HIGH = (CELLS_PER_SIDE - 1) * PITCH + SIZE + 0.5 - CENTRE
_FEWEST_CELLS = 64.0  # across a field: where its footprint is coarser than HEALPix order 14
_SAFE_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-_")


@dataclass(frozen=True)
class Field:
    """A rectangle on the sky, north up.

    Attributes
    ----------
    ra, dec : float
        Its centre, degrees ICRS.
    width, height : float
        Arcsec in the tangent plane of its projection cell.
    scale : float or None
        Side of a pixel, arcsec; None: 0.04, and 0.12 besides for detectors that have coarse layers.
    name : str
        What the names of its mosaics begin with, after ``hst_``; empty: HAP's name of projection cell and
        centre.
    """

    ra: float
    dec: float
    width: float
    height: float
    scale: float | None = None
    name: str = ""

    def as_request(self) -> dict[str, Any]:
        """Return the field as plain data; `field_of_request` is the way back."""
        return asdict(self)


def field_of_request(request: Mapping[str, Any]) -> Field:
    """Return the field that a product was made of, from ``grid -> 'field'`` of its row."""
    return Field(**request)


@dataclass(frozen=True)
class FieldPlace:
    """A field in its projection cell."""

    field: Field
    cell: ProjectionCell

    @property
    def name(self) -> str:
        """What the names of its mosaics begin with, after ``hst_``."""
        return self.field.name or field_place(self.cell.number, self.field.ra, self.field.dec)

    def grids(self, instrument: str, detector: str) -> list[tuple[bool, OutputGrid]]:
        """Return whether a grid is coarse, and the grid, for each mosaic of a detector."""
        if self.field.scale is not None:
            return [(False, self.grid(storable(self.field.scale / 3600.0)))]
        binnings = {False: 1, True: COARSE_BINNING}
        scales = layer_scales(instrument, detector)
        return [(coarse, self.grid(PIXEL_DEGREES * binnings[coarse])) for coarse in scales]

    def grid(self, step: float) -> OutputGrid:
        """Return the grid of pixels of ``step`` degrees: the tangent point is the centre of a pixel."""
        xi, eta = _plane_position(self.field, self.cell)
        first_x, width = _pixels(-xi / step, self.field.width / 3600.0 / step)
        first_y, height = _pixels(eta / step, self.field.height / 3600.0 / step)
        return OutputGrid(
            crval=(self.cell.ra, self.cell.dec),
            crpix=(1.0 - first_x, 1.0 - first_y),
            cd=(-step, 0.0, 0.0, step),
            shape=(height, width),
        )

    @property
    def corners(self) -> Ring:
        """RA, Dec (degrees) of the outer corners, counter-clockwise seen from inside the sphere."""
        xi, eta = _plane_position(self.field, self.cell)
        x = np.array([-1, 1, 1, -1]) * 0.5 * self.field.width / 3600.0
        y = np.array([-1, -1, 1, 1]) * 0.5 * self.field.height / 3600.0
        return np.column_stack(plane_to_sky((self.cell.ra, self.cell.dec), xi - x, eta + y))[::-1]

    def tiles(self) -> list[SkyCell]:
        """Return the tiles of its projection cell that it touches."""
        return [tile for tile, _ in cells_overlapping([self.corners]) if tile.projection_cell == self.cell]

    def footprint(self) -> str:
        """Return the HEALPix cells it touches, as the catalog writes ranges of order 29."""
        side = max(self.field.width, self.field.height) / 3600.0
        order = max(6, min(14, math.floor(math.log2(58.6 * _FEWEST_CELLS / side))))
        ranges = healpix_ranges([self.corners], order)
        return "{" + ",".join(f"[{low},{high})" for low, high in ranges) + "}"


def place_of_field(field: Field) -> FieldPlace:
    """Return the projection cell that holds a field whole; of several that whose centre is nearest.

    Raises
    ------
    UsageProblemError
        Sizes, scale or name that can't be.
    RefusedError
        No projection cell holds it whole.
    """
    _check(field)
    cells = {cell.projection_cell for cell in cells_containing(field.ra, field.dec)}
    nearest = sorted(cells, key=lambda cell: (_distance(field, cell), cell.number))
    for cell in nearest:
        if _holds(cell, field):
            return FieldPlace(field, cell)
    outside = _reached(FieldPlace(field, nearest[0])) - {nearest[0]}
    neighbours = ", ".join(f"p{cell.number:04d}" for cell in sorted(outside, key=lambda cell: cell.number))
    raise RefusedError(
        f"the field of {field.width / 60:g} x {field.height / 60:g} arcmin about "
        f"{field.ra:.5f} {field.dec:.5f} leaves its projection cell p{nearest[0].number:04d}"
        + (f"; its neighbours there: {neighbours}" if neighbours else ""),
        "give a smaller --size, or make a mosaic in each projection cell",
    )


def _check(field: Field) -> None:
    sizes = {"width": field.width, "height": field.height}
    if field.scale is not None:
        sizes["scale"] = field.scale
    for name, value in sizes.items():
        if not (math.isfinite(value) and value > 0.0):
            raise UsageProblemError(f"a {name} of {value} arcsec", "give a positive number")
    if not set(field.name) <= _SAFE_NAME or field.name.startswith("."):
        raise UsageProblemError(
            f"names can't begin with {field.name!r}", "give letters, digits and any of . + - _"
        )


def _plane_position(field: Field, cell: ProjectionCell) -> tuple[float, float]:
    xi, eta = sky_to_plane((cell.ra, cell.dec), field.ra, field.dec)
    return float(xi), float(eta)


def _pixels(centre: float, size: float) -> tuple[int, int]:
    """Return the first pixel (0: the tangent point) and the number of pixels about a centre."""
    count = max(1, round(size))
    return math.floor(centre - 0.5 * (count - 1) + 0.5), count


def _distance(field: Field, cell: ProjectionCell) -> float:
    return math.hypot(*_plane_position(field, cell))


def _holds(cell: ProjectionCell, field: Field) -> bool:
    xi, eta = _plane_position(field, cell)
    reach = 0.5 * np.array([field.width, field.height]) / 3600.0
    middle = np.array([-xi, eta])
    low, high = (middle - reach) / PIXEL_DEGREES, (middle + reach) / PIXEL_DEGREES
    return bool((low >= _LOW).all() and (high <= _HIGH).all())


def _reached(place: FieldPlace) -> set[ProjectionCell]:
    """The projection cells whose tiles hold corners of a field."""
    corners = place.corners.tolist()
    return {cell.projection_cell for ra, dec in corners for cell in cells_containing(ra, dec)}

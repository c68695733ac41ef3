"""The drizzle of the first engine behind the signature of the new one, until that stands."""

from collections.abc import Sequence

from hapctl.processing.astrometry.solution import LookupOrigin
from hapctl.processing.imaging.drizzle import Drizzle, DrizzleInput, prepare
from hapctl.processing.imaging.grid import OutputGrid


def prepare_drizzle(
    inputs: Sequence[DrizzleInput],
    grid: OutputGrid,
    *,
    kernel: str = "square",
    pixfrac: float = 1.0,
    origin: LookupOrigin = "hst",
    context: bool = True,
    variance: bool = False,
    fill_value: float = float("nan"),
) -> Drizzle:
    """Return what bands share."""
    prepared = tuple(prepare(source, index, grid, origin) for index, source in enumerate(inputs))
    planes = 1 + max((one.plane for one in prepared), default=0) if context else 0
    return Drizzle(prepared, grid, pixfrac, planes, fill_value)

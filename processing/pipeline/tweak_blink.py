"""Before and after `hapctl tweak`: the same stars in all images, as frames that blink."""

from pathlib import Path

import numpy as np
from hapctl.processing.astrometry.blink_plots import Cutout, blink_bytes, cut_out, cutout_frame
from hapctl.processing.astrometry.mapping import sky_to_pixel
from hapctl.processing.astrometry.solution import LookupOrigin, WcsSolution
from hapctl.processing.imaging.chip_data import ExposureImage
from hapctl.processing.pipeline.tweak_run import Tweaked
from numpy.typing import NDArray

Array = NDArray[np.float64]
STARS = 6
LEAST_HALF, MOST_HALF = 0.6, 3.0
"""Half the side of a cut-out, arcsec: wide enough to show the star in the first frame, too."""
_EDGE = 20.0
_FINEST = 41
"""Points across the smallest cut-out; larger ones have more, so that a star stays a star."""


def blink(tweaked: Tweaked, origin: LookupOrigin) -> bytes | None:
    """An animated PNG of up to six stars by the old and the new WCS of all accepted images.

    None where no star of the fit is well inside a chip.
    """
    results = [one for one in tweaked.images if one.solution is not None]
    places = _places(tweaked)
    if not results or not len(places):
        return None
    shift = max(float(np.hypot(*one.fit.shift)) for one in results)
    half = float(np.clip(1.3 * shift, LEAST_HALF, MOST_HALF))
    cutouts: dict[str, list[list[Cutout | None]]] = {"before": [], "after": []}
    for one in results:
        for title, solution in (("before", one.image.start), ("after", one.solution)):
            if solution is not None:
                cutouts[title].append(cutout_row(one.image.path, solution, places, half, origin))
    names = [one.image.path.name.split("_")[0] for one in results]
    stars = [f"{ra:.5f} {dec:+.5f}" for ra, dec in places]
    frames = [
        cutout_frame(rows, row_names=names, column_names=stars, title=title)
        for title, rows in cutouts.items()
    ]
    return blink_bytes(frames)


def _places(tweaked: Tweaked) -> Array:
    """Right ascension and declination of stars, shape (n, 2): those most images have, bright ones first."""
    found: dict[int, list[tuple[float, float]]] = {}
    for one in tweaked.images:
        table = one.matches
        for row in np.nonzero(table.used)[0][: 20 * STARS]:
            found.setdefault(int(table.reference_id[row]), []).append(
                (float(table.ra[row]), float(table.dec[row]))
            )
    best = sorted(found.values(), key=len, reverse=True)[:STARS]  # the sort keeps bright ones first
    return np.array([np.mean(positions, axis=0) for positions in best]).reshape(-1, 2)


def cutout_row(
    path: Path, solution: WcsSolution, places: Array, half: float, origin: LookupOrigin
) -> list[Cutout | None]:
    """Cut the surroundings of positions (degrees, shape (n, 2)) out of a file, None off its chips."""
    with ExposureImage(path) as image:
        pixels = {chip.extver: chip.science() for chip in image.chips}
    row: list[Cutout | None] = [None] * len(places)
    side = int(np.clip(_FINEST * half / LEAST_HALF, _FINEST, 2.4 * _FINEST))
    for chip in solution.chips:
        ny, nx = chip.shape
        x, y = sky_to_pixel(chip, places[:, 0], places[:, 1], origin)
        inside = (x > _EDGE) & (x < nx - _EDGE) & (y > _EDGE) & (y < ny - _EDGE)
        for number in np.nonzero(inside)[0]:
            position = (float(places[number, 0]), float(places[number, 1]))
            row[number] = cut_out(pixels[chip.extver], chip, position, half=half, side=side, origin=origin)
    return row

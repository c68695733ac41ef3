"""Before and after an alignment: cut-outs of the same stars in several exposures, as frames that blink."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from hapctl.processing.astrometry.figure_style import ORANGE, figure_bytes, new_figure
from hapctl.processing.astrometry.mapping import sky_to_pixel
from hapctl.processing.astrometry.solution import ChipWcs, LookupOrigin
from hapctl.processing.whole_files import write_whole
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cutout:
    """The pixels round a position of the sky on a small grid, north up, east to the left.

    Attributes
    ----------
    image : ndarray, shape (n, n)
        NaN off the chip. The middle is the position.
    half : float
        Half the side, arcsec.
    """

    image: Array
    half: float


def cut_out(
    image: NDArray[np.floating],
    chip: ChipWcs,
    position: tuple[float, float],
    *,
    half: float = 0.6,
    side: int = 41,
    origin: LookupOrigin = "hst",
) -> Cutout:
    """Cut the surroundings of a position out of a chip, by a WCS; interpolated linearly.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
    chip : ChipWcs
    position : tuple of float
        Right ascension and declination, degrees.
    half : float
        Half the side, arcsec.
    side : int
        Points across.
    origin : {"hst", "fits"}
    """
    from scipy.ndimage import map_coordinates

    steps = np.linspace(-half, half, side)
    east, north = np.meshgrid(-steps, steps)  # east to the left
    dec = position[1] + north.ravel() / 3600.0
    ra = position[0] + east.ravel() / 3600.0 / np.cos(np.radians(dec))
    x, y = sky_to_pixel(chip, ra, dec, origin)
    values = map_coordinates(
        np.nan_to_num(image).astype(np.float64), [y, x], order=1, cval=np.nan, mode="constant"
    )
    return Cutout(values.reshape(side, side), half)


def cutout_frame(
    rows: Sequence[Sequence[Cutout | None]],
    *,
    row_names: Sequence[str],
    column_names: Sequence[str],
    title: str = "",
) -> Figure:
    """A frame: a row for each exposure, a column for each star; cross-hairs at the star's position.

    Parameters
    ----------
    rows : sequence of sequence of Cutout or None
        None where the star is not on the exposure.
    row_names, column_names : sequence of str
    title : str
        What the frame shows, such as "before" or "after".
    """
    figure = new_figure(1.25 * max(len(column_names), 2) + 1.0, 1.3 * len(row_names) + 0.9, title)
    panels = figure.subplots(len(row_names), len(column_names), squeeze=False)
    for row, cutouts in enumerate(rows):
        for column, cutout in enumerate(cutouts):
            _panel(panels[row, column], cutout)
        panels[row, 0].set_ylabel(row_names[row], fontsize=7)
    for column, name in enumerate(column_names):
        panels[0, column].set_title(name, fontsize=7)
    width = next((2 * one.half for cutouts in rows for one in cutouts if one is not None), 0.0)
    figure.supxlabel(f"each {width:.3g} arcsec wide, north up, east to the left", fontsize=8)
    return figure


def _panel(axes: Axes, cutout: Cutout | None) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    if cutout is None or not np.isfinite(cutout.image).any():
        axes.set_facecolor("0.9")
        return
    low, high = np.nanpercentile(cutout.image, 30), np.nanmax(cutout.image)
    scaled = np.sqrt(np.clip((cutout.image - low) / max(high - low, 1e-12), 0, 1))
    half = cutout.half
    axes.imshow(scaled, origin="lower", cmap="gray_r", extent=(half, -half, -half, half), vmin=0, vmax=1)
    axes.axhline(0, color=ORANGE, lw=0.8)
    axes.axvline(0, color=ORANGE, lw=0.8)


def blink_bytes(
    frames: Sequence[Figure], kind: str = "png", *, seconds: float = 0.8, dpi: int = 110
) -> bytes:
    """Frames of equal size as one animated PNG (or GIF).

    Programs that know no animated PNG show the first frame.
    """
    from PIL import Image

    images = [Image.open(io.BytesIO(figure_bytes(frame, dpi=dpi))).convert("RGB") for frame in frames]
    stream = io.BytesIO()
    images[0].save(
        stream,
        format=kind.upper(),
        save_all=True,
        append_images=images[1:],
        duration=round(1000 * seconds),
        loop=0,
    )
    return stream.getvalue()


def save_blink(frames: Sequence[Figure], path: Path, *, seconds: float = 0.8, dpi: int = 110) -> None:
    """Write frames as an animated PNG or GIF, by the end of the name: aside, synced, then renamed."""
    write_whole(path, blink_bytes(frames, path.suffix.lower().lstrip("."), seconds=seconds, dpi=dpi))

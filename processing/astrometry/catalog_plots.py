"""A picture of a catalog of sources: the chips, every source marked by kind, and what tells kinds apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from hapctl.processing.astrometry.detection import SourceFlag
from hapctl.processing.astrometry.figure_style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILLION,
    new_figure,
    say_nothing_there,
)
from hapctl.processing.astrometry.source_catalog import SourceCatalog
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

Array = NDArray[np.float64]
Image = NDArray[np.float32]

MOST_PIXELS = 1400
"""Chips are binned to at most so many pixels a side."""
_CORE = SourceFlag.SATURATED | SourceFlag.BLEEDING
_SPIKE = SourceFlag.COSMIC_RAY | SourceFlag.HOT_PIXEL
KINDS = (
    ("star", 0, GREEN, "o"),
    ("saturated", int(_CORE), BLUE, "s"),
    ("cosmic ray, hot pixel", int(_SPIKE), VERMILLION, "x"),
    ("galaxy", int(SourceFlag.EXTENDED), ORANGE, "D"),
    ("otherwise flagged", -1, GREY, "o"),
)
"""Name, flags, colour and mark; a source is of the first kind whose flags it bears, or a star."""


def kinds_of(catalog: SourceCatalog) -> NDArray[np.intp]:
    """The kind of each source, as an index of `KINDS`; what may enter a fit is a star."""
    kind = np.full(len(catalog), len(KINDS) - 1)
    for number in range(len(KINDS) - 2, 0, -1):
        kind[(catalog.flags & KINDS[number][1]) != 0] = number
    kind[catalog.usable] = 0
    return kind


def source_picture(
    catalog: SourceCatalog, images: Mapping[int, Image] | None = None, *, title: str = ""
) -> Figure:
    """Draw the chips with their sources, and sharpness, error and numbers against magnitude.

    Parameters
    ----------
    catalog : SourceCatalog
        With pixels; without them sources are drawn on the sky, east to the left.
    images : mapping of int to ndarray, optional
        Pixels by extver, shape (ny, nx).
    title : str, optional
        The file's name without it.
    """
    figure = new_figure(13.0, 8.2, title or _title(catalog))
    left, right = figure.subfigures(1, 2, width_ratios=(1.75, 1.0), squeeze=False)[0]
    kind = kinds_of(catalog)
    extvers = sorted(set(catalog.shapes) | set(np.unique(catalog.extver).tolist()), reverse=True)
    if not catalog.has_pixels:
        _on_sky(left.subplots(), catalog, kind)
    else:
        for axes, extver in zip(_panels(left, catalog, len(extvers)), extvers, strict=False):
            here = catalog.extver == extver
            _chip(axes, catalog.chosen(here), kind[here], (images or {}).get(extver), extver)
    _legend(left, kind)
    sharpness, errors, numbers = right.subplots(3, 1, sharex=True)
    _against_magnitude(sharpness, catalog, kind, catalog.sharpness, "sharpness")
    sharpness.set_ylim(0.0, 3.0)
    _against_magnitude(errors, catalog, kind, np.hypot(catalog.x_err, catalog.y_err), "error (pixel)")
    errors.set_yscale("log")
    _numbers(numbers, catalog, kind)
    return figure


def _panels(figure: SubFigure, catalog: SourceCatalog, count: int) -> list[Axes]:
    """One for each chip: wide chips above each other, square ones two in a row; those left over hidden."""
    wide = any(nx > 1.5 * ny for ny, nx in catalog.shapes.values())
    across = 1 if wide or count < 2 else 2
    panels: list[Axes] = list(figure.subplots(-(-count // across) or 1, across, squeeze=False).ravel())
    for axes in panels[max(count, 1) :]:
        axes.set_visible(False)
    return panels


def _title(catalog: SourceCatalog) -> str:
    stars = int(np.count_nonzero(catalog.usable))
    return f"{Path(catalog.name).name}: {len(catalog)} sources, {stars} fit for alignment"


def stretched(image: Image) -> Image:
    """Grey levels from 0 to 1: linear about the sky, logarithmic above (asinh); 0 where there is no value."""
    sample = image[::3, ::3]
    sample = sample[np.isfinite(sample)]
    if len(sample) == 0:
        return np.zeros_like(image)
    low, middle, high = np.percentile(sample, [2.0, 50.0, 99.7])
    width = max(middle - low, 1e-12 * max(abs(middle), 1.0))
    top = np.arcsinh(max((high - low) / width, 1.0))
    dark = middle - 0.5 * width
    level = np.arcsinh((np.nan_to_num(image, nan=dark, posinf=high, neginf=dark) - dark) / width) / top
    return np.clip(level, 0.0, 1.0).astype(np.float32)


def _binned(image: Image) -> Image:
    """Means of whole squares of pixels, so that no star is lost."""
    factor = -(-max(image.shape) // MOST_PIXELS)
    if factor == 1:
        return image
    ny, nx = (length // factor * factor for length in image.shape)
    squares = image[:ny, :nx].reshape(ny // factor, factor, nx // factor, factor)
    means: Image = squares.mean(axis=(1, 3))
    return means


def _chip(
    axes: Axes, catalog: SourceCatalog, kind: NDArray[np.intp], image: Image | None, extver: int
) -> None:
    shape = catalog.shapes.get(extver)
    if image is not None:
        ny, nx = image.shape
        axes.imshow(
            stretched(_binned(image)),
            cmap="gray_r",
            origin="lower",
            vmin=0.0,
            vmax=1.15,
            extent=(-0.5, nx - 0.5, -0.5, ny - 0.5),
            interpolation="antialiased",
        )
    _marks(axes, catalog.x, catalog.y, kind, float(np.clip(2e4 / max(len(catalog), 1), 5.0, 40.0)))
    if shape is not None:
        axes.set_xlim(-0.5, shape[1] - 0.5)
        axes.set_ylim(-0.5, shape[0] - 0.5)
    axes.set_aspect("equal")
    axes.set_ylabel(f"SCI,{extver}   y (pixel)" if extver else "y (pixel)")
    axes.set_xlabel("x (pixel)")


def _on_sky(axes: Axes, catalog: SourceCatalog, kind: NDArray[np.intp]) -> None:
    if len(catalog) == 0:
        say_nothing_there(axes, "no sources")
        return
    _marks(axes, catalog.ra, catalog.dec, kind, 12.0)
    axes.set_aspect(1.0 / max(float(np.cos(np.radians(np.mean(catalog.dec)))), 0.01))
    axes.invert_xaxis()
    axes.set_xlabel("right ascension (degree)")
    axes.set_ylabel("declination (degree)")


def _marks(axes: Axes, x: Array, y: Array, kind: NDArray[np.intp], size: float) -> None:
    for number, (_, _, colour, mark) in enumerate(KINDS):
        here = kind == number
        if mark == "x":
            axes.scatter(x[here], y[here], s=0.5 * size, marker=mark, linewidths=0.6, c=colour)
        else:
            axes.scatter(
                x[here], y[here], s=size, marker=mark, linewidths=0.6, facecolors="none", edgecolors=colour
            )


def _legend(figure: SubFigure, kind: NDArray[np.intp]) -> None:
    from matplotlib.lines import Line2D

    lines = []
    for number, (name, _, colour, mark) in enumerate(KINDS):
        count = int(np.count_nonzero(kind == number))
        if count:
            face = colour if mark == "x" else "none"
            lines.append(
                Line2D([], [], ls="", marker=mark, color=colour, mfc=face, ms=5, label=f"{name} ({count})")
            )
    if lines:
        figure.legend(handles=lines, loc="outside lower center", ncols=3, frameon=False, fontsize=9)


def _against_magnitude(
    axes: Axes, catalog: SourceCatalog, kind: NDArray[np.intp], values: Array, name: str
) -> None:
    axes.set_ylabel(name)
    axes.grid(alpha=0.25)
    if not (np.isfinite(values) & np.isfinite(catalog.magnitude)).any():
        say_nothing_there(axes, f"no {name.split(' (')[0]}")
        return
    for number in range(len(KINDS) - 1, -1, -1):
        here = kind == number
        axes.scatter(catalog.magnitude[here], values[here], s=5, c=KINDS[number][2], alpha=0.6, lw=0)


def _numbers(axes: Axes, catalog: SourceCatalog, kind: NDArray[np.intp]) -> None:
    axes.set_xlabel("magnitude of the image's units per second")
    axes.set_ylabel("sources per half magnitude")
    known = np.isfinite(catalog.magnitude)
    if not known.any():
        say_nothing_there(axes, "no magnitudes")
        return
    low, high = (np.floor(2 * catalog.magnitude[known].min()) / 2, catalog.magnitude[known].max() + 0.5)
    bins = np.arange(low, high + 0.5, 0.5)
    shown = [number for number in range(len(KINDS)) if (kind == number).any()]
    axes.hist(
        [catalog.magnitude[known & (kind == number)] for number in shown],
        bins=bins.tolist(),
        stacked=True,
        color=[KINDS[number][2] for number in shown],
        alpha=0.8,
    )
    axes.grid(alpha=0.25)

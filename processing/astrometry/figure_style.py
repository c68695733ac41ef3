"""What all figures share: colours that the colour-blind tell apart, limits that outliers do not spoil, files.

Figures are made through matplotlib's object interface alone, so that nothing global is touched and
threads may draw at once.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.whole_files import write_new
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
BLUE, ORANGE, GREEN, VERMILLION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#8C8C8C"
"""After Okabe & Ito 2008, "Color Universal Design"."""
DIVERGING, SEQUENTIAL = "PuOr_r", "viridis"
FORMATS = ("png", "pdf", "svg")
_NO_DATES = {"png": {"Software": "hapctl"}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """An empty figure, inches, with a title that stays clear of what is in it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def figure_bytes(figure: Figure, kind: str = "png", dpi: int = 130) -> bytes:
    """The figure as a file of a kind; the same figure gives the same bytes.

    Raises
    ------
    UsageProblemError
        There is no such kind.
    """
    if kind not in FORMATS:
        raise UsageProblemError(f"figures are not written as {kind!r}", f"choose one of {', '.join(FORMATS)}")
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, dpi=dpi, metadata=_NO_DATES[kind])
    return stream.getvalue()


def save(figure: Figure, path: Path, dpi: int = 130) -> None:
    """Write a figure as PNG, PDF or SVG, by the end of the name: aside, synced, then renamed.

    Raises
    ------
    UsageProblemError
        The name ends in something else.
    RefusedError, TooLargeError
        It can't be written.
    """
    write_new(path, figure_bytes(figure, path.suffix.lower().lstrip("."), dpi), overwrite=True)


def robust_limit(values: Array, least: float = 0.0) -> float:
    """A symmetric limit that shows nearly all values: a little beyond the 98th percentile of their size."""
    sizes = np.abs(values[np.isfinite(values)])
    if len(sizes) == 0:
        return least or 1.0
    return float(max(min(1.05 * sizes.max(), 1.5 * np.percentile(sizes, 98)), least, 1e-6))


def round_number(value: float) -> float:
    """The nearest of 1, 2, 5 times a power of ten, not above the value."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(max(step * power for step in (1.0, 2.0, 5.0) if step * power <= value * 1.0000001))


def say_nothing_there(axes: Axes, words: str) -> None:
    """Tell in an empty panel why it is empty."""
    axes.text(0.5, 0.5, words, ha="center", va="center", transform=axes.transAxes, color=GREY)
    axes.set_xticks([])
    axes.set_yticks([])

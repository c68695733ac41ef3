"""Pictures of an alignment, from arrays: residuals over the field and against everything that may cause them.

Each function returns a matplotlib Figure; `figure_style.save` writes it. Points with weight 0 were rejected
by the fit and are drawn in grey; those beyond the limits are drawn as triangles on the edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from hapctl.processing.astrometry.figure_style import (
    BLUE,
    DIVERGING,
    GREY,
    ORANGE,
    SEQUENTIAL,
    VERMILLION,
    new_figure,
    robust_limit,
    round_number,
    say_nothing_there,
)
from hapctl.processing.astrometry.star_residuals import StarResiduals
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
ARROW = 0.07
"""Length of a large arrow (the 90th percentile) as a part of the field."""
MOST_ARROWS = 400
"""More than these can't be told apart."""
_QUANTITIES = {
    "x": "x (pixel)",
    "y": "y (pixel)",
    "magnitudes": "magnitude",
    "colours": "colour (mag)",
    "epochs": "epoch (year)",
}
_MOST_BINS, _STARS_OF_BIN = 12, 12


def residual_vectors(stars: StarResiduals, *, title: str = "") -> Figure:
    """Residuals as arrows over the field, north up and east to the left, and their scatter beside it.

    Of more than `MOST_ARROWS` stars the arrows are medians in cells of the field.
    """
    figure = new_figure(10.5, 5.8, title)
    field, scatter = figure.subplots(1, 2, width_ratios=(1.35, 1.0))
    points = np.column_stack([stars.xi, stars.eta])
    vectors = np.column_stack([stars.east, stars.north])
    if np.count_nonzero(stars.used) > MOST_ARROWS:
        _arrows(field, *cell_medians(points[stars.used], vectors[stars.used]), "mas")
        field.set_title("medians in cells", fontsize=10)
    else:
        _arrows(field, points, vectors, stars.used, "mas")
    _sky_axes(field)
    _scatter(scatter, vectors, stars.used, stars.errors)
    return figure


def wcs_difference(
    points: Array, differences: Array, *, outlines: Sequence[Array] = (), title: str = ""
) -> Figure:
    """Differences of two WCSs over the chips as arrows; the mean is told, and taken off at the right.

    Parameters
    ----------
    points : ndarray, shape (n, 2)
        Arcsec east and north of a tangent point.
    differences : ndarray, shape (n, 2)
        mas east and north: second minus first.
    outlines : sequence of ndarray, shape (m, 2)
        Of the chips, in the same plane.
    title : str
    """
    figure = new_figure(11, 5.8, title)
    whole, rest = figure.subplots(1, 2)
    everything = np.isfinite(differences[:, 0]) & np.isfinite(differences[:, 1])
    mean = differences[everything].mean(axis=0) if everything.any() else np.zeros(2)
    size = float(np.hypot(*mean))
    for axes, vectors, words in (
        (whole, differences, "difference"),
        (rest, differences - mean, "the same without its mean"),
    ):
        for outline in outlines:
            axes.fill(outline[:, 0], outline[:, 1], facecolor="none", edgecolor=GREY, lw=0.8)
        _arrows(axes, points, vectors, everything, "mas")
        _sky_axes(axes)
        axes.set_title(words, fontsize=10)
    whole.set_title(
        f"difference; mean {mean[0]:+.2f} east, {mean[1]:+.2f} north: {size:.2f} mas", fontsize=10
    )
    return figure


def residuals_against(
    stars: StarResiduals,
    *,
    quantities: Sequence[str] = tuple(_QUANTITIES),
    limit: float | None = None,
    title: str = "",
) -> Figure:
    """Residuals east and north against x, y, magnitude, colour and epoch, with medians in bins.

    Parameters
    ----------
    stars : StarResiduals
    quantities : sequence of {"x", "y", "magnitudes", "colours", "epochs"}
        Those without any value, or with one only, are left out.
    limit : float, optional
        Of the residuals' axes, mas; by the residuals themselves by default.
    title : str
    """
    known = [name for name in quantities if _varies(getattr(stars, name))]
    figure = new_figure(max(3.0 * len(known), 5.0) + 0.6, 5.6, title)
    panels = figure.subplots(2, max(len(known), 1), sharex="col", sharey="row", squeeze=False)
    for row, (name, values) in enumerate((("east", stars.east), ("north", stars.north))):
        edge = limit or robust_limit(values[stars.used])
        panels[row, 0].set_ylabel(f"residual {name} (mas)")
        panels[row, 0].set_ylim(-edge, edge)
        for column, quantity in enumerate(known):
            _trend(panels[row, column], getattr(stars, quantity), values, stars.used, edge)
    for column, quantity in enumerate(known):
        panels[1, column].set_xlabel(_QUANTITIES[quantity])
    if not known:
        say_nothing_there(panels[0, 0], "no residuals")
    return figure


def _varies(values: Array) -> bool:
    known = values[np.isfinite(values)]
    return len(known) > 0 and bool(np.ptp(known) > 0)


def transfer_map(
    y: Array, magnitudes: Array, along_y: Array, *, used: Flags | None = None, title: str = ""
) -> Figure:
    """Median residual along the columns in cells of y and magnitude: what charge transfer leaves behind.

    Charge that lags behind moves faint stars far from the read-out more than bright ones near it, so that
    a gradient towards one corner is the sign of it.

    Parameters
    ----------
    y, magnitudes : ndarray, shape (n,)
        Pixels and magnitudes.
    along_y : ndarray, shape (n,)
        Residual along +y, mas.
    used : ndarray of bool, shape (n,), optional
    title : str
    """
    from matplotlib.patheffects import withStroke

    figure = new_figure(6.6, 5.0, title)
    axes = figure.subplots()
    good = np.isfinite(y) & np.isfinite(magnitudes) & np.isfinite(along_y)
    good &= np.ones(len(y), dtype=np.bool_) if used is None else used
    if np.count_nonzero(good) < 4:
        say_nothing_there(axes, "too few stars")
        return figure
    cells = int(np.clip(np.sqrt(np.count_nonzero(good) / _STARS_OF_BIN), 2, 10))
    edges = [np.linspace(v[good].min(), v[good].max() + 1e-9, cells + 1) for v in (y, magnitudes)]
    values, counts = _cell_medians(y[good], magnitudes[good], along_y[good], edges)
    limit = robust_limit(values)
    image = axes.pcolormesh(*edges, values.T, cmap=DIVERGING, vmin=-limit, vmax=limit)
    outlined: dict[str, Any] = {
        "color": "0.15",
        "path_effects": [withStroke(linewidth=2, foreground="white")],
    }
    for row, column in zip(*np.nonzero(counts), strict=True):
        centre = (edges[0][row : row + 2].mean(), edges[1][column : column + 2].mean())
        axes.text(*centre, str(counts[row, column]), ha="center", va="center", fontsize=6.5, **outlined)
    axes.invert_yaxis()
    axes.set_xlabel("y (pixel)")
    axes.set_ylabel("magnitude (faint below)")
    figure.colorbar(image, ax=axes, label="median residual along +y (mas); figures: stars")
    return figure


def _cell_medians(
    y: Array, magnitudes: Array, values: Array, edges: list[Array]
) -> tuple[Array, NDArray[np.int64]]:
    from scipy.stats import binned_statistic_2d

    medians = binned_statistic_2d(y, magnitudes, values, "median", bins=edges).statistic
    counts = np.histogram2d(y, magnitudes, bins=edges)[0].astype(np.int64)
    return medians, counts


def offset_histogram(
    offsets: Array, *, radius: float, peak: Array | None = None, unit: str = "arcsec", title: str = ""
) -> Figure:
    """All separations of a source and a reference star within a radius: the true offset stands out.

    Parameters
    ----------
    offsets : ndarray, shape (n, 2)
        Reference minus source, east and north.
    radius : float
        How far was searched.
    peak : ndarray, shape (2,), optional
        The offset that was found.
    unit : str
    title : str
    """
    figure = new_figure(10.2, 4.9, title)
    whole, near = figure.subplots(1, 2)
    _histogram(figure, whole, offsets, np.zeros(2), radius, 80)
    whole.set_title("all that was searched", fontsize=10)
    if peak is None:
        say_nothing_there(near, "no offset was found")
    else:
        whole.plot(*peak, "s", ms=11, mfc="none", mec=VERMILLION, mew=1.6)
        _histogram(figure, near, offsets, peak, radius / 8, 60)
        near.set_title(f"round the offset ({peak[0]:+.3f}, {peak[1]:+.3f}) {unit}", fontsize=10)
    for axes in (whole, near):
        axes.set_xlabel(f"offset east ({unit})")
        axes.set_ylabel(f"offset north ({unit})")
    return figure


def offsets_between(sources: Array, reference: Array, radius: float) -> Array:
    """Reference minus source of all pairs within a radius, shape (n, 2); arcsec in one plane."""
    from scipy.spatial import cKDTree

    if not len(sources) or not len(reference):
        return np.zeros((0, 2))
    pairs = cKDTree(sources).sparse_distance_matrix(cKDTree(reference), radius, output_type="coo_matrix")
    return reference[pairs.col] - sources[pairs.row]


def _histogram(figure: Figure, axes: Axes, offsets: Array, centre: Array, half: float, bins: int) -> None:
    edges = [np.linspace(c - half, c + half, bins + 1) for c in centre]
    counts = np.histogram2d(offsets[:, 0], offsets[:, 1], bins=edges)[0]
    image = axes.pcolormesh(*edges, counts.T, cmap=SEQUENTIAL, rasterized=True)
    axes.set_aspect("equal")
    axes.invert_xaxis()  # as on the sky
    figure.colorbar(image, ax=axes, label="pairs", shrink=0.85)


def cell_medians(points: Array, vectors: Array, cells: int = 16) -> tuple[Array, Array, Flags]:
    """Median place and vector in square cells that hold two stars or more.

    Parameters
    ----------
    points, vectors : ndarray, shape (n, 2)
    cells : int
        Along the longer side.

    Returns
    -------
    points, vectors : ndarray, shape (m, 2)
    used : ndarray of bool, shape (m,)
        All True.
    """
    low = points.min(axis=0)
    size = float(np.ptp(points, axis=0).max()) / cells or 1.0
    cell = np.minimum((points - low) // size, cells - 1) @ np.array([1, cells])
    members = [cell == number for number in np.unique(cell)]
    members = [rows for rows in members if np.count_nonzero(rows) > 1]
    places = np.array([np.median(points[rows], axis=0) for rows in members]).reshape(-1, 2)
    medians = np.array([np.median(vectors[rows], axis=0) for rows in members]).reshape(-1, 2)
    return places, medians, np.ones(len(members), dtype=np.bool_)


def _arrows(axes: Axes, points: Array, vectors: Array, used: Flags, unit: str) -> None:
    """Draw vectors at points, the large ones as long as a part of the field, with an arrow as key."""
    if not used.any():
        say_nothing_there(axes, "no stars")
        return
    extent = float(np.ptp(points[used], axis=0).max()) or 1.0
    large = max(float(np.percentile(np.hypot(*vectors[used].T), 90)), 1e-9)
    stretch = large / (ARROW * extent)  # unit of the vectors per unit of the points
    style = {"angles": "xy", "scale_units": "xy", "scale": stretch, "width": 0.0028, "headwidth": 4}
    rejected = ~used & np.isfinite(vectors).all(axis=1)
    near = rejected & (np.hypot(*vectors.T) < 4 * large)
    axes.plot(*points[rejected].T, "x", ms=3, color=GREY, label="rejected")
    if near.any():
        axes.quiver(*points[near].T, *vectors[near].T, color=GREY, alpha=0.5, **style)
    arrows = axes.quiver(*points[used].T, *vectors[used].T, color=BLUE, **style)
    length = round_number(large)
    axes.quiverkey(
        arrows, 0.83, -0.085, length, f"{length:g} {unit}", labelpos="E", fontproperties={"size": 9}
    )
    margin = 0.1 * extent
    low, high = points[used].min(axis=0) - margin, points[used].max(axis=0) + margin
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])


def _sky_axes(axes: Axes) -> None:
    axes.set_aspect("equal")
    axes.invert_xaxis()
    axes.set_xlabel("east (arcsec)")
    axes.set_ylabel("north (arcsec)")


def _scatter(axes: Axes, vectors: Array, used: Flags, errors: Array) -> None:
    """Residual north against east, with their rms and the circle of the expected error."""
    limit = robust_limit(vectors[used])
    shown = np.isfinite(vectors).all(axis=1) & (np.abs(vectors) <= limit).all(axis=1)
    axes.plot(*vectors[shown & ~used].T, "x", ms=3, color=GREY, label="rejected")
    axes.plot(*vectors[shown & used].T, "o", ms=2.6, alpha=0.6, mew=0, color=BLUE, label="used")
    expected = float(np.median(errors[used])) if used.any() else np.nan
    if np.isfinite(expected):
        angle = np.linspace(0, 2 * np.pi, 100)
        circle = expected * np.array([np.cos(angle), np.sin(angle)])
        axes.plot(*circle, color=ORANGE, lw=1.5, label=f"expected error {expected:.2f} mas")
    axes.axhline(0, color="0.8", lw=0.7, zorder=0)
    axes.axvline(0, color="0.8", lw=0.7, zorder=0)
    axes.set_xlim(limit, -limit)
    axes.set_ylim(-limit, limit)
    axes.set_aspect("equal")
    axes.set_xlabel("residual east (mas)")
    axes.set_ylabel("residual north (mas)")
    rms = np.sqrt(np.mean(vectors[used] ** 2, axis=0)) if used.any() else np.full(2, np.nan)
    count = np.count_nonzero(used)
    axes.set_title(f"{count} stars, rms {rms[0]:.2f} / {rms[1]:.2f} mas", fontsize=10)
    axes.legend(loc="upper right", fontsize=8, framealpha=0.9)


def _trend(axes: Axes, quantity: Array, values: Array, used: Flags, limit: float) -> None:
    known = np.isfinite(quantity) & np.isfinite(values)
    axes.axhline(0, color="0.75", lw=0.8, zorder=0)
    size, density = (4.0, 0.75) if np.count_nonzero(known) < MOST_ARROWS else (2.2, 0.45)
    for chosen, colour in ((known & ~used, GREY), (known & used, BLUE)):
        inside = chosen & (np.abs(values) <= limit)
        axes.plot(quantity[inside], values[inside], "o", ms=size, alpha=density, mew=0, color=colour)
        for beyond, marker, edge in ((values > limit, "^", limit), (values < -limit, "v", -limit)):
            places = quantity[chosen & beyond]
            axes.plot(places, np.full(len(places), 0.965 * edge), marker, ms=3.5, mew=0, color=colour)
    places, medians, errors = binned_medians(quantity[known & used], values[known & used])
    axes.errorbar(places, medians, errors, fmt="s-", color=VERMILLION, ms=4, lw=1.2, capsize=2)


def binned_medians(quantity: Array, values: Array) -> tuple[Array, Array, Array]:
    """Medians of values in bins of a quantity that hold equally many; of few distinct values, a bin each.

    Returns
    -------
    places, medians, errors : ndarray
        Median quantity and value of each bin, and the standard error of a normal sample's median (1.2533
        times that of the mean); empty with fewer than two bins' worth.
    """
    order = _bins(quantity)
    if len(order) < 2:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    places = np.array([np.median(quantity[one]) for one in order])
    medians = np.array([np.median(values[one]) for one in order])
    spread = np.array([1.4826 * np.median(np.abs(values[one] - np.median(values[one]))) for one in order])
    return places, medians, 1.2533 * spread / np.sqrt([len(one) for one in order])


def _bins(quantity: Array) -> list[NDArray[np.intp]]:
    distinct = np.unique(quantity)
    if len(distinct) <= _MOST_BINS:
        return [np.nonzero(quantity == value)[0] for value in distinct]
    bins = min(_MOST_BINS, len(quantity) // _STARS_OF_BIN)
    return np.array_split(np.argsort(quantity, kind="stable"), bins) if bins else []

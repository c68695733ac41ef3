"""Blotting, combining and testing in plain Python and numpy: slow, obvious, float64."""

import math

import numpy as np
from hapctl.processing.imaging.parameters import MedianParameters
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.floating]

FIRST_TAP = {"linear": 0, "poly3": -1, "poly5": -2, "lanczos3": -2, "sinc": -7}
TAPS = {"linear": 2, "poly3": 4, "poly5": 6, "lanczos3": 6, "sinc": 15}


def weights(kind: str, part: float) -> Array:
    """The weight of each tap for a place ``part`` beyond the whole pixel, by the textbook formula."""
    at = np.arange(TAPS[kind]) + FIRST_TAP[kind]
    if kind in ("linear", "poly3", "poly5"):
        others = [[m for m in at if m != k] for k in at]
        pairs = zip(at, others, strict=True)
        return np.array([math.prod((part - m) / (k - m) for m in rest) for k, rest in pairs])
    if kind == "lanczos3":
        found = np.sinc(part - at) * np.sinc((part - at) / 3.0)
    else:
        angle = np.pi / 14.0 * at
        found = np.sinc(part - at) * (1.0 - 0.4967 * angle**2 + 0.03705 * angle**4) ** 2
    return found / found.sum()


def pixel(plane: Array, row: int, column: int) -> float:
    """A pixel; NaN outside."""
    ny, nx = plane.shape
    return float(plane[row, column]) if 0 <= row < ny and 0 <= column < nx else math.nan


def interpolated(plane: Array, x: float, y: float, kind: str) -> float:
    """The value of a plane at a place, by the words of `hapctl.processing.imaging.blot`."""
    if not (math.isfinite(x) and math.isfinite(y)):
        return math.nan
    if kind == "nearest":
        value = pixel(plane, math.floor(y + 0.5), math.floor(x + 0.5))
        return value if math.isfinite(value) else math.nan
    half = 0.5 if kind == "sinc" else 0.0
    column, row = math.floor(x + half), math.floor(y + half)
    across, along = weights(kind, x - column), weights(kind, y - row)
    taps = range(FIRST_TAP[kind], FIRST_TAP[kind] + TAPS[kind])
    box = np.array([[pixel(plane, row + j, column + k) for k in taps] for j in taps])
    return float(along @ box @ across) if np.isfinite(box).all() else of_the_known(plane, x, y)


def of_the_known(plane: Array, x: float, y: float) -> float:
    """Bilinear among the known ones of the four nearest, if these are half of the weight."""
    column, row = math.floor(x), math.floor(y)
    across, along = (1.0 - x + column, x - column), (1.0 - y + row, y - row)
    box = np.array([[pixel(plane, row + j, column + k) for k in (0, 1)] for j in (0, 1)])
    weight = np.outer(along, across)
    known = np.isfinite(box)
    share = weight[known].sum()
    return float((weight[known] * box[known]).sum() / share) if share >= 0.5 else math.nan


def combined(
    values: Array, counts: NDArray[np.bool_], times: Array, variance: Array, parameters: MedianParameters
) -> tuple[Array, NDArray[np.intp]]:
    """Combine a stack pixel by pixel; ``counts`` says which values do, ``variance`` is of each rate."""
    kind = parameters.type.removeprefix("i")
    depth = counts.sum(axis=0)
    middle, lowest, sigma = (np.full(depth.shape, np.nan) for _ in range(3))
    for place in zip(*np.nonzero(depth), strict=True):
        at = (slice(None), *place)
        good = np.flatnonzero(counts[at])
        order = good[np.argsort(values[at][good], kind="stable")]
        kept = kept_of(order, parameters, len(values))
        rates = values[at][kept]
        totals = {"sum": (rates * times[kept]).sum(), "mean": rates.mean()}
        middle[place] = totals.get(kind, np.median(rates))
        lowest[place], sigma[place] = values[at][order[0]], math.sqrt(variance[at][order[0]])
    return (with_lowest(middle, lowest, sigma, depth, parameters) if kind == "minmed" else middle), depth


def kept_of(order: NDArray[np.intp], parameters: MedianParameters, exposures: int) -> NDArray[np.intp]:
    """What is left without the lowest and the highest; minmed of two exposures keeps both."""
    low, high = parameters.nlow, parameters.nhigh
    if parameters.type.endswith("minmed"):
        low, high = (low, max(high, 1)) if exposures != 2 else (0, 0)
    high = min(high, len(order) - 1)
    low = min(low, len(order) - high - 1)
    return order[low : len(order) - high]


def with_lowest(
    middle: Array, lowest: Array, sigma: Array, depth: NDArray[np.intp], parameters: MedianParameters
) -> Array:
    """The lowest by the two thresholds, slopes of the lowest beyond 6 sigma allowed."""
    steep = np.nan_to_num(np.maximum(slope(lowest) - 6.0 * sigma, 0.0))
    noise = sigma * np.where(depth <= 3, math.sqrt(0.5), 1.0)
    with np.errstate(invalid="ignore"):
        first = middle - lowest > parameters.sigma[0] * noise + steep
        second = middle - lowest > parameters.sigma[1] * noise + 0.5 * steep
    near = ndimage.binary_dilation(first, square(parameters.grow))
    return np.where(first | (near & second), lowest, middle)


def slope(image: Array) -> Array:
    """Largest difference to the neighbours there are; an unknown one counts as 0."""
    padded = np.pad(image.astype(float), 1)
    exists = np.pad(np.ones(image.shape, dtype=bool), 1)
    found = np.zeros(image.shape)
    for rows, columns in ((0, 1), (2, 1), (1, 0), (1, 2)):
        side = (slice(rows, rows + image.shape[0]), slice(columns, columns + image.shape[1]))
        step = np.abs(image - np.nan_to_num(padded[side], nan=0.0))
        found = np.where(exists[side], np.fmax(found, step), found)
    return found


def hits(
    science: Array,
    seen: Array,
    *,
    sky: float,
    read_noise: float,
    snr: tuple[float, float],
    scale: tuple[float, float],
    grow: int,
) -> NDArray[np.bool_]:
    """Both tests, for a plane of three or more exposures, and growth."""
    variance = np.abs(seen + sky) + read_noise**2
    with np.errstate(invalid="ignore"):
        far = np.abs(science - seen)
        first = far > scale[0] * slope(seen) + snr[0] * np.sqrt(1.8 * variance)
        second = far > scale[1] * slope(seen) + snr[1] * np.sqrt(1.6 * variance)
    found = ndimage.binary_dilation(first, square(1)) & second
    return ndimage.binary_dilation(found, square(grow)) if grow else found


def square(radius: int) -> NDArray[np.bool_]:
    """A box of ones."""
    return np.ones((2 * radius + 1, 2 * radius + 1), dtype=bool)

"""The drizzle kernels by name.

``square`` maps the corners of a pixel, the others its centre. What each gives to which output pixel is
told in ``ext/square.pxi`` and ``ext/kernels.pxi``.
"""

from functools import partial
from typing import Protocol

import numpy as np
from hapctl.ext import square
from hapctl.ext.mapping import ChipDistortion
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.parameters import KERNELS
from numpy.typing import NDArray

MAY_BE_NEGATIVE = ("lanczos2", "lanczos3")
"""Kernels whose shares are not all above 0."""


class AddPixels(Protocol):
    """Adds a block of detector rows to the sums of a band: ``hapctl.ext.square.add_pixels`` and its like."""

    def __call__(
        self,
        *,
        chip: ChipDistortion,
        homography: NDArray[np.float64],
        values: NDArray[np.float32],
        weights: NDArray[np.float32],
        first_row: int,
        columns: tuple[int, int],
        flux_scale: float,
        pixfrac: float,
        sums: NDArray[np.float64],
        context: NDArray[np.int32] | None,
        bit: int,
        first_output_row: int,
        variances: NDArray[np.float32] | None,
        variance_sums: NDArray[np.float64] | None,
    ) -> None: ...


def check_kernel(kernel: str) -> None:
    """Refuse names of no kernel."""
    if kernel not in KERNELS:
        raise UsageProblemError(f"{kernel} is no drizzle kernel", f"choose one of {', '.join(KERNELS)}")


def add_function(kernel: str, scale_ratio: float) -> AddPixels:
    """Return what adds the pixels of a chip to a band.

    Parameters
    ----------
    kernel : str
        One of ``parameters.KERNELS``.
    scale_ratio : float
        Scale of the output over that of the chip (IDCSCALE).
    """
    if kernel == "square":
        return square.add_pixels
    from hapctl.ext import kernels

    return partial(kernels.add_pixels, kernel=kernel, scale_ratio=scale_ratio)


def reach_beyond_corners(kernel: str, pixfrac: float, scale_ratio: float) -> float:
    """Output pixels by which a kernel reaches beyond the mapped corners of its pixel, and half a pixel.

    Zero for the square kernel, which stays inside them.
    """
    if kernel == "square":
        return 0.0
    from hapctl.ext import kernels

    return float(kernels.reach(kernel, pixfrac, scale_ratio))

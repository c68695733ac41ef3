import numpy as np
from hapctl.ext.mapping import ChipDistortion
from numpy.typing import ArrayLike, NDArray

def add_pixels(
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
    variances: NDArray[np.float32] | None = None,
    variance_sums: NDArray[np.float64] | None = None,
) -> None: ...
def finish(
    sums: NDArray[np.float64], values: NDArray[np.float32], weights: NDArray[np.float32], fill: float
) -> None: ...
def finish_variances(
    sums: NDArray[np.float64],
    variance_sums: NDArray[np.float64],
    variances: NDArray[np.float32],
    fill: float,
) -> None: ...
def quad_shares(corners: ArrayLike, shape: tuple[int, int], plainly: bool = False) -> NDArray[np.float64]: ...

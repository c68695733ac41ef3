import numpy as np
from numpy.typing import NDArray

def big_endian(rows: NDArray[np.uint32], out: NDArray[np.uint32]) -> int: ...
def gather(
    weight: NDArray[np.float32],
    context: NDArray[np.int32],
    masks: NDArray[np.int32],
    shift: int,
    weights: NDArray[np.int64],
    combinations: NDArray[np.int64],
    sums: NDArray[np.float64],
) -> None: ...
def bin_rows(
    rows: NDArray[np.uint32],
    lines: NDArray[np.int64],
    columns: NDArray[np.int64],
    total: NDArray[np.float64],
    count: NDArray[np.float64],
    room: NDArray[np.float64],
) -> None: ...

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

build: ModuleType

def mesh_samples(
    science: NDArray[np.uint32],
    quality: NDArray[np.uint16],
    swapped: bool,
    masked: int,
    row_edges: NDArray[np.int32],
    column_edges: NDArray[np.int32],
    samples: NDArray[np.float32],
) -> None: ...
def mesh_levels(
    samples: NDArray[np.float32],
    least: int,
    median: NDArray[np.float64],
    excess: NDArray[np.float64],
    scatter: NDArray[np.float64],
) -> None: ...
def searched(
    science: NDArray[np.uint32],
    error: NDArray[np.uint32],
    quality: NDArray[np.uint16],
    swapped: bool,
    bad: int,
    saturated: int,
    least_variance: float,
    mesh: NDArray[np.float32],
    mesh_row: NDArray[np.int32],
    row_weights: NDArray[np.float32],
    segment_starts: NDArray[np.int32],
    column_weights: NDArray[np.float32],
    kernel: NDArray[np.float32],
    edge: int,
    level: float,
    sharpest: float,
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    marks: NDArray[np.uint8],
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]: ...

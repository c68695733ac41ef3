from collections.abc import Sequence
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

build: ModuleType

def values_and_weights(
    raw: NDArray[np.uint32],
    flags: NDArray[np.uint16],
    bad_flags: int,
    masks: Sequence[NDArray[np.uint8]],
    left: int,
    unit: float,
    flux: float,
    sky: float,
    time: float,
    weight: float,
    values: NDArray[np.float32],
    weights: NDArray[np.float32],
) -> None: ...
def variances_of_errors(
    raw: NDArray[np.uint32], unit: float, factor: float, variances: NDArray[np.float32]
) -> bool: ...

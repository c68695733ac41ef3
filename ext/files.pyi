import numpy as np
from numpy.typing import NDArray

def read_rows(file: int, offset: int, stride: int, out: NDArray[np.uint8]) -> bool: ...

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Table = tuple[ArrayLike, tuple[float, float, float, float]]

class ChipDistortion:
    def __init__(
        self,
        crpix: tuple[float, float],
        sip: Sequence[ArrayLike | None] = ...,
        d2im: Sequence[Table | None] = ...,
        npol: Sequence[Table | None] = ...,
    ) -> None: ...
    def distort(self, x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
    def project(
        self, homography: ArrayLike, x: ArrayLike, y: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...

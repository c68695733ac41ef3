import numpy as np
from numpy.typing import NDArray

OVERSAMPLING: int
FIT_COLUMNS: tuple[str, ...]

def fit_stars(
    coefficients: NDArray[np.float64],
    basis: NDArray[np.float64],
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    start: NDArray[np.float64],
    pixel: NDArray[np.intp],
    first: NDArray[np.intp],
    other: NDArray[np.intp],
    sources: NDArray[np.float64],
    radius: int,
    steps: int,
    slope: float,
    psf_noise: float,
    odd_noise: float,
    level: bool,
) -> NDArray[np.float64]: ...
def node_corrections(
    coefficients: NDArray[np.float64],
    samples: NDArray[np.float64],
    basis: NDArray[np.float64],
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    stars: NDArray[np.float64],
    pixel: NDArray[np.intp],
    radius: int,
    slope: float,
    prior_share: float,
) -> NDArray[np.float64]: ...

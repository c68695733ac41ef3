"""Stars of a reference catalog as plain arrays, as the catalog of the sky gives them."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

CORRELATION_NAMES = (
    "ra_dec_corr",
    "ra_parallax_corr",
    "ra_pmra_corr",
    "ra_pmdec_corr",
    "dec_parallax_corr",
    "dec_pmra_corr",
    "dec_pmdec_corr",
    "parallax_pmra_corr",
    "parallax_pmdec_corr",
    "pmra_pmdec_corr",
)
"""Order of `ReferenceStars.correlations`: the upper triangle over (ra, dec, parallax, pmra, pmdec)."""


@dataclass(frozen=True)
class ReferenceStars:
    """Positions, motions and errors of n stars at their reference epochs; NaN where unknown.

    Attributes
    ----------
    source_id : ndarray of str, shape (n,)
        Identifier in its catalog.
    ra, dec : ndarray of float64, shape (n,)
        Degrees, ICRS, barycentric, at `ref_epoch`.
    ref_epoch : ndarray of float64, shape (n,)
        Julian year (TCB).
    ra_error, dec_error : ndarray of float64, shape (n,)
        mas; ra_error is that of ra x cos(dec).
    parallax, parallax_error : ndarray of float64, shape (n,)
        mas.
    pmra, pmra_error, pmdec, pmdec_error : ndarray of float64, shape (n,)
        mas per year; pmra is that of ra x cos(dec).
    correlations : ndarray of float64, shape (n, 10)
        In the order of `CORRELATION_NAMES`.
    phot_g_mean_mag, bp_rp, ruwe : ndarray of float64, shape (n,)
        Magnitude, colour, renormalised unit weight error; of other catalogs than Gaia the first is a
        magnitude of their own, for order and brightness.
    params_solved : ndarray of int16, shape (n,)
        astrometric_params_solved (3: position only, 31: five parameters, 95: six); -1 where unknown.
    duplicated_source : ndarray of bool, shape (n,)
        False where unknown.
    """

    source_id: NDArray[np.str_]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    ref_epoch: NDArray[np.float64]
    ra_error: NDArray[np.float64]
    dec_error: NDArray[np.float64]
    parallax: NDArray[np.float64]
    parallax_error: NDArray[np.float64]
    pmra: NDArray[np.float64]
    pmra_error: NDArray[np.float64]
    pmdec: NDArray[np.float64]
    pmdec_error: NDArray[np.float64]
    correlations: NDArray[np.float64]
    phot_g_mean_mag: NDArray[np.float64]
    bp_rp: NDArray[np.float64]
    ruwe: NDArray[np.float64]
    params_solved: NDArray[np.int16]
    duplicated_source: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ra)

    def __getitem__(self, rows: Any) -> "ReferenceStars":
        """Select stars by a boolean mask, a slice or an array of indices."""
        return ReferenceStars(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})


def reference_stars(ra: NDArray[np.float64], dec: NDArray[np.float64], **columns: Any) -> ReferenceStars:
    """Make stars from the columns that are known; the others are unknown.

    Parameters
    ----------
    ra, dec : array-like of float, shape (n,)
        Degrees, ICRS.
    **columns
        Any other attribute of `ReferenceStars`; scalars hold for all stars.

    Returns
    -------
    ReferenceStars
        ``source_id`` defaults to the row number, ``ref_epoch`` to 2016.0.
    """
    number = len(np.atleast_1d(ra))
    values: dict[str, Any] = {item.name: np.nan for item in fields(ReferenceStars)}
    values |= {"source_id": np.arange(number).astype(str), "ref_epoch": 2016.0, "params_solved": -1}
    values |= {"duplicated_source": False, "correlations": np.full((number, 10), np.nan)}
    values |= columns | {"ra": ra, "dec": dec}
    unknown = set(values) - {item.name for item in fields(ReferenceStars)}
    if unknown:
        raise TypeError(f"no such column of ReferenceStars: {', '.join(sorted(unknown))}")
    kinds: dict[str, type[np.generic]] = {
        "source_id": np.str_,
        "params_solved": np.int16,
        "duplicated_source": np.bool_,
    }
    arrays = {name: np.array(value, dtype=kinds.get(name, np.float64)) for name, value in values.items()}
    shapes = {name: (number, 10) if name == "correlations" else (number,) for name in arrays}
    return ReferenceStars(
        **{name: np.broadcast_to(array, shapes[name]).copy() for name, array in arrays.items()}
    )

"""Cosmic rays of a chip: where its pixels and the blotted plane differ by more than noise and position allow.

Contract (AstroDrizzle's step 6, hap_reference 1.3): with the blotted plane b and its derivative d (largest
absolute difference to the up to four neighbours), a pixel i is hit if |i - b| > scale d + snr sigma, by the
second pair of scale and snr, and a pixel of the 3 x 3 around it fails the first. Then hits grow by a radius,
and by a tail away from the read-out.

Sigma^2 = |b + sky| + read noise^2 is that of the pixel. The plane's own errors are added as a share of it
(`PLANE_SHARES`): noise, and what leaving out the highest values takes off. The second test, which looks only
beside what failed the first, adds less. AstroDrizzle means to take the pixel's noise alone, but counts the
sky twice (its blotted images hold it already), which comes to a share of 0.8 where the sky rules.

Put right: the derivative at the edges of a chip (AstroDrizzle takes differences to 0 in the first row and
column and the last two); ``grow`` is a radius, the square about a hit is symmetric; tails run away from the
read-out amplifier (AstroDrizzle's run towards it). Next to a place where the plane is unknown, the derivative
is at least |b|: what lies there may be the sky or more of a star.
"""

import math

import numpy as np
from astropy.io import fits
from hapctl.ext import compare as kernel
from hapctl.processing.imaging.detector_units import amplifiers
from hapctl.processing.imaging.parameters import CosmicRayParameters
from hapctl.processing.imaging.prepared import PreparedChip
from numpy.typing import NDArray

Rows = NDArray[np.float32]

PLANE_SHARES = {2: (0.6, 0.4), 3: (0.8, 0.6)}
"""Squared error of the blotted plane over the variance of a pixel, in both tests, by the fewest exposures.

The mean of two has half the variance; of three or more the plane lies up to 0.4 sigma low besides. Chosen on
simulated ACS/WFC visits of 500 s. On others, of 130 and 500 s (three seeds; 3, 4 and 8 exposures; not used to
choose) false alarms stay at 2 to 6 in a million pixels, where AstroDrizzle's go from 3 to 44 as the sky gets
darker or the exposures more. At 500 s 0.02 to 0.08 % fewer of the rays' pixels are caught than by
AstroDrizzle; at 130 s 0.05 to 0.12 % fewer, and 2 to 7 % fewer of the hot pixels, for 3 to 11 times fewer
false alarms.
"""
TEST_HALO = 2
"""Rows that the test looks at on either side: one for the derivative, one for the 3 x 3."""
_READ_AT_THE_TOP = {("ACS", "WFC"): "AB", ("ACS", "HRC"): "AB", ("WFC3", "UVIS"): "AB", ("STIS", "CCD"): "CD"}
"""Amplifiers beyond the last row, by camera; the others lie below the first."""


def derivative(image: Rows) -> Rows:
    """Return the largest absolute difference of each pixel to the neighbours it has (up to four).

    Parameters
    ----------
    image : ndarray, shape (ny, nx), float32
        Without sky. An unknown neighbour (NaN) counts as 0; a neighbour outside does not count.
    """
    slope = np.empty(image.shape, dtype=np.float32)
    kernel.derivative(np.ascontiguousarray(image, dtype=np.float32), slope)
    return slope


def comparison_halo(parameters: CosmicRayParameters) -> int:
    """Return how many rows on either side decide about a row of the mask."""
    return TEST_HALO + parameters.grow + parameters.cte_grow


def cte_direction(primary: fits.Header, header: fits.Header) -> int:
    """Return where the tails of a chip run: away from the amplifiers that read it.

    Parameters
    ----------
    primary, header : fits.Header
        Of the file and of its SCI extension (subarrays keep the amplifiers of their chip).

    Returns
    -------
    {1, -1, 0}
        To higher rows (ACS/WFC and WFC3/UVIS chip 2, HRC amplifiers C and D, WFPC2), to lower rows (chip 1,
        HRC amplifiers A and B, STIS), or nowhere: read out on both sides, or without charge transfer.
    """
    if primary.get("INSTRUME") == "WFPC2":
        return 1
    top = _READ_AT_THE_TOP.get((str(primary.get("INSTRUME")), str(primary.get("DETECTOR"))))
    if top is None:
        return 0
    at_the_top = {amplifier in top for amplifier in amplifiers(primary, header)}
    return {frozenset({True}): -1, frozenset({False}): 1}.get(frozenset(at_the_top), 0)


def find_hits(
    science: Rows,
    seen: Rows,
    parameters: CosmicRayParameters,
    *,
    sky: float,
    read_noise: float,
    direction: int = 0,
    exposures: int = 3,
) -> NDArray[np.bool_]:
    """Compare an image with what it should be.

    Parameters
    ----------
    science, seen : ndarray, shape (ny, nx), float32
        Electrons per pixel without sky: the image, and the blotted plane (NaN where unknown).
    parameters : CosmicRayParameters
    sky : float
        Electrons per pixel, the whole of it, for the noise.
    read_noise : float
        Electrons.
    direction : {1, -1, 0}
        Where tails run: to higher rows, lower rows, or there are none.
    exposures : int
        From how many the plane is combined.

    Returns
    -------
    ndarray, shape (ny, nx), bool
        True where hit; an unknown or NaN pixel itself is none, but hits grow over it.
    """
    return _hits(science, seen, parameters, sky, read_noise, direction, exposures, 0, science.shape[0])


def find_hits_rows(
    chip: PreparedChip,
    seen: Rows,
    low: int,
    first: int,
    last: int,
    parameters: CosmicRayParameters,
    exposures: int = 3,
) -> NDArray[np.bool_]:
    """Compare rows of a chip with the blotted plane.

    Parameters
    ----------
    chip : PreparedChip
    seen : ndarray, shape (rows, nx), float32
        Rows of the blotted plane from ``low`` on; with `comparison_halo` rows around those asked for, as
        far as the chip goes.
    low, first, last : int
        First row of ``seen``; rows ``first:last`` are asked for.
    parameters : CosmicRayParameters
    exposures : int
        From how many the plane is combined.

    Returns
    -------
    ndarray, shape (last - first, nx), bool
        True where hit.
    """
    science = chip.electrons(low, low + seen.shape[0])
    science -= np.float32(chip.sky)
    direction = cte_direction(chip.pixels.primary, chip.pixels.header) if parameters.cte_grow else 0
    noise = chip.sky_taken, chip.read_noise
    return _hits(science, seen, parameters, *noise, direction, exposures, first - low, last - low)


def _hits(
    science: Rows,
    seen: Rows,
    parameters: CosmicRayParameters,
    sky: float,
    read_noise: float,
    direction: int,
    exposures: int,
    first: int,
    last: int,
) -> NDArray[np.bool_]:
    shares = PLANE_SHARES[2 if exposures <= 2 else 3]
    hits = np.zeros((last - first, science.shape[1]), dtype=np.uint8)
    kernel.find_hits(
        np.ascontiguousarray(science, dtype=np.float32),
        np.ascontiguousarray(seen, dtype=np.float32),
        sky,
        read_noise**2,
        (parameters.snr[0] * math.sqrt(1.0 + shares[0]), parameters.snr[1] * math.sqrt(1.0 + shares[1])),
        parameters.scale,
        parameters.grow,
        parameters.cte_grow,
        direction,
        first,
        hits,
    )
    return hits.view(np.bool_)

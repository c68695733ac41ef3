"""Products per second or in counts of their total exposure time."""

from dataclasses import replace

import numpy as np
from hapctl.processing.imaging.drizzle import Band
from hapctl.processing.imaging.parameters import FinalParameters


def in_units(band: Band, final: FinalParameters, exposure_time: float) -> Band:
    """Return a band per second in the units asked for.

    Counts are electrons of the total exposure time of the product, not of the depth of each pixel: SCI times
    that time, VAR times its square. WHT of ERR and IVM weights, an inverse variance, is divided by the
    square; EXP weights stay. The fill value stays as it is.

    Parameters
    ----------
    band : Band
        Per second.
    final : FinalParameters
        ``units`` and ``weight`` count.
    exposure_time : float
        Seconds.
    """
    if final.units == "cps":
        return band
    time = np.float32(exposure_time)
    weight = band.wht if final.weight == "EXP" else band.wht / time**2
    variance = None if band.var is None else band.var * time**2
    return replace(band, sci=np.where(band.wht > 0, band.sci * time, band.sci), wht=weight, var=variance)

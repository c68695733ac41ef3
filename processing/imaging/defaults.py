"""What detectors are like: their scales, their epochs, and the levels of products."""

from typing import Literal

Level = Literal["exposure", "filter", "total", "layer"]

NATIVE_SCALE_ARCSEC = {
    "WFC": 0.05,
    "HRC": 0.025,
    "SBC": 0.025,
    "UVIS": 0.04,
    "IR": 0.128,
    "PC": 0.0996,
}
"""Arcsec per pixel of a detector's north-up products (all of WFPC2 as PC)."""

UVIS_CHANGE_MJD = 56239.124479
"""2012-11-08T02:59:15: UVIS is post-flashed from here on, and flag 16 lost its old meaning."""

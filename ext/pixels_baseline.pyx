# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The reading of pixels compiled for any CPU (see ``hapctl.ext.cpu``)."""

include "pixels.pxi"

# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The kernels of pixel centres compiled for any CPU (see ``hapctl.ext.cpu``)."""

include "kernels.pxi"

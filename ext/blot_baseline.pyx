# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The blot kernels compiled for any CPU (see ``hapctl.ext.cpu``)."""

include "blot.pxi"

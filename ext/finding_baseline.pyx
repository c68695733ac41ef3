# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The search of a chip compiled for any CPU (see ``hapctl.ext.cpu``)."""

include "finding.pxi"

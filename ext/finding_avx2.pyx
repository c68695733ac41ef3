# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The search of a chip compiled for CPUs with AVX2 (see ``hapctl.ext.cpu``)."""

cdef extern from *:
    """
    #if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
    #pragma GCC target("avx2")
    #endif
    """

include "finding.pxi"

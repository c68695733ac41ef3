# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The exact distortion of a chip: D2IM tables, then SIP polynomials plus NPOL tables.

Contract: pixels are 0-based; ``distort_block`` gives the offsets (u, v) from CRPIX, in pixels, to which the
CD matrix applies; ``project_block`` applies a 3 x 3 homography to them (from the tangent plane of the
chip to the pixels of another tangent plane, closed form). A value depends on its pixel alone: every
caller goes through these two functions, so bits do not depend on bands, threads or neighbours.

Limits: SIP orders up to 9 (the convention's own); terms with p + q > order are not part of SIP.
"""

import numpy as np

from libc.math cimport NAN

include "distortion.pxi"


cdef void fill_polynomial(Polynomial *sip, const double[:, :] coefficients):
    """Order the terms as the nested Horner consumes them."""
    cdef int order = <int>coefficients.shape[0] - 1
    cdef int p, q, at = 0
    sip.order = order
    for p in range(order, -1, -1):
        for q in range(order - p, -1, -1):
            sip.terms[at] = coefficients[p, q]
            at += 1


cdef void fill_table(Table *table, const float[:, ::1] values, tuple geometry):
    table.values = &values[0, 0]
    table.ny = values.shape[0]
    table.nx = values.shape[1]
    table.scale_x, table.start_x, table.scale_y, table.start_y = geometry


cdef class ChipDistortion:
    """The distortion of one chip, its arrays owned.

    Parameters
    ----------
    crpix : tuple of float
        Reference pixel, 0-based.
    sip : tuple of two ndarray or None
        Coefficients (n, n) float64, ``[p, q]`` multiplies u**p v**q; None without the axis' polynomial.
    d2im, npol : tuple of two or None
        Per axis None or (values, (scale_x, start_x, scale_y, start_y)): values (ny, nx) float32, the
        node index of 0-based pixel x being ``x * scale_x + start_x``.
    """

    def __init__(self, crpix, sip=(None, None), d2im=(None, None), npol=(None, None)):
        self.tables = []
        self.data.crpix_x, self.data.crpix_y = crpix
        self.set_polynomial(&self.data.sip_x, sip[0])
        self.set_polynomial(&self.data.sip_y, sip[1])
        self.set_table(&self.data.d2im_x, d2im[0])
        self.set_table(&self.data.d2im_y, d2im[1])
        self.set_table(&self.data.npol_x, npol[0])
        self.set_table(&self.data.npol_y, npol[1])

    cdef set_polynomial(self, Polynomial *sip, coefficients):
        sip.order = -1
        if coefficients is None:
            return
        square = np.ascontiguousarray(coefficients, dtype=np.float64)
        if square.ndim != 2 or square.shape[0] != square.shape[1] or square.shape[0] > MAX_SIP_ORDER + 1:
            raise ValueError(f"SIP coefficients of shape {square.shape}: want (n, n), n up to 10")
        fill_polynomial(sip, square)

    cdef set_table(self, Table *table, described):
        table.values = NULL
        if described is None:
            return
        values = np.array(described[0], dtype=np.float32, order="C")
        if values.ndim != 2 or values.size == 0:
            raise ValueError(f"a lookup table of shape {values.shape}: want (ny, nx)")
        self.tables.append(values)
        fill_table(table, values, tuple(described[1]))

    def distort(self, x, y):
        """Offsets (u, v) from CRPIX in distortion-corrected pixels.

        Parameters
        ----------
        x, y : array_like of float64
            0-based pixels, of one shape.

        Returns
        -------
        u, v : ndarray of float64, of that shape
        """
        return self.transform(None, x, y)

    def project(self, homography, x, y):
        """Like ``distort``, then a homography (3, 3): pixels of another tangent plane, NaN behind it."""
        return self.transform(np.ascontiguousarray(homography, dtype=np.float64), x, y)

    cdef transform(self, homography, x, y):
        x, y = np.broadcast_arrays(x, y)
        cdef const double[::1] flat_x = np.ravel(x).astype(np.float64)
        cdef const double[::1] flat_y = np.ravel(y).astype(np.float64)
        u = np.empty(flat_x.shape[0])
        v = np.empty(flat_x.shape[0])
        cdef double[::1] flat_u = u
        cdef double[::1] flat_v = v
        cdef double h[9]
        cdef bint projected = homography is not None
        if projected:
            fill_matrix(h, homography)
        with nogil:
            run_blocks(&self.data, h if projected else NULL, flat_x, flat_y, flat_u, flat_v)
        return u.reshape(x.shape), v.reshape(x.shape)


cdef void fill_matrix(double *h, const double[:, ::1] matrix):
    cdef int row, column
    for row in range(3):
        for column in range(3):
            h[3 * row + column] = matrix[row, column]


cdef void run_blocks(
    const Distortion *chip, const double *homography,
    const double[::1] x, const double[::1] y, double[::1] u, double[::1] v
) noexcept nogil:
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t total = x.shape[0]
    cdef int n
    while start < total:
        n = <int>min(<Py_ssize_t>BLOCK, total - start)
        distort_block(chip, n, &x[start], &y[start], &u[start], &v[start])
        if homography != NULL:
            project_block(homography, n, &u[start], &v[start])
        start += n

# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The exact distortion of a chip: D2IM tables, then SIP polynomials plus NPOL tables.

Contract: pixels are 0-based; ``distort_block`` gives the offsets (u, v) from CRPIX, in pixels, to which the
CD matrix applies; ``project_block`` applies a 3 x 3 homography to them (from the tangent plane of the
chip to the pixels of another tangent plane, closed form). A value depends on its pixel alone, and is the
same bits that ``map_row`` of ``distortion.pxi`` gives the kernels.

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
        cdef const double[:, ::1] matrix = np.eye(3) if homography is None else homography
        x, y = np.broadcast_arrays(x, y)
        cdef const double[::1] flat_x = np.ravel(x).astype(np.float64)
        cdef const double[::1] flat_y = np.ravel(y).astype(np.float64)
        u = np.empty(flat_x.shape[0])
        v = np.empty(flat_x.shape[0])
        cdef double[::1] flat_u = u
        cdef double[::1] flat_v = v
        cdef bint projected = homography is not None
        if matrix.shape[0] != 3 or matrix.shape[1] != 3:
            raise ValueError("the homography is not 3 x 3")
        with nogil:
            run_blocks(&self.data, &matrix[0, 0] if projected else NULL, flat_x, flat_y, flat_u, flat_v)
        return u.reshape(x.shape), v.reshape(x.shape)


cdef void distort_block(
    const Distortion *chip, int n, const double *x, const double *y, double *u, double *v
) noexcept nogil:
    """Offsets (u, v) from CRPIX of n <= BLOCK pixels anywhere; x, y and u, v do not overlap."""
    cdef double from_x[LANES]
    cdef double from_y[LANES]
    cdef double to_u[LANES]
    cdef double to_v[LANES]
    cdef Lookups lookups
    cdef lanes out_u, out_v
    cdef int k
    cdef int start = 0
    begin_lookups(chip, &lookups)
    while start + LANES <= n:
        distort(chip, &lookups, load(x + start), load(y + start), &out_u, &out_v)
        store(u + start, out_u)
        store(v + start, out_v)
        start += LANES
    if start == n:
        return
    for k in range(LANES):
        from_x[k] = x[start + k] if start + k < n else x[start]
        from_y[k] = y[start + k] if start + k < n else y[start]
    distort(chip, &lookups, load(from_x), load(from_y), &out_u, &out_v)
    store(to_u, out_u)
    store(to_v, out_v)
    for k in range(n - start):
        u[start + k] = to_u[k]
        v[start + k] = to_v[k]


cdef void project_block(const double *homography, int n, double *u, double *v) noexcept nogil:
    """Apply a homography in place to n points."""
    cdef double to_u[LANES]
    cdef double to_v[LANES]
    cdef lanes out_u, out_v
    cdef int k
    cdef int start = 0
    while start + LANES <= n:
        out_u = load(u + start)
        out_v = load(v + start)
        project(homography, &out_u, &out_v)
        store(u + start, out_u)
        store(v + start, out_v)
        start += LANES
    if start == n:
        return
    for k in range(LANES):
        to_u[k] = u[start + k] if start + k < n else 0.0
        to_v[k] = v[start + k] if start + k < n else 0.0
    out_u = load(to_u)
    out_v = load(to_v)
    project(homography, &out_u, &out_v)
    store(to_u, out_u)
    store(to_v, out_v)
    for k in range(n - start):
        u[start + k] = to_u[k]
        v[start + k] = to_v[k]


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

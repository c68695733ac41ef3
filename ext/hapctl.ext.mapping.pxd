"""C interface of hapctl.ext.mapping. The dotted name is how Cython finds it: ``hapctl`` is no folder here."""

cdef enum:
    BLOCK = 64
    MAX_SIP_ORDER = 9
    MAX_SIP_TERMS = 55


cdef struct Table:
    const float *values
    Py_ssize_t nx
    Py_ssize_t ny
    double scale_x
    double scale_y
    double start_x
    double start_y


cdef struct Polynomial:
    int order
    double terms[MAX_SIP_TERMS]


cdef struct Distortion:
    double crpix_x
    double crpix_y
    Polynomial sip_x
    Polynomial sip_y
    Table d2im_x
    Table d2im_y
    Table npol_x
    Table npol_y


cdef class ChipDistortion:
    cdef Distortion data
    cdef list tables
    cdef set_polynomial(self, Polynomial *sip, coefficients)
    cdef set_table(self, Table *table, described)
    cdef transform(self, homography, x, y)

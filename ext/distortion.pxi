cdef enum:
    LANES = 4  # divides BLOCK


cdef struct Cell:
    Py_ssize_t low
    Py_ssize_t right
    Py_ssize_t up
    double wx
    double wy


cdef inline double clamped(double index, double last) noexcept nogil:
    # Written so that NaN becomes 0: the position itself carries the NaN on.
    if not index > 0.0:
        return 0.0
    return last if index > last else index


cdef inline Cell cell_at(const Table *table, double x, double y) noexcept nogil:
    """Where in a table a 0-based pixel lies; beyond the edges, on them."""
    cdef Cell cell
    cdef double fx = clamped(x * table.scale_x + table.start_x, <double>(table.nx - 1))
    cdef double fy = clamped(y * table.scale_y + table.start_y, <double>(table.ny - 1))
    cdef Py_ssize_t column = <Py_ssize_t>fx
    cdef Py_ssize_t row = <Py_ssize_t>fy
    cell.wx = fx - <double>column
    cell.wy = fy - <double>row
    cell.low = row * table.nx + column
    cell.right = 1 if column + 1 < table.nx else 0
    cell.up = table.nx if row + 1 < table.ny else 0
    return cell


cdef inline double lookup(const Table *table, const Cell *cell) noexcept nogil:
    """Bilinear value."""
    cdef const float *low = table.values + cell.low
    cdef const float *high = low + cell.up
    cdef double bottom = low[0] * (1.0 - cell.wx) + low[cell.right] * cell.wx
    cdef double top = high[0] * (1.0 - cell.wx) + high[cell.right] * cell.wx
    return bottom * (1.0 - cell.wy) + top * cell.wy


cdef inline void add_lookup(
    const Table *table, int n, const double *x, const double *y, double *value
) noexcept nogil:
    cdef Cell cell
    cdef int k
    if table.values == NULL:
        return
    for k in range(n):
        cell = cell_at(table, x[k], y[k])
        value[k] += lookup(table, &cell)


cdef inline bint alike(const Table *one, const Table *other) noexcept nogil:
    """Whether a place in one table is the same place in the other."""
    return (
        one.values != NULL and other.values != NULL and one.nx == other.nx and one.ny == other.ny
        and one.scale_x == other.scale_x and one.scale_y == other.scale_y
        and one.start_x == other.start_x and one.start_y == other.start_y
    )


cdef inline void add_lookups(
    const Table *table_x, const Table *table_y, int n, const double *x, const double *y, double *u, double *v
) noexcept nogil:
    """Add the tables of both axes; the usual pair of one geometry shares the search."""
    cdef Cell cell
    cdef int k
    if alike(table_x, table_y):
        for k in range(n):
            cell = cell_at(table_x, x[k], y[k])
            u[k] += lookup(table_x, &cell)
            v[k] += lookup(table_y, &cell)
        return
    add_lookup(table_x, n, x, y, u)
    add_lookup(table_y, n, x, y, v)


cdef inline void add_polynomial(
    const Polynomial *sip, int n, const double *u, const double *v, double *value
) noexcept nogil:
    """Nested Horner: a polynomial in v is the coefficient of each power of u (highest first).

    LANES points go together, so that a compiler keeps them in registers; arrays are BLOCK long, what
    lies beyond n is computed and not used.
    """
    cdef double inner[LANES]
    cdef double outer[LANES]
    cdef const double *term
    cdef int p, q, k
    cdef int start = 0
    if sip.order < 0:
        return
    while start < n:
        term = sip.terms
        for k in range(LANES):
            outer[k] = 0.0
        for p in range(sip.order + 1):
            for k in range(LANES):
                inner[k] = term[0]
            for q in range(1, p + 1):
                for k in range(LANES):
                    inner[k] = inner[k] * v[start + k] + term[q]
            term += p + 1
            for k in range(LANES):
                outer[k] = outer[k] * u[start + k] + inner[k]
        for k in range(LANES):
            value[start + k] += outer[k]
        start += LANES


cdef void distort_block(
    const Distortion *chip, int n, const double *x, const double *y, double *u, double *v
) noexcept nogil:
    """Offsets (u, v) from CRPIX of n <= BLOCK pixels; x, y and u, v do not overlap."""
    cdef double image_x[BLOCK]
    cdef double image_y[BLOCK]
    cdef double from_crpix_x[BLOCK]
    cdef double from_crpix_y[BLOCK]
    cdef double out_x[BLOCK]
    cdef double out_y[BLOCK]
    cdef int k
    for k in range(n):
        image_x[k] = x[k]
        image_y[k] = y[k]
    add_lookups(&chip.d2im_x, &chip.d2im_y, n, x, y, image_x, image_y)
    for k in range(n):
        from_crpix_x[k] = image_x[k] - chip.crpix_x
        from_crpix_y[k] = image_y[k] - chip.crpix_y
    for k in range(n, whole_lanes(n)):
        from_crpix_x[k] = 0.0
        from_crpix_y[k] = 0.0
    for k in range(whole_lanes(n)):
        out_x[k] = from_crpix_x[k]
        out_y[k] = from_crpix_y[k]
    add_polynomial(&chip.sip_x, n, from_crpix_x, from_crpix_y, out_x)
    add_polynomial(&chip.sip_y, n, from_crpix_x, from_crpix_y, out_y)
    add_lookups(&chip.npol_x, &chip.npol_y, n, image_x, image_y, out_x, out_y)
    for k in range(n):
        u[k] = out_x[k]
        v[k] = out_y[k]


cdef inline int whole_lanes(int n) noexcept nogil:
    return (n + LANES - 1) // LANES * LANES


cdef void project_block(const double *homography, int n, double *u, double *v) noexcept nogil:
    """Apply a homography in place; what lies 90 degrees or more from the target becomes NaN."""
    cdef const double *h = homography
    cdef double px, py, pw
    cdef int k
    for k in range(n):
        px = h[0] * u[k] + h[1] * v[k] + h[2]
        py = h[3] * u[k] + h[4] * v[k] + h[5]
        pw = h[6] * u[k] + h[7] * v[k] + h[8]
        pw = 1.0 / pw if pw > 0.0 else NAN
        u[k] = px * pw
        v[k] = py * pw

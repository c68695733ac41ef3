"""The mapping of detector pixels, compiled into each vector build of each kernel (LANES points at a time).

``map_row`` maps a row of pixels to output pixels; ``distort`` and ``project`` are its two halves for points
anywhere. A position depends on its pixel alone and comes from one order of operations, so that all of them
give the same bits in all builds. To be included after the structs of
``hapctl.ext.mapping`` and NAN.
"""

include "lanes.pxi"

cdef enum:
    TERMS_OF_ROW = 10  # MAX_SIP_ORDER + 1


cdef struct Cell:
    # A cell of a pair of tables: value at its low node and differences to the right, up and crosswise.
    double column
    double row
    double low_x
    double right_x
    double up_x
    double cross_x
    double low_y
    double right_y
    double up_y
    double cross_y


cdef struct Lookups:
    # The cell last met in each table; a pair of tables of one geometry shares the first.
    Cell d2im[2]
    Cell npol[2]
    bint d2im_alike
    bint npol_alike


cdef inline void read_cell(
    const Table *table, Py_ssize_t column, Py_ssize_t row,
    double *low, double *right, double *up, double *cross
) noexcept nogil:
    """A table that is not there is 0; beyond the last node nothing changes."""
    cdef const float *at
    cdef Py_ssize_t beside, above
    low[0], right[0], up[0], cross[0] = 0.0, 0.0, 0.0, 0.0
    if table.values == NULL:
        return
    at = table.values + row * table.nx + column
    beside = 1 if column + 1 < table.nx else 0
    above = table.nx if row + 1 < table.ny else 0
    low[0] = at[0]
    right[0] = <double>at[beside] - <double>at[0]
    up[0] = <double>at[above] - <double>at[0]
    cross[0] = (<double>at[above + beside] - <double>at[above]) - right[0]


cdef void enter_cell(
    const Table *table_x, const Table *table_y, double index_x, double index_y, Cell *cell
) noexcept nogil:
    """Read the cell that holds a node index; it lies inside the tables."""
    cdef Py_ssize_t column = <Py_ssize_t>index_x
    cdef Py_ssize_t row = <Py_ssize_t>index_y
    cell.column = <double>column
    cell.row = <double>row
    read_cell(table_x, column, row, &cell.low_x, &cell.right_x, &cell.up_x, &cell.cross_x)
    read_cell(table_y, column, row, &cell.low_y, &cell.right_y, &cell.up_y, &cell.cross_y)


cdef inline bint in_cell(const Cell *cell, lanes index_x, lanes index_y) noexcept nogil:
    """Whether all lanes lie in the cell."""
    cdef lanes zero = spread_out(0.0)
    cdef lanes one = spread_out(1.0)
    cdef lanes x = index_x - spread_out(cell.column)
    cdef lanes y = index_y - spread_out(cell.row)
    return all_of(both(both(at_most(zero, x), less(x, one)), both(at_most(zero, y), less(y, one))))


cdef inline lanes bilinear(
    lanes low, lanes right, lanes up, lanes cross, lanes x, lanes y
) noexcept nogil:
    return (low + y * up) + (right + y * cross) * x


cdef inline lanes of_two(mask beyond, double here, double there) noexcept nogil:
    return select(beyond, spread_out(there), spread_out(here))


cdef bint add_two_cells(
    const Table *table_x, const Table *table_y, Cell *cell, lanes index_x, lanes index_y, lanes *u, lanes *v
) noexcept nogil:
    """What ``add_pair`` adds where a row goes from one cell to the next; false where it is not so."""
    cdef const Table *table = table_x if table_x.values != NULL else table_y
    cdef lanes zero = spread_out(0.0)
    cdef lanes one = spread_out(1.0)
    cdef double place_x[LANES]
    cdef double place_y[LANES]
    cdef lanes x, y
    cdef mask beyond
    cdef Cell after
    if cell.column < 0.0:
        store(place_x, index_x)
        store(place_y, index_y)
        enter_cell(table_x, table_y, place_x[0], place_y[0], cell)
    x = index_x - spread_out(cell.column)
    y = index_y - spread_out(cell.row)
    beyond = at_most(one, x)
    if not all_of(both(
        both(at_most(zero, x), less(x, spread_out(2.0))), both(at_most(zero, y), less(y, one))
    )) or not cell.column + 1.0 < table.nx:
        return False
    enter_cell(table_x, table_y, cell.column + 1.0, cell.row, &after)
    x = index_x - of_two(beyond, cell.column, after.column)
    u[0] = u[0] + bilinear(
        of_two(beyond, cell.low_x, after.low_x), of_two(beyond, cell.right_x, after.right_x),
        of_two(beyond, cell.up_x, after.up_x), of_two(beyond, cell.cross_x, after.cross_x), x, y,
    )
    v[0] = v[0] + bilinear(
        of_two(beyond, cell.low_y, after.low_y), of_two(beyond, cell.right_y, after.right_y),
        of_two(beyond, cell.up_y, after.up_y), of_two(beyond, cell.cross_y, after.cross_y), x, y,
    )
    cell[0] = after
    return True


cdef void add_cells_apart(
    const Table *table_x, const Table *table_y, Cell *cell, lanes index_x, lanes index_y, lanes *u, lanes *v
) noexcept nogil:
    """What ``add_pair`` adds where the lanes lie in several cells."""
    cdef double place_x[LANES]
    cdef double place_y[LANES]
    cdef double column[LANES]
    cdef double row[LANES]
    cdef double part_x[4 * LANES]
    cdef double part_y[4 * LANES]
    cdef lanes x, y
    cdef int k
    store(place_x, index_x)
    store(place_y, index_y)
    for k in range(LANES):
        if not (
            0.0 <= place_x[k] - cell.column < 1.0 and 0.0 <= place_y[k] - cell.row < 1.0
        ):
            enter_cell(table_x, table_y, place_x[k], place_y[k], cell)
        column[k] = cell.column
        row[k] = cell.row
        part_x[k] = cell.low_x
        part_x[LANES + k] = cell.right_x
        part_x[2 * LANES + k] = cell.up_x
        part_x[3 * LANES + k] = cell.cross_x
        part_y[k] = cell.low_y
        part_y[LANES + k] = cell.right_y
        part_y[2 * LANES + k] = cell.up_y
        part_y[3 * LANES + k] = cell.cross_y
    x = index_x - load(column)
    y = index_y - load(row)
    u[0] = u[0] + bilinear(
        load(part_x), load(part_x + LANES), load(part_x + 2 * LANES), load(part_x + 3 * LANES), x, y
    )
    v[0] = v[0] + bilinear(
        load(part_y), load(part_y + LANES), load(part_y + 2 * LANES), load(part_y + 3 * LANES), x, y
    )


cdef inline void add_pair(
    const Table *table_x, const Table *table_y, Cell *cell, lanes at_x, lanes at_y, lanes *u, lanes *v
) noexcept nogil:
    """Add the bilinear values of two tables of one geometry; either may be missing."""
    cdef const Table *table = table_x if table_x.values != NULL else table_y
    # Beyond the edges the value on the edge; NaN takes the first node, the position carries it on.
    cdef lanes index_x = lesser(
        greater(at_x * table.scale_x + table.start_x, spread_out(0.0)), spread_out(<double>(table.nx - 1))
    )
    cdef lanes index_y = lesser(
        greater(at_y * table.scale_y + table.start_y, spread_out(0.0)), spread_out(<double>(table.ny - 1))
    )
    cdef lanes x, y
    if not in_cell(cell, index_x, index_y):
        if not add_two_cells(table_x, table_y, cell, index_x, index_y, u, v):
            add_cells_apart(table_x, table_y, cell, index_x, index_y, u, v)
        return
    x = index_x - spread_out(cell.column)
    y = index_y - spread_out(cell.row)
    u[0] = u[0] + bilinear(
        spread_out(cell.low_x), spread_out(cell.right_x), spread_out(cell.up_x), spread_out(cell.cross_x),
        x, y,
    )
    v[0] = v[0] + bilinear(
        spread_out(cell.low_y), spread_out(cell.right_y), spread_out(cell.up_y), spread_out(cell.cross_y),
        x, y,
    )


cdef inline void add_tables(
    const Table *table_x, const Table *table_y, bint alike, Cell *cells, lanes at_x, lanes at_y,
    lanes *u, lanes *v
) noexcept nogil:
    """Add the tables of both axes; the usual pair of one geometry shares the search."""
    cdef Table none
    if alike:
        add_pair(table_x, table_y, &cells[0], at_x, at_y, u, v)
        return
    none.values = NULL
    if table_x.values != NULL:
        add_pair(table_x, &none, &cells[0], at_x, at_y, u, v)
    if table_y.values != NULL:
        add_pair(&none, table_y, &cells[1], at_x, at_y, u, v)


cdef inline bint alike(const Table *one, const Table *other) noexcept nogil:
    """Whether a place in one table is the same place in the other."""
    return (
        one.values != NULL and other.values != NULL and one.nx == other.nx and one.ny == other.ny
        and one.scale_x == other.scale_x and one.scale_y == other.scale_y
        and one.start_x == other.start_x and one.start_y == other.start_y
    )


cdef void begin_lookups(const Distortion *chip, Lookups *lookups) noexcept nogil:
    """No cell met yet: node indices are never below 0."""
    cdef int k
    for k in range(2):
        lookups.d2im[k].column = -2.0
        lookups.npol[k].column = -2.0
    lookups.d2im_alike = alike(&chip.d2im_x, &chip.d2im_y)
    lookups.npol_alike = alike(&chip.npol_x, &chip.npol_y)


cdef inline lanes nested(const double *term, int order, lanes u, lanes v) noexcept nogil:
    """Nested Horner: a polynomial in v is the coefficient of each power of u (highest first)."""
    cdef lanes outer = spread_out(term[0])
    cdef lanes inner
    cdef int p, q
    for p in range(1, order + 1):
        term += p
        inner = spread_out(term[0])
        for q in range(1, p + 1):
            inner = inner * v + term[q]
        outer = outer * u + inner
    return outer


cdef inline lanes polynomial(const Polynomial *sip, lanes u, lanes v) noexcept nogil:
    # The orders of Hubble's solutions by name, so that a compiler unrolls them.
    if sip.order == 4:
        return nested(sip.terms, 4, u, v)
    if sip.order == 5:
        return nested(sip.terms, 5, u, v)
    return nested(sip.terms, sip.order, u, v)


cdef void terms_of_row(const Polynomial *sip, double v, double *terms) noexcept nogil:
    """The inner polynomials of ``nested`` at one v."""
    cdef const double *term = &sip.terms[0]
    cdef double inner
    cdef int p, q
    for p in range(sip.order + 1):
        term += p
        inner = term[0]
        for q in range(1, p + 1):
            inner = inner * v + term[q]
        terms[p] = inner


cdef inline lanes horner(const double *terms, int order, lanes u) noexcept nogil:
    cdef lanes outer = spread_out(terms[0])
    cdef int p
    for p in range(1, order + 1):
        outer = outer * u + terms[p]
    return outer


cdef inline lanes outer_part(const double *terms, int order, lanes u) noexcept nogil:
    """The outer polynomial of ``nested``, unrolled for the same orders."""
    if order == 4:
        return horner(terms, 4, u)
    if order == 5:
        return horner(terms, 5, u)
    return horner(terms, order, u)


cdef inline void distort(
    const Distortion *chip, Lookups *lookups, lanes x, lanes y, lanes *u, lanes *v
) noexcept nogil:
    """Offsets (u, v) from CRPIX."""
    cdef lanes image_x = x
    cdef lanes image_y = y
    cdef lanes from_crpix_x, from_crpix_y
    add_tables(&chip.d2im_x, &chip.d2im_y, lookups.d2im_alike, lookups.d2im, x, y, &image_x, &image_y)
    from_crpix_x = image_x - chip.crpix_x
    from_crpix_y = image_y - chip.crpix_y
    u[0] = from_crpix_x
    v[0] = from_crpix_y
    if chip.sip_x.order >= 0:
        u[0] = u[0] + polynomial(&chip.sip_x, from_crpix_x, from_crpix_y)
    if chip.sip_y.order >= 0:
        v[0] = v[0] + polynomial(&chip.sip_y, from_crpix_x, from_crpix_y)
    add_tables(&chip.npol_x, &chip.npol_y, lookups.npol_alike, lookups.npol, image_x, image_y, u, v)


cdef inline void project(const double *h, lanes *u, lanes *v) noexcept nogil:
    """Apply a homography; what lies 90 degrees or more from the target becomes NaN."""
    cdef lanes x = h[0] * u[0] + h[1] * v[0] + h[2]
    cdef lanes y = h[3] * u[0] + h[4] * v[0] + h[5]
    cdef lanes w = h[6] * u[0] + h[7] * v[0] + h[8]
    w = select(less(spread_out(0.0), w), spread_out(1.0) / w, spread_out(NAN))
    u[0] = x * w
    v[0] = y * w


cdef void map_row(
    const Distortion *chip, const double *homography, Py_ssize_t first, double shift, Py_ssize_t count,
    double y, double *out_x, double *out_y
) noexcept nogil:
    """Output pixels of the points (first + k + shift, y), k = 0 ... count - 1.

    The arrays have room for a whole number of LANES: what lies beyond count is written too.
    """
    cdef double steps[LANES]
    cdef double terms_x[TERMS_OF_ROW]
    cdef double terms_y[TERMS_OF_ROW]
    cdef Lookups lookups
    cdef lanes x, u, v, from_crpix_x, image_x, image_y
    cdef lanes row = spread_out(y)
    cdef Py_ssize_t start = 0
    # Without a shift of y all the row has one v, and the inner polynomials are its own.
    cdef bint level = chip.d2im_y.values == NULL
    cdef int k
    for k in range(LANES):
        steps[k] = <double>k
    begin_lookups(chip, &lookups)
    if level:
        terms_of_row(&chip.sip_x, y - chip.crpix_y, terms_x)
        terms_of_row(&chip.sip_y, y - chip.crpix_y, terms_y)
    while start < count:
        x = (load(steps) + <double>(first + start)) + shift
        if level:
            image_x = x
            image_y = row
            add_tables(&chip.d2im_x, &chip.d2im_y, False, lookups.d2im, x, row, &image_x, &image_y)
            from_crpix_x = image_x - chip.crpix_x
            u = from_crpix_x
            v = row - chip.crpix_y
            if chip.sip_x.order >= 0:
                u += outer_part(terms_x, chip.sip_x.order, from_crpix_x)
            if chip.sip_y.order >= 0:
                v += outer_part(terms_y, chip.sip_y.order, from_crpix_x)
            add_tables(&chip.npol_x, &chip.npol_y, lookups.npol_alike, lookups.npol, image_x, row, &u, &v)
        else:
            distort(chip, &lookups, x, row, &u, &v)
        project(homography, &u, &v)
        store(out_x + start, u)
        store(out_y + start, v)
        start += LANES

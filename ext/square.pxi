"""The square drizzle kernel: mapped pixels laid exactly over the output grid.

Contract (Fruchter & Hook 2002, section 3): the four corners of an input pixel, shrunk by pixfrac about its
centre, are mapped exactly; each output pixel receives ``weight * overlap / area``, area being that of the
mapped quadrilateral, so that an input wholly inside hands on exactly its weight. Sums are float64 and run
in a fixed order: of the calls, of tiles of TILE columns that begin at multiples of TILE, of rows, in a row
as ``scatter`` and ``sort_by_way`` say. A quadrilateral is computed from its own corners alone and only
then cut to the band, so that bits depend neither on bands nor on threads.

What contributes nothing: weights that are 0, negative, NaN or infinite; values that are NaN or infinite;
corners 90 degrees or more from the tangent point; quadrilaterals of no area, that cross themselves, or
wider than 128 output pixels (met only at the rim of a projection). A variance that is negative, NaN or
infinite makes the variance of what its pixel touches NaN.

Three ways to the same shares (to 1e-13 of a pixel): convex quadrilaterals inside 2 x 2 or 3 x 3 output
pixels, nearly all there are, go LANES at a time and without branches (``cover_four``, ``cover_nine``);
others one by one (``deposit``). Which way is a matter of the pixel's own corners.
"""

import numpy as np

from libc.math cimport INFINITY, NAN, fabs
from libc.stdlib cimport calloc, free, malloc

from hapctl.ext.mapping cimport BLOCK, ChipDistortion, Distortion, Polynomial, Table

include "distortion.pxi"

cdef enum:
    WIDEST = 128
    GRID_CELLS = (WIDEST + 3) * (WIDEST + 2)
    TILE = 128  # what its rows add to stays in the nearest cache
    ROOM = TILE + BLOCK  # the last corner of a tile, and whole blocks
    AHEAD = 8  # detector rows
    APART = 16  # columns from a pixel to the one added after it; divides TILE
    NOTHING = 0
    ODD = 1
    FOUR = 2
    NINE = 3

cdef double LEAST_AREA = 1e-12
# An edge lower than this moves no area that a double can show.
cdef double LEAST_RISE = 1e-15
# Below these a cell holds only the rounding of sums that cancel.
cdef double LEAST_COVER = 1e-14
cdef double LEAST_SHARE = 1e-10
# Output pixels beyond this are as good as infinitely far; their numbers fit an int.
cdef double FAR = 1e9


cdef struct Band:
    double *sums
    double *variances
    int *context
    int bit
    Py_ssize_t width
    Py_ssize_t first
    Py_ssize_t stop
    Py_ssize_t ahead  # places from a pixel's own to where the detector row that is AHEAD comes


cdef struct Pixels:
    const float *values
    const float *weights
    const float *variances
    Py_ssize_t stride
    Py_ssize_t rows
    Py_ssize_t first_row
    Py_ssize_t first
    Py_ssize_t stop
    double flux_scale
    double pixfrac


cdef struct Source:
    const Distortion *distortion
    const double *homography


cdef struct Corners:
    double *left_x
    double *left_y
    double *right_x
    double *right_y


cdef struct Row:
    # What a row of a tile hands from step to step; index 0 is the first column of the tile.
    double values[TILE]
    double weights[TILE]
    double variances[TILE]
    int way[TILE]
    int fours[TILE]
    int nines[TILE]
    int odds[TILE]
    Py_ssize_t four_count
    Py_ssize_t nine_count
    Py_ssize_t odd_count
    int left[TILE]
    int bottom[TILE]
    double low[4 * TILE]
    double middle[4 * TILE]


cdef struct Large:
    # The pixels of a row that need 3 x 3 cells, one after the other.
    double corners[8 * TILE]
    double weights[TILE]
    int left[TILE]
    int bottom[TILE]
    double low[4 * TILE]
    double middle[4 * TILE]
    double high[4 * TILE]


cdef struct Workspace:
    Row row
    Large large
    double lines[8 * ROOM]
    double cells[GRID_CELLS]


cdef struct Quads:
    # Corners from the lower left corner of the first cell on, and what decides the way.
    lanes x0
    lanes x1
    lanes x2
    lanes x3
    lanes y0
    lanes y1
    lanes y2
    lanes y3
    lanes right
    lanes top
    lanes first_line
    lanes doubled_area


cdef struct Lattice:
    # Sums over edges, each twice an area of the quadrilateral: left of x = 1, 2 and below y = 1, 2.
    lanes left1_below1
    lanes left2_below1
    lanes left1_below2
    lanes left2_below2
    lanes left1
    lanes left2
    lanes below1
    lanes below2


cdef inline lanes inner_part(
    lanes limit, lanes from_x, lanes from_y, lanes to_x, lanes to_y, lanes crossing
) noexcept nogil:
    """Twice the area between x = limit and the part of an edge on its left; it crosses at y = crossing."""
    cdef lanes zero = spread_out(0.0)
    cdef lanes from_depth = limit - from_x
    cdef lanes to_depth = limit - to_x
    cdef lanes start = select(less(zero, from_depth), from_y, crossing)
    cdef lanes end = select(less(zero, to_depth), to_y, crossing)
    return (greater(from_depth, zero) + greater(to_depth, zero)) * (start - end)


cdef inline lanes between(lanes a, lanes low, lanes high) noexcept nogil:
    """a within limits; NaN becomes the lower one."""
    return lesser(greater(a, low), high)


cdef inline void add_short_side(Lattice *sums, lanes x0, lanes y0, lanes x1, lanes y1) noexcept nogil:
    """``add_side`` of quadrilaterals inside 2 x 2 cells: the lines x = 1 and y = 1 alone."""
    cdef lanes one = spread_out(1.0)
    cdef lanes dx = x1 - x0
    cdef lanes dy = y1 - y0
    cdef lanes inverse = one / (dx * dy)
    cdef lanes y_at1 = between(y0 + (one - x0) * (dy * (dy * inverse)), lesser(y0, y1), greater(y0, y1))
    cdef lanes x_at1 = between(x0 + (one - y0) * (dx * (dx * inverse)), lesser(x0, x1), greater(x0, x1))
    cdef lanes from_x = select(less(y0, one), x0, x_at1)
    cdef lanes from_y = lesser(y0, one)
    cdef lanes to_x = select(less(y1, one), x1, x_at1)
    cdef lanes to_y = lesser(y1, one)
    sums.left1 += inner_part(one, x0, y0, x1, y1, y_at1)
    sums.below1 += (from_x + to_x) * (to_y - from_y)
    sums.left1_below1 += inner_part(one, from_x, from_y, to_x, to_y, y_at1)


cdef inline void add_side(Lattice *sums, lanes x0, lanes y0, lanes x1, lanes y1) noexcept nogil:
    """Add what the edge from (x0, y0) to (x1, y1) bounds, by Green's theorem.

    The quadrilateral left of x = X and below y = Y has the area of minus the integral of (X - x) dy over
    the parts of its edges there: what else bounds it lies on x = X or has no dy.
    """
    cdef lanes one = spread_out(1.0)
    cdef lanes two = spread_out(2.0)
    cdef lanes dx = x1 - x0
    cdef lanes dy = y1 - y0
    # Level and upright edges make infinities and NaN; the limits turn them into the edge's own ends.
    cdef lanes inverse = one / (dx * dy)
    cdef lanes dy_dx = dy * (dy * inverse)
    cdef lanes dx_dy = dx * (dx * inverse)
    cdef lanes left = lesser(x0, x1)
    cdef lanes right = greater(x0, x1)
    cdef lanes bottom = lesser(y0, y1)
    cdef lanes top = greater(y0, y1)
    cdef lanes y_at1 = between(y0 + (one - x0) * dy_dx, bottom, top)
    cdef lanes y_at2 = between(y0 + (two - x0) * dy_dx, bottom, top)
    cdef lanes x_at1 = between(x0 + (one - y0) * dx_dy, left, right)
    cdef lanes x_at2 = between(x0 + (two - y0) * dx_dy, left, right)
    cdef lanes from_x, from_y, to_x, to_y
    sums.left1 += inner_part(one, x0, y0, x1, y1, y_at1)
    sums.left2 += inner_part(two, x0, y0, x1, y1, y_at2)
    from_x = select(less(y0, one), x0, x_at1)
    from_y = lesser(y0, one)
    to_x = select(less(y1, one), x1, x_at1)
    to_y = lesser(y1, one)
    sums.below1 += (from_x + to_x) * (to_y - from_y)
    sums.left1_below1 += inner_part(one, from_x, from_y, to_x, to_y, y_at1)
    sums.left2_below1 += inner_part(two, from_x, from_y, to_x, to_y, y_at2)
    from_x = select(less(y0, two), x0, x_at2)
    from_y = lesser(y0, two)
    to_x = select(less(y1, two), x1, x_at2)
    to_y = lesser(y1, two)
    sums.below2 += (from_x + to_x) * (to_y - from_y)
    sums.left1_below2 += inner_part(one, from_x, from_y, to_x, to_y, y_at1)
    sums.left2_below2 += inner_part(two, from_x, from_y, to_x, to_y, y_at2)


cdef inline lanes kept(lanes cover, lanes per_area, lanes least, lanes weight) noexcept nogil:
    """The weights that cells receive; what is only rounding becomes 0."""
    cdef lanes share = cover * per_area
    return zero_unless(less(least, share), share * weight)


cdef inline lanes integral_below(lanes a, int *to) noexcept nogil:
    """The whole number below, stored too; NaN and what is far off come to limits."""
    cdef lanes widest = spread_out(WIDEST)
    cdef ints whole = to_int(between(a, spread_out(-WIDEST), spread_out(FAR)) + widest)
    store_int(to, whole)
    return from_int(whole)


cdef inline void read_quads(
    const Corners *lower, const Corners *upper, Py_ssize_t at, int *left, int *bottom, Quads *quads
) noexcept nogil:
    """The quadrilaterals of LANES pixels, each in cells that begin at the whole numbers below it."""
    cdef lanes shift = spread_out(WIDEST + 0.5)
    cdef lanes x0 = load(lower.left_x + at)
    cdef lanes y0 = load(lower.left_y + at)
    cdef lanes x1 = load(lower.right_x + at)
    cdef lanes y1 = load(lower.right_y + at)
    cdef lanes x2 = load(upper.right_x + at)
    cdef lanes y2 = load(upper.right_y + at)
    cdef lanes x3 = load(upper.left_x + at)
    cdef lanes y3 = load(upper.left_y + at)
    cdef lanes origin = integral_below(lesser(lesser(x0, x1), lesser(x2, x3)) + 0.5, left) - shift
    quads.x0 = x0 - origin
    quads.x1 = x1 - origin
    quads.x2 = x2 - origin
    quads.x3 = x3 - origin
    quads.right = greater(greater(x0, x1), greater(x2, x3)) - origin
    origin = integral_below(lesser(lesser(y0, y1), lesser(y2, y3)) + 0.5, bottom) - shift
    quads.y0 = y0 - origin
    quads.y1 = y1 - origin
    quads.y2 = y2 - origin
    quads.y3 = y3 - origin
    quads.top = greater(greater(y0, y1), greater(y2, y3)) - origin
    quads.first_line = origin


cdef inline mask is_convex(Quads *quads) noexcept nogil:
    """Where all four turns are to one side and the area is not 0; the area is found on the way."""
    cdef lanes zero = spread_out(0.0)
    cdef lanes dx0 = quads.x1 - quads.x0
    cdef lanes dx1 = quads.x2 - quads.x1
    cdef lanes dx2 = quads.x3 - quads.x2
    cdef lanes dx3 = quads.x0 - quads.x3
    cdef lanes dy0 = quads.y1 - quads.y0
    cdef lanes dy1 = quads.y2 - quads.y1
    cdef lanes dy2 = quads.y3 - quads.y2
    cdef lanes dy3 = quads.y0 - quads.y3
    cdef lanes turn0 = dx3 * dy0 - dx0 * dy3
    cdef lanes turn1 = dx0 * dy1 - dx1 * dy0
    cdef lanes turn2 = dx1 * dy2 - dx2 * dy1
    cdef lanes turn3 = dx2 * dy3 - dx3 * dy2
    quads.doubled_area = turn0 + turn2
    return both(
        less(spread_out(2.0 * LEAST_AREA), magnitude(quads.doubled_area)),
        either(
            at_most(zero, lesser(lesser(turn0, turn1), lesser(turn2, turn3))),
            at_most(greater(greater(turn0, turn1), greater(turn2, turn3)), zero),
        ),
    )


cdef void cover_four(
    const Band *band, const Corners *lower, const Corners *upper, Py_ssize_t at, Row *row
) noexcept nogil:
    """Find the ways of the LANES pixels from ``at`` on, and the weights that 2 x 2 cells receive of each."""
    cdef Quads quads
    cdef Lattice sums
    cdef lanes zero = spread_out(0.0)
    cdef lanes two = spread_out(2.0)
    cdef lanes three = spread_out(3.0)
    cdef lanes weight = load(row.weights + at)
    cdef lanes per_area, least
    cdef mask convex, four, nine
    read_quads(lower, upper, at, row.left + at, row.bottom + at, &quads)
    if not any_of(both(
        less(spread_out(band.first - 0.5), quads.top + quads.first_line),
        less(quads.first_line, spread_out(<double>band.stop)),
    )):
        return
    convex = is_convex(&quads)
    four = both(convex, both(less(quads.right, two), less(quads.top, two)))
    nine = both(convex, both(less(quads.right, three), less(quads.top, three)))
    store_int(row.way + at, to_int(select(
        less(zero, weight),
        select(four, spread_out(FOUR), select(nine, spread_out(NINE), spread_out(ODD))),
        spread_out(NOTHING),
    )))
    if not any_of(four):
        return
    sums.left1_below1 = zero
    sums.left1 = zero
    sums.below1 = zero
    add_short_side(&sums, quads.x0, quads.y0, quads.x1, quads.y1)
    add_short_side(&sums, quads.x1, quads.y1, quads.x2, quads.y2)
    add_short_side(&sums, quads.x2, quads.y2, quads.x3, quads.y3)
    add_short_side(&sums, quads.x3, quads.y3, quads.x0, quads.y0)
    per_area = spread_out(1.0) / quads.doubled_area
    least = spread_out(2.0 * LEAST_COVER) * magnitude(per_area) + LEAST_SHARE
    sums.below1 = sums.below1 - sums.left1_below1
    store_fours(
        row.low + 4 * at,
        kept(sums.left1_below1, per_area, least, weight),
        kept(sums.below1, per_area, least, weight),
        zero,
    )
    store_fours(
        row.middle + 4 * at,
        kept(sums.left1 - sums.left1_below1, per_area, least, weight),
        kept((quads.doubled_area - sums.left1) - sums.below1, per_area, least, weight),
        zero,
    )


cdef void cover_nine(const Corners *lower, const Corners *upper, Py_ssize_t at, Large *large) noexcept nogil:
    """Weights that the LANES large pixels from ``at`` on give to 3 x 3 cells each."""
    cdef Quads quads
    cdef Lattice sums
    cdef lanes zero = spread_out(0.0)
    cdef lanes weight = load(large.weights + at)
    cdef lanes per_area, least, first, second, third
    read_quads(lower, upper, at, large.left + at, large.bottom + at, &quads)
    is_convex(&quads)
    sums.left1_below1 = zero
    sums.left2_below1 = zero
    sums.left1_below2 = zero
    sums.left2_below2 = zero
    sums.left1 = zero
    sums.left2 = zero
    sums.below1 = zero
    sums.below2 = zero
    add_side(&sums, quads.x0, quads.y0, quads.x1, quads.y1)
    add_side(&sums, quads.x1, quads.y1, quads.x2, quads.y2)
    add_side(&sums, quads.x2, quads.y2, quads.x3, quads.y3)
    add_side(&sums, quads.x3, quads.y3, quads.x0, quads.y0)
    per_area = spread_out(1.0) / quads.doubled_area
    least = spread_out(2.0 * LEAST_COVER) * magnitude(per_area) + LEAST_SHARE
    store_fours(
        large.low + 4 * at,
        kept(sums.left1_below1, per_area, least, weight),
        kept(sums.left2_below1 - sums.left1_below1, per_area, least, weight),
        kept(sums.below1 - sums.left2_below1, per_area, least, weight),
    )
    first = sums.left1_below2 - sums.left1_below1
    second = sums.left2_below2 - sums.left2_below1
    third = sums.below2 - sums.below1
    store_fours(
        large.middle + 4 * at,
        kept(first, per_area, least, weight),
        kept(second - first, per_area, least, weight),
        kept(third - second, per_area, least, weight),
    )
    first = sums.left1 - sums.left1_below2
    second = sums.left2 - sums.left2_below2
    third = quads.doubled_area - sums.below2
    store_fours(
        large.high + 4 * at,
        kept(first, per_area, least, weight),
        kept(second - first, per_area, least, weight),
        kept(third - second, per_area, least, weight),
    )


cdef void sort_by_way(Row *row) noexcept nogil:
    """List the pixels of each way, without branches: no processor guesses which way comes next.

    Neighbours add to the same places: one straight after the other would wait for what it stored, so
    the lists go in columns APART. Their order is that of the columns of the tile alone: it is the same
    whichever pixels a band leaves out.
    """
    cdef Py_ssize_t fours = 0
    cdef Py_ssize_t nines = 0
    cdef Py_ssize_t odds = 0
    cdef Py_ssize_t begin, turn, k
    for begin in range(APART):
        for turn in range(TILE // APART):
            k = begin + turn * APART
            row.fours[fours] = <int>k
            row.nines[nines] = <int>k
            row.odds[odds] = <int>k
            fours += row.way[k] == FOUR
            nines += row.way[k] == NINE
            odds += row.way[k] == ODD
    row.four_count = fours
    row.nine_count = nines
    row.odd_count = odds


cdef void gather_large(
    const Corners *lower, const Corners *upper, const Row *row, Large *large
) noexcept nogil:
    """Bring the large pixels of a row together, in whole groups of LANES."""
    cdef double *to = large.corners
    cdef Py_ssize_t n, k
    for n in range(row.nine_count):
        k = row.nines[n]
        to[n] = lower.left_x[k]
        to[TILE + n] = lower.left_y[k]
        to[2 * TILE + n] = lower.right_x[k]
        to[3 * TILE + n] = lower.right_y[k]
        to[4 * TILE + n] = upper.left_x[k]
        to[5 * TILE + n] = upper.left_y[k]
        to[6 * TILE + n] = upper.right_x[k]
        to[7 * TILE + n] = upper.right_y[k]
        large.weights[n] = row.weights[k]
    n = row.nine_count
    while n % LANES != 0:
        for k in range(8):
            to[k * TILE + n] = 0.0
        large.weights[n] = 0.0
        n += 1


cdef inline void give(
    const Band *band, Py_ssize_t at, double given, double value, double variance
) noexcept nogil:
    """Add one weight to an output pixel; 0 changes nothing."""
    band.sums[2 * at] += given * value
    band.sums[2 * at + 1] += given
    if band.variances != NULL and given > 0.0:
        band.variances[at] += given * given * variance
    if band.context != NULL and given > 0.0:
        band.context[at] |= band.bit


cdef inline void add_cells(
    const Band *band, Py_ssize_t at, const double *given, factors value, double variance
) noexcept nogil:
    """``give`` to four pixels of a row inside the band."""
    add_four(band.sums + 2 * at, given, value)
    if band.context != NULL:
        mark_four(band.context + at, given, band.bit)
    if band.variances != NULL:
        add_four_squares(band.variances + at, given, variance)


cdef void add_at_rim(
    const Band *band, Py_ssize_t left, Py_ssize_t bottom, const double *low, const double *middle,
    const double *high, double value, double variance
) noexcept nogil:
    """Add what of two or three rows of cells the band has."""
    cdef const double *given
    cdef Py_ssize_t line, column
    cdef int r, c
    for r in range(3):
        given = low if r == 0 else middle if r == 1 else high
        line = bottom + r
        if given == NULL or line < band.first or line >= band.stop:
            continue
        for c in range(3):
            column = left + c
            if 0 <= column < band.width:
                give(band, (line - band.first) * band.width + column, given[c], value, variance)


cdef inline void add_cells_of(
    const Band *band, Py_ssize_t left, Py_ssize_t bottom, const double *low, const double *middle,
    const double *high, double value, double variance
) noexcept nogil:
    """Add two or three rows of cells; their corner as ``integral_below`` tells it."""
    cdef Py_ssize_t at
    cdef factors both_factors
    left -= WIDEST
    bottom -= WIDEST
    if not (
        left >= 0 and left + 4 <= band.width
        and bottom >= band.first and bottom + (2 if high == NULL else 3) <= band.stop
    ):
        add_at_rim(band, left, bottom, low, middle, high, value, variance)
        return
    at = (bottom - band.first) * band.width + left
    both_factors = factors_of(value)
    add_cells(band, at, low, both_factors, variance)
    add_cells(band, at + band.width, middle, both_factors, variance)
    if high != NULL:
        add_cells(band, at + 2 * band.width, high, both_factors, variance)
    # No processor guesses where the next rows of pixels come.
    at += band.ahead
    expect(band.sums + 2 * at)
    if band.context != NULL:
        expect(band.context + at)
    if band.variances != NULL:
        expect(band.variances + at)


cdef void add_fours(const Band *band, const Row *row) noexcept nogil:
    """Add the pixels inside 2 x 2 cells."""
    cdef Py_ssize_t n, k
    for n in range(row.four_count):
        k = row.fours[n]
        add_cells_of(
            band, row.left[k], row.bottom[k], row.low + 4 * k, row.middle + 4 * k, NULL,
            row.values[k], row.variances[k],
        )


cdef void add_nines(const Band *band, const Row *row, const Large *large) noexcept nogil:
    """Add the large pixels likewise."""
    cdef Py_ssize_t n, k
    for n in range(row.nine_count):
        k = row.nines[n]
        add_cells_of(
            band, large.left[n], large.bottom[n], large.low + 4 * n, large.middle + 4 * n,
            large.high + 4 * n, row.values[k], row.variances[k],
        )


cdef void add_odds(
    const Band *band, Workspace *work, const Corners *lower, const Corners *upper
) noexcept nogil:
    cdef const Row *row = &work.row
    cdef Py_ssize_t n, k
    cdef double x[4]
    cdef double y[4]
    for n in range(row.odd_count):
        k = row.odds[n]
        x[0], x[1], x[2], x[3] = lower.left_x[k], lower.right_x[k], upper.right_x[k], upper.left_x[k]
        y[0], y[1], y[2], y[3] = lower.left_y[k], lower.right_y[k], upper.right_y[k], upper.left_y[k]
        deposit(band, work.cells, x, y, row.values[k], row.weights[k], row.variances[k])


cdef inline Py_ssize_t rows_ahead(double lower, double upper, double pixfrac) noexcept nogil:
    """By how many output pixels AHEAD detector rows move along an axis; 0 for NaN."""
    cdef double moved = AHEAD / pixfrac * (upper - lower)
    return <Py_ssize_t>moved if -WIDEST < moved < WIDEST else 0


cdef void scatter(
    const Band *place, Workspace *work, const Corners *lower, const Corners *upper,
    Py_ssize_t first, Py_ssize_t stop, double pixfrac
) noexcept nogil:
    """Add a row of a tile to the band: what needs 2 x 2 cells, then 3 x 3, then all else."""
    cdef Band band = place[0]
    band.ahead = rows_ahead(lower.left_x[first], upper.left_x[first], pixfrac)
    band.ahead += band.width * rows_ahead(lower.left_y[first], upper.left_y[first], pixfrac)
    add_fours(&band, &work.row)
    add_nines(&band, &work.row, &work.large)
    add_odds(&band, work, lower, upper)


cdef inline void add_row_span(double *cells, double left, double right, double rise) noexcept nogil:
    """One row's part of an edge, from x = left to right: what it hides of each cell to its right.

    Cells hold differences along the row; their running sum is the signed cover.
    """
    cdef Py_ssize_t column = <Py_ssize_t>left
    cdef double inside, slope, edge, share, passed
    if right <= column + 1.0:
        inside = 0.5 * (left + right) - column
        cells[column] += rise * (1.0 - inside)
        cells[column + 1] += rise * inside
        return
    slope = rise / (right - left)
    edge = column + 1.0 - left
    share = 0.5 * slope * edge * edge
    cells[column] += share
    passed = share
    column += 1
    share = slope * (edge + 0.5)
    while right > column + 1.0:
        cells[column] += share - passed
        passed = share
        share += slope
        column += 1
    edge = right - column
    share = rise - 0.5 * slope * edge * edge
    cells[column] += share - passed
    cells[column + 1] += rise - share


cdef inline void add_edge(
    double *cells, Py_ssize_t stride, double x0, double y0, double x1, double y1
) noexcept nogil:
    """Add one directed edge to the grid of differences."""
    cdef double sign = 1.0
    cdef double slope, low, high, at, beyond
    cdef Py_ssize_t row
    if y1 < y0:
        x0, x1 = x1, x0
        y0, y1 = y1, y0
        sign = -1.0
    if y1 - y0 < LEAST_RISE:
        return
    slope = (x1 - x0) / (y1 - y0)
    low = min(x0, x1)
    high = max(x0, x1)
    row = <Py_ssize_t>y0
    cells += row * stride
    at = x0
    while y1 > row + 1.0:
        beyond = x0 + (row + 1.0 - y0) * slope
        beyond = min(max(beyond, low), high)
        if at < beyond:
            add_row_span(cells, at, beyond, sign * (row + 1.0 - y0) if row < y0 else sign)
        else:
            add_row_span(cells, beyond, at, sign * (row + 1.0 - y0) if row < y0 else sign)
        at = beyond
        row += 1
        cells += stride
    beyond = x1
    if row > y0:
        y0 = row
    if at < beyond:
        add_row_span(cells, at, beyond, sign * (y1 - y0))
    else:
        add_row_span(cells, beyond, at, sign * (y1 - y0))


cdef inline double cross(
    double ax, double ay, double bx, double by, double cx, double cy
) noexcept nogil:
    return (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)


cdef inline double quad_area(const double *x, const double *y) noexcept nogil:
    """Signed area of a quadrilateral; 0 where its sides cross (both splits then change sign)."""
    cdef double abc = cross(x[0], y[0], x[1], y[1], x[2], y[2])
    cdef double acd = cross(x[0], y[0], x[2], y[2], x[3], y[3])
    cdef double abd = cross(x[0], y[0], x[1], y[1], x[3], y[3])
    cdef double bcd = cross(x[1], y[1], x[2], y[2], x[3], y[3])
    if abc * acd < 0.0 and abd * bcd < 0.0:
        return 0.0
    return 0.5 * (abc + acd)


cdef inline void spread(
    const Band *band, const double *cells, Py_ssize_t columns, Py_ssize_t rows, Py_ssize_t left,
    Py_ssize_t bottom, double area, double value, double weight, double variance
) noexcept nogil:
    """Add a covered grid to the sums of the rows and columns that the band has."""
    cdef double per_area = 1.0 / area
    cdef double least = LEAST_COVER * fabs(per_area) + LEAST_SHARE
    cdef double covered, share
    cdef Py_ssize_t row, column, at
    for row in range(rows):
        if bottom + row < band.first or bottom + row >= band.stop:
            continue
        covered = 0.0
        at = (bottom + row - band.first) * band.width + left
        for column in range(columns):
            covered += cells[row * (columns + 1) + column]
            if 0 <= left + column < band.width:
                share = covered * per_area
                give(band, at + column, share * weight if share > least else 0.0, value, variance)


cdef void deposit(
    const Band *band, double *cells, double *x, double *y, double value, double weight, double variance
) noexcept nogil:
    """Lay any quadrilateral (pixel centres are integers) over the band; cells is room to work in."""
    cdef double x_low = min(min(x[0], x[1]), min(x[2], x[3])) + 0.5
    cdef double x_high = max(max(x[0], x[1]), max(x[2], x[3])) + 0.5
    cdef double y_low = min(min(y[0], y[1]), min(y[2], y[3])) + 0.5
    cdef double y_high = max(max(y[0], y[1]), max(y[2], y[3])) + 0.5
    cdef double area
    cdef Py_ssize_t left, bottom, columns, rows, k
    if not (x_high > 0.0 and x_low < band.width and y_high > band.first and y_low < band.stop):
        return
    if not (x_high - x_low < WIDEST and y_high - y_low < WIDEST):
        return
    area = quad_area(x, y)
    if not fabs(area) > LEAST_AREA:
        return
    # Truncation is floor here: neither number can be below -WIDEST.
    left = <Py_ssize_t>(x_low + WIDEST) - WIDEST
    bottom = <Py_ssize_t>(y_low + WIDEST) - WIDEST
    columns = <Py_ssize_t>(x_high + WIDEST) - WIDEST - left + 1
    rows = <Py_ssize_t>(y_high + WIDEST) - WIDEST - bottom + 1
    for k in range(4):
        x[k] = x[k] + 0.5 - left
        y[k] = y[k] + 0.5 - bottom
    for k in range((columns + 1) * rows):
        cells[k] = 0.0
    for k in range(4):
        add_edge(cells, columns + 1, x[k], y[k], x[(k + 1) & 3], y[(k + 1) & 3])
    # Seen with y upwards, an edge that rises on the left of its pixel covers what is right of it.
    spread(band, cells, columns, rows, left, bottom, -area, value, weight, variance)


cdef void place(Corners *corners, double *lines, bint shared) noexcept nogil:
    """Lay the four arrays of a corner line out; shared corners serve the pixels on both of their sides."""
    corners.left_x = lines
    corners.left_y = lines + ROOM
    corners.right_x = lines + 1 if shared else lines + 2 * ROOM
    corners.right_y = lines + ROOM + 1 if shared else lines + 3 * ROOM


cdef void map_line(
    const Source *source, Corners *corners, Py_ssize_t tile, Py_ssize_t first, Py_ssize_t stop,
    double half, double y, bint shared
) noexcept nogil:
    """Map the corners of a row of pixels at height y, half a shrunken pixel to either side."""
    map_row(
        source.distortion, source.homography, tile + first, -half, stop - first + (1 if shared else 0), y,
        corners.left_x + first, corners.left_y + first,
    )
    if not shared:
        map_row(
            source.distortion, source.homography, tile + first, half, stop - first, y,
            corners.right_x + first, corners.right_y + first,
        )


cdef bint read_row(const Pixels *pixels, Py_ssize_t r, Py_ssize_t tile, Py_ssize_t first, Py_ssize_t stop,
                   Row *row) noexcept nogil:
    """Bring a row of pixels in; what contributes nothing gets weight and value 0. False if all of it is."""
    cdef const float *values = pixels.values + r * pixels.stride + tile
    cdef const float *weights = pixels.weights + r * pixels.stride + tile
    cdef const float *variances
    cdef Py_ssize_t k
    cdef double value, weight, variance
    cdef double squared = pixels.flux_scale * pixels.flux_scale
    cdef bint some = False
    cdef bint good
    for k in range(TILE):
        row.weights[k] = 0.0
    for k in range(first, stop):
        value = values[k]
        weight = weights[k]
        good = (weight > 0.0) & (weight < INFINITY) & (fabs(value) < INFINITY)
        row.weights[k] = weight if good else 0.0
        row.values[k] = value * pixels.flux_scale if good else 0.0
        some |= good
    if pixels.variances != NULL:
        variances = pixels.variances + r * pixels.stride + tile
        for k in range(first, stop):
            variance = variances[k]
            row.variances[k] = variance * squared if (variance >= 0.0) & (variance < INFINITY) else NAN
    return some


cdef void cover_row(
    const Band *band, const Corners *lower, const Corners *upper, Py_ssize_t first, Py_ssize_t stop,
    Workspace *work
) noexcept nogil:
    """The weights that a row of a tile gives; groups of LANES without a good pixel are left out."""
    cdef Py_ssize_t at = first // LANES * LANES
    cdef Py_ssize_t k
    cdef Corners large_lower, large_upper
    cdef double *corners = work.large.corners
    for k in range(TILE):
        work.row.way[k] = NOTHING
    while at < stop:
        if any_of(less(spread_out(0.0), load(work.row.weights + at))):
            cover_four(band, lower, upper, at, &work.row)
        at += LANES
    sort_by_way(&work.row)
    gather_large(lower, upper, &work.row, &work.large)
    large_lower.left_x = corners
    large_lower.left_y = corners + TILE
    large_lower.right_x = corners + 2 * TILE
    large_lower.right_y = corners + 3 * TILE
    large_upper.left_x = corners + 4 * TILE
    large_upper.left_y = corners + 5 * TILE
    large_upper.right_x = corners + 6 * TILE
    large_upper.right_y = corners + 7 * TILE
    at = 0
    while at < work.row.nine_count:
        cover_nine(&large_lower, &large_upper, at, &work.large)
        at += LANES


cdef void add_tile(
    const Band *band, const Source *source, const Pixels *pixels, Py_ssize_t tile, Workspace *work
) noexcept nogil:
    """Drizzle the rows of one tile of columns."""
    cdef Corners lower, upper, turned
    cdef Py_ssize_t first = max(pixels.first - tile, <Py_ssize_t>0)
    cdef Py_ssize_t stop = min(pixels.stop - tile, <Py_ssize_t>TILE)
    cdef Py_ssize_t r
    cdef double y
    cdef double half = 0.5 * pixels.pixfrac
    cdef bint shared = pixels.pixfrac == 1.0
    cdef Py_ssize_t group = first // LANES * LANES
    place(&lower, work.lines, shared)
    place(&upper, work.lines + 4 * ROOM, shared)
    for r in range(pixels.rows):
        y = <double>(pixels.first_row + r)
        if r == 0 or not shared:
            map_line(source, &lower, tile, group, stop, half, y - half, shared)
        map_line(source, &upper, tile, group, stop, half, y + half, shared)
        if read_row(pixels, r, tile, first, stop, &work.row):
            cover_row(band, &lower, &upper, first, stop, work)
            scatter(band, work, &lower, &upper, first, stop, pixels.pixfrac)
        if shared:
            turned = lower
            lower = upper
            upper = turned


cdef void add_tiles(
    const Band *band, const Source *source, const Pixels *pixels, Workspace *work
) noexcept nogil:
    cdef Py_ssize_t tile = pixels.first // TILE * TILE
    while tile < pixels.stop:
        add_tile(band, source, pixels, tile, work)
        tile += TILE


def add_pixels(
    ChipDistortion chip,
    const double[:, ::1] homography,
    const float[:, ::1] values,
    const float[:, ::1] weights,
    Py_ssize_t first_row,
    tuple columns,
    double flux_scale,
    double pixfrac,
    double[:, :, ::1] sums,
    context,
    int bit,
    Py_ssize_t first_output_row,
    variances=None,
    variance_sums=None,
):
    """Drizzle a block of detector rows onto a band.

    Parameters
    ----------
    chip : ChipDistortion
    homography : ndarray, shape (3, 3), float64
        From distortion-corrected offsets to 0-based output pixels.
    values, weights : ndarray, shape (rows, nx), float32
        Whole detector rows.
    first_row : int
        Detector row of ``values[0]``, 0-based.
    columns : tuple of two int
        First detector column to use, and the one after the last.
    flux_scale : float
        What values are multiplied by.
    pixfrac : float
        Side of the shrunken pixel, 0 < pixfrac <= 1.
    sums : ndarray, shape (band rows, output nx, 2), float64
        Sums of weight * value and of weight; added to.
    context : ndarray, shape (band rows, output nx), int32, or None
        Bit plane; ``bit`` is set where a weight is added.
    bit : int
        The bit as a signed 32-bit value.
    first_output_row : int
        Output row of ``sums[0]``, 0-based.
    variances : ndarray, shape (rows, nx), float32, or None
        Of the values, in their units squared.
    variance_sums : ndarray, shape (band rows, output nx), float64, or None
        Sums of weight**2 * variance; added to. Both or none of the two.
    """
    cdef Band band
    cdef Source source
    cdef Pixels pixels
    cdef Workspace *work
    if homography.shape[0] != 3 or homography.shape[1] != 3 or not 0.0 < pixfrac <= 1.0:
        raise ValueError("the homography is not 3 x 3, or pixfrac not in (0, 1]")
    if (variances is None) != (variance_sums is None):
        raise ValueError("variances need their sums, and the other way round")
    set_pixels(&pixels, values, weights, variances, columns)
    set_band(&band, sums, variance_sums, context)
    if pixels.first == pixels.stop or pixels.rows == 0 or sums.shape[0] == 0 or sums.shape[1] == 0:
        return
    pixels.first_row = first_row
    pixels.flux_scale = flux_scale
    pixels.pixfrac = pixfrac
    if not 0 <= first_output_row <= FAR - sums.shape[0] or sums.shape[1] > FAR:
        raise ValueError("the band lies outside of what positions can tell")
    band.bit = bit
    band.first = first_output_row
    band.stop = first_output_row + sums.shape[0]
    source.distortion = &chip.data
    source.homography = &homography[0, 0]
    work = <Workspace *>malloc(sizeof(Workspace))
    if work == NULL:
        raise MemoryError
    with nogil:
        add_tiles(&band, &source, &pixels, work)
    free(work)


cdef set_pixels(
    Pixels *pixels, const float[:, ::1] values, const float[:, ::1] weights, variances, tuple columns
):
    """Check and describe the input."""
    cdef const float[:, ::1] third = values if variances is None else variances
    pixels.first, pixels.stop = columns
    pixels.rows = values.shape[0]
    pixels.stride = values.shape[1]
    if weights.shape[0] != values.shape[0] or weights.shape[1] != values.shape[1]:
        raise ValueError("values and weights differ in shape")
    if third.shape[0] != values.shape[0] or third.shape[1] != values.shape[1]:
        raise ValueError("values and variances differ in shape")
    if not 0 <= pixels.first <= pixels.stop <= values.shape[1]:
        raise ValueError("columns lie outside the rows")
    pixels.values, pixels.weights, pixels.variances = NULL, NULL, NULL
    if values.shape[0] > 0 and values.shape[1] > 0:
        pixels.values = &values[0, 0]
        pixels.weights = &weights[0, 0]
        if variances is not None:
            pixels.variances = &third[0, 0]


cdef set_band(Band *band, double[:, :, ::1] sums, variance_sums, context):
    """Check and describe the output."""
    cdef double[:, ::1] squares
    cdef int[:, ::1] plane
    band.width = sums.shape[1]
    band.first = 0
    band.stop = sums.shape[0]
    band.bit = 0
    band.ahead = 0
    band.context = NULL
    band.variances = NULL
    if sums.shape[2] != 2:
        raise ValueError("sums are not pairs")
    if sums.shape[0] == 0 or sums.shape[1] == 0:
        return
    band.sums = &sums[0, 0, 0]
    if variance_sums is not None:
        squares = variance_sums
        if squares.shape[0] != sums.shape[0] or squares.shape[1] != sums.shape[1]:
            raise ValueError("variance_sums and sums differ in shape")
        band.variances = &squares[0, 0]
    if context is not None:
        plane = context
        if plane.shape[0] != sums.shape[0] or plane.shape[1] != sums.shape[1]:
            raise ValueError("context and sums differ in shape")
        band.context = &plane[0, 0]


def finish(const double[:, :, ::1] sums, float[:, ::1] values, float[:, ::1] weights, float fill):
    """Turn sums into means: value = sum / weight where the weight is above 0, else ``fill`` and weight 0."""
    if sums.shape[0] != values.shape[0] or sums.shape[1] != values.shape[1] or sums.shape[2] != 2:
        raise ValueError("sums and values differ in shape")
    if weights.shape[0] != values.shape[0] or weights.shape[1] != values.shape[1]:
        raise ValueError("values and weights differ in shape")
    if sums.shape[0] > 0 and sums.shape[1] > 0:
        with nogil:
            divide(&sums[0, 0, 0], sums.shape[0] * sums.shape[1], &values[0, 0], &weights[0, 0], fill)


cdef void divide(
    const double *sums, Py_ssize_t count, float *values, float *weights, float fill
) noexcept nogil:
    cdef double weight
    cdef float mean
    cdef Py_ssize_t k
    for k in range(count):
        weight = sums[2 * k + 1]
        # Dividing everywhere leaves no branch; what it gives for 0 is not used.
        mean = <float>(sums[2 * k] / weight)
        values[k] = mean if weight > 0.0 else fill
        weights[k] = <float>weight


def finish_variances(
    const double[:, :, ::1] sums, const double[:, ::1] variance_sums, float[:, ::1] variances, float fill
):
    """Variances of means: sum of weight**2 * variance over weight squared, ``fill`` where that is 0."""
    if sums.shape[0] != variances.shape[0] or sums.shape[1] != variances.shape[1] or sums.shape[2] != 2:
        raise ValueError("sums and variances differ in shape")
    if variance_sums.shape[0] != variances.shape[0] or variance_sums.shape[1] != variances.shape[1]:
        raise ValueError("variances and their sums differ in shape")
    if sums.shape[0] > 0 and sums.shape[1] > 0:
        with nogil:
            divide_squares(
                &sums[0, 0, 0], &variance_sums[0, 0], sums.shape[0] * sums.shape[1], &variances[0, 0], fill
            )


cdef void divide_squares(
    const double *sums, const double *squares, Py_ssize_t count, float *variances, float fill
) noexcept nogil:
    cdef double weight
    cdef float mean
    cdef Py_ssize_t k
    for k in range(count):
        weight = sums[2 * k + 1]
        mean = <float>(squares[k] / (weight * weight))
        variances[k] = mean if weight > 0.0 else fill


def quad_shares(corners, tuple shape, bint plainly=False):
    """The share of each output pixel in one quadrilateral: what ``add_pixels`` multiplies a weight by.

    Parameters
    ----------
    corners : array_like, shape (4, 2), float64
        x, y of the corners in order around it, output pixels, 0-based.
    shape : tuple of int
        (ny, nx) of the output.
    plainly : bool
        Whether to go the way of odd quadrilaterals in any case.

    Returns
    -------
    ndarray, shape (ny, nx), float64
        Overlap / area; sums to 1 for a quadrilateral inside.
    """
    cdef double[:, ::1] points = np.array(corners, dtype=np.float64, order="C")
    sums = np.zeros((*shape, 2))
    cdef Corners lower, upper
    cdef Band band
    cdef Workspace *work
    cdef int k
    if points.shape[0] != 4 or points.shape[1] != 2 or 0 in shape:
        raise ValueError("want four corners and an output with pixels")
    set_band(&band, sums, None, None)
    work = <Workspace *>calloc(1, sizeof(Workspace))
    if work == NULL:
        raise MemoryError
    place(&lower, work.lines, False)
    place(&upper, work.lines + 4 * ROOM, False)
    lower.left_x[0], lower.left_y[0] = points[0, 0], points[0, 1]
    lower.right_x[0], lower.right_y[0] = points[1, 0], points[1, 1]
    upper.right_x[0], upper.right_y[0] = points[2, 0], points[2, 1]
    upper.left_x[0], upper.left_y[0] = points[3, 0], points[3, 1]
    work.row.weights[0] = 1.0
    cover_row(&band, &lower, &upper, 0, 1, work)
    if plainly:
        work.row.way[0] = ODD
        sort_by_way(&work.row)
    scatter(&band, work, &lower, &upper, 0, 1, 1.0)
    free(work)
    return sums[:, :, 1]

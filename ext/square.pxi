"""The square drizzle kernel: mapped pixels laid exactly over the output grid.

Contract (Fruchter & Hook 2002, section 3): the four corners of an input pixel, shrunk by pixfrac about its
centre, are mapped exactly; each output pixel receives ``weight * overlap / area``, area being that of the
mapped quadrilateral, so that an input wholly inside hands on exactly its weight. Sums are float64 and run
in a fixed order: of the calls, of tiles of TILE columns that begin at multiples of TILE, of rows, of
columns. A quadrilateral is computed from its own corners alone and only then cut to
the band, so that bits depend neither on bands nor on threads.

What contributes nothing: weights that are 0, negative, NaN or infinite; values that are NaN or infinite;
corners 90 degrees or more from the tangent point; quadrilaterals of no area, that cross themselves, or
wider than 128 output pixels (met only at the rim of a projection). A variance that is negative, NaN or
infinite makes the variance of what its pixel touches NaN.

Two ways to the same shares (to 1e-13 of a pixel). Convex quadrilaterals inside 3 x 3 output pixels, nearly
all there are, go LANES at a time and without branches (``cover``); others one by one (``deposit``). Which
way is a matter of the pixel's own corners.
"""

import numpy as np

from libc.math cimport INFINITY, NAN, fabs
from libc.stdlib cimport calloc, free, malloc

from hapctl.ext.mapping cimport BLOCK, ChipDistortion, Distortion, Polynomial, Table

include "distortion.pxi"

cdef enum:
    WIDEST = 128
    GRID_CELLS = (WIDEST + 3) * (WIDEST + 2)
    TILE = 256  # what its rows add to stays in the nearest cache
    ROOM = TILE + BLOCK  # the last corner of a tile, and whole blocks
    AHEAD = 2  # output rows
    NOTHING = 0
    OTHER = 1
    SMALL = 2
    LOW = 3  # small, and no more than two output rows high

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
    int left[TILE]
    int bottom[TILE]
    int way[TILE]
    double low[4 * TILE]
    double middle[4 * TILE]
    double high[4 * TILE]


cdef struct Workspace:
    Row row
    double lines[8 * ROOM]
    double cells[GRID_CELLS]


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


cdef void cover(
    const Band *band, const Corners *lower, const Corners *upper, Py_ssize_t at, Row *row
) noexcept nogil:
    """Weights that the LANES pixels from ``at`` on give to 3 x 3 output pixels each; a fourth column is 0."""
    cdef Lattice sums
    cdef lanes x0 = load(lower.left_x + at)
    cdef lanes y0 = load(lower.left_y + at)
    cdef lanes x1 = load(lower.right_x + at)
    cdef lanes y1 = load(lower.right_y + at)
    cdef lanes x2 = load(upper.right_x + at)
    cdef lanes y2 = load(upper.right_y + at)
    cdef lanes x3 = load(upper.left_x + at)
    cdef lanes y3 = load(upper.left_y + at)
    cdef lanes weight = load(row.weights + at)
    cdef lanes zero = spread_out(0.0)
    cdef lanes two = spread_out(2.0)
    cdef lanes three = spread_out(3.0)
    cdef lanes shift = spread_out(WIDEST + 0.5)
    cdef lanes turn0, turn1, turn2, turn3, least, per_area, origin, top
    cdef mask small
    origin = integral_below(lesser(lesser(x0, x1), lesser(x2, x3)) + 0.5, row.left + at) - shift
    x0 -= origin
    x1 -= origin
    x2 -= origin
    x3 -= origin
    origin = integral_below(lesser(lesser(y0, y1), lesser(y2, y3)) + 0.5, row.bottom + at) - shift
    y0 -= origin
    y1 -= origin
    y2 -= origin
    y3 -= origin
    top = greater(greater(y0, y1), greater(y2, y3))
    if not any_of(both(
        less(spread_out(band.first - 0.5), top + origin), less(origin, spread_out(<double>band.stop))
    )):
        return
    small = both(less(greater(greater(x0, x1), greater(x2, x3)), three), less(top, three))
    turn0 = (x1 - x0) * (y3 - y0) - (x3 - x0) * (y1 - y0)
    turn1 = (x1 - x0) * (y2 - y1) - (x2 - x1) * (y1 - y0)
    turn2 = (x2 - x1) * (y3 - y2) - (x3 - x2) * (y2 - y1)
    turn3 = (x3 - x2) * (y0 - y3) - (x0 - x3) * (y3 - y2)
    small = both(small, either(
        at_most(zero, lesser(lesser(turn0, turn1), lesser(turn2, turn3))),
        at_most(greater(greater(turn0, turn1), greater(turn2, turn3)), zero),
    ))
    turn0 = turn0 + turn2
    small = both(small, less(spread_out(2.0 * LEAST_AREA), magnitude(turn0)))
    store_int(row.way + at, to_int(select(
        less(zero, weight),
        select(small, select(less(top, two), spread_out(LOW), spread_out(SMALL)), spread_out(OTHER)),
        spread_out(NOTHING),
    )))
    sums.left1_below1 = zero
    sums.left2_below1 = zero
    sums.left1_below2 = zero
    sums.left2_below2 = zero
    sums.left1 = zero
    sums.left2 = zero
    sums.below1 = zero
    sums.below2 = zero
    add_side(&sums, x0, y0, x1, y1)
    add_side(&sums, x1, y1, x2, y2)
    add_side(&sums, x2, y2, x3, y3)
    add_side(&sums, x3, y3, x0, y0)
    per_area = spread_out(1.0) / turn0
    least = spread_out(2.0 * LEAST_COVER) * magnitude(per_area) + LEAST_SHARE
    store_fours(
        row.low + 4 * at,
        kept(sums.left1_below1, per_area, least, weight),
        kept(sums.left2_below1 - sums.left1_below1, per_area, least, weight),
        kept(sums.below1 - sums.left2_below1, per_area, least, weight),
    )
    x0 = sums.left1_below2 - sums.left1_below1
    x1 = sums.left2_below2 - sums.left2_below1
    x2 = sums.below2 - sums.below1
    store_fours(
        row.middle + 4 * at,
        kept(x0, per_area, least, weight),
        kept(x1 - x0, per_area, least, weight),
        kept(x2 - x1, per_area, least, weight),
    )
    x0 = sums.left1 - sums.left1_below2
    x1 = sums.left2 - sums.left2_below2
    x2 = turn0 - sums.below2
    store_fours(
        row.high + 4 * at,
        kept(x0, per_area, least, weight),
        kept(x1 - x0, per_area, least, weight),
        kept(x2 - x1, per_area, least, weight),
    )


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


cdef void add_at_rim(const Band *band, const Row *row, Py_ssize_t k) noexcept nogil:
    """Add what of 3 x 3 pixels the band has."""
    cdef const double *given
    cdef Py_ssize_t line, column
    cdef Py_ssize_t left = row.left[k] - WIDEST
    cdef Py_ssize_t bottom = row.bottom[k] - WIDEST
    cdef int r, c
    for r in range(3):
        line = bottom + r
        if line < band.first or line >= band.stop:
            continue
        given = (&row.low[0] if r == 0 else &row.middle[0] if r == 1 else &row.high[0]) + 4 * k
        for c in range(3):
            column = left + c
            if 0 <= column < band.width:
                give(
                    band, (line - band.first) * band.width + column,
                    given[c], row.values[k], row.variances[k],
                )


cdef inline void add_small(const Band *band, const Row *row, Py_ssize_t k) noexcept nogil:
    cdef Py_ssize_t left = row.left[k] - WIDEST
    cdef Py_ssize_t bottom = row.bottom[k] - WIDEST
    cdef Py_ssize_t at
    cdef factors value
    if left >= 0 and left + 4 <= band.width and bottom >= band.first and bottom + 3 <= band.stop:
        at = (bottom - band.first) * band.width + left
        value = factors_of(row.values[k])
        add_cells(band, at, row.low + 4 * k, value, row.variances[k])
        at += band.width
        add_cells(band, at, row.middle + 4 * k, value, row.variances[k])
        at += band.width
        if row.way[k] == SMALL:
            add_cells(band, at, row.high + 4 * k, value, row.variances[k])
        # The next row of pixels will come there, and no processor guesses it.
        at += AHEAD * band.width
        expect(band.sums + 2 * at)
        if band.context != NULL:
            expect(band.context + at)
    else:
        add_at_rim(band, row, k)


cdef void scatter(
    const Band *place, const Row *row, const Corners *lower, const Corners *upper, double *cells,
    Py_ssize_t first, Py_ssize_t stop
) noexcept nogil:
    """Add a row of a tile to the band."""
    cdef Band band = place[0]
    cdef Py_ssize_t k
    cdef double x[4]
    cdef double y[4]
    for k in range(first, stop):
        if row.way[k] >= SMALL:
            add_small(&band, row, k)
        elif row.way[k] == OTHER:
            x[0], x[1], x[2], x[3] = lower.left_x[k], lower.right_x[k], upper.right_x[k], upper.left_x[k]
            y[0], y[1], y[2], y[3] = lower.left_y[k], lower.right_y[k], upper.right_y[k], upper.left_y[k]
            deposit(&band, cells, x, y, row.values[k], row.weights[k], row.variances[k])


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
    const Band *band, const Corners *lower, const Corners *upper, Py_ssize_t first, Py_ssize_t stop, Row *row
) noexcept nogil:
    """The weights that a row of a tile gives; groups of LANES without a good pixel are left out."""
    cdef Py_ssize_t at = first // LANES * LANES
    cdef Py_ssize_t k
    for k in range(TILE):
        row.way[k] = NOTHING
    while at < stop:
        if any_of(less(spread_out(0.0), load(row.weights + at))):
            cover(band, lower, upper, at, row)
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
            cover_row(band, &lower, &upper, first, stop, &work.row)
            scatter(band, &work.row, &lower, &upper, work.cells, first, stop)
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
    pixels.variances = NULL
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
    cdef Py_ssize_t row, column
    cdef double weight
    if sums.shape[0] != values.shape[0] or sums.shape[1] != values.shape[1] or sums.shape[2] != 2:
        raise ValueError("sums and values differ in shape")
    if weights.shape[0] != values.shape[0] or weights.shape[1] != values.shape[1]:
        raise ValueError("values and weights differ in shape")
    with nogil:
        for row in range(sums.shape[0]):
            for column in range(sums.shape[1]):
                weight = sums[row, column, 1]
                weights[row, column] = <float>weight
                values[row, column] = <float>(sums[row, column, 0] / weight) if weight > 0.0 else fill


def finish_variances(
    const double[:, :, ::1] sums, const double[:, ::1] variance_sums, float[:, ::1] variances, float fill
):
    """Variances of means: sum of weight**2 * variance over weight squared, ``fill`` where that is 0."""
    cdef Py_ssize_t row, column
    cdef double weight
    if sums.shape[0] != variances.shape[0] or sums.shape[1] != variances.shape[1] or sums.shape[2] != 2:
        raise ValueError("sums and variances differ in shape")
    if variance_sums.shape[0] != variances.shape[0] or variance_sums.shape[1] != variances.shape[1]:
        raise ValueError("variances and their sums differ in shape")
    with nogil:
        for row in range(sums.shape[0]):
            for column in range(sums.shape[1]):
                weight = sums[row, column, 1]
                variances[row, column] = (
                    <float>(variance_sums[row, column] / (weight * weight)) if weight > 0.0 else fill
                )


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
    cover_row(&band, &lower, &upper, 0, 1, &work.row)
    if plainly:
        work.row.way[0] = OTHER
    scatter(&band, &work.row, &lower, &upper, work.cells, 0, 1)
    free(work)
    return sums[:, :, 1]

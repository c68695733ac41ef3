"""The square drizzle kernel: mapped pixels laid exactly over the output grid.

Contract (Fruchter & Hook 2002, section 3): the four corners of an input pixel, shrunk by pixfrac about its
centre, are mapped exactly; each output pixel receives ``weight * overlap / area``, area being that of the
mapped quadrilateral, so that an input wholly inside hands on exactly its weight. Sums are float64 and run
in the order of the calls, rows and columns; a quadrilateral is computed from its own corners alone and
only then cut to the band, so that bits depend neither on bands nor on threads.

What contributes nothing: weights that are 0, negative, NaN or infinite; values that are NaN or infinite;
corners 90 degrees or more from the tangent point; quadrilaterals of no area, that cross themselves, or
wider than 128 output pixels (met only at the rim of a projection).
"""

import numpy as np

from libc.math cimport NAN, fabs, isfinite
from libc.stdlib cimport free, malloc

from hapctl.ext.mapping cimport BLOCK, ChipDistortion, Distortion, Polynomial, Table

include "distortion.pxi"

cdef enum:
    WIDEST = 128
    GRID_CELLS = (WIDEST + 3) * (WIDEST + 2)

cdef double LEAST_AREA = 1e-12
# An edge lower than this moves no area that a double can show.
cdef double LEAST_RISE = 1e-15
# Below these a cell holds only the rounding of sums that cancel.
cdef double LEAST_COVER = 1e-14
cdef double LEAST_SHARE = 1e-10


cdef struct Band:
    double *sums
    int *context
    int bit
    Py_ssize_t width
    Py_ssize_t first
    Py_ssize_t stop


cdef struct Corners:
    double *left_x
    double *left_y
    double *right_x
    double *right_y


cdef struct Pixels:
    const float *values
    const float *weights
    Py_ssize_t stride
    Py_ssize_t rows
    Py_ssize_t first_row
    Py_ssize_t first
    Py_ssize_t count
    double flux_scale
    double pixfrac


cdef struct Source:
    const Distortion *distortion
    const double *homography


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
    const Band *band, const double *cells, Py_ssize_t columns, Py_ssize_t rows,
    Py_ssize_t left, Py_ssize_t bottom, double area, double value, double weight
) noexcept nogil:
    """Add a covered grid to the sums of the rows and columns that the band has."""
    cdef double per_area = 1.0 / area
    cdef double least = least_share(area)
    cdef double cover, share
    cdef Py_ssize_t row, column, at
    for row in range(rows):
        if bottom + row < band.first or bottom + row >= band.stop:
            continue
        cover = 0.0
        at = (bottom + row - band.first) * band.width + left
        for column in range(columns):
            cover += cells[row * (columns + 1) + column]
            if left + column < 0 or left + column >= band.width:
                continue
            share = cover * per_area
            give(band, at + column, share if share > least else 0.0, value, weight)


cdef inline double least_share(double area) noexcept nogil:
    """Shares below this are the rounding of sums that cancel."""
    return LEAST_COVER / fabs(area) + LEAST_SHARE


cdef inline void give(
    const Band *band, Py_ssize_t at, double share, double value, double weight
) noexcept nogil:
    """Add one share; a share of 0 changes nothing, so the fast path need not branch."""
    cdef double given = share * weight
    band.sums[2 * at] += given * value
    band.sums[2 * at + 1] += given
    if band.context != NULL:
        band.context[at] |= band.bit if share > 0.0 else 0


cdef inline void spread_small(
    const Band *band, const double *cells, Py_ssize_t left, Py_ssize_t bottom,
    double area, double value, double weight
) noexcept nogil:
    """``spread`` of a grid of 3 x 3 cells (4 a row) that lies inside the band: the same sums unrolled."""
    cdef double per_area = 1.0 / area
    cdef double least = least_share(area)
    cdef double cover, share
    cdef Py_ssize_t at = (bottom - band.first) * band.width + left
    cdef int row, column
    for row in range(3):
        cover = 0.0
        for column in range(3):
            cover += cells[4 * row + column]
            share = cover * per_area
            give(band, at + column, share if share > least else 0.0, value, weight)
        at += band.width


cdef inline void deposit(
    const Band *band, double *cells, double *x, double *y, double value, double weight
) noexcept nogil:
    """Lay one quadrilateral (pixel centres are integers) over the band; cells is room to work in."""
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
    if (
        columns <= 3 and rows <= 3 and left >= 0 and left + 3 <= band.width
        and bottom >= band.first and bottom + 3 <= band.stop
    ):
        for k in range(12):
            cells[k] = 0.0
        for k in range(4):
            add_edge(cells, 4, x[k], y[k], x[(k + 1) & 3], y[(k + 1) & 3])
        spread_small(band, cells, left, bottom, -area, value, weight)
        return
    for k in range((columns + 1) * rows):
        cells[k] = 0.0
    for k in range(4):
        add_edge(cells, columns + 1, x[k], y[k], x[(k + 1) & 3], y[(k + 1) & 3])
    # Seen with y upwards, an edge that rises on the left of its pixel covers what is right of it.
    spread(band, cells, columns, rows, left, bottom, -area, value, weight)


cdef void map_corners(
    const Source *source, Py_ssize_t first, Py_ssize_t count, double shift_x, double y,
    double *out_x, double *out_y
) noexcept nogil:
    """Output positions of the points (first + k + shift_x, y), k = 0 ... count - 1."""
    cdef double x_block[BLOCK]
    cdef double y_block[BLOCK]
    cdef Py_ssize_t start = 0
    cdef int k, n
    for k in range(BLOCK):
        y_block[k] = y
    while start < count:
        n = <int>min(<Py_ssize_t>BLOCK, count - start)
        for k in range(n):
            x_block[k] = <double>(first + start + k) + shift_x
        distort_block(source.distortion, n, x_block, y_block, out_x + start, out_y + start)
        project_block(source.homography, n, out_x + start, out_y + start)
        start += n


cdef void add_row(
    const Band *band, double *cells, const Corners *lower, const Corners *upper, Py_ssize_t count,
    const float *values, const float *weights, double flux_scale
) noexcept nogil:
    """Deposit the pixels of one row between its lower and upper corners."""
    cdef double x[4]
    cdef double y[4]
    cdef Py_ssize_t k
    for k in range(count):
        if not (weights[k] > 0.0 and isfinite(weights[k]) and isfinite(values[k])):
            continue
        x[0], x[1], x[2], x[3] = lower.left_x[k], lower.right_x[k], upper.right_x[k], upper.left_x[k]
        y[0], y[1], y[2], y[3] = lower.left_y[k], lower.right_y[k], upper.right_y[k], upper.left_y[k]
        deposit(band, cells, x, y, values[k] * flux_scale, weights[k])


cdef void place(Corners *corners, double *memory, Py_ssize_t points, bint shared) noexcept nogil:
    """Lay the four arrays of a corner line out; shared corners serve the pixels on both of their sides."""
    corners.left_x = memory
    corners.left_y = memory + points
    corners.right_x = corners.left_x + 1 if shared else memory + 2 * points
    corners.right_y = corners.left_y + 1 if shared else memory + 3 * points


cdef void map_line(
    const Source *source, Corners *corners, Py_ssize_t first, Py_ssize_t count,
    double half, double y, bint shared
) noexcept nogil:
    """Map the corners of a row of pixels at height y, half a shrunken pixel to either side."""
    map_corners(source, first, count + 1 if shared else count, -half, y, corners.left_x, corners.left_y)
    if not shared:
        map_corners(source, first, count, half, y, corners.right_x, corners.right_y)


cdef void add_rows(
    const Band *band, const Source *source, double *cells, double *memory, const Pixels *pixels
) noexcept nogil:
    cdef Corners lower, upper, turned
    cdef Py_ssize_t r
    cdef double y
    cdef double half = 0.5 * pixels.pixfrac
    cdef bint shared = pixels.pixfrac == 1.0
    cdef Py_ssize_t points = pixels.count + 1
    place(&lower, memory, points, shared)
    place(&upper, memory + 4 * points, points, shared)
    for r in range(pixels.rows):
        y = <double>(pixels.first_row + r)
        if r == 0 or not shared:
            map_line(source, &lower, pixels.first, pixels.count, half, y - half, shared)
        map_line(source, &upper, pixels.first, pixels.count, half, y + half, shared)
        add_row(
            band, cells, &lower, &upper, pixels.count,
            pixels.values + r * pixels.stride, pixels.weights + r * pixels.stride,
            pixels.flux_scale,
        )
        if shared:
            turned = lower
            lower = upper
            upper = turned


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
    """
    cdef Band band
    cdef Source source
    cdef Pixels pixels
    cdef int[:, ::1] plane
    cdef double *memory
    cdef Py_ssize_t first = columns[0]
    cdef Py_ssize_t stop = columns[1]
    if weights.shape[0] != values.shape[0] or weights.shape[1] != values.shape[1]:
        raise ValueError("values and weights differ in shape")
    if not 0 <= first <= stop <= values.shape[1] or sums.shape[2] != 2:
        raise ValueError("columns lie outside the rows, or sums are not pairs")
    if homography.shape[0] != 3 or homography.shape[1] != 3 or not 0.0 < pixfrac <= 1.0:
        raise ValueError("the homography is not 3 x 3, or pixfrac not in (0, 1]")
    if first == stop or values.shape[0] == 0 or sums.shape[0] == 0 or sums.shape[1] == 0:
        return
    band.sums = &sums[0, 0, 0]
    band.width = sums.shape[1]
    band.first = first_output_row
    band.stop = first_output_row + sums.shape[0]
    band.bit = bit
    band.context = NULL
    if context is not None:
        plane = context
        if plane.shape[0] != sums.shape[0] or plane.shape[1] != sums.shape[1]:
            raise ValueError("context and sums differ in shape")
        band.context = &plane[0, 0]
    source.distortion = &chip.data
    source.homography = &homography[0, 0]
    pixels.values = &values[0, first]
    pixels.weights = &weights[0, first]
    pixels.stride = values.shape[1]
    pixels.rows = values.shape[0]
    pixels.first_row = first_row
    pixels.first = first
    pixels.count = stop - first
    pixels.flux_scale = flux_scale
    pixels.pixfrac = pixfrac
    memory = <double *>malloc((8 * (pixels.count + 1) + GRID_CELLS) * sizeof(double))
    if memory == NULL:
        raise MemoryError
    with nogil:
        add_rows(&band, &source, memory, memory + GRID_CELLS, &pixels)
    free(memory)


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


def quad_shares(corners, tuple shape):
    """The share of each output pixel in one quadrilateral: what ``add_pixels`` multiplies a weight by.

    Parameters
    ----------
    corners : array_like, shape (4, 2), float64
        x, y of the corners in order around it, output pixels, 0-based.
    shape : tuple of int
        (ny, nx) of the output.

    Returns
    -------
    ndarray, shape (ny, nx), float64
        Overlap / area; sums to 1 for a quadrilateral inside.
    """
    cdef double[:, ::1] points = np.array(corners, dtype=np.float64, order="C")
    cdef double[:, :, ::1] sums = np.zeros((*shape, 2))
    cdef double x[4]
    cdef double y[4]
    cdef double *cells
    cdef Band band
    cdef int k
    if points.shape[0] != 4 or points.shape[1] != 2 or 0 in shape:
        raise ValueError("want four corners and an output with pixels")
    for k in range(4):
        x[k] = points[k, 0]
        y[k] = points[k, 1]
    band.sums = &sums[0, 0, 0]
    band.context = NULL
    band.width = sums.shape[1]
    band.first = 0
    band.stop = sums.shape[0]
    cells = <double *>malloc(GRID_CELLS * sizeof(double))
    if cells == NULL:
        raise MemoryError
    deposit(&band, cells, x, y, 0.0, 1.0)
    free(cells)
    return np.asarray(sums)[:, :, 1]

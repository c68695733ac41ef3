"""A plane seen through a chip: its value at the centre of every pixel, interpolated.

Contract: the centre of a pixel is mapped exactly (``distort_block``, ``project_block``); the plane is
interpolated there by separable weights, rows first, then columns, in float32 and in one order, so that a
value depends on its pixel and the plane alone: not on blocks, windows, threads or the vector build.

Interpolation, taps along each axis: nearest 1, linear 2, poly3 4 and poly5 6 (Lagrange polynomials through
the points, the same as Everett's central differences), lanczos3 6 (weights normalised to 1), sinc 15
(offsets -7 to 7, tapered by the square of cos(pi k / 14) as in IRAF's bisinc, normalised).

Unknown pixels (NaN, infinite, outside the plane): where a tap of the others is unknown, the value is that
of the known ones among the four nearest pixels, bilinear, their weights normalised, if these make up half
of the whole at least; else NaN. The nearest pixel alone decides for nearest. Positions that are NaN (90
degrees or more from the tangent point) give NaN.
"""

import numpy as np

from libc.math cimport NAN, isfinite

from hapctl.ext.mapping cimport BLOCK, ChipDistortion, Distortion, Polynomial, Table

include "distortion.pxi"


cdef enum:
    NEAREST = 0
    LINEAR = 1
    POLY3 = 2
    POLY5 = 3
    LANCZOS3 = 4
    SINC = 5

cdef enum:
    MOST_TAPS = 15
    PADDED = 16
    # The rows of a plane that so many columns of a turned chip touch stay in the first-level cache.
    TILE = 256
    FAR_OUT = 16

# Positions beyond are outside of every plane; larger ones would not fit an integer.
cdef double FARTHEST = 1e9
cdef float LARGEST_BELOW_ONE = 0.99999994
cdef float LEAST_SHARE = 0.5


cdef struct Plane:
    const float *values
    Py_ssize_t stride
    Py_ssize_t first_row
    Py_ssize_t first_column
    Py_ssize_t rows
    Py_ssize_t columns


cdef struct Lanes:
    int column[BLOCK]
    int row[BLOCK]
    float dx[BLOCK]
    float dy[BLOCK]
    float weight_x[MOST_TAPS * BLOCK]
    float weight_y[MOST_TAPS * BLOCK]


cdef inline void split(const double *position, double half, int *whole, float *part) noexcept nogil:
    """Whole pixel at or below ``position + half`` and the offset from it; NaN lies far outside."""
    cdef double at
    cdef int k
    for k in range(BLOCK):
        at = position[k] if position[k] > -<double>FAR_OUT else -<double>FAR_OUT
        at = at if at < FARTHEST else FARTHEST
        # The shift makes truncation a floor.
        whole[k] = <int>(at + half + FAR_OUT) - FAR_OUT
        part[k] = <float>(at - <double>whole[k])


cdef inline void linear_weights(const float *part, float *weight) noexcept nogil:
    cdef int k
    for k in range(BLOCK):
        weight[k] = <float>1.0 - part[k]
        weight[BLOCK + k] = part[k]


cdef inline void poly3_weights(const float *part, float *weight) noexcept nogil:
    """Lagrange's polynomials through -1, 0, 1, 2."""
    cdef float a, b, c, d
    cdef int k
    for k in range(BLOCK):
        a = part[k] + <float>1.0
        b = part[k]
        c = part[k] - <float>1.0
        d = part[k] - <float>2.0
        weight[k] = b * c * d * <float>(-1.0 / 6.0)
        weight[BLOCK + k] = a * c * d * <float>0.5
        weight[2 * BLOCK + k] = a * b * d * <float>-0.5
        weight[3 * BLOCK + k] = a * b * c * <float>(1.0 / 6.0)


cdef inline void poly5_weights(const float *part, float *weight) noexcept nogil:
    """Lagrange's polynomials through -2, -1, 0, 1, 2, 3."""
    cdef float a, b, c, d, e, f, low, high
    cdef int k
    for k in range(BLOCK):
        a = part[k] + <float>2.0
        b = part[k] + <float>1.0
        c = part[k]
        d = part[k] - <float>1.0
        e = part[k] - <float>2.0
        f = part[k] - <float>3.0
        low = a * b * c
        high = d * e * f
        weight[k] = b * c * high * <float>(-1.0 / 120.0)
        weight[BLOCK + k] = a * c * high * <float>(1.0 / 24.0)
        weight[2 * BLOCK + k] = a * b * high * <float>(-1.0 / 12.0)
        weight[3 * BLOCK + k] = low * e * f * <float>(1.0 / 12.0)
        weight[4 * BLOCK + k] = low * d * f * <float>(-1.0 / 24.0)
        weight[5 * BLOCK + k] = low * d * e * <float>(1.0 / 120.0)


cdef inline void normalise(float *weight, int taps) noexcept nogil:
    cdef float total
    cdef int j, k
    for k in range(BLOCK):
        total = weight[k]
        for j in range(1, taps):
            total += weight[j * BLOCK + k]
        total = <float>1.0 / total
        for j in range(taps):
            weight[j * BLOCK + k] *= total


cdef inline void lanczos3_weights(const float *part, float *weight) noexcept nogil:
    """Weights sinc(t) sinc(t / 3) at t = part - (-2 ... 3), divided by what all of them share.

    sin(pi t) is the same but for its sign; what remains is sin(pi t / 3) / t^2, times part. Sine and cosine of
    pi part / 3 are Taylor series (to 1e-9), so that they are the same bits everywhere.
    """
    cdef double d, square, over, sine, cosine, third
    cdef int k
    third = 1.0471975511965976
    for k in range(BLOCK):
        d = part[k] if part[k] < LARGEST_BELOW_ONE else LARGEST_BELOW_ONE
        square = third * third * d * d
        over = 1.0 - square / 6.0 * (1.0 - square / 20.0 * (1.0 - square / 42.0 * (
            1.0 - square / 72.0 * (1.0 - square / 110.0 * (1.0 - square / 156.0)))))
        cosine = 1.0 - square / 2.0 * (1.0 - square / 12.0 * (1.0 - square / 30.0 * (
            1.0 - square / 56.0 * (1.0 - square / 90.0 * (1.0 - square / 132.0)))))
        sine = third * d * over
        # sin(a + b) with b = 2 pi/3, pi/3, -pi/3, -2 pi/3, -pi
        weight[k] = <float>(d * (-0.5 * sine + 0.8660254037844386 * cosine) / ((d + 2.0) * (d + 2.0)))
        weight[BLOCK + k] = <float>(-d * (0.5 * sine + 0.8660254037844386 * cosine) / ((d + 1.0) * (d + 1.0)))
        weight[2 * BLOCK + k] = <float>(third * over)
        weight[3 * BLOCK + k] = <float>(-d * (0.5 * sine - 0.8660254037844386 * cosine) / ((d - 1.0) * (d - 1.0)))
        weight[4 * BLOCK + k] = <float>(d * (-0.5 * sine - 0.8660254037844386 * cosine) / ((d - 2.0) * (d - 2.0)))
        weight[5 * BLOCK + k] = <float>(d * sine / ((d - 3.0) * (d - 3.0)))
    normalise(weight, 6)


cdef inline void sinc_weights(const float *part, const float *taper, float scale, float *weight) noexcept nogil:
    """Weights (-1)^k taper(k) d / (d - k), k = -7 ... 7, d the scaled offset from the nearest pixel."""
    cdef float d
    cdef int j, k
    for j in range(MOST_TAPS):
        for k in range(BLOCK):
            d = part[k] * scale
            weight[j * BLOCK + k] = <float>1.0 if j == 7 else taper[j] * d / (d - <float>(j - 7))
    normalise(weight, MOST_TAPS)


cdef inline float weighted(
    const float *corner, Py_ssize_t stride, const float *weight_x, const float *weight_y, const int taps,
    const int padded
) noexcept nogil:
    """Sum over taps x taps pixels; what lies in columns beyond the taps is loaded and not used."""
    cdef float column[PADDED]
    cdef const float *row = corner
    cdef float total
    cdef int j, k
    for k in range(padded):
        column[k] = weight_y[0] * row[k]
    for j in range(1, taps):
        row += stride
        for k in range(padded):
            column[k] += weight_y[j * BLOCK] * row[k]
    total = weight_x[0] * column[0]
    for k in range(1, taps):
        total += weight_x[k * BLOCK] * column[k]
    return total


cdef inline float known_at(const Plane *plane, Py_ssize_t row, Py_ssize_t column) noexcept nogil:
    if row < 0 or column < 0 or row >= plane.rows or column >= plane.columns:
        return NAN
    return plane.values[row * plane.stride + column]


cdef inline void add_known(float value, float weight, float *total, float *share) noexcept nogil:
    if isfinite(value):
        total[0] += weight * value
        share[0] += weight


cdef float of_the_known(const Plane *plane, double x, double y) noexcept nogil:
    """Normalised bilinear value of the known ones among the four nearest pixels."""
    cdef Py_ssize_t column, row
    cdef float dx, dy
    cdef float total = 0.0
    cdef float share = 0.0
    if not (-1.0 < x < FARTHEST and -1.0 < y < FARTHEST):
        return NAN
    column = <Py_ssize_t>(x + 1.0) - 1
    row = <Py_ssize_t>(y + 1.0) - 1
    dx = <float>(x - <double>column)
    dy = <float>(y - <double>row)
    column -= plane.first_column
    row -= plane.first_row
    add_known(known_at(plane, row, column), (<float>1.0 - dx) * (<float>1.0 - dy), &total, &share)
    add_known(known_at(plane, row, column + 1), dx * (<float>1.0 - dy), &total, &share)
    add_known(known_at(plane, row + 1, column), (<float>1.0 - dx) * dy, &total, &share)
    add_known(known_at(plane, row + 1, column + 1), dx * dy, &total, &share)
    return total / share if share >= LEAST_SHARE else NAN


cdef inline void by_taps(
    const Plane *plane, const Lanes *lanes, int n, const double *x, const double *y, const int before,
    const int taps, const int padded, float *values
) noexcept nogil:
    """Values of n positions; ``before`` taps lie below the whole pixel."""
    cdef Py_ssize_t column, row
    cdef const float *corner
    cdef float value
    cdef int k
    for k in range(n):
        column = lanes.column[k] - before - plane.first_column
        row = lanes.row[k] - before - plane.first_row
        value = NAN
        if column >= 0 and row >= 0 and row + taps <= plane.rows and column + taps <= plane.columns:
            corner = plane.values + row * plane.stride + column
            if column + padded <= plane.columns:
                value = weighted(corner, plane.stride, lanes.weight_x + k, lanes.weight_y + k, taps, padded)
            else:
                value = weighted(corner, plane.stride, lanes.weight_x + k, lanes.weight_y + k, taps, taps)
        values[k] = value if isfinite(value) else of_the_known(plane, x[k], y[k])


cdef inline void by_nearest(const Plane *plane, const Lanes *lanes, int n, float *values) noexcept nogil:
    cdef float value
    cdef int k
    for k in range(n):
        value = known_at(plane, lanes.row[k] - plane.first_row, lanes.column[k] - plane.first_column)
        values[k] = value if isfinite(value) else NAN


cdef void interpolate_block(
    const Plane *plane, int kind, float sinc_scale, const float *taper, int n, const double *x, const double *y,
    float *values
) noexcept nogil:
    """Values of n <= BLOCK positions; x and y hold BLOCK numbers."""
    cdef Lanes lanes
    cdef double half = 0.5 if kind == NEAREST or kind == SINC else 0.0
    split(x, half, lanes.column, lanes.dx)
    split(y, half, lanes.row, lanes.dy)
    if kind == NEAREST:
        by_nearest(plane, &lanes, n, values)
    elif kind == LINEAR:
        linear_weights(lanes.dx, lanes.weight_x)
        linear_weights(lanes.dy, lanes.weight_y)
        by_taps(plane, &lanes, n, x, y, 0, 2, 2, values)
    elif kind == POLY3:
        poly3_weights(lanes.dx, lanes.weight_x)
        poly3_weights(lanes.dy, lanes.weight_y)
        by_taps(plane, &lanes, n, x, y, 1, 4, 4, values)
    elif kind == POLY5:
        poly5_weights(lanes.dx, lanes.weight_x)
        poly5_weights(lanes.dy, lanes.weight_y)
        by_taps(plane, &lanes, n, x, y, 2, 6, 8, values)
    elif kind == LANCZOS3:
        lanczos3_weights(lanes.dx, lanes.weight_x)
        lanczos3_weights(lanes.dy, lanes.weight_y)
        by_taps(plane, &lanes, n, x, y, 2, 6, 8, values)
    else:
        sinc_weights(lanes.dx, taper, sinc_scale, lanes.weight_x)
        sinc_weights(lanes.dy, taper, sinc_scale, lanes.weight_y)
        by_taps(plane, &lanes, n, x, y, 7, MOST_TAPS, PADDED, values)


cdef void fill_taper(float *taper):
    """The signs of the sine and the square of the cosine's series that IRAF's bisinc takes."""
    cdef double square
    cdef int k
    for k in range(-7, 8):
        square = (1.5707963267948966 / 7.0 * k) ** 2
        taper[k + 7] = <float>((-1.0 if k % 2 else 1.0) * (1.0 - 0.49670 * square + 0.03705 * square * square) ** 2)


cdef Plane plane_of(const float[:, ::1] values, Py_ssize_t first_row, Py_ssize_t first_column):
    cdef Plane plane
    plane.values = &values[0, 0] if values.shape[0] and values.shape[1] else NULL
    plane.stride = values.shape[1]
    plane.rows = values.shape[0]
    plane.columns = values.shape[1]
    plane.first_row = first_row
    plane.first_column = first_column
    return plane


cdef void fill_matrix(double *h, const double[:, ::1] matrix):
    cdef int row, column
    for row in range(3):
        for column in range(3):
            h[3 * row + column] = matrix[row, column]


cdef void see_rows(
    const Distortion *chip, const double *homography, const Plane *plane, int kind, float sinc_scale,
    const float *taper, float factor, Py_ssize_t first, float[:, ::1] seen
) noexcept nogil:
    """Tile of columns after tile of columns, so that the plane's rows under them stay near."""
    cdef Py_ssize_t row, start, stop
    cdef Py_ssize_t left = 0
    cdef Py_ssize_t width = seen.shape[1]
    while left < width:
        stop = min(left + <Py_ssize_t>TILE, width)
        for row in range(seen.shape[0]):
            start = left
            while start < stop:
                see_block(
                    chip, homography, plane, kind, sinc_scale, taper, factor, start, first + row,
                    <int>min(<Py_ssize_t>BLOCK, stop - start), &seen[row, start]
                )
                start += BLOCK
        left = stop


cdef inline void see_block(
    const Distortion *chip, const double *homography, const Plane *plane, int kind, float sinc_scale,
    const float *taper, float factor, Py_ssize_t start, Py_ssize_t row, int n, float *seen
) noexcept nogil:
    cdef double x[BLOCK]
    cdef double y[BLOCK]
    cdef double u[BLOCK]
    cdef double v[BLOCK]
    cdef float values[BLOCK]
    cdef int k
    for k in range(BLOCK):
        x[k] = <double>(start + k)
        y[k] = <double>row
    # All of the block: its last lanes lie beside the chip and are not used.
    distort_block(chip, BLOCK, x, y, u, v)
    project_block(homography, BLOCK, u, v)
    interpolate_block(plane, kind, sinc_scale, taper, n, u, v, values)
    for k in range(n):
        seen[k] = values[k] * factor


def blot_rows(
    ChipDistortion chip not None, homography, const float[:, ::1] plane not None, Py_ssize_t first_row,
    Py_ssize_t first_column, int kind, float sinc_scale, float factor, Py_ssize_t first, float[:, ::1] seen not None
):
    """Fill ``seen``, rows ``first`` on of the chip, with the plane's values times ``factor``.

    ``plane`` begins at (first_row, first_column) of the grid that the homography leads to.
    """
    cdef double h[9]
    cdef float taper[MOST_TAPS]
    cdef Plane window = plane_of(plane, first_row, first_column)
    fill_matrix(h, np.ascontiguousarray(homography, dtype=np.float64))
    fill_taper(taper)
    with nogil:
        see_rows(&chip.data, h, &window, kind, sinc_scale, taper, factor, first, seen)


def interpolate(
    const float[:, ::1] plane not None, const double[::1] x not None, const double[::1] y not None, int kind,
    float sinc_scale, float[::1] values not None
):
    """Fill ``values`` with the plane's values at 0-based positions (x, y)."""
    cdef float taper[MOST_TAPS]
    cdef double block_x[BLOCK]
    cdef double block_y[BLOCK]
    cdef Plane window = plane_of(plane, 0, 0)
    cdef Py_ssize_t start = 0
    cdef int k, n
    if x.shape[0] != y.shape[0] or x.shape[0] != values.shape[0]:
        raise ValueError("x, y and values differ in length")
    fill_taper(taper)
    with nogil:
        while start < x.shape[0]:
            n = <int>min(<Py_ssize_t>BLOCK, x.shape[0] - start)
            for k in range(BLOCK):
                block_x[k] = x[start + k] if k < n else NAN
                block_y[k] = y[start + k] if k < n else NAN
            interpolate_block(&window, kind, sinc_scale, taper, n, block_x, block_y, &values[start])
            start += BLOCK

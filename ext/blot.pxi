"""A plane seen through a chip: its value at the centre of every pixel, interpolated.

Contract: the centre of a pixel is mapped exactly (``map_row``); the plane is
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

from libc.math cimport NAN, isfinite

from hapctl.ext.mapping cimport BLOCK, MAX_SIP_ORDER, ChipDistortion, Distortion, Polynomial, Table

include "distortion.pxi"

cdef extern from "weighted.h" nogil:
    float weighted_4(
        const float *corner, Py_ssize_t stride, const float *x, const float *y, Py_ssize_t pitch, int taps
    )
    float weighted_8(
        const float *corner, Py_ssize_t stride, const float *x, const float *y, Py_ssize_t pitch, int taps
    )
    float weighted_16(
        const float *corner, Py_ssize_t stride, const float *x, const float *y, Py_ssize_t pitch, int taps
    )


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


cdef struct Method:
    int kind
    float sinc_scale
    float taper[MOST_TAPS]


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


cdef inline double sine_over(double square) noexcept nogil:
    """sin(a) / a of a^2 up to 1.2: a Taylor series to 1e-9, so that it is the same bits everywhere."""
    cdef double sum = 1.0 - square / 110.0 * (1.0 - square / 156.0)
    sum = 1.0 - square / 42.0 * (1.0 - square / 72.0 * sum)
    return 1.0 - square / 6.0 * (1.0 - square / 20.0 * sum)


cdef inline double cosine_of(double square) noexcept nogil:
    """cos(a), likewise."""
    cdef double sum = 1.0 - square / 90.0 * (1.0 - square / 132.0)
    sum = 1.0 - square / 30.0 * (1.0 - square / 56.0 * sum)
    return 1.0 - square / 2.0 * (1.0 - square / 12.0 * sum)


cdef inline void lanczos3_weights(const float *part, float *weight) noexcept nogil:
    """Weights sinc(t) sinc(t / 3) at t = part - (-2 ... 3), divided by what all of them share.

    sin(pi t) is the same but for its sign; what remains is sin(pi t / 3) / t^2, times part. The sines of
    pi t / 3 are those of the sums of pi part / 3 and multiples of pi / 3.
    """
    cdef double d, over, half_sine, cosine
    cdef double third = 1.0471975511965976
    cdef int k
    for k in range(BLOCK):
        d = part[k] if part[k] < LARGEST_BELOW_ONE else LARGEST_BELOW_ONE
        over = sine_over(third * third * d * d)
        cosine = 0.8660254037844386 * cosine_of(third * third * d * d)
        half_sine = 0.5 * third * d * over
        weight[k] = <float>(d * (cosine - half_sine) / ((d + 2.0) * (d + 2.0)))
        weight[BLOCK + k] = <float>(-d * (cosine + half_sine) / ((d + 1.0) * (d + 1.0)))
        weight[2 * BLOCK + k] = <float>(third * over)
        weight[3 * BLOCK + k] = <float>(d * (cosine - half_sine) / ((d - 1.0) * (d - 1.0)))
        weight[4 * BLOCK + k] = <float>(-d * (cosine + half_sine) / ((d - 2.0) * (d - 2.0)))
        weight[5 * BLOCK + k] = <float>(d * (2.0 * half_sine) / ((d - 3.0) * (d - 3.0)))
    normalise(weight, 6)


cdef inline void sinc_weights(const float *part, const Method *method, float *weight) noexcept nogil:
    """Weights (-1)^k taper(k) d / (d - k), k = -7 ... 7, d the scaled offset from the nearest pixel."""
    cdef float d
    cdef int j, k
    for j in range(MOST_TAPS):
        for k in range(BLOCK):
            d = part[k] * method.sinc_scale
            weight[j * BLOCK + k] = <float>1.0 if j == 7 else method.taper[j] * d / (d - <float>(j - 7))
    normalise(weight, MOST_TAPS)


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


cdef inline float sum_of_taps(
    const float *corner, Py_ssize_t stride, const Lanes *lanes, int k, const int taps, const int width
) noexcept nogil:
    cdef const float *x = lanes.weight_x + k
    cdef const float *y = lanes.weight_y + k
    if width == 4:
        return weighted_4(corner, stride, x, y, BLOCK, taps)
    if width == 8:
        return weighted_8(corner, stride, x, y, BLOCK, taps)
    return weighted_16(corner, stride, x, y, BLOCK, taps)


cdef float at_the_end_of_rows(
    const float *corner, Py_ssize_t stride, const Lanes *lanes, int k, const int taps, const int width
) noexcept nogil:
    """The same where a whole vector would reach beyond the plane."""
    cdef float block[PADDED * PADDED]
    cdef int row, column
    for row in range(taps):
        for column in range(width):
            block[row * width + column] = corner[row * stride + column] if column < taps else <float>0.0
    return sum_of_taps(block, width, lanes, k, taps, width)


cdef inline void by_taps(
    const Plane *plane, const Lanes *lanes, int n, const double *x, const double *y, const int before,
    const int taps, const int width, float *values
) noexcept nogil:
    """Values of n positions; ``before`` taps lie below the whole pixel, ``width`` pixels make a vector."""
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
            if column + width <= plane.columns:
                value = sum_of_taps(corner, plane.stride, lanes, k, taps, width)
            else:
                value = at_the_end_of_rows(corner, plane.stride, lanes, k, taps, width)
        values[k] = value if isfinite(value) else of_the_known(plane, x[k], y[k])


cdef inline void by_nearest(const Plane *plane, const Lanes *lanes, int n, float *values) noexcept nogil:
    cdef float value
    cdef int k
    for k in range(n):
        value = known_at(plane, lanes.row[k] - plane.first_row, lanes.column[k] - plane.first_column)
        values[k] = value if isfinite(value) else NAN


cdef inline void by_linear(
    const Plane *plane, const Lanes *lanes, int n, const double *x, const double *y, float *values
) noexcept nogil:
    cdef Py_ssize_t column, row
    cdef const float *low
    cdef const float *high
    cdef float value, dx
    cdef int k
    for k in range(n):
        column = lanes.column[k] - plane.first_column
        row = lanes.row[k] - plane.first_row
        value = NAN
        if column >= 0 and row >= 0 and row + 2 <= plane.rows and column + 2 <= plane.columns:
            low = plane.values + row * plane.stride + column
            high = low + plane.stride
            dx = lanes.dx[k]
            value = (<float>1.0 - lanes.dy[k]) * ((<float>1.0 - dx) * low[0] + dx * low[1])
            value += lanes.dy[k] * ((<float>1.0 - dx) * high[0] + dx * high[1])
        values[k] = value if isfinite(value) else of_the_known(plane, x[k], y[k])


cdef void interpolate_block(
    const Plane *plane, const Method *method, int n, const double *x, const double *y, float *values
) noexcept nogil:
    """Values of n <= BLOCK positions; x and y hold BLOCK numbers."""
    cdef Lanes lanes
    cdef double half = 0.5 if method.kind == NEAREST or method.kind == SINC else 0.0
    split(x, half, lanes.column, lanes.dx)
    split(y, half, lanes.row, lanes.dy)
    if method.kind == NEAREST:
        by_nearest(plane, &lanes, n, values)
    elif method.kind == LINEAR:
        by_linear(plane, &lanes, n, x, y, values)
    elif method.kind == POLY3:
        poly3_weights(lanes.dx, lanes.weight_x)
        poly3_weights(lanes.dy, lanes.weight_y)
        by_taps(plane, &lanes, n, x, y, 1, 4, 4, values)
    elif method.kind == POLY5:
        poly5_weights(lanes.dx, lanes.weight_x)
        poly5_weights(lanes.dy, lanes.weight_y)
        by_taps(plane, &lanes, n, x, y, 2, 6, 8, values)
    elif method.kind == LANCZOS3:
        lanczos3_weights(lanes.dx, lanes.weight_x)
        lanczos3_weights(lanes.dy, lanes.weight_y)
        by_taps(plane, &lanes, n, x, y, 2, 6, 8, values)
    else:
        sinc_weights(lanes.dx, method, lanes.weight_x)
        sinc_weights(lanes.dy, method, lanes.weight_y)
        by_taps(plane, &lanes, n, x, y, 7, MOST_TAPS, PADDED, values)


cdef Method method_of(int kind, float sinc_scale):
    """With the signs of the sine, and the square of the cosine's series that IRAF's bisinc takes."""
    cdef Method method
    cdef double square
    cdef int k
    method.kind = kind
    method.sinc_scale = sinc_scale
    for k in range(-7, 8):
        square = (1.5707963267948966 / 7.0 * k) ** 2
        square = (1.0 - 0.49670 * square + 0.03705 * square * square) ** 2
        method.taper[k + 7] = <float>(-square if k % 2 else square)
    return method


cdef Plane plane_of(const float[:, ::1] values, Py_ssize_t first_row, Py_ssize_t first_column):
    cdef Plane plane
    plane.values = &values[0, 0] if values.shape[0] and values.shape[1] else NULL
    plane.stride = values.shape[1]
    plane.rows = values.shape[0]
    plane.columns = values.shape[1]
    plane.first_row = first_row
    plane.first_column = first_column
    return plane


cdef struct View:
    const Distortion *chip
    const double *homography
    float factor


cdef void see_rows(
    const View *view, const Plane *plane, const Method *method, Py_ssize_t first, float[:, ::1] seen
) noexcept nogil:
    """Tile of columns after tile of columns, so that the plane's rows under them stay near."""
    cdef Py_ssize_t row, stop
    cdef Py_ssize_t left = 0
    cdef Py_ssize_t width = seen.shape[1]
    while left < width:
        stop = min(left + <Py_ssize_t>TILE, width)
        for row in range(seen.shape[0]):
            see_row(view, plane, method, first + row, left, stop - left, &seen[row, left])
        left = stop


cdef inline void see_row(
    const View *view, const Plane *plane, const Method *method, Py_ssize_t row, Py_ssize_t left,
    Py_ssize_t count, float *seen
) noexcept nogil:
    cdef double x[TILE]
    cdef double y[TILE]
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t k
    map_row(view.chip, view.homography, left, 0.0, count, <double>row, x, y)
    while start < count:
        interpolate_block(
            plane, method, <int>min(<Py_ssize_t>BLOCK, count - start), x + start, y + start, seen + start
        )
        start += BLOCK
    for k in range(count):
        seen[k] *= view.factor


def blot_rows(
    ChipDistortion chip not None, const double[:, ::1] homography not None,
    const float[:, ::1] plane not None, Py_ssize_t first_row, Py_ssize_t first_column, int kind,
    float sinc_scale, float factor, Py_ssize_t first, float[:, ::1] seen not None
):
    """Fill ``seen``, rows ``first`` on of the chip, with the plane's values times ``factor``.

    ``plane`` begins at (first_row, first_column), not below 0, of the grid that the homography (3, 3) leads
    to.
    """
    cdef View view
    cdef Method method = method_of(kind, sinc_scale)
    cdef Plane window = plane_of(plane, first_row, first_column)
    if homography.shape[0] != 3 or homography.shape[1] != 3:
        raise ValueError("the homography is not 3 x 3")
    if first_row < 0 or first_column < 0:
        raise ValueError("the plane begins outside of its grid")
    view.chip, view.homography, view.factor = &chip.data, &homography[0, 0], factor
    with nogil:
        see_rows(&view, &window, &method, first, seen)


def interpolate(
    const float[:, ::1] plane not None, const double[::1] x not None, const double[::1] y not None, int kind,
    float sinc_scale, float[::1] values not None
):
    """Fill ``values`` with the plane's values at 0-based positions (x, y)."""
    cdef double block_x[BLOCK]
    cdef double block_y[BLOCK]
    cdef Method method = method_of(kind, sinc_scale)
    cdef Plane window = plane_of(plane, 0, 0)
    cdef Py_ssize_t start = 0
    cdef int k, n
    if x.shape[0] != y.shape[0] or x.shape[0] != values.shape[0]:
        raise ValueError("x, y and values differ in length")
    with nogil:
        while start < x.shape[0]:
            n = <int>min(<Py_ssize_t>BLOCK, x.shape[0] - start)
            for k in range(BLOCK):
                block_x[k] = x[start + k] if k < n else NAN
                block_y[k] = y[start + k] if k < n else NAN
            interpolate_block(&window, &method, n, block_x, block_y, &values[start])
            start += BLOCK

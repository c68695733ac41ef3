# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Stars fitted with an effective PSF that varies over the field, and the residuals that improve that PSF.

Contract: the PSF is a set of cubic B-spline coefficients [terms, n, n] on a grid of OVERSAMPLING nodes a
pixel, the star at the middle node; its value at a star is the sum of the terms times the star's own
``basis`` row. Pixels are 0-based. Every star is computed alone, so a result depends neither on order nor on
company. No global state, no lock held.

Limits: at most MOST_TERMS terms; squares of at most 13 pixels a side, and within the image and the grid.
"""

import numpy as np

from libc.math cimport INFINITY, fabs, floor, fmax, fmin, isfinite, rint, sqrt
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

cdef enum:
    OVER = 4
    MOST_TERMS = 15
    MOST_SIDE = 13
    MOST_PIXELS = 169
    UNKNOWNS = 4

OVERSAMPLING = OVER
FIT_COLUMNS = (
    "x", "y", "flux", "background", "x_err", "y_err", "flux_err", "misfit", "chi_squared", "freedom",
    "sensitivity", "sharpness", "sharpness_err", "contamination", "moved", "odd_chi_squared", "odd_freedom",
    "odd_sensitivity",
)
"""What `fit_stars` gives of each star, in this order."""

ctypedef const double[:, :, ::1] Coefficients

cdef struct Square:
    Py_ssize_t column, row      # of the middle pixel
    int radius, side, count
    double data[MOST_PIXELS]    # neighbours taken away
    double variance[MOST_PIXELS]  # as if the star were not there; infinite where the pixel is not used
    double value[MOST_PIXELS]
    double by_x[MOST_PIXELS]
    double by_y[MOST_PIXELS]


cdef inline void spline_weights(double part, double *weight, double *slope) noexcept nogil:
    cdef double rest = 1.0 - part, square = part * part, left = rest * rest
    weight[0] = left * rest / 6.0
    weight[1] = (3.0 * square * part - 6.0 * square + 4.0) / 6.0
    weight[2] = (3.0 * left * rest - 6.0 * left + 4.0) / 6.0
    weight[3] = square * part / 6.0
    slope[0] = -0.5 * left
    slope[1] = 0.5 * (3.0 * square - 4.0 * part)
    slope[2] = 0.5 * (4.0 * rest - 3.0 * left)
    slope[3] = 0.5 * square


cdef void blend(
    const double *terms, const double *basis, Py_ssize_t count, Py_ssize_t size, Py_ssize_t margin,
    double *out
) noexcept nogil:
    """The PSF's coefficients at one star; `margin` nodes round the edge are left out."""
    cdef Py_ssize_t row, column, term, start
    cdef double weight
    cdef const double *source
    for row in range(margin, size - margin):
        start = row * size
        weight = basis[0]
        source = terms + start
        for column in range(margin, size - margin):
            out[start + column] = weight * source[column]
        for term in range(1, count):
            weight = basis[term]
            source = terms + term * size * size + start
            for column in range(margin, size - margin):
                out[start + column] += weight * source[column]


cdef void evaluate(const double *psf, Py_ssize_t size, double x, double y, Square *square) noexcept nogil:
    """Value and slopes of the PSF on the pixels of a square, for a star at (x, y)."""
    cdef int radius = square.radius, side = square.side
    cdef Py_ssize_t half = size // 2
    cdef double place_x = (square.column - x - radius) * OVER + half
    cdef double place_y = (square.row - y - radius) * OVER + half
    cdef Py_ssize_t first_x = <Py_ssize_t>floor(place_x), first_y = <Py_ssize_t>floor(place_y)
    cdef double weight_x[4]
    cdef double slope_x[4]
    cdef double weight_y[4]
    cdef double slope_y[4]
    cdef double along[MOST_SIDE]
    cdef double sloping[MOST_SIDE]
    cdef const double *line
    cdef int j, i, a
    spline_weights(place_x - first_x, weight_x, slope_x)
    spline_weights(place_y - first_y, weight_y, slope_y)
    for j in range(side):
        for i in range(side):
            square.value[j * side + i] = 0.0
            square.by_x[j * side + i] = 0.0
            square.by_y[j * side + i] = 0.0
        for a in range(4):
            line = psf + (first_y - 1 + OVER * j + a) * size + first_x - 1
            for i in range(side):
                along[i] = (
                    line[OVER * i] * weight_x[0] + line[OVER * i + 1] * weight_x[1]
                    + line[OVER * i + 2] * weight_x[2] + line[OVER * i + 3] * weight_x[3]
                )
                sloping[i] = (
                    line[OVER * i] * slope_x[0] + line[OVER * i + 1] * slope_x[1]
                    + line[OVER * i + 2] * slope_x[2] + line[OVER * i + 3] * slope_x[3]
                )
            for i in range(side):
                square.value[j * side + i] += weight_y[a] * along[i]
                square.by_x[j * side + i] -= OVER * weight_y[a] * sloping[i]
                square.by_y[j * side + i] -= OVER * slope_y[a] * along[i]


cdef double value_at(const double *psf, Py_ssize_t size, double offset_x, double offset_y) noexcept nogil:
    """The PSF's value a pixel's (x, y) offset from the star; 0 outside the grid."""
    cdef Py_ssize_t half = size // 2
    cdef double place_x = offset_x * OVER + half, place_y = offset_y * OVER + half
    cdef Py_ssize_t first_x = <Py_ssize_t>floor(place_x), first_y = <Py_ssize_t>floor(place_y)
    cdef double weight_x[4]
    cdef double weight_y[4]
    cdef double unused[4]
    cdef double total = 0.0
    cdef const double *line
    cdef int a
    if first_x < 1 or first_y < 1 or first_x > size - 3 or first_y > size - 3:
        return 0.0
    spline_weights(place_x - first_x, weight_x, unused)
    spline_weights(place_y - first_y, weight_y, unused)
    for a in range(4):
        line = psf + (first_y - 1 + a) * size + first_x - 1
        total += weight_y[a] * (
            line[0] * weight_x[0] + line[1] * weight_x[1] + line[2] * weight_x[2] + line[3] * weight_x[3]
        )
    return total


cdef bint solve(double *matrix, double *right, int size) noexcept nogil:
    """Solve a symmetric positive system in place (Cholesky); the lower triangle becomes the factor."""
    cdef int i, j, k
    cdef double total
    for j in range(size):
        total = matrix[j * size + j]
        for k in range(j):
            total -= matrix[j * size + k] * matrix[j * size + k]
        if not total > 0.0:
            return False
        matrix[j * size + j] = sqrt(total)
        for i in range(j + 1, size):
            total = matrix[i * size + j]
            for k in range(j):
                total -= matrix[i * size + k] * matrix[j * size + k]
            matrix[i * size + j] = total / matrix[j * size + j]
    for i in range(size):
        for k in range(i):
            right[i] -= matrix[i * size + k] * right[k]
        right[i] /= matrix[i * size + i]
    for i in range(size - 1, -1, -1):
        for k in range(i + 1, size):
            right[i] -= matrix[k * size + i] * right[k]
        right[i] /= matrix[i * size + i]
    return True


cdef void inverse_diagonal(const double *factor, int size, double *out) noexcept nogil:
    """Diagonal of the inverse of the matrix whose Cholesky factor is given."""
    cdef double column[MOST_TERMS]
    cdef int i, k, which
    for which in range(size):
        out[which] = 0.0
        for i in range(which, size):
            column[i] = 1.0 if i == which else 0.0
            for k in range(which, i):
                column[i] -= factor[i * size + k] * column[k]
            column[i] /= factor[i * size + i]
            out[which] += column[i] * column[i]


cdef inline double pixel_variance(
    double without_star, double model, double slope, double psf_noise, double flux, double least
) noexcept nogil:
    """Noise of a pixel: background and neighbours, the model's photons, the error of the PSF."""
    cdef double light = fmax(model * flux, 0.0)
    return fmax(without_star + slope * light, least) + psf_noise * fmax(flux, 0.0) * light


cdef double median(double *values, Py_ssize_t count) noexcept nogil:
    """Lower median by selection; the order of `values` is changed."""
    cdef Py_ssize_t low = 0, high = count - 1, k = (count - 1) // 2, i, j
    cdef double pivot, held
    while low < high:
        pivot = values[k]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                held = values[i]
                values[i] = values[j]
                values[j] = held
                i += 1
                j -= 1
        if j < k:
            low = i
        if k < i:
            high = j
    return values[k]


cdef void cut(
    const float *image, const float *variance, Py_ssize_t width, double slope, Square *square
) noexcept nogil:
    """Fill a square: data, and the variance each pixel would have at the level of the background."""
    cdef int i, j, at
    cdef Py_ssize_t pixel
    for j in range(square.side):
        for i in range(square.side):
            at = j * square.side + i
            pixel = (square.row + j - square.radius) * width + square.column + i - square.radius
            square.data[at] = image[pixel]
            square.variance[at] = variance[pixel]
            if isfinite(square.variance[at]):
                square.variance[at] -= slope * image[pixel]


cdef double take_neighbours(
    const double *psf, Py_ssize_t size, const double[:, ::1] sources, const Py_ssize_t *others,
    Py_ssize_t count, double slope, Square *square
) noexcept nogil:
    """Take the light of the neighbours away (their noise stays); return its sum over the square."""
    cdef Py_ssize_t n
    cdef int i, j, at
    cdef double light, total = 0.0
    for n in range(count):
        for j in range(square.side):
            for i in range(square.side):
                at = j * square.side + i
                light = sources[others[n], 2] * value_at(
                    psf, size,
                    square.column + i - square.radius - sources[others[n], 0],
                    square.row + j - square.radius - sources[others[n], 1],
                )
                square.data[at] -= light
                square.variance[at] += slope * fmax(light, 0.0)
                total += light
    return total


cdef double start_flux(
    Square *square, const double *least, bint level, double *background
) noexcept nogil:
    """Flux and level by linear least squares for the PSF where it stands."""
    cdef double ww = 0.0, wp = 0.0, wpp = 0.0, wd = 0.0, wpd = 0.0, weight, p, determinant
    cdef int at
    for at in range(square.count):
        if not isfinite(square.variance[at]):
            continue
        p = square.value[at]
        weight = 1.0 / fmax(square.variance[at], least[at])
        ww += weight
        wp += weight * p
        wpp += weight * p * p
        wd += weight * square.data[at]
        wpd += weight * p * square.data[at]
    background[0] = 0.0
    determinant = ww * wpp - wp * wp
    if level and determinant > 1e-12 * ww * wpp:
        background[0] = (wpp * wd - wp * wpd) / determinant
        return (ww * wpd - wp * wd) / determinant
    return wpd / fmax(wpp, 1e-300)


cdef void normal_equations(
    Square *square, const double *least, double flux, double background, bint level, double slope,
    double psf_noise, double *matrix, double *right
) noexcept nogil:
    """Normal equations of flux, level, x and y; a level that is not fitted has the identity's row."""
    cdef double row[UNKNOWNS]
    cdef double weight, residual
    cdef int at, i, j
    memset(matrix, 0, UNKNOWNS * UNKNOWNS * sizeof(double))
    memset(right, 0, UNKNOWNS * sizeof(double))
    for at in range(square.count):
        if not isfinite(square.variance[at]):
            continue
        weight = 1.0 / pixel_variance(
            square.variance[at], square.value[at], slope, psf_noise, flux, least[at]
        )
        residual = square.data[at] - flux * square.value[at] - background
        row[0] = square.value[at]
        row[1] = 1.0 if level else 0.0
        row[2] = flux * square.by_x[at]
        row[3] = flux * square.by_y[at]
        for i in range(UNKNOWNS):
            right[i] += weight * row[i] * residual
            for j in range(i + 1):
                matrix[i * UNKNOWNS + j] += weight * row[i] * row[j]
    for i in range(UNKNOWNS):
        matrix[i * UNKNOWNS + i] *= 1.0 + 1e-12
        if matrix[i * UNKNOWNS + i] <= 0.0:
            matrix[i * UNKNOWNS + i] = 1.0


cdef void odd_part(
    Square *square, const double *least, double slope, double psf_noise, double *out
) noexcept nogil:
    """The residuals that change sign through the middle, which alone move a star: columns 15 to 17."""
    cdef double flux = out[2], residual, noise, here, there
    cdef double chi = 0.0, bend = 0.0
    cdef int at, opposite, pairs = 0
    for at in range(square.count // 2):
        opposite = square.count - 1 - at
        if not (isfinite(square.variance[at]) and isfinite(square.variance[opposite])):
            continue
        pairs += 1
        here = square.data[at] - flux * square.value[at]
        there = square.data[opposite] - flux * square.value[opposite]
        residual = here - there
        noise = (
            pixel_variance(square.variance[at], square.value[at], slope, psf_noise, flux, least[at])
            + pixel_variance(
                square.variance[opposite], square.value[opposite], slope, psf_noise, flux, least[opposite]
            )
        )
        chi += residual * residual / noise
        bend += flux * flux * fmax(square.value[at] + square.value[opposite], 0.0) / noise
    out[15] = chi
    out[16] = pairs - 2
    out[17] = bend


cdef void position_errors(
    Square *square, const double *least, double slope, double psf_noise, double odd_noise, double flux,
    bint level, const double *factor, double *errors
) noexcept nogil:
    """Errors of x and y: weights allow for the whole error of the PSF, the truth holds its odd part."""
    cdef double along[UNKNOWNS]
    cdef double row[UNKNOWNS]
    cdef double total, weight, noise, influence
    cdef int at, i, k, which
    for which in range(2):
        for i in range(UNKNOWNS):
            along[i] = 1.0 if i == which + 2 else 0.0
        for i in range(UNKNOWNS):
            for k in range(i):
                along[i] -= factor[i * UNKNOWNS + k] * along[k]
            along[i] /= factor[i * UNKNOWNS + i]
        for i in range(UNKNOWNS - 1, -1, -1):
            for k in range(i + 1, UNKNOWNS):
                along[i] -= factor[k * UNKNOWNS + i] * along[k]
            along[i] /= factor[i * UNKNOWNS + i]
        total = 0.0
        for at in range(square.count):
            if not isfinite(square.variance[at]):
                continue
            weight = 1.0 / pixel_variance(
                square.variance[at], square.value[at], slope, psf_noise, flux, least[at]
            )
            noise = pixel_variance(square.variance[at], square.value[at], slope, odd_noise, flux, least[at])
            row[0] = square.value[at]
            row[1] = 1.0 if level else 0.0
            row[2] = flux * square.by_x[at]
            row[3] = flux * square.by_y[at]
            influence = 0.0
            for i in range(UNKNOWNS):
                influence += along[i] * row[i]
            influence *= weight
            total += influence * influence * noise
        errors[which] = sqrt(total)


cdef double curvature(const double *values, int side, int i, int j) noexcept nogil:
    """A pixel less the mean of its eight neighbours."""
    cdef double total = 0.0
    cdef int a, b
    for b in range(-1, 2):
        for a in range(-1, 2):
            total += values[(j + b) * side + i + a]
    return values[j * side + i] - (total - values[j * side + i]) / 8.0


cdef void describe(
    Square *square, const double *least, double slope, double psf_noise, double *out
) noexcept nogil:
    """Quality of a fit whose x, y, flux and level stand in `out`: its columns 7 to 12."""
    cdef double flux = out[2], residual, noise, expected
    cdef double spread = 0.0, misfit = 0.0, chi = 0.0, bend = 0.0
    cdef int at, i, j, a, b, used = 0, side = square.side
    for at in range(square.count):
        if not isfinite(square.variance[at]):
            continue
        used += 1
        residual = square.data[at] - flux * square.value[at] - out[3]
        noise = pixel_variance(square.variance[at], square.value[at], slope, psf_noise, flux, least[at])
        misfit += fabs(residual)
        chi += residual * residual / noise
        bend += flux * flux * fmax(square.value[at], 0.0) / noise
    out[7] = misfit / fmax(fabs(flux), 1e-30)
    out[8] = chi
    out[9] = used - UNKNOWNS
    out[10] = bend
    out[11] = 0.0
    out[12] = INFINITY
    i = <int>(rint(out[0]) - square.column) + square.radius
    j = <int>(rint(out[1]) - square.row) + square.radius
    if i < 1 or j < 1 or i > side - 2 or j > side - 2:
        return
    expected = flux * curvature(square.value, side, i, j)
    if not expected > 0.0:
        return
    out[11] = curvature(square.data, side, i, j) / expected
    for b in range(-1, 2):
        for a in range(-1, 2):
            at = (j + b) * side + i + a
            noise = square.variance[at]
            if isfinite(noise):
                noise = pixel_variance(noise, square.value[at], slope, psf_noise, flux, least[at])
            spread += noise if a == 0 and b == 0 else noise / 64.0
    out[12] = sqrt(spread) / expected


cdef void fit_one(
    const double *psf, Py_ssize_t size, Square *square, double slope, double psf_noise, double odd_noise,
    bint level, int steps, double *out
) noexcept nogil:
    """Gauss-Newton for one star, from the place in `out`; the result goes there."""
    cdef double matrix[UNKNOWNS * UNKNOWNS]
    cdef double right[UNKNOWNS]
    cdef double variances[UNKNOWNS]
    cdef double least[MOST_PIXELS]
    cdef double x = out[0], y = out[1], flux, background = 0.0, moved = INFINITY
    cdef double shift_x, shift_y
    cdef int at, _step
    cdef bint good = True
    for at in range(square.count):
        # Errors that do not follow the light would make a variance below the background's vanish.
        least[at] = 1e-30
        if isfinite(square.variance[at]):
            least[at] = fmax(0.25 * (square.variance[at] + slope * fmax(square.data[at], 0.0)), 1e-30)
    evaluate(psf, size, x, y, square)
    flux = start_flux(square, least, level, &background)
    for _step in range(steps):
        normal_equations(square, least, flux, background, level, slope, psf_noise, matrix, right)
        good = solve(matrix, right, UNKNOWNS)
        if not good:
            break
        shift_x = fmax(-0.5, fmin(0.5, right[2]))
        shift_y = fmax(-0.5, fmin(0.5, right[3]))
        flux += right[0]
        background += right[1]
        x = fmax(square.column - 1.9, fmin(square.column + 1.9, x + shift_x))
        y = fmax(square.row - 1.9, fmin(square.row + 1.9, y + shift_y))
        moved = sqrt(shift_x * shift_x + shift_y * shift_y)
        evaluate(psf, size, x, y, square)
        if moved < 1e-4:
            break
    normal_equations(square, least, flux, background, level, slope, psf_noise, matrix, right)
    good = good and solve(matrix, right, UNKNOWNS)
    out[0], out[1], out[2], out[3] = x, y, flux, background
    out[4], out[5], out[6] = INFINITY, INFINITY, INFINITY
    if good:
        inverse_diagonal(matrix, UNKNOWNS, variances)
        out[6] = sqrt(variances[0])
        position_errors(square, least, slope, psf_noise, odd_noise, flux, level, matrix, &out[4])
    out[14] = moved if good else INFINITY
    describe(square, least, slope, psf_noise, out)
    odd_part(square, least, slope, psf_noise, out)


cdef bint within(const Py_ssize_t[:, ::1] pixel, Py_ssize_t nx, Py_ssize_t ny, int radius) noexcept nogil:
    """Whether every square lies in the image."""
    cdef Py_ssize_t star
    for star in range(pixel.shape[0]):
        if pixel[star, 0] < radius or pixel[star, 0] >= nx - radius:
            return False
        if pixel[star, 1] < radius or pixel[star, 1] >= ny - radius:
            return False
    return True


cdef bint fitting(
    Coefficients coefficients, const double[:, ::1] basis, const Py_ssize_t[:, ::1] pixel, int radius,
    double away
) noexcept:
    """Whether the shapes agree, and a square with its star so many pixels from the middle is in the grid."""
    return (
        coefficients.shape[0] <= MOST_TERMS
        and basis.shape[1] == coefficients.shape[0]
        and basis.shape[0] == pixel.shape[0]
        and coefficients.shape[1] == coefficients.shape[2]
        and 2 * radius + 1 <= MOST_SIDE
        and (radius + away) * OVER + 2 <= coefficients.shape[1] // 2
    )


def fit_stars(
    Coefficients coefficients, const double[:, ::1] basis, const float[:, ::1] image,
    const float[:, ::1] variance, const double[:, ::1] start, const Py_ssize_t[:, ::1] pixel,
    const Py_ssize_t[::1] first, const Py_ssize_t[::1] other, const double[:, ::1] sources,
    int radius, int steps, double slope, double psf_noise, double odd_noise, bint level
):
    """Fit position, flux and local level of each star by weighted least squares.

    Parameters
    ----------
    coefficients : float64 [terms, n, n]
    basis : float64 [stars, terms]
    image, variance : float32 [ny, nx]
        Background-subtracted image and its variance; an infinite variance leaves a pixel out.
    start : float64 [stars, 2]
        x, y to begin with.
    pixel : intp [stars, 2]
        Column and row of the middle pixel of each square, at least `radius` from the edges of the image.
    first, other : intp [stars + 1], intp [first[-1]]
        The neighbours of star i are rows ``other[first[i]:first[i + 1]]`` of `sources`.
    sources : float64 [all, 3]
        x, y, flux of what may be a neighbour.
    radius, steps : int
        Half the side of the squares (at most 6), and the most steps.
    slope : float
        Variance a unit of light brings (1 for electrons).
    psf_noise : float
        Squared error of the PSF: its share of variance is this times flux squared times the PSF's value.
    odd_noise : float
        The same for the part that changes sign through the middle of the star, which alone moves it.
    level : bool
        Fit a constant under each star.

    Returns
    -------
    float64 [stars, len(FIT_COLUMNS)]
    """
    cdef Py_ssize_t stars = start.shape[0], terms = coefficients.shape[0], size = coefficients.shape[1]
    cdef Py_ssize_t width = image.shape[1], star, margin, neighbours
    cdef int columns = len(FIT_COLUMNS)
    if not fitting(coefficients, basis, pixel, radius, 1.9):
        raise ValueError("too many terms, too large squares, or arrays of another PSF")
    if not within(pixel, width, image.shape[0], radius):
        raise IndexError("a star's square reaches beyond the image")
    result = np.zeros((stars, columns))
    cdef double[:, ::1] out = result
    cdef double *psf = <double *>malloc(size * size * sizeof(double))
    cdef Square square
    if psf == NULL:
        raise MemoryError
    if stars == 0:
        free(psf)
        return result
    square.radius, square.side, square.count = radius, 2 * radius + 1, (2 * radius + 1) ** 2
    # What a square may touch: its own pixels, moved by 1.9 pixels, and the spline's reach.
    margin = max(0, size // 2 - (radius + 2) * OVER - 3)
    with nogil:
        for star in range(stars):
            neighbours = first[star + 1] - first[star]
            blend(
                &coefficients[0, 0, 0], &basis[star, 0], terms, size, 0 if neighbours else margin, psf
            )
            square.column, square.row = pixel[star, 0], pixel[star, 1]
            cut(&image[0, 0], &variance[0, 0], width, slope, &square)
            out[star, 0], out[star, 1] = start[star, 0], start[star, 1]
            if neighbours:
                out[star, 13] = take_neighbours(
                    psf, size, sources, &other[first[star]], neighbours, slope, &square
                )
            fit_one(psf, size, &square, slope, psf_noise, odd_noise, level, steps, &out[star, 0])
            out[star, 13] /= fmax(out[star, 2], 1e-30)
    free(psf)
    return result


cdef void collect(
    const double *psf, Py_ssize_t size, Square *square, const double[::1] star, double slope,
    double *held, Py_ssize_t *node, double *excess, double *noise
) noexcept nogil:
    """Excess of a star's pixels over its model in units of the flux; node -1 where there is none."""
    cdef double flux = star[2], level, light
    cdef Py_ssize_t half = size // 2, column, row
    cdef int at, i, j, usable = 0
    evaluate(psf, size, star[0], star[1], square)
    for at in range(square.count):
        if isfinite(square.variance[at]):
            held[usable] = square.data[at] - flux * square.value[at]
            usable += 1
    level = median(held, usable) if usable else 0.0
    for j in range(square.side):
        for i in range(square.side):
            at = j * square.side + i
            node[at] = -1
            if not isfinite(square.variance[at]):
                continue
            column = <Py_ssize_t>rint((square.column + i - square.radius - star[0]) * OVER) + half
            row = <Py_ssize_t>rint((square.row + j - square.radius - star[1]) * OVER) + half
            if column < 0 or row < 0 or column >= size or row >= size:
                continue
            light = fmax(flux * square.value[at], 0.0)
            node[at] = row * size + column
            excess[at] = (square.data[at] - level) / flux - square.value[at]
            noise[at] = fmax(square.variance[at] + slope * light, 1e-30) / (flux * flux)


cdef bint node_terms(
    const double *excess, const double *noise, const Py_ssize_t *star, Py_ssize_t count,
    const double[:, ::1] basis, double *held, const double *current, const double *prior, double *out
) noexcept nogil:
    """The correction of all terms at one node, robustly: what lies 4 deviations from the median is left out.

    Terms beyond the first are held to zero by a Gaussian prior of the given precision.
    """
    cdef Py_ssize_t terms = basis.shape[1], n
    cdef int i, j
    cdef double middle, spread, weight, rest
    cdef double matrix[MOST_TERMS * MOST_TERMS]
    memcpy(held, excess, count * sizeof(double))
    middle = median(held, count)
    for n in range(count):
        held[n] = fabs(excess[n] - middle)
    spread = 1.4826 * median(held, count)
    memset(matrix, 0, terms * terms * sizeof(double))
    memset(out, 0, terms * sizeof(double))
    for n in range(count):
        rest = excess[n] - middle
        if rest * rest > 16.0 * (spread * spread + noise[n]):
            continue
        weight = 1.0 / (noise[n] + spread * spread + 1e-30)
        for i in range(terms):
            out[i] += weight * basis[star[n], i] * excess[n]
            for j in range(i + 1):
                matrix[i * terms + j] += weight * basis[star[n], i] * basis[star[n], j]
    for i in range(1, terms):
        matrix[i * terms + i] += prior[i]
        out[i] -= prior[i] * current[i]
    for i in range(terms):
        matrix[i * terms + i] = matrix[i * terms + i] * (1.0 + 1e-9) + 1e-300
    return solve(matrix, out, <int>terms)


def node_corrections(
    Coefficients coefficients, Coefficients samples, const double[:, ::1] basis, const float[:, ::1] image,
    const float[:, ::1] variance, const double[:, ::1] stars, const Py_ssize_t[:, ::1] pixel,
    int radius, double slope, double prior_share
):
    """What the pixels of bright stars ask of the PSF at each of its nodes.

    Parameters
    ----------
    coefficients, samples : float64 [terms, n, n]
        The PSF as spline coefficients and as values at the nodes.
    basis : float64 [stars, terms]
    image, variance, pixel, slope
        As in `fit_stars`.
    stars : float64 [stars, 3]
        Fitted x, y (within 1.5 pixels of `pixel`), flux (positive).
    radius : int
        Half the side of the squares.
    prior_share : float
        Standard deviation of the terms beyond the first, as a share of the PSF's value there.

    Returns
    -------
    float64 [terms, n, n]
        To be added to the samples; 0 where fewer than 3 pixels are near a node.
    """
    cdef Py_ssize_t count = stars.shape[0], terms = coefficients.shape[0], size = coefficients.shape[1]
    cdef Py_ssize_t width = image.shape[1], nodes = size * size, star, n, at, term, place, inside
    cdef Square square
    cdef double current[MOST_TERMS]
    cdef double prior[MOST_TERMS]
    cdef double change[MOST_TERMS]
    cdef double peak = 0.0, share
    if not fitting(coefficients, basis, pixel, radius, 1.5):
        raise ValueError("too many terms, too large squares, or arrays of another PSF")
    if not within(pixel, width, image.shape[0], radius):
        raise IndexError("a star's square reaches beyond the image")
    result = np.zeros((terms, size, size))
    if count == 0:
        return result
    square.radius, square.side, square.count = radius, 2 * radius + 1, (2 * radius + 1) ** 2
    cdef double[:, :, ::1] out = result
    cdef Py_ssize_t[::1] node = np.empty(count * square.count, dtype=np.intp)
    cdef double[::1] excess = np.empty(count * square.count)
    cdef double[::1] noise = np.empty(count * square.count)
    cdef Py_ssize_t[::1] begin = np.zeros(nodes + 1, dtype=np.intp)
    cdef Py_ssize_t[::1] owner = np.empty(count * square.count, dtype=np.intp)
    cdef double[::1] sorted_excess = np.empty(count * square.count)
    cdef double[::1] sorted_noise = np.empty(count * square.count)
    cdef double[::1] psf = np.empty(nodes)
    cdef double[::1] held = np.empty(max(count * square.count, 1))
    with nogil:
        for star in range(count):
            blend(&coefficients[0, 0, 0], &basis[star, 0], terms, size, 0, &psf[0])
            square.column, square.row = pixel[star, 0], pixel[star, 1]
            cut(&image[0, 0], &variance[0, 0], width, slope, &square)
            place = star * square.count
            collect(
                &psf[0], size, &square, stars[star], slope, &held[0], &node[place], &excess[place],
                &noise[place]
            )
        for at in range(count * square.count):
            if node[at] >= 0:
                begin[node[at] + 1] += 1
        for n in range(nodes):
            begin[n + 1] += begin[n]
            if samples[0, n // size, n % size] > peak:
                peak = samples[0, n // size, n % size]
        for at in range(count * square.count):
            n = node[at]
            if n >= 0:
                place = begin[n]
                begin[n] += 1
                owner[place] = at // square.count
                sorted_excess[place] = excess[at]
                sorted_noise[place] = noise[at]
        place = 0
        for n in range(nodes):
            inside = begin[n] - place
            if inside >= 3:
                share = prior_share * (fabs(samples[0, n // size, n % size]) + 0.05 * peak)
                for term in range(terms):
                    current[term] = samples[term, n // size, n % size]
                    prior[term] = 1.0 / (share * share)
                if node_terms(
                    &sorted_excess[place], &sorted_noise[place], &owner[place], inside, basis, &held[0],
                    current, prior, change
                ):
                    for term in range(terms):
                        out[term, n // size, n % size] = change[term]
            place = begin[n]
    return result

"""The drizzle kernels that look at the centre of a pixel alone.

Contract: the centre of every input pixel is mapped exactly; an output pixel at the distances dx, dy from it
receives ``weight * a(dx, dy)``. With s the scale of the output over that of the chip (its IDCSCALE):

point     a = 1 for the nearest output pixel (of two the higher)
turbo     overlap of the pixel with an upright box of side pixfrac / s, over the area of the box
gaussian  b / pi exp(-b (dx^2 + dy^2)), b = 2.3548^2 s^2 / (2 pixfrac^2), for pixels that are touched by a
          square of half side max(2.5 pixfrac / (2.3548 s), 1.2 / s)
lanczosN  L(s dx) L(s dy), L(t) = sinc(t) sinc(t / N) for |t| < N, else 0 (N = 2, 3); pixfrac plays no part,
          for a shrunken pixel would leave nothing to interpolate between
tophat    a = 1 where dx^2 + dy^2 <= (pixfrac / 2s)^2

Formulas: Fruchter & Hook 2002, section 3; the task ``drizzle``. Where the output ends a footprint is cut off,
also that of a pixel whose centre lies outside. Gaussian factors below e^-34 of the peak are 0.

Sums are float64. Detector tiles (32 rows of 128 pixels, fewer where the output is much finer) that begin at
whole multiples of their sides are summed apart, in memory of their own that a cache holds however a chip is
turned; then they are added to the band, in the order of the calls, rows of tiles and tiles. In a tile rows
follow each other, in a row the pixels of one remainder by 8 first (a pixel then seldom waits for what its
neighbour stored). A footprint depends on its own pixel alone and is only then cut to the band: bits depend
neither on bands nor threads nor on the build.

What contributes nothing: weights that are 0, negative, NaN or infinite; values that are NaN or infinite;
centres 90 degrees or more from the tangent point; shares of 0. A variance that is negative, NaN or infinite
makes the variance of what its pixel touches NaN. Shares of the lanczos kernels may be negative and count as
they are: the context bit is set where those of a tile do not sum to 0, and an output pixel whose weights sum
to 0 or less is one where nothing contributes (``processing/imaging/drizzle.py``).
"""

from libc.math cimport INFINITY, NAN, ceil, fabsf
from libc.stdlib cimport calloc, free, malloc

from hapctl.ext.mapping cimport BLOCK, MAX_SIP_ORDER, ChipDistortion, Distortion, Polynomial, Table

include "distortion.pxi"
include "footprints.pxi"
include "boxes.pxi"
include "tiles.pxi"

KINDS = {
    "point": POINT, "turbo": TURBO, "gaussian": GAUSSIAN, "lanczos2": LANCZOS2, "lanczos3": LANCZOS3,
    "tophat": TOPHAT,
}


def reach(str kernel, double pixfrac, double scale_ratio):
    """How far from the mapped centre of a pixel the centre of an output pixel may lie that gets a share.

    Parameters
    ----------
    kernel : str
        A key of ``KINDS``.
    pixfrac : float
    scale_ratio : float
        Scale of the output over that of the chip.

    Returns
    -------
    float
        Output pixels, along either axis.
    """
    cdef Footprint shape
    shape_of(&shape, KINDS[kernel], pixfrac, scale_ratio)
    return shape.radius + (0.0 if shape.kind >= LANCZOS2 else 0.5)


def add_pixels(
    str kernel,
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
    double scale_ratio=1.0,
):
    """Drizzle a block of detector rows onto a band.

    Parameters
    ----------
    kernel : str
        A key of ``KINDS``.
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
        Side of the shrunken pixel, 0.001 to 1.
    sums : ndarray, shape (band rows, output nx, 2), float64
        Sums of weight * value and of weight; added to.
    context : ndarray, shape (band rows, output nx), int32, or None
        Bit plane; ``bit`` is set where a weight other than 0 is added.
    bit : int
        The bit as a signed 32-bit value.
    first_output_row : int
        Output row of ``sums[0]``, 0-based.
    variances : ndarray, shape (rows, nx), float32, or None
        Of the values.
    variance_sums : ndarray, shape (band rows, output nx), float64, or None
        Sums of (weight * flux_scale)^2 * variance; added to. Both or none of the two.
    scale_ratio : float
        Scale of the output over that of the chip (its IDCSCALE), 1 / 64 or more.
    """
    cdef Band band
    cdef Source source
    cdef Pixels pixels
    cdef Footprint shape
    cdef Workspace *work
    cdef bint done
    if homography.shape[0] != 3 or homography.shape[1] != 3:
        raise ValueError("the homography is not 3 x 3")
    shape_of(&shape, KINDS[kernel], pixfrac, scale_ratio)
    if not set_pixels(&pixels, values, weights, variances, first_row, columns, flux_scale):
        return
    if not set_band(&band, sums, context, bit, first_output_row, variances, variance_sums):
        return
    source.distortion = &chip.data
    source.homography = &homography[0, 0]
    work = make_workspace(&shape)
    if work == NULL:
        raise MemoryError
    with nogil:
        done = add_tiles(
            &shape, &band, &source, &pixels,
            tile_side(MOST_ROWS, scale_ratio), tile_side(MOST_COLUMNS, scale_ratio), work,
        )
    free_workspace(work)
    if not done:
        raise MemoryError


cdef bint set_pixels(
    Pixels *pixels, const float[:, ::1] values, const float[:, ::1] weights, variances,
    Py_ssize_t first_row, tuple columns, double flux_scale
) except -1:
    """Check and describe the input; false where there is nothing."""
    cdef const float[:, ::1] noise
    cdef Py_ssize_t first = columns[0]
    cdef Py_ssize_t stop = columns[1]
    if weights.shape[0] != values.shape[0] or weights.shape[1] != values.shape[1]:
        raise ValueError("values and weights differ in shape")
    if not 0 <= first <= stop <= values.shape[1]:
        raise ValueError("columns lie outside the rows")
    if first == stop or values.shape[0] == 0:
        return False
    pixels.variances = NULL
    if variances is not None:
        noise = variances
        if noise.shape[0] != values.shape[0] or noise.shape[1] != values.shape[1]:
            raise ValueError("values and variances differ in shape")
        pixels.variances = &noise[0, 0]
    pixels.values = &values[0, 0]
    pixels.weights = &weights[0, 0]
    pixels.stride = values.shape[1]
    pixels.rows = values.shape[0]
    pixels.first_row = first_row
    pixels.first = first
    pixels.stop = stop
    pixels.flux_scale = flux_scale
    return True


cdef bint set_band(
    Band *band, double[:, :, ::1] sums, context, int bit, Py_ssize_t first_output_row,
    variances, variance_sums
) except -1:
    """Check and describe the output; false where it has no pixels."""
    cdef int[:, ::1] plane
    cdef double[:, ::1] noise
    if sums.shape[2] != 2 or (variances is None) != (variance_sums is None):
        raise ValueError("sums are not pairs, or variances come without their sums")
    if not 0 <= first_output_row <= FARTHEST - sums.shape[0] or sums.shape[1] > FARTHEST:
        raise ValueError("the band lies outside of what positions can tell")
    if sums.shape[0] == 0 or sums.shape[1] == 0:
        return False
    band.sums = &sums[0, 0, 0]
    band.width = sums.shape[1]
    band.first = first_output_row
    band.stop = first_output_row + sums.shape[0]
    band.bit = bit
    band.context = NULL
    band.variances = NULL
    if context is not None:
        plane = context
        if plane.shape[0] != sums.shape[0] or plane.shape[1] != sums.shape[1]:
            raise ValueError("context and sums differ in shape")
        band.context = &plane[0, 0]
    if variance_sums is not None:
        noise = variance_sums
        if noise.shape[0] != sums.shape[0] or noise.shape[1] != sums.shape[1]:
            raise ValueError("variance sums and sums differ in shape")
        band.variances = &noise[0, 0]
    return True

"""One sweep over a chip: background away, variance, matched filter, local maxima, cosmic-ray spikes.

Contract: every value is made by one order of float32 operations from its own pixel and its neighbours, so
that builds agree to the last bit. Bad pixels (a bad flag, or not finite) count as 0 in the filter and have
infinite variance; saturated ones keep their value and have infinite variance. Outside the chip all is 0.
"""

from libc.math cimport INFINITY, NAN, isnan
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memset

import numpy as np

cdef enum:
    LANES = 64
    MOST_TAPS = 63

cdef extern from *:
    """
    static inline unsigned int hapctl_float_bits(float value) {
        union { float value; unsigned int bits; } both; both.value = value; return both.bits; }
    static inline float hapctl_bits_float(unsigned int bits) {
        union { float value; unsigned int bits; } both; both.bits = bits; return both.value; }
    static inline unsigned int hapctl_swapped(unsigned int raw) { return __builtin_bswap32(raw); }
    static inline unsigned short hapctl_swapped_short(unsigned short raw) { return __builtin_bswap16(raw); }
    """
    uint32_t hapctl_swapped(uint32_t raw) noexcept nogil
    uint16_t hapctl_swapped_short(uint16_t raw) noexcept nogil
    uint32_t hapctl_float_bits(float value) noexcept nogil
    float hapctl_bits_float(uint32_t bits) noexcept nogil

cdef uint32_t EXPONENT = 0x7F800000


def mesh_samples(
    const uint32_t[:, :] science,
    const uint16_t[:, :] quality,
    bint swapped,
    uint16_t masked,
    const int[::1] row_edges,
    const int[::1] column_edges,
    float[:, ::1] samples,
):
    """Take every second pixel of every second row of each cell of a mesh, for its background.

    Parameters
    ----------
    science : uint32 [ny, nx]
        The bits of float32.
    quality : uint16 [ny, nx]
    swapped : bool
        Whether the bytes of both are in the other order than this machine's.
    masked : int
        Flags of pixels that are not taken.
    row_edges, column_edges : int32 [my + 1], [mx + 1]
        Where the cells begin and end.
    samples : float32 [my * mx, m]
        Filled; NaN where a pixel is masked or not finite, and beyond the end of a cell.
    """
    cdef Py_ssize_t my = row_edges.shape[0] - 1, mx = column_edges.shape[0] - 1, most = samples.shape[1]
    cdef Py_ssize_t cell_y, cell_x, row, column, filled, cell
    cdef uint32_t bits
    cdef uint16_t flags
    cdef float value
    if (
        samples.shape[0] != my * mx
        or quality.shape[0] != science.shape[0] or quality.shape[1] != science.shape[1]
        or row_edges[0] != 0 or row_edges[my] != science.shape[0]
        or column_edges[0] != 0 or column_edges[mx] != science.shape[1]
    ):
        raise ValueError("arrays of a mesh disagree")
    with nogil:
        for cell_y in range(my):
            for cell_x in range(mx):
                cell = cell_y * mx + cell_x
                filled = 0
                row = row_edges[cell_y]
                while row < row_edges[cell_y + 1]:
                    column = column_edges[cell_x] + ((row >> 1) & 1)
                    while column < column_edges[cell_x + 1] and filled < most:
                        bits = science[row, column]
                        flags = quality[row, column]
                        if swapped:
                            bits = hapctl_swapped(bits)
                            flags = hapctl_swapped_short(flags)
                        value = hapctl_bits_float(bits)
                        if (flags & masked) != 0 or (bits & EXPONENT) == EXPONENT:
                            value = NAN
                        samples[cell, filled] = value
                        filled += 1
                        column += 2
                    row += 2
                while filled < most:
                    samples[cell, filled] = NAN
                    filled += 1


def mesh_levels(
    const float[:, ::1] samples, Py_ssize_t least, double[::1] median, double[::1] excess, double[::1] scatter
):
    """Median, mean less median, and scatter in each cell, from its samples in ascending order, NaN last.

    Clipped at 3 sigma about the median until nothing changes, sigma being the distance from the median down
    to where 15.87 % lie below.

    Parameters
    ----------
    samples : float32 [cells, m]
    least : int
        With fewer samples a cell has none: NaN.
    median, excess, scatter : float64 [cells]
        Filled.
    """
    cdef Py_ssize_t cell, cells = samples.shape[0]
    if median.shape[0] != cells or excess.shape[0] != cells or scatter.shape[0] != cells:
        raise ValueError("arrays of a mesh disagree")
    if samples.shape[1] == 0:
        return
    with nogil:
        for cell in range(cells):
            clipped_level(
                &samples[cell, 0], samples.shape[1], least, &median[cell], &excess[cell], &scatter[cell]
            )


cdef void clipped_level(
    const float *values, Py_ssize_t length, Py_ssize_t least, double *level, double *excess, double *scatter
) noexcept nogil:
    cdef Py_ssize_t first = 0, last = length, new_first, new_last, k
    cdef double median = NAN, sigma = NAN, total = 0.0
    level[0] = NAN
    excess[0] = NAN
    scatter[0] = NAN
    while last > 0 and isnan(values[last - 1]):
        last -= 1
    if last < least or last == 0:
        return
    for k in range(50):
        median = 0.5 * (<double>values[(first + last - 1) // 2] + <double>values[(first + last) // 2])
        sigma = median - values[first + <Py_ssize_t>(0.1587 * (last - first))]
        new_first = lower_bound(values, first, last, median - 3.0 * sigma)
        new_last = lower_bound(values, first, last, median + 3.0 * sigma)
        # with sigma 0 (quantised pixels) nothing lies below the upper limit
        if new_last <= new_first or (new_first == first and new_last == last):
            break
        first, last = new_first, new_last
    for k in range(first, last):
        total += values[k]
    level[0] = median
    excess[0] = total / (last - first) - median
    scatter[0] = sigma


cdef Py_ssize_t lower_bound(
    const float *values, Py_ssize_t first, Py_ssize_t last, double limit
) noexcept nogil:
    """The first of ascending values not below a limit."""
    cdef Py_ssize_t middle
    while first < last:
        middle = (first + last) // 2
        if values[middle] < limit:
            first = middle + 1
        else:
            last = middle
    return first


cdef inline void subtract(
    const float *science, const float *error, const uint16_t *flags, const float *nodes, const float *weights,
    Py_ssize_t width, uint32_t bad, uint32_t saturated, float least,
    float *image, float *variance, uint8_t *marks
) noexcept nogil:
    """LANES pixels that lie between the same nodes of the background."""
    cdef uint32_t hit[LANES]
    cdef uint32_t full[LANES]
    cdef uint32_t keep
    cdef float noise, level
    cdef int k
    for k in range(LANES):
        hit[k] = flags[k] & bad
        full[k] = flags[k] & saturated
    for k in range(LANES):
        keep = 0 if (hit[k] != 0) | ((hapctl_float_bits(science[k]) & EXPONENT) == EXPONENT) else 0xFFFFFFFF
        level = (nodes[0] * weights[k] + nodes[1] * weights[width + k]) + (
            nodes[2] * weights[2 * width + k] + nodes[3] * weights[3 * width + k]
        )
        image[k] = hapctl_bits_float(hapctl_float_bits(science[k] - level) & keep)
        noise = error[k] * error[k]
        noise = noise if (noise > 0) & (noise < <float>INFINITY) else least
        variance[k] = noise if (keep != 0) & (full[k] == 0) else <float>INFINITY
    for k in range(LANES):
        marks[k] = full[k] != 0


cdef void subtract_row(
    const float *science, const float *error, const uint16_t *flags, const float *nodes, const float *weights,
    const int *starts, Py_ssize_t segments, Py_ssize_t width, uint32_t bad, uint32_t saturated, float least,
    float *image, float *variance, uint8_t *marks
) noexcept nogil:
    """A row; a segment is what lies between two nodes of the background."""
    cdef float in_science[LANES]
    cdef float in_error[LANES]
    cdef float in_weights[4 * LANES]
    cdef uint16_t in_flags[LANES]
    cdef float out_image[LANES]
    cdef float out_variance[LANES]
    cdef uint8_t out_marks[LANES]
    cdef Py_ssize_t segment, start, stop, count, k
    memset(in_science, 0, sizeof(in_science))
    memset(in_error, 0, sizeof(in_error))
    memset(in_weights, 0, sizeof(in_weights))
    memset(in_flags, 0, sizeof(in_flags))
    for segment in range(segments):
        start = starts[segment]
        stop = starts[segment + 1]
        while start + LANES <= stop:
            subtract(
                science + start, error + start, flags + start, nodes + segment, weights + start, width,
                bad, saturated, least, image + start, variance + start, marks + start
            )
            start += LANES
        count = stop - start
        if count > 0:
            for k in range(count):
                in_science[k] = science[start + k]
                in_error[k] = error[start + k]
                in_flags[k] = flags[start + k]
                in_weights[k] = weights[start + k]
                in_weights[LANES + k] = weights[width + start + k]
                in_weights[2 * LANES + k] = weights[2 * width + start + k]
                in_weights[3 * LANES + k] = weights[3 * width + start + k]
            subtract(
                in_science, in_error, in_flags, nodes + segment, in_weights, LANES,
                bad, saturated, least, out_image, out_variance, out_marks
            )
            for k in range(count):
                image[start + k] = out_image[k]
                variance[start + k] = out_variance[k]
                marks[start + k] = out_marks[k]


cdef void swap_row(const uint32_t *stored, Py_ssize_t width, float *row) noexcept nogil:
    cdef Py_ssize_t x
    for x in range(width):
        row[x] = hapctl_bits_float(hapctl_swapped(stored[x]))


cdef void swap_flags(const uint16_t *stored, Py_ssize_t width, uint16_t *row) noexcept nogil:
    cdef Py_ssize_t x
    for x in range(width):
        row[x] = hapctl_swapped_short(stored[x])


cdef void along_row(
    const float *image, Py_ssize_t width, const float *kernel, Py_ssize_t half, float *padded, float *result
) noexcept nogil:
    """Filter a row along x; the kernel is symmetric; padded has room for 2 * half more."""
    cdef Py_ssize_t x, tap
    for x in range(width):
        padded[half + x] = image[x]
    for x in range(width):
        result[x] = padded[half + x] * kernel[half]
    for tap in range(1, half + 1):
        for x in range(width):
            result[x] += (padded[half + x - tap] + padded[half + x + tap]) * kernel[half + tap]


cdef void across_rows(
    const float **rows, Py_ssize_t width, const float *kernel, Py_ssize_t half, float *result
) noexcept nogil:
    """Filter along y: rows[tap] is the row ``tap - half`` away."""
    cdef Py_ssize_t x, tap
    cdef const float *before
    cdef const float *after
    cdef const float *middle = rows[half]
    for x in range(width):
        result[x] = middle[x] * kernel[half]
    for tap in range(1, half + 1):
        before = rows[half - tap]
        after = rows[half + tap]
        for x in range(width):
            result[x] += (before[x] + after[x]) * kernel[half + tap]


cdef inline int any_above(
    const float *filtered, const float *variance, Py_ssize_t count, float level
) noexcept nogil:
    cdef int found = 0
    cdef float limit
    cdef Py_ssize_t k
    for k in range(count):
        limit = variance[k] * level if variance[k] < <float>INFINITY else 0
        found |= (filtered[k] > 0) & (filtered[k] * filtered[k] > limit)
    return found


cdef inline bint is_peak(
    const float *above, const float *here, const float *below, Py_ssize_t x
) noexcept nogil:
    """Higher than the neighbours before it in the order of pixels, not lower than those after it."""
    cdef float centre = here[x]
    return (
        centre > above[x - 1] and centre > above[x] and centre > above[x + 1] and centre > here[x - 1]
        and centre >= here[x + 1] and centre >= below[x - 1] and centre >= below[x] and centre >= below[x + 1]
    )


cdef inline bint is_spike(
    const float *image, Py_ssize_t width, float filtered, float sharpest
) noexcept nogil:
    """More than nine tenths of the light of 3 x 3 pixels in two of them, or a peak sharper than a star's."""
    cdef float total = 0, first = -<float>INFINITY, second = -<float>INFINITY, value
    cdef Py_ssize_t line, step
    for line in range(-1, 2):
        for step in range(-1, 2):
            value = image[line * width + step]
            total += value if value > 0 else 0
            if value > first:
                second = first
                first = value
            elif value > second:
                second = value
    return first + second > <float>0.9 * total or image[0] > sharpest * filtered


cdef struct Peaks:
    int *places
    float *heights
    Py_ssize_t count
    Py_ssize_t room


cdef int keep_peak(Peaks *peaks, int column, int row, float height) noexcept nogil:
    """0, or 1 where there is no memory."""
    cdef void *places
    cdef void *heights
    if peaks.count == peaks.room:
        places = realloc(peaks.places, 2 * sizeof(int) * 2 * peaks.room)
        if places != NULL:
            peaks.places = <int *>places
        heights = realloc(peaks.heights, sizeof(float) * 2 * peaks.room)
        if heights != NULL:
            peaks.heights = <float *>heights
        if places == NULL or heights == NULL:
            return 1
        peaks.room *= 2
    peaks.places[2 * peaks.count] = column
    peaks.places[2 * peaks.count + 1] = row
    peaks.heights[peaks.count] = height
    peaks.count += 1
    return 0


cdef int peaks_of_row(
    const float *above, const float *here, const float *below, const float *variance, const float *image,
    Py_ssize_t width, Py_ssize_t edge, int row, float level, float sharpest, Peaks *peaks
) noexcept nogil:
    cdef Py_ssize_t start = edge, count, x
    cdef float limit
    while start < width - edge:
        count = min(<Py_ssize_t>LANES, width - edge - start)
        if any_above(here + start, variance + start, count, level):
            for x in range(start, start + count):
                limit = variance[x] * level if variance[x] < <float>INFINITY else 0
                if (
                    here[x] > 0 and here[x] * here[x] > limit and is_peak(above, here, below, x)
                    and not is_spike(image + x, width, here[x], sharpest)
                    and keep_peak(peaks, <int>x, row, here[x])
                ):
                    return 1
        start += count
    return 0


cdef taken(Peaks *peaks):
    """Column, row and height of the peaks as arrays."""
    column = np.empty(peaks.count, dtype=np.int32)
    row = np.empty(peaks.count, dtype=np.int32)
    height = np.empty(peaks.count, dtype=np.float32)
    cdef int[::1] columns = column
    cdef int[::1] rows = row
    cdef float[::1] heights = height
    cdef Py_ssize_t k
    for k in range(peaks.count):
        columns[k] = peaks.places[2 * k]
        rows[k] = peaks.places[2 * k + 1]
        heights[k] = peaks.heights[k]
    return column, row, height


def searched(
    const uint32_t[:, :] science,
    const uint32_t[:, :] error,
    const uint16_t[:, :] quality,
    bint swapped,
    uint16_t bad,
    uint16_t saturated,
    float least_variance,
    const float[:, ::1] mesh,
    const int[::1] mesh_row,
    const float[:, ::1] row_weights,
    const int[::1] segment_starts,
    const float[:, ::1] column_weights,
    const float[::1] kernel,
    Py_ssize_t edge,
    float level,
    float sharpest,
    float[:, ::1] image,
    float[:, ::1] variance,
    uint8_t[:, ::1] marks,
):
    """Subtract the background, filter, and find the local maxima of the filtered image.

    Parameters
    ----------
    science, error : uint32 [ny, nx]
        The bits of float32; columns contiguous, as in quality.
    quality : uint16 [ny, nx]
    swapped : bool
        Whether the bytes of these three are in the other order than this machine's.
    bad, saturated : int
        Flags.
    least_variance : float
        In the place of variances that are not above 0 and finite.
    mesh : float32 [my, segments + 3]
        Background at its nodes.
    mesh_row : int32 [ny]
        First of the four rows of nodes that make the background of a row.
    row_weights : float32 [ny, 4]
        What they count.
    segment_starts : int32 [segments + 1]
        The pixels from the n-th on have the background of nodes n to n + 3.
    column_weights : float32 [4, nx]
        What these count.
    kernel : float32 [2 * half + 1]
        Symmetric; its outer product with itself is the filter.
    edge : int
        So many pixels from the edges (1 at least) there are no peaks.
    level : float
        A peak's filtered value, squared, exceeds this times its variance.
    sharpest : float
        A peak's own pixel exceeds this times its filtered value: a spike, left out.
    image, variance : float32 [ny, nx]
    marks : uint8 [ny, nx]
        Filled: background-subtracted image, variance, 1 where saturated.

    Returns
    -------
    column, row : int32 [n]
        In the order of rows.
    height : float32 [n]
        Of the filtered image.
    """
    cdef Py_ssize_t ny = science.shape[0], nx = science.shape[1]
    cdef Py_ssize_t half = kernel.shape[0] // 2, taps = kernel.shape[0], nodes = mesh.shape[1]
    cdef Py_ssize_t segments = segment_starts.shape[0] - 1, k
    cdef const float *ring[MOST_TAPS]
    cdef Peaks peaks
    cdef Py_ssize_t room = mesh.shape[1] + science.shape[1] * (kernel.shape[0] + 8) + 2 * kernel.shape[0]
    cdef float *work
    cdef float *node_row
    cdef float *padded
    cdef float *along
    cdef float *filtered
    cdef float *zeros
    cdef const float *science_line
    cdef const float *error_line
    cdef const uint16_t *flags_line
    cdef float *science_row
    cdef float *error_row
    cdef uint16_t *flags_row
    cdef Py_ssize_t y, middle, line, j
    cdef int failed = 0
    cdef bint inside
    if (
        error.shape[0] != ny or error.shape[1] != nx or quality.shape[0] != ny or quality.shape[1] != nx
        or image.shape[0] != ny or image.shape[1] != nx or variance.shape[0] != ny or variance.shape[1] != nx
        or marks.shape[0] != ny or marks.shape[1] != nx or mesh_row.shape[0] != ny
        or row_weights.shape[0] != ny or row_weights.shape[1] != 4
        or column_weights.shape[0] != 4 or column_weights.shape[1] != nx or nodes != segments + 3
        or taps % 2 == 0 or taps > MOST_TAPS or edge < 1 or ny == 0 or nx == 0
        or science.strides[1] != 4 or error.strides[1] != 4 or quality.strides[1] != 2
        or segment_starts[0] != 0 or segment_starts[segments] != nx
        or np.min(mesh_row) < 0 or np.max(mesh_row) + 4 > mesh.shape[0] or np.any(np.diff(segment_starts) < 0)
    ):
        raise ValueError("arrays of a chip disagree")
    peaks.count = 0
    peaks.room = 4096
    peaks.places = <int *>malloc(2 * sizeof(int) * peaks.room)
    peaks.heights = <float *>malloc(sizeof(float) * peaks.room)
    work = <float *>malloc(sizeof(float) * room)
    try:
        if peaks.places == NULL or peaks.heights == NULL or work == NULL:
            raise MemoryError
        node_row = work
        padded = node_row + nodes
        along = padded + nx + 2 * half
        filtered = along + taps * nx
        zeros = filtered + 3 * nx
        science_row = zeros + nx
        error_row = science_row + nx
        flags_row = <uint16_t *>(error_row + nx)
        memset(work, 0, sizeof(float) * room)
        with nogil:
            # Row y is prepared, row y - half filtered, and row y - half - 1 searched.
            for y in range(ny + half + 1):
                if y < ny:
                    for j in range(nodes):
                        k = mesh_row[y]
                        node_row[j] = (
                            (mesh[k, j] * row_weights[y, 0] + mesh[k + 1, j] * row_weights[y, 1])
                            + (mesh[k + 2, j] * row_weights[y, 2] + mesh[k + 3, j] * row_weights[y, 3])
                        )
                    if swapped:
                        swap_row(&science[y, 0], nx, science_row)
                        swap_row(&error[y, 0], nx, error_row)
                        swap_flags(&quality[y, 0], nx, flags_row)
                        science_line, error_line, flags_line = science_row, error_row, flags_row
                    else:
                        science_line = <const float *>&science[y, 0]
                        error_line = <const float *>&error[y, 0]
                        flags_line = &quality[y, 0]
                    subtract_row(
                        science_line, error_line, flags_line, node_row, &column_weights[0, 0],
                        &segment_starts[0], segments, nx, bad, saturated, least_variance,
                        &image[y, 0], &variance[y, 0], &marks[y, 0]
                    )
                    along_row(&image[y, 0], nx, &kernel[0], half, padded, along + (y % taps) * nx)
                middle = y - half
                if 0 <= middle < ny:
                    for line in range(-half, half + 1):
                        inside = 0 <= middle + line < ny
                        ring[half + line] = along + ((middle + line) % taps) * nx if inside else zeros
                    across_rows(ring, nx, &kernel[0], half, filtered + (middle % 3) * nx)
                middle -= 1
                if edge <= middle < ny - edge and not failed:
                    failed = peaks_of_row(
                        filtered + ((middle - 1) % 3) * nx, filtered + (middle % 3) * nx,
                        filtered + ((middle + 1) % 3) * nx, &variance[middle, 0], &image[middle, 0],
                        nx, edge, <int>middle, level, sharpest, &peaks
                    )
        if failed:
            raise MemoryError
        return taken(&peaks)
    finally:
        free(peaks.places)
        free(peaks.heights)
        free(work)

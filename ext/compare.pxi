"""Exposures compared with each other: single drizzles combined, chips tested against what they agree on.

Contract: everything is float32, elementwise and in one order; a value depends on its pixel and the few around
it, not on blocks, threads or the vector build. Exposures are taken in the order given.

A single drizzle counts in a pixel where its weight reaches the least one of its exposure, its value is
finite and lies within the thresholds; a pixel where none counts is NaN.
"""

import numpy as np

from libc.math cimport INFINITY, NAN, fabsf, sqrtf
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

cdef enum:
    WIDTH = 64

cdef enum:
    MEDIAN = 0
    MEAN = 1
    SUM = 2
    MINMED = 3

cdef enum:
    SECOND = 1  # fails the test of the second pass
    FIRST = 2  # fails that of the first


# A weight of 0 never counts.
cdef float LEAST_POSITIVE = 1e-30
cdef float LARGEST = 3.4028234663852886e38


cdef struct Exposure:
    const float *values
    const float *weights
    Py_ssize_t values_stride
    Py_ssize_t weights_stride
    float least_weight
    float lower
    float upper
    float time
    float per_rate
    float floor


cdef struct Rule:
    int kind
    int low
    int high
    int fewest
    bint ignoring


cdef struct Block:
    int count[WIDTH]
    int first[WIDTH]
    int last[WIDTH]
    float per_rate[WIDTH]
    float floor[WIDTH]
    float lowest[WIDTH]
    float middle[WIDTH]


cdef inline void sort_pair(float *one, float *other) noexcept nogil:
    cdef float small, large
    cdef int k
    for k in range(WIDTH):
        small = other[k] if other[k] < one[k] else one[k]
        large = one[k] if other[k] < one[k] else other[k]
        one[k] = small
        other[k] = large


cdef void sort_lanes(float *lanes, int n) noexcept nogil:
    """Batcher's odd-even merge sort of n rows of lanes, each lane for itself (Knuth, vol. 3, 5.2.2 M)."""
    cdef int p = 1
    cdef int d, i, j
    while p < n:
        d = p
        while d >= 1:
            j = d % p
            while j + d < n:
                for i in range(min(d, n - j - d)):
                    if (i + j) // (2 * p) == (i + j + d) // (2 * p):
                        sort_pair(lanes + (i + j) * WIDTH, lanes + (i + j + d) * WIDTH)
                j += 2 * d
            d //= 2
        p *= 2


cdef inline void load(
    const Exposure *exposure, Py_ssize_t row, Py_ssize_t start, const int n, float least_weight, float *lane,
    Block *block
) noexcept nogil:
    """One exposure's values, infinite where it does not count; keeps the noise of the lowest."""
    cdef const float *values = exposure.values + row * exposure.values_stride + start
    cdef const float *weights = exposure.weights + row * exposure.weights_stride + start
    cdef float lower = exposure.lower
    cdef float upper = exposure.upper
    cdef float per_rate = exposure.per_rate
    cdef float floor = exposure.floor
    cdef float value
    cdef bint good
    cdef int k
    for k in range(n):
        value = values[k]
        # All comparisons are false for NaN, and the thresholds are finite.
        good = (weights[k] >= least_weight) & (value >= lower) & (value <= upper)
        value = value if good else INFINITY
        lane[k] = value
        block.count[k] += good
        good = value < block.lowest[k]
        block.per_rate[k] = per_rate if good else block.per_rate[k]
        block.floor[k] = floor if good else block.floor[k]
        block.lowest[k] = value if good else block.lowest[k]


cdef inline void load_some(
    const Exposure *exposure, Py_ssize_t row, Py_ssize_t start, int n, float least_weight, float *lane,
    Block *block
) noexcept nogil:
    if n == WIDTH:  # a number known beforehand makes for a straight loop
        load(exposure, row, start, WIDTH, least_weight, lane, block)
    else:
        load(exposure, row, start, n, least_weight, lane, block)


cdef inline void empty(Block *block) noexcept nogil:
    cdef int k
    for k in range(WIDTH):
        block.count[k] = 0
        block.lowest[k] = INFINITY
        block.per_rate[k] = 0.0
        block.floor[k] = 0.0


cdef void load_where_none(
    const Exposure *exposures, int count, Py_ssize_t row, Py_ssize_t start, int n, float *lanes, Block *block
) noexcept nogil:
    """Where no exposure counts, take all that have any weight."""
    cdef Block one
    cdef float lane[WIDTH]
    cdef int i, k
    cdef int counted = 0
    for k in range(n):
        counted += block.count[k] > 0
    if counted == n:
        return
    empty(&one)
    for i in range(count):
        load_some(&exposures[i], row, start, n, LEAST_POSITIVE, lane, &one)
        for k in range(n):
            lanes[i * WIDTH + k] = lanes[i * WIDTH + k] if block.count[k] > 0 else lane[k]
    for k in range(n):
        if block.count[k] == 0:
            block.count[k] = one.count[k]
            block.lowest[k] = one.lowest[k]
            block.per_rate[k] = one.per_rate[k]
            block.floor[k] = one.floor[k]


cdef inline void choose_ranks(const Rule *rule, Block *block) noexcept nogil:
    """First and last rank when the lowest and highest are left out; one stays, low ones are kept last."""
    cdef int most_low = rule.low
    cdef int most_high = max(rule.high, 1) if rule.kind == MINMED else rule.high
    cdef int fewest = rule.fewest if rule.kind == MINMED else 0
    cdef int count, low, high, k
    for k in range(WIDTH):
        count = block.count[k]
        high = most_high if most_high < count - 1 else count - 1
        high = high if (count >= fewest) & (high > 0) else 0
        low = most_low if most_low < count - high - 1 else count - high - 1
        block.first[k] = low if (count >= fewest) & (low > 0) else 0
        block.last[k] = count - high - 1


cdef inline void middle_of_lanes(const float *lanes, int exposures, Block *block) noexcept nogil:
    cdef float low[WIDTH]
    cdef float high[WIDTH]
    cdef float value
    cdef int i, k, both
    for k in range(WIDTH):
        low[k] = NAN
        high[k] = NAN
    for i in range(exposures):
        for k in range(WIDTH):
            value = lanes[i * WIDTH + k]
            both = block.first[k] + block.last[k]
            low[k] = value if (both >> 1) == i else low[k]
            high[k] = value if ((both + 1) >> 1) == i else high[k]
    for k in range(WIDTH):
        value = <float>0.5 * (low[k] + high[k])
        block.middle[k] = value if block.count[k] > 0 else NAN


cdef inline void mean_of_lanes(const float *lanes, int exposures, Block *block) noexcept nogil:
    cdef double total[WIDTH]
    cdef double value
    cdef int i, k
    for k in range(WIDTH):
        total[k] = 0.0
    for i in range(exposures):
        for k in range(WIDTH):
            value = <double>lanes[i * WIDTH + k]
            total[k] += value if (block.first[k] <= i) & (i <= block.last[k]) else 0.0
    for k in range(WIDTH):
        value = total[k] / <double>(block.last[k] - block.first[k] + 1)
        block.middle[k] = <float>value if block.count[k] > 0 else NAN


cdef inline void sum_of_exposures(
    const Exposure *exposures, const float *unsorted, const float *lanes, int count, Block *block
) noexcept nogil:
    """Electrons of the exposures whose rates lie between the lowest and the highest that are kept."""
    cdef double total
    cdef float low, high, value
    cdef int i, k
    for k in range(WIDTH):
        block.middle[k] = NAN
        if block.count[k] == 0:
            continue
        total = 0.0
        low = lanes[block.first[k] * WIDTH + k]
        high = lanes[block.last[k] * WIDTH + k]
        for i in range(count):
            value = unsorted[i * WIDTH + k]
            if low <= value <= high:
                total += <double>value * exposures[i].time
        block.middle[k] = <float>total


cdef void combine_block(
    const Exposure *exposures, int count, const Rule *rule, Py_ssize_t row, Py_ssize_t start, int n,
    float *lanes, Block *block
) noexcept nogil:
    """``lanes`` holds twice as many rows of WIDTH as there are exposures."""
    cdef float *unsorted = lanes + count * WIDTH
    cdef int i
    empty(block)
    for i in range(count):
        load_some(&exposures[i], row, start, n, exposures[i].least_weight, lanes + i * WIDTH, block)
    if rule.ignoring:
        load_where_none(exposures, count, row, start, n, lanes, block)
    choose_ranks(rule, block)
    if rule.kind == SUM:
        memcpy(unsorted, lanes, count * WIDTH * sizeof(float))
    sort_lanes(lanes, count)
    if rule.kind == MEAN:
        mean_of_lanes(lanes, count, block)
    elif rule.kind == SUM:
        sum_of_exposures(exposures, unsorted, lanes, count, block)
    else:
        middle_of_lanes(lanes, count, block)


cdef inline float sigma_of(const Block *block, int k) noexcept nogil:
    """Noise of the exposure with the lowest value, for the rate of the middle."""
    cdef float rate = block.middle[k] if block.middle[k] > 0.0 else <float>0.0
    return sqrtf(rate * block.per_rate[k] + block.floor[k])


cdef void combine_rows(
    const Exposure *exposures, int count, const Rule *rule, float *lanes, float[:, ::1] combined,
    unsigned short[:, ::1] depth, float[:, ::1] lowest, float[:, ::1] sigma
) noexcept nogil:
    cdef Block block
    cdef Py_ssize_t row, start
    cdef int k, n
    for row in range(combined.shape[0]):
        start = 0
        while start < combined.shape[1]:
            n = <int>min(<Py_ssize_t>WIDTH, combined.shape[1] - start)
            combine_block(exposures, count, rule, row, start, n, lanes, &block)
            memcpy(&combined[row, start], block.middle, n * sizeof(float))
            for k in range(n):
                depth[row, start + k] = <unsigned short>block.count[k]
            if rule.kind == MINMED:
                for k in range(n):
                    lowest[row, start + k] = block.lowest[k] if block.count[k] > 0 else NAN
                    sigma[row, start + k] = sigma_of(&block, k)
            start += WIDTH


cdef void fill_exposure(
    Exposure *exposure, const float[:, ::1] values, const float[:, ::1] weights, const float[:] terms
):
    exposure.values = &values[0, 0]
    exposure.weights = &weights[0, 0]
    exposure.values_stride = values.shape[1]
    exposure.weights_stride = weights.shape[1]
    exposure.least_weight = terms[0] if terms[0] > LEAST_POSITIVE else LEAST_POSITIVE
    exposure.lower = max(terms[1], -LARGEST)
    exposure.upper = min(terms[2], LARGEST)
    exposure.time = terms[3]
    exposure.per_rate = terms[4]
    exposure.floor = terms[5]


def combine(
    list values, list weights, const float[:, ::1] terms not None, int kind, int low, int high, int fewest,
    bint ignoring, float[:, ::1] combined not None, unsigned short[:, ::1] depth not None,
    float[:, ::1] lowest not None, float[:, ::1] sigma not None
):
    """Combine single drizzles, each (rows, nx); ``lowest`` and ``sigma`` are filled for minmed alone.

    ``terms`` of an exposure: least weight, lower and upper threshold (rates), exposure time, variance of a
    rate per rate, and that of a rate of 0. ``sigma`` is that of the exposure with the lowest value. minmed
    leaves out low and high ones where ``fewest`` exposures count or more.
    """
    cdef int count = len(values)
    cdef Rule rule
    cdef Exposure *exposures
    cdef float *lanes
    cdef int i
    shape = (combined.shape[0], combined.shape[1])
    for i in range(count):
        if values[i].shape != shape or weights[i].shape != shape:
            raise ValueError(f"a single drizzle of {values[i].shape} for rows of {shape}")
    if terms.shape[0] != count or terms.shape[1] != 6 or (depth.shape[0], depth.shape[1]) != shape:
        raise ValueError("terms or depth of another shape")
    minmed_shapes = {(lowest.shape[0], lowest.shape[1]), (sigma.shape[0], sigma.shape[1])}
    if kind == MINMED and minmed_shapes != {shape}:
        raise ValueError("lowest or sigma of another shape")
    rule.kind, rule.low, rule.high, rule.fewest, rule.ignoring = kind, low, high, fewest, ignoring
    if shape[0] == 0 or shape[1] == 0:
        return
    exposures = <Exposure *>malloc(max(count, 1) * sizeof(Exposure))
    lanes = <float *>malloc((2 * count + 1) * WIDTH * sizeof(float))
    if exposures == NULL or lanes == NULL:
        free(exposures)
        free(lanes)
        raise MemoryError()
    try:
        for i in range(count):
            fill_exposure(&exposures[i], values[i], weights[i], terms[i])
        for i in range(2 * count * WIDTH):
            lanes[i] = INFINITY
        with nogil:
            combine_rows(exposures, count, &rule, lanes, combined, depth, lowest, sigma)
    finally:
        free(exposures)
        free(lanes)


cdef inline void steepen(const float *here, const float *there, Py_ssize_t n, float *slope) noexcept nogil:
    """Raise the slope to the difference of a neighbour; an unknown one may lie at the sky."""
    cdef float step
    cdef Py_ssize_t k
    for k in range(n):
        step = fabsf(here[k] - there[k])
        step = step if step == step else fabsf(here[k])
        slope[k] = step if step > slope[k] else slope[k]


cdef void slope_of_row(const float[:, ::1] image, Py_ssize_t row, float *slope) noexcept nogil:
    cdef Py_ssize_t width = image.shape[1]
    cdef const float *here = &image[row, 0]
    memset(slope, 0, width * sizeof(float))
    if row > 0:
        steepen(here, &image[row - 1, 0], width, slope)
    if row + 1 < image.shape[0]:
        steepen(here, &image[row + 1, 0], width, slope)
    steepen(here + 1, here, width - 1, slope + 1)
    steepen(here, here + 1, width - 1, slope)


cdef struct Doubt:
    float first
    float second
    float first_slope
    float second_slope
    float steep
    int grow


cdef inline void doubt_row(
    const Doubt *doubt, const float *combined, const float *lowest, const float *sigma,
    const unsigned short *depth, const float *slope, Py_ssize_t n, unsigned char *failed
) noexcept nogil:
    """Whether the middle is too far above the lowest, by either threshold."""
    cdef float noise, steep, excess
    cdef Py_ssize_t k
    for k in range(n):
        excess = combined[k] - lowest[k]
        steep = slope[k] - doubt.steep * sigma[k]
        steep = steep if steep > 0.0 else <float>0.0
        # Of two exposures, and of three without the highest, the excess is half the difference of two.
        noise = sigma[k] * (<float>0.70710678 if depth[k] <= 3 else <float>1.0)
        failed[k] = <unsigned char>(
            (excess > doubt.first * noise + doubt.first_slope * steep) * FIRST
            + (excess > doubt.second * noise + doubt.second_slope * steep) * SECOND
        )


cdef inline void take_around(
    float[:, ::1] combined, const float[:, ::1] lowest, const unsigned char[:, ::1] failed, Py_ssize_t row,
    Py_ssize_t column, int grow
) noexcept nogil:
    """The lowest here, and around where the second threshold is passed."""
    cdef Py_ssize_t j, k
    combined[row, column] = lowest[row, column]
    for j in range(max(row - grow, 0), min(row + grow + 1, combined.shape[0])):
        for k in range(max(column - grow, 0), min(column + grow + 1, combined.shape[1])):
            if failed[j, k] & SECOND:
                combined[j, k] = lowest[j, k]


def take_lowest(
    float[:, ::1] combined not None, const float[:, ::1] lowest not None, const float[:, ::1] sigma not None,
    const unsigned short[:, ::1] depth not None, tuple thresholds, tuple slopes, float steep, int grow
):
    """Put the lowest in place of the middle where that is too far above it.

    By the first of ``thresholds`` (in sigma) and ``slopes``, or by the second within ``grow`` rows and
    columns of such a pixel. What the slope of the lowest exceeds ``steep`` sigma by is allowed, times
    ``slopes``.
    """
    cdef Doubt doubt
    cdef Py_ssize_t row, column
    cdef Py_ssize_t rows = combined.shape[0]
    cdef Py_ssize_t width = combined.shape[1]
    cdef float[::1] slope
    cdef unsigned char[:, ::1] failed
    shapes = {
        (rows, width), (lowest.shape[0], lowest.shape[1]), (sigma.shape[0], sigma.shape[1]),
        (depth.shape[0], depth.shape[1]),
    }
    if len(shapes) > 1:
        raise ValueError("combined, lowest, sigma and depth differ in shape")
    if rows == 0 or width == 0:
        return
    if grow < 0:
        raise ValueError("a radius below 0")
    slope = np.empty(width, dtype=np.float32)
    failed = np.empty((rows, width), dtype=np.uint8)
    doubt.first, doubt.second = thresholds
    doubt.first_slope, doubt.second_slope = slopes
    doubt.steep, doubt.grow = steep, grow
    with nogil:
        for row in range(rows):
            slope_of_row(lowest, row, &slope[0])
            doubt_row(
                &doubt, &combined[row, 0], &lowest[row, 0], &sigma[row, 0], &depth[row, 0], &slope[0], width,
                &failed[row, 0]
            )
        for row in range(rows):
            for column in range(width):
                if failed[row, column] & FIRST:
                    take_around(combined, lowest, failed, row, column, doubt.grow)


cdef inline void mark(
    unsigned char[:, ::1] mask, Py_ssize_t low, Py_ssize_t high, Py_ssize_t left, Py_ssize_t right
) noexcept nogil:
    """Set rows low to high and columns left to right, both ends included, cut to the mask."""
    cdef Py_ssize_t row
    left = max(left, 0)
    right = min(right, mask.shape[1] - 1)
    for row in range(max(low, 0), min(high + 1, mask.shape[0])):
        memset(&mask[row, left], 1, right - left + 1)


def derivative(const float[:, ::1] image not None, float[:, ::1] slope not None):
    """Fill ``slope`` with the largest absolute difference of each pixel to the neighbours it has."""
    cdef Py_ssize_t row
    if image.shape[0] != slope.shape[0] or image.shape[1] != slope.shape[1]:
        raise ValueError("image and slope differ in shape")
    if image.shape[1] == 0:
        return
    with nogil:
        for row in range(image.shape[0]):
            slope_of_row(image, row, &slope[row, 0])


cdef struct Test:
    float sky
    float read_variance
    float snr_first
    float snr_second
    float scale_first
    float scale_second


cdef inline void test_row(
    const Test *test, const float *science, const float *seen, const float *slope, Py_ssize_t n,
    unsigned char *failed
) noexcept nogil:
    cdef float difference, noise
    cdef Py_ssize_t k
    for k in range(n):
        difference = fabsf(science[k] - seen[k])
        noise = sqrtf(fabsf(seen[k] + test.sky) + test.read_variance)
        # False where anything is NaN.
        failed[k] = <unsigned char>(
            (difference > test.scale_first * slope[k] + test.snr_first * noise) * FIRST
            + (difference > test.scale_second * slope[k] + test.snr_second * noise) * SECOND
        )


cdef inline void gather_row(
    const unsigned char[:, ::1] failed, Py_ssize_t row, unsigned char *near
) noexcept nogil:
    """OR of a row with what lies left and right of it."""
    cdef Py_ssize_t k
    cdef Py_ssize_t last = failed.shape[1] - 1
    cdef const unsigned char *here = &failed[row, 0]
    near[0] = here[0] | (here[1] if last > 0 else 0)
    for k in range(1, last):
        near[k] = here[k - 1] | here[k] | here[k + 1]
    if last > 0:
        near[last] = here[last - 1] | here[last]


cdef void two_passes(
    const unsigned char[:, ::1] failed, unsigned char[:, ::1] near, unsigned char[:, ::1] hits
) noexcept nogil:
    """Fails the second test, and the first within one pixel."""
    cdef Py_ssize_t row, k, below, above
    cdef Py_ssize_t rows = failed.shape[0]
    cdef const unsigned char *one
    cdef const unsigned char *other
    cdef const unsigned char *own
    for row in range(rows):
        gather_row(failed, row, &near[row, 0])
    for row in range(rows):
        below = row - 1 if row > 0 else row
        above = row + 1 if row + 1 < rows else row
        one = &near[below, 0]
        own = &near[row, 0]
        other = &near[above, 0]
        for k in range(failed.shape[1]):
            hits[row, k] = (failed[row, k] & SECOND) & ((one[k] | own[k] | other[k]) >> 1)


cdef void grow_hits(
    const unsigned char[:, ::1] hits, Py_ssize_t first, int grow, int tail, int direction,
    unsigned char[:, ::1] grown
) noexcept nogil:
    """A square of radius ``grow`` about each hit, ``tail`` rows longer on one side.

    Row 0 of ``grown`` is row ``first`` of ``hits``.
    """
    cdef Py_ssize_t row, column
    cdef Py_ssize_t below = grow + (tail if direction < 0 else 0)
    cdef Py_ssize_t above = grow + (tail if direction > 0 else 0)
    for row in range(hits.shape[0]):
        for column in range(hits.shape[1]):
            if hits[row, column]:
                mark(grown, row - below - first, row + above - first, column - grow, column + grow)


def find_hits(
    const float[:, ::1] science not None, const float[:, ::1] seen not None, float sky, float read_variance,
    tuple snr, tuple scale, int grow, int tail, int direction, Py_ssize_t first,
    unsigned char[:, ::1] grown not None
):
    """Mark in ``grown`` (zeros) the hits of rows ``first`` on of a block, after growth.

    ``science`` and ``seen``: electrons per pixel without sky; ``direction``: 1 where tails run to higher
    rows, -1 to lower ones.
    """
    cdef Test test
    cdef Py_ssize_t row
    cdef Py_ssize_t rows = science.shape[0]
    cdef Py_ssize_t width = science.shape[1]
    cdef float[::1] slope
    cdef unsigned char[:, ::1] failed
    cdef unsigned char[:, ::1] near
    cdef unsigned char[:, ::1] hits
    if seen.shape[0] != rows or seen.shape[1] != width or grown.shape[1] != width:
        raise ValueError("science, seen and hits differ in shape")
    if grow < 0 or tail < 0:
        raise ValueError("a radius or tail below 0")
    if rows == 0 or width == 0:
        return
    slope = np.empty(width, dtype=np.float32)
    failed, near, hits = np.empty((3, rows, width), dtype=np.uint8)
    test.sky, test.read_variance = sky, read_variance
    test.snr_first, test.snr_second = snr
    test.scale_first, test.scale_second = scale
    with nogil:
        for row in range(rows):
            slope_of_row(seen, row, &slope[0])
            test_row(&test, &science[row, 0], &seen[row, 0], &slope[0], width, &failed[row, 0])
        two_passes(failed, near, hits)
        grow_hits(hits, first, grow, tail, direction, grown)

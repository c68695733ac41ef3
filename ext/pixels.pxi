"""Pixels as they lie in a FITS file made into values and weights for a drizzle, in one sweep.

Contract: elementwise, float32, in one order: ``((raw * unit) * flux - sky) / time``. A pixel whose raw value
is not finite, that has a bad flag, or that is set in a mask, has value and weight 0; all others have the
weight given. Errors become variances likewise: ``(raw * unit)**2 * factor``. The file is big-endian, the
machine must not be.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.math cimport INFINITY, NAN
from libc.string cimport memcpy, memset

cdef enum:
    LANES = 64

cdef extern from *:
    """
    static inline unsigned int hapctl_swapped(unsigned int raw) { return __builtin_bswap32(raw); }
    static inline float hapctl_as_float(unsigned int bits) {
        union { unsigned int bits; float value; } both; both.bits = bits; return both.value; }
    static inline unsigned int hapctl_as_bits(float value) {
        union { unsigned int bits; float value; } both; both.value = value; return both.bits; }
    """
    uint32_t hapctl_swapped(uint32_t raw) noexcept nogil
    float hapctl_as_float(uint32_t bits) noexcept nogil
    uint32_t hapctl_as_bits(float value) noexcept nogil

cdef uint32_t INFINITE = 0x7F800000


cdef inline void lay(
    uint32_t *bits, const uint32_t *bad, float unit, float flux, float sky, float time, float weight,
    uint32_t *weights
) noexcept nogil:
    """Raw pixels to values in place, and their weights, as bits; LANES of each."""
    cdef uint32_t whole = hapctl_as_bits(weight)
    cdef uint32_t keep
    cdef uint32_t raw
    cdef int k
    for k in range(LANES):
        raw = hapctl_swapped(bits[k])
        keep = 0 if ((raw & INFINITE) == INFINITE) | (bad[k] != 0) else 0xFFFFFFFF
        bits[k] = hapctl_as_bits(((hapctl_as_float(raw) * unit) * flux - sky) / time) & keep
        weights[k] = whole & keep


cdef inline void add_mask(
    const uint8_t *bits, Py_ssize_t first, Py_ssize_t count, uint32_t *bad
) noexcept nogil:
    """Mark the pixels that are set in a packed row, whose pixel ``first`` is lane 0; most bytes are 0."""
    cdef Py_ssize_t byte, pixel
    cdef unsigned int left
    for byte in range(first >> 3, ((first + count - 1) >> 3) + 1):
        left = bits[byte]
        pixel = 8 * byte - first
        while left != 0:
            if left & 0x80 and 0 <= pixel < count:
                bad[pixel] = 1
            left = (left << 1) & 0xFF
            pixel += 1


cdef inline bint covers(const uint8_t[:, :] mask, Py_ssize_t rows, Py_ssize_t columns):
    return mask.shape[0] == rows and 8 * mask.shape[1] >= columns and mask.strides[1] == 1


def values_and_weights(
    const uint32_t[:, :] raw,
    const uint16_t[:, :] flags,
    uint16_t bad_flags,
    masks,
    Py_ssize_t left,
    float unit,
    float flux,
    float sky,
    float time,
    float weight,
    float[:, :] values,
    float[:, :] weights,
):
    """Fill values and weights of a block of a chip.

    Parameters
    ----------
    raw : uint32 [rows, columns]
        Big-endian float32 as read; columns must be contiguous, here and below.
    flags : uint16 [rows, columns] or [0, 0]
        Big-endian flags as read; without rows there are none.
    bad_flags : int
        Flags that make a pixel bad.
    masks : sequence of uint8 [rows, bytes]
        Packed rows, the first pixel of a row in the highest bit; True where bad.
    left : int
        Column of the chip that the block begins at: pixels of the masks before it do not count.
    unit, flux, sky, time, weight : float
    values, weights : float32 [rows, columns]
    """
    cdef Py_ssize_t rows = values.shape[0], columns = values.shape[1]
    cdef const uint8_t[:, :] first_mask = masks[0] if len(masks) > 0 else None
    cdef const uint8_t[:, :] second_mask = masks[1] if len(masks) > 1 else None
    cdef bint flagged = flags.shape[0] > 0, one = len(masks) > 0, two = len(masks) > 1
    cdef uint16_t swapped = (bad_flags >> 8) | ((bad_flags & 0xFF) << 8)
    cdef uint32_t bad[LANES]
    cdef uint32_t bits[LANES]
    cdef uint32_t laid[LANES]
    cdef uint16_t lines[LANES]
    cdef Py_ssize_t row, block, start, count, k
    if (
        len(masks) > 2
        or raw.shape[0] != rows
        or raw.shape[1] != columns
        or weights.shape[0] != rows
        or weights.shape[1] != columns
        or (flagged and (flags.shape[0] != rows or flags.shape[1] != columns or flags.strides[1] != 2))
        or (one and not covers(first_mask, rows, left + columns))
        or (two and not covers(second_mask, rows, left + columns))
        or left < 0
        or raw.strides[1] != 4
        or values.strides[1] != 4
        or weights.strides[1] != 4
    ):
        raise ValueError("arrays of a block disagree")
    if columns == 0:
        return
    memset(bits, 0, sizeof(bits))
    memset(lines, 0, sizeof(lines))
    with nogil:
        for row in range(rows):
            for block in range((columns + LANES - 1) // LANES):
                start = block * LANES
                count = min(columns - start, <Py_ssize_t>LANES)
                memcpy(bits, &raw[row, start], 4 * count)
                if flagged:
                    memcpy(lines, &flags[row, start], 2 * count)
                    for k in range(LANES):
                        bad[k] = lines[k] & swapped
                else:
                    memset(bad, 0, sizeof(bad))
                if one:
                    add_mask(&first_mask[row, 0], left + start, count, bad)
                if two:
                    add_mask(&second_mask[row, 0], left + start, count, bad)
                lay(bits, bad, unit, flux, sky, time, weight, laid)
                memcpy(&values[row, start], bits, 4 * count)
                memcpy(&weights[row, start], laid, 4 * count)


def variances_of_errors(
    const uint32_t[:, :] raw, float unit, float factor, float[:, :] variances
):
    """Fill variances of a block of a chip from its errors.

    Parameters
    ----------
    raw : uint32 [rows, columns]
        Big-endian float32 as read; columns must be contiguous, here and below.
    unit : float
        What raw errors are multiplied by.
    factor : float
        What their squares are multiplied by.
    variances : float32 [rows, columns]
        NaN where ``raw * unit`` is not above 0, infinite or NaN.

    Returns
    -------
    bool
        Whether every error is above 0 and finite.
    """
    cdef Py_ssize_t rows = variances.shape[0], columns = variances.shape[1], row, column
    cdef int unusable = 0
    if (
        raw.shape[0] != rows or raw.shape[1] != columns
        or raw.strides[1] != 4 or variances.strides[1] != 4
    ):
        raise ValueError("arrays of a block disagree")
    if columns == 0:
        return True
    with nogil:
        for row in range(rows):
            unusable |= square(&raw[row, 0], columns, unit, factor, &variances[row, 0])
    return unusable == 0


cdef int square(
    const uint32_t *raw, Py_ssize_t count, float unit, float factor, float *variances
) noexcept nogil:
    """The variances of a row; 0 if all its errors are usable."""
    cdef float error
    cdef int usable
    cdef int unusable = 0
    cdef Py_ssize_t k
    for k in range(count):
        error = hapctl_as_float(hapctl_swapped(raw[k])) * unit
        usable = (error > 0) & (error < <float>INFINITY)
        variances[k] = (error * error) * factor if usable else <float>NAN
        unusable |= 1 - usable
    return unusable

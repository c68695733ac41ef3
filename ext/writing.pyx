# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What is done to each pixel of a product as it is written and shown: byte order, checksum, statistics, bins.

Contract: one sweep over the rows handed in; the results do not depend on how a product is cut into rows
(sums of bins that are cut: but for the rounding of float64).
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef extern from *:
    """
    static inline unsigned int hapctl_big_endian(unsigned int word) {
    #if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        return __builtin_bswap32(word);
    #else
        return word;
    #endif
    }
    """
    uint32_t hapctl_big_endian(uint32_t word) noexcept nogil

cdef union Word:
    float value
    uint32_t bits


def big_endian(const uint32_t[:, :] rows, uint32_t[:, ::1] out):
    """Copy words of 32 bits in the byte order of FITS.

    Parameters
    ----------
    rows, out : uint32 [rows, columns]

    Returns
    -------
    int
        Sum of the words.
    """
    cdef Py_ssize_t row, column, height = rows.shape[0], width = rows.shape[1]
    cdef uint64_t total = 0
    cdef const uint32_t *words
    cdef uint32_t *turned
    if out.shape[0] != height or out.shape[1] != width or (width > 1 and rows.strides[1] != 4):
        raise ValueError("rows of words disagree")
    if height == 0 or width == 0:
        return 0
    with nogil:
        for row in range(height):
            words, turned = &rows[row, 0], &out[row, 0]
            for column in range(width):
                total += words[column]
                turned[column] = hapctl_big_endian(words[column])
    return total


def gather(
    const float[:, :] weight,
    const int32_t[:, :, :] context,
    const int32_t[:, ::1] masks,
    int shift,
    int64_t[::1] weights,
    int64_t[::1] combinations,
    double[::1] sums,
):
    """Count the covered pixels of some rows: those with a bit of context; without planes, with weight.

    Parameters
    ----------
    weight : float32 [rows, columns]
    context : int32 [planes, rows, columns]
    masks : int32 [exposures, planes]
        Bits of each exposure; 16 exposures at most.
    shift : int
        A weight (0 where negative) is counted by its bits shifted right by so many.
    weights : int64 [2**(31 - shift)]
        Added to: pixels by weight.
    combinations : int64 [2**exposures]
        Added to: pixels by the set of exposures that they have a bit of. Not without planes.
    sums : float64 [rows]
        Sum of the weights of each row.
    """
    cdef Py_ssize_t height = weight.shape[0], width = weight.shape[1], planes = context.shape[0]
    cdef Py_ssize_t exposures = masks.shape[0], row, column, plane, exposure
    cdef int64_t code = 0, covered = 0
    cdef int32_t bits
    cdef uint8_t seen
    cdef double total
    cdef Word one
    if (
        sums.shape[0] != height
        or (planes and (context.shape[1] != height or context.shape[2] != width or masks.shape[1] != planes))
        or exposures > 16
        or not 0 < shift < 32
        or weights.shape[0] < 1 << (31 - shift)
        or (planes and combinations.shape[0] < 1 << exposures)
    ):
        raise ValueError("arrays of a band disagree")
    with nogil:
        for row in range(height):
            total = 0.0
            for column in range(width):
                if planes == 0:
                    covered = weight[row, column] > 0.0
                elif column == 0 or changed(context, planes, row, column):
                    covered = 0
                    for plane in range(planes):
                        covered |= context[plane, row, column] != 0
                    code = 0
                    for exposure in range(exposures):
                        seen = 0
                        for plane in range(planes):
                            bits = context[plane, row, column] & masks[exposure, plane]
                            seen |= bits != 0
                        code |= <int64_t>seen << exposure
                if not covered:
                    continue
                one.value = weight[row, column]
                total += one.value
                one.value = one.value if one.value > 0.0 else 0.0
                weights[one.bits >> shift] += 1
                if planes:
                    combinations[code] += 1
            sums[row] = total


cdef inline bint changed(
    const int32_t[:, :, :] context, Py_ssize_t planes, Py_ssize_t row, Py_ssize_t column
) noexcept nogil:
    """Whether the context of a pixel is another than that of the pixel before."""
    cdef Py_ssize_t plane
    for plane in range(planes):
        if context[plane, row, column] != context[plane, row, column - 1]:
            return True
    return False


def bin_rows(
    const uint32_t[:, ::1] rows,
    const int64_t[::1] lines,
    const int64_t[::1] columns,
    double[:, ::1] total,
    double[:, ::1] count,
    double[:, ::1] room,
):
    """Add rows as they lie in a FITS file, pixels that are not finite left out, to the bins of a picture.

    Parameters
    ----------
    rows : uint32 [rows, columns]
        Bytes of big-endian float32.
    lines : int64 [rows]
        Row of the picture that each row falls into, ascending.
    columns : int64 [columns]
        Column of the picture, likewise.
    total, count : float64 [lines of the picture, columns of the picture]
        Added to: the sum of the pixels in each bin, and how many these are.
    room : float64 [2, columns]
        Its content is not kept.
    """
    cdef Py_ssize_t height = rows.shape[0], width = rows.shape[1], row, column
    cdef uint32_t bits
    cdef const uint32_t *words
    cdef double *sums
    cdef double *known
    cdef Word one
    if height == 0 or width == 0:
        return
    if (
        lines.shape[0] != height
        or columns.shape[0] != width
        or room.shape[0] != 2
        or room.shape[1] != width
        or count.shape[0] != total.shape[0]
        or count.shape[1] != total.shape[1]
        or not 0 <= lines[0] <= lines[height - 1] < total.shape[0]
        or not 0 <= columns[0] <= columns[width - 1] < total.shape[1]
    ):
        raise ValueError("rows and bins disagree")
    sums, known = &room[0, 0], &room[1, 0]
    with nogil:
        for row in range(height):
            words = &rows[row, 0]
            if row == 0 or lines[row] != lines[row - 1]:
                for column in range(width):
                    sums[column] = known[column] = 0.0
            for column in range(width):
                bits = hapctl_big_endian(words[column])
                if bits & 0x7F800000 == 0x7F800000:
                    bits = 0
                else:
                    known[column] += 1.0
                one.bits = bits
                sums[column] += one.value
            if row == height - 1 or lines[row + 1] != lines[row]:
                for column in range(width):
                    total[lines[row], columns[column]] += sums[column]
                    count[lines[row], columns[column]] += known[column]

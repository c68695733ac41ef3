"""The memory in which a tile is summed, laid about what it touches of the output, and how it joins a band."""

cdef extern from *:
    void __builtin_prefetch(const void *place, int write, int locality) noexcept nogil

cdef enum:
    CHUNK = 8
    FETCHED = 4
    MOST_CELLS = 1 << 30  # their numbers, doubled, fit an int


cdef struct Band:
    double *sums
    double *variances
    int *context
    int bit
    Py_ssize_t width
    Py_ssize_t first
    Py_ssize_t stop


# The part of the output that a tile touches, and its sums, all 0 between tiles.
cdef struct Box:
    int left
    int bottom
    int right
    int top
    Py_ssize_t width
    Py_ssize_t height
    double *sums
    double *variances
    Py_ssize_t room


cdef bint make_box(const Footprint *shape, bint variances, Box *box) noexcept nogil:
    """Make room for the sums of a box, all 0; false if there is no memory."""
    box.width = (box.right - box.left + shape.taps + CHUNK - 1) // CHUNK * CHUNK
    box.height = box.top - box.bottom + shape.taps
    if box.width * box.height <= box.room:
        return True
    if box.width * box.height > MOST_CELLS:
        return False
    free_box(box)
    # Some more than needed, for the next tile is hardly of the same size.
    box.room = box.width * box.height * 5 // 4
    box.sums = <double *>calloc(2 * box.room, sizeof(double))
    box.variances = <double *>calloc(box.room if variances else 1, sizeof(double))
    return box.sums != NULL and box.variances != NULL


cdef void free_box(Box *box) noexcept nogil:
    free(box.sums)
    free(box.variances)
    box.sums, box.variances = NULL, NULL
    box.room = 0


cdef void add_to_band(Box *box, const Band *band) noexcept nogil:
    """Add the sums of a box to the band, as far as it reaches, and empty the box."""
    cdef Py_ssize_t row, column
    cdef double *given
    for row in range(box.height):
        fetch(box, band, row + FETCHED)
        column = 0
        while column < box.width:
            given = box.sums + 2 * (row * box.width + column)
            if band.variances != NULL or any_given(given):
                add_chunk(box, band, row, column)
            column += CHUNK


cdef inline void fetch(const Box *box, const Band *band, Py_ssize_t row) noexcept nogil:
    """Ask for the memory that a later row of the box will be added to: a hint, no more."""
    cdef Py_ssize_t low = max(0, box.left)
    cdef Py_ssize_t high = min(box.left + box.width, band.width)
    cdef Py_ssize_t at, line
    if row >= box.height or box.bottom + row < band.first or box.bottom + row >= band.stop:
        return
    at = (box.bottom + row - band.first) * band.width
    for line in range(at + low, at + high, 4):
        __builtin_prefetch(band.sums + 2 * line, 1, 2)
    if band.context != NULL:
        for line in range(at + low, at + high, 16):
            __builtin_prefetch(band.context + line, 1, 2)


cdef inline bint any_given(const double *given) noexcept nogil:
    """Whether a chunk holds anything but 0."""
    cdef lanes zero = spread_out(0.0)
    cdef mask some = less(zero, magnitude(load(given)))
    cdef int k = LANES
    while k < 2 * CHUNK:
        some = either(some, less(zero, magnitude(load(given + k))))
        k += LANES
    return any_of(some)


cdef inline void add_chunk(Box *box, const Band *band, Py_ssize_t row, Py_ssize_t column) noexcept nogil:
    """Add one chunk of a row of a box."""
    cdef double *given = box.sums + 2 * (row * box.width + column)
    cdef double *squares = box.variances + row * box.width + column
    cdef Py_ssize_t y = box.bottom + row
    cdef Py_ssize_t x = box.left + column
    cdef Py_ssize_t at = (y - band.first) * band.width + x
    cdef Py_ssize_t k
    if y >= band.first and y < band.stop:
        if x >= 0 and x + CHUNK <= band.width:
            add_cells(band, at, given, squares, 0, CHUNK)
        else:
            add_cells(band, at, given, squares, max(0, -x), min(<Py_ssize_t>CHUNK, band.width - x))
    for k in range(2 * CHUNK):
        given[k] = 0.0
    if band.variances != NULL:
        for k in range(CHUNK):
            squares[k] = 0.0


cdef inline void add_cells(
    const Band *band, Py_ssize_t at, const double *given, const double *squares,
    Py_ssize_t low, Py_ssize_t high
) noexcept nogil:
    cdef double *sums = band.sums + 2 * at
    cdef int *context
    cdef Py_ssize_t k
    for k in range(2 * low, 2 * high):
        sums[k] += given[k]
    if band.context != NULL:
        context = band.context + at
        for k in range(low, high):
            context[k] |= band.bit if given[2 * k + 1] != 0.0 else 0
    if band.variances != NULL:
        for k in range(low, high):
            band.variances[at + k] += squares[k]

"""Tiles of the detector, each mapped, weighed and summed in a box of its own, which then joins the band.

What lies in a box is a matter of the tile and the band, what is added to a cell one of the tile alone.
"""

cdef enum:
    MOST_ROWS = 32
    STREAMS = 8

cdef float INFINITE = INFINITY


cdef struct Pixels:
    const float *values
    const float *weights
    const float *variances
    Py_ssize_t stride
    Py_ssize_t rows
    Py_ssize_t first_row
    Py_ssize_t first
    Py_ssize_t stop
    double flux_scale


cdef struct Source:
    const Distortion *distortion
    const double *homography


# A tile of the detector: where its pixels lie; arrays of whole rows of MOST_COLUMNS.
cdef struct Tile:
    Py_ssize_t row
    Py_ssize_t column
    int rows
    int first
    int stop
    double x[MOST_ROWS * MOST_COLUMNS]
    double y[MOST_ROWS * MOST_COLUMNS]
    int left[MOST_ROWS * MOST_COLUMNS]
    int bottom[MOST_ROWS * MOST_COLUMNS]


cdef struct Workspace:
    Tile tile
    Box box
    int cells[MOST_COLUMNS]
    double given[2 * MOST_COLUMNS]
    double *across
    double *up
    double *pairs


cdef int tile_side(int most, double scale_ratio) noexcept nogil:
    """Pixels of a side of a tile: a power of two that keeps what a tile touches small."""
    cdef double scale = 0.5
    while most > 1 and scale_ratio < scale:
        scale *= 0.5
        most //= 2
    return most


cdef Workspace *make_workspace(const Footprint *shape):
    """Room for a tile and the weights of one of its rows; NULL if there is none."""
    cdef Workspace *work = <Workspace *>malloc(sizeof(Workspace))
    cdef Py_ssize_t count = shape.taps * MOST_COLUMNS
    cdef Py_ssize_t k
    if work == NULL:
        return NULL
    work.box.sums, work.box.variances = NULL, NULL
    work.box.room = 0
    work.across = <double *>malloc(count * sizeof(double))
    work.up = <double *>malloc(count * sizeof(double))
    work.pairs = <double *>malloc(2 * shape.taps * sizeof(double))
    if work.across == NULL or work.up == NULL or work.pairs == NULL:
        free_workspace(work)
        return NULL
    # The point kernel leaves them so.
    for k in range(count):
        work.across[k] = 1.0
        work.up[k] = 1.0
    return work


cdef void free_workspace(Workspace *work) noexcept nogil:
    free_box(&work.box)
    free(work.across)
    free(work.up)
    free(work.pairs)
    free(work)


cdef inline void enclose(const int *first, int count, int *low, int *high) noexcept nogil:
    """Widen low to high so that they enclose the first ``count`` numbers."""
    cdef int least = low[0], most = high[0]
    cdef int k
    for k in range(count):
        least = min(least, first[k])
        most = max(most, first[k])
    low[0], high[0] = least, most


cdef bint map_tile(
    const Footprint *shape, const Band *band, const Source *source, Tile *tile, Box *box
) noexcept nogil:
    """Find where the pixels of a tile lie and the box of what they touch; false if the band has none."""
    cdef int r, at
    box.left, box.bottom, box.right, box.top = 2147483647, 2147483647, -2147483647, -2147483647
    for r in range(tile.rows):
        at = r * MOST_COLUMNS
        map_row(
            source.distortion, source.homography, tile.column, 0.0, tile.stop, <double>(tile.row + r),
            tile.x + at, tile.y + at,
        )
        find_first(tile.x + at, tile.left + at, tile.stop, shape.start)
        find_first(tile.y + at, tile.bottom + at, tile.stop, shape.start)
        enclose(tile.left + at, tile.stop, &box.left, &box.right)
        enclose(tile.bottom + at, tile.stop, &box.bottom, &box.top)
    # Footprints that begin further out do not touch the band; those that begin inside lie in the box whole.
    box.left = max(box.left, 1 - shape.taps)
    box.right = min(box.right, <int>band.width - 1)
    box.bottom = max(box.bottom, <int>band.first + 1 - shape.taps)
    box.top = min(box.top, <int>band.stop - 1)
    return box.left <= box.right and box.bottom <= box.top


cdef inline void lay(
    Box *box, int taps, Py_ssize_t at, double *pairs, const double *across, const double *up,
    double flux, double weight
) noexcept nogil:
    """Add a footprint to the sums of a box; ``taps`` is a constant where this is inlined."""
    cdef double *sums = box.sums + 2 * at
    cdef double height
    cdef Py_ssize_t row, k
    for k in range(taps):
        pairs[2 * k] = flux * across[k * MOST_COLUMNS]
        pairs[2 * k + 1] = weight * across[k * MOST_COLUMNS]
    for row in range(taps):
        height = up[row * MOST_COLUMNS]
        for k in range(2 * taps):
            sums[k] += pairs[k] * height
        sums += 2 * box.width


cdef void lay_tophat(
    const Footprint *shape, Box *box, Py_ssize_t at, const double *across, const double *up,
    double flux, double weight
) noexcept nogil:
    """Add a disc; ``across`` and ``up`` are squared distances."""
    cdef Py_ssize_t row, k
    for row in range(shape.taps):
        for k in range(shape.taps):
            if across[k * MOST_COLUMNS] + up[row * MOST_COLUMNS] <= shape.factor:
                box.sums[2 * (at + k)] += flux
                box.sums[2 * (at + k) + 1] += weight
        at += box.width


cdef void lay_variance(
    const Footprint *shape, Box *box, Py_ssize_t at, const double *across, const double *up,
    double weight, double variance
) noexcept nogil:
    """Add weight^2 * variance of a footprint; a share of 0 adds nothing, also of NaN."""
    cdef Py_ssize_t row, k
    cdef double given
    for row in range(shape.taps):
        for k in range(shape.taps):
            given = weight * across[k * MOST_COLUMNS] * up[row * MOST_COLUMNS]
            if shape.kind == TOPHAT:
                given = weight if across[k * MOST_COLUMNS] + up[row * MOST_COLUMNS] <= shape.factor else 0.0
            if given != 0.0:
                box.variances[at + k] += given * given * variance
        at += box.width


cdef inline double usable(double variance, double factor) noexcept nogil:
    return variance * factor if (variance >= 0.0) & (variance < INFINITY) else NAN


cdef inline void ready_row(
    const Footprint *shape, Workspace *work, int start,
    const float *values, const float *weights, double flux_scale
) noexcept nogil:
    """Lay out a row of a tile: where its footprints begin and what they get, 0 for what does not count."""
    cdef const int *left = work.tile.left + start
    cdef const int *bottom = work.tile.bottom + start
    cdef int x = work.box.left, y = work.box.bottom, width = <int>work.box.width
    # One comparison tells of both ends: what lies below wraps to a large number.
    cdef unsigned int columns = <unsigned int>(work.box.right - x)
    cdef unsigned int rows = <unsigned int>(work.box.top - y)
    cdef int *cells = work.cells
    cdef int kept[MOST_COLUMNS]
    cdef double share = shape.share
    cdef double weight
    cdef int k, inside
    for k in range(work.tile.stop):
        kept[k] = (weights[k] > 0.0) & (weights[k] < INFINITE) & (fabsf(values[k]) < INFINITE)
    for k in range(work.tile.first):
        kept[k] = 0
    for k in range(work.tile.stop):
        inside = <unsigned int>(left[k] - x) <= columns
        kept[k] &= inside
        inside = <unsigned int>(bottom[k] - y) <= rows
        kept[k] &= inside
        cells[k] = (bottom[k] - y) * width + (left[k] - x) if kept[k] else 0
    for k in range(work.tile.stop):
        weight = <double>weights[k] * share
        work.given[2 * k] = weight * (<double>values[k] * flux_scale) if kept[k] else 0.0
        work.given[2 * k + 1] = weight if kept[k] else 0.0


cdef void add_points(Workspace *work) noexcept nogil:
    cdef double *sums = work.box.sums
    cdef int stream, k
    for stream in range(STREAMS):
        k = stream
        while k < work.tile.stop:
            sums[2 * work.cells[k]] += work.given[2 * k]
            sums[2 * work.cells[k] + 1] += work.given[2 * k + 1]
            k += STREAMS


cdef inline void add_products(Workspace *work, int taps, double *pairs) noexcept nogil:
    """Add the footprints of a row; ``taps`` is a constant where this is inlined."""
    cdef int stream, k
    for stream in range(STREAMS):
        k = stream
        while k < work.tile.stop:
            if work.given[2 * k + 1] != 0.0:
                lay(
                    &work.box, taps, work.cells[k], pairs, work.across + k, work.up + k,
                    work.given[2 * k], work.given[2 * k + 1],
                )
            k += STREAMS


cdef void add_discs(const Footprint *shape, Workspace *work) noexcept nogil:
    cdef int k
    for k in range(work.tile.stop):
        if work.given[2 * k + 1] != 0.0:
            lay_tophat(
                shape, &work.box, work.cells[k], work.across + k, work.up + k,
                work.given[2 * k], work.given[2 * k + 1],
            )


cdef void add_variances(
    const Footprint *shape, Workspace *work, const float *variances, double flux_scale
) noexcept nogil:
    cdef int k
    for k in range(work.tile.stop):
        if work.given[2 * k + 1] != 0.0:
            lay_variance(
                shape, &work.box, work.cells[k], work.across + k, work.up + k, work.given[2 * k + 1],
                usable(variances[k], flux_scale * flux_scale),
            )


cdef void add_footprints_of_2(Workspace *work) noexcept nogil:
    cdef double pairs[4]
    add_products(work, 2, pairs)


cdef void add_footprints_of_4(Workspace *work) noexcept nogil:
    cdef double pairs[8]
    add_products(work, 4, pairs)


cdef void add_footprints_of_6(Workspace *work) noexcept nogil:
    cdef double pairs[12]
    add_products(work, 6, pairs)


cdef void add_row(
    const Footprint *shape, Workspace *work, int row, const float *values, const float *weights,
    const float *variances, double flux_scale
) noexcept nogil:
    """Add the pixels of one row of a tile to its box."""
    cdef Tile *tile = &work.tile
    cdef int start = row * MOST_COLUMNS
    weigh(shape, tile.x + start, tile.left + start, tile.stop, work.across)
    weigh(shape, tile.y + start, tile.bottom + start, tile.stop, work.up)
    ready_row(shape, work, start, values, weights, flux_scale)
    if shape.kind == POINT:
        add_points(work)
    elif shape.kind == TOPHAT:
        add_discs(shape, work)
    elif shape.taps == 2:
        add_footprints_of_2(work)
    elif shape.taps == 4:
        add_footprints_of_4(work)
    elif shape.taps == 6:
        add_footprints_of_6(work)
    else:
        add_products(work, shape.taps, work.pairs)
    if variances != NULL:
        add_variances(shape, work, variances, flux_scale)


cdef bint add_tile(
    const Footprint *shape, const Band *band, const Source *source, const Pixels *pixels, Workspace *work
) noexcept nogil:
    """Drizzle a tile; false if there is no memory."""
    cdef Tile *tile = &work.tile
    cdef Py_ssize_t start
    cdef int r
    if not map_tile(shape, band, source, tile, &work.box):
        return True
    if not make_box(shape, band.variances != NULL, &work.box):
        return False
    for r in range(tile.rows):
        start = (tile.row + r - pixels.first_row) * pixels.stride + tile.column
        add_row(
            shape, work, r, pixels.values + start, pixels.weights + start,
            pixels.variances + start if pixels.variances != NULL else NULL, pixels.flux_scale,
        )
    add_to_band(&work.box, band)
    return True


cdef bint add_tiles(
    const Footprint *shape, const Band *band, const Source *source, const Pixels *pixels,
    int rows, int columns, Workspace *work
) noexcept nogil:
    """Drizzle the pixels tile after tile; false if there is no memory."""
    cdef Tile *tile = &work.tile
    cdef Py_ssize_t row = pixels.first_row
    cdef Py_ssize_t stop = pixels.first_row + pixels.rows
    cdef Py_ssize_t column
    while row < stop:
        tile.row = row
        tile.rows = <int>(min(stop, (row // rows + 1) * rows) - row)
        column = pixels.first // columns * columns
        while column < pixels.stop:
            tile.column = column
            tile.first = <int>max(pixels.first - column, <Py_ssize_t>0)
            tile.stop = <int>min(pixels.stop - column, <Py_ssize_t>columns)
            if not add_tile(shape, band, source, pixels, work):
                return False
            column += columns
        row += tile.rows
    return True

"""The footprints of the kernels: where they begin and what they weigh along an axis, pixel by pixel.

Arrays hold the pixels of a row of a tile; weights come tap after tap, MOST_COLUMNS apart.
"""

cdef extern from *:
    """
    /* sinc(t) sinc(t / N) = (1 - t^2) [(1 - t^2 / 4)] (1 - t^2 / N^2)^2 Q(t^2) for |t| <= N: Q through the
       Chebyshev nodes of its interval. The product is wrong by 2e-14 (N = 2) and 9e-14 (N = 3) at most. */
    static const double LANCZOS2_TERMS[12] = {
        0.9999999999999777, -0.5561675835586762, 0.1421769725734232, -0.022392211909751086,
        0.002455773807415506, -0.00020089611293397513, 1.2818849128613231e-05, -6.584285484088166e-07,
        2.783265222793324e-08, -9.746885561149989e-10, 2.6951739434467263e-11, -4.558603753314613e-13};
    static const double LANCZOS3_TERMS[13] = {
        0.9999999999999108, -0.35548229649468177, 0.058936886082164006, -0.00610056723256659,
        0.0004450739113131587, -2.4488122348108485e-05, 1.0614291776775463e-06, -3.737084754237755e-08,
        1.0924472137857714e-09, -2.6828065584115154e-11, 5.461664622415441e-13, -8.467572941333923e-15,
        7.457792735038612e-17};
    /* exp(-r) for 0 <= r <= 34 / 128, likewise; its 128th power is wrong by a factor of 1 + 3e-12 at most. */
    static const double EXPONENTIAL_TERMS[8] = {
        0.9999999999999833, -0.9999999999919618, 0.49999999936375156, -0.16666664746005605,
        0.041666381501778434, -0.008331028368311911, 0.0013785174040759855, -0.00017382110907202702};
    """
    const double LANCZOS2_TERMS[12]
    const double LANCZOS3_TERMS[13]
    const double EXPONENTIAL_TERMS[8]

cdef enum:
    POINT = 0
    TURBO = 1
    GAUSSIAN = 2
    LANCZOS2 = 3
    LANCZOS3 = 4
    TOPHAT = 5

cdef enum:
    MOST_COLUMNS = 128

cdef double FWHM_IN_SIGMAS = 2.3548
cdef double PI = 3.14159265358979323846
# Positions beyond are outside of every output; larger ones would not fit an integer.
cdef double FARTHEST = 1e9
cdef double FAINTEST = 34.0
# The numbers of taps fit in memory, and the peak of a footprint in a double, from these on.
cdef double LEAST_PIXFRAC = 0.001
cdef double LEAST_RATIO = 1.0 / 64.0


cdef struct Footprint:
    int kind
    int taps
    double radius  # half side, output pixels
    double start  # the first pixel is floor(centre + start)
    double factor  # what distances or their squares are multiplied by, or the limit of the squares
    double share  # what a product of two weights is multiplied by


cdef void shape_of(Footprint *shape, int kind, double pixfrac, double scale_ratio):
    """The footprint of a kernel; ``radius`` is that of the definitions above."""
    cdef double order
    if not LEAST_PIXFRAC <= pixfrac <= 1.0 or not LEAST_RATIO <= scale_ratio < INFINITY:
        raise ValueError("pixfrac is not in 0.001 to 1, or the ratio of the scales below 1 / 64")
    shape.kind = kind
    shape.radius = 0.0
    shape.factor = 0.0
    shape.share = 1.0
    if kind == TURBO or kind == TOPHAT:
        shape.radius = 0.5 * pixfrac / scale_ratio
    elif kind == GAUSSIAN:
        shape.radius = max(2.5 * pixfrac / FWHM_IN_SIGMAS, 1.2) / scale_ratio
        shape.factor = 0.5 * (FWHM_IN_SIGMAS * scale_ratio / pixfrac) ** 2
        shape.share = shape.factor / PI
    elif kind == LANCZOS2 or kind == LANCZOS3:
        order = 2.0 if kind == LANCZOS2 else 3.0
        shape.radius = order / scale_ratio
        shape.factor = scale_ratio
    if kind == TURBO:
        shape.share = (scale_ratio / pixfrac) ** 2
    if kind == TOPHAT:
        shape.factor = shape.radius ** 2
    set_taps(shape)


cdef void set_taps(Footprint *shape):
    """How many pixels a footprint has at most, and where it begins."""
    if shape.kind == LANCZOS2 or shape.kind == LANCZOS3:
        # Where 2 radius is a whole number but for rounding, a further tap would hold some 1e-12 at most.
        shape.taps = <int>ceil(2.0 * shape.radius - 1e-6)
        shape.start = 1.0 - shape.radius
    else:
        shape.taps = <int>ceil(2.0 * shape.radius) + 1
        shape.start = 0.5 - shape.radius


cdef inline double lanczos2(double t) noexcept nogil:
    cdef double u = t * t
    cdef double edge = 1.0 - u * 0.25
    cdef double q = LANCZOS2_TERMS[11]
    cdef int k
    for k in range(10, -1, -1):
        q = q * u + LANCZOS2_TERMS[k]
    edge = edge if edge > 0.0 else 0.0
    return q * (1.0 - u) * (edge * edge)


cdef inline double lanczos3(double t) noexcept nogil:
    cdef double u = t * t
    cdef double edge = 1.0 - u * (1.0 / 9.0)
    cdef double q = LANCZOS3_TERMS[12]
    cdef int k
    for k in range(11, -1, -1):
        q = q * u + LANCZOS3_TERMS[k]
    edge = edge if edge > 0.0 else 0.0
    return q * ((1.0 - u) * (1.0 - u * 0.25)) * (edge * edge)


cdef inline double decay(double z) noexcept nogil:
    """exp(-z) for z >= 0, and 0 beyond ``FAINTEST``; no library's, whose bits differ between builds."""
    cdef double r = (z if z < FAINTEST else FAINTEST) * (1.0 / 128.0)
    cdef double q = EXPONENTIAL_TERMS[7]
    cdef int k
    for k in range(6, -1, -1):
        q = q * r + EXPONENTIAL_TERMS[k]
    for k in range(7):
        q *= q
    return q if z < FAINTEST else 0.0


cdef inline void find_first(double *centres, int *first, int count, double start) noexcept nogil:
    """The first output pixel of each footprint; NaN and what is far away come to lie far outside."""
    cdef double at
    cdef int k, whole
    for k in range(count):
        at = centres[k]
        at = at if at > -FARTHEST else -FARTHEST
        at = at if at < FARTHEST else FARTHEST
        centres[k] = at
        at += start
        whole = <int>at
        first[k] = whole - (1 if at < <double>whole else 0)


cdef inline void weigh_turbo(
    const Footprint *shape, const double *centres, const int *first, int count, double *weights
) noexcept nogil:
    cdef double low, high, middle
    cdef double radius = shape.radius
    cdef int k, tap
    for tap in range(shape.taps):
        for k in range(count):
            middle = <double>(first[k] + tap)
            low = centres[k] - radius
            high = centres[k] + radius
            low = low if low > middle - 0.5 else middle - 0.5
            high = high if high < middle + 0.5 else middle + 0.5
            weights[k] = high - low if high > low else 0.0
        weights += MOST_COLUMNS


cdef inline void weigh_gaussian(
    const Footprint *shape, const double *centres, const int *first, int count, double *weights
) noexcept nogil:
    cdef double distance, weight
    cdef double last = shape.radius + 0.5
    cdef double factor = shape.factor
    cdef int k, tap
    for tap in range(shape.taps):
        for k in range(count):
            distance = <double>(first[k] + tap) - centres[k]
            weight = decay(factor * (distance * distance))
            weights[k] = weight if distance <= last else 0.0
        weights += MOST_COLUMNS


cdef inline void weigh_lanczos2(
    const Footprint *shape, const double *centres, const int *first, int count, double *weights
) noexcept nogil:
    cdef double factor = shape.factor
    cdef int k, tap
    for tap in range(shape.taps):
        for k in range(count):
            weights[k] = lanczos2((<double>(first[k] + tap) - centres[k]) * factor)
        weights += MOST_COLUMNS


cdef inline void weigh_lanczos3(
    const Footprint *shape, const double *centres, const int *first, int count, double *weights
) noexcept nogil:
    cdef double factor = shape.factor
    cdef int k, tap
    for tap in range(shape.taps):
        for k in range(count):
            weights[k] = lanczos3((<double>(first[k] + tap) - centres[k]) * factor)
        weights += MOST_COLUMNS


cdef inline void weigh_tophat(
    const Footprint *shape, const double *centres, const int *first, int count, double *weights
) noexcept nogil:
    """Squared distances: the one kernel that is no product."""
    cdef double distance
    cdef int k, tap
    for tap in range(shape.taps):
        for k in range(count):
            distance = <double>(first[k] + tap) - centres[k]
            weights[k] = distance * distance
        weights += MOST_COLUMNS


cdef inline void weigh(
    const Footprint *shape, const double *centres, const int *first, int count, double *weights
) noexcept nogil:
    if shape.kind == TURBO:
        weigh_turbo(shape, centres, first, count, weights)
    elif shape.kind == GAUSSIAN:
        weigh_gaussian(shape, centres, first, count, weights)
    elif shape.kind == LANCZOS2:
        weigh_lanczos2(shape, centres, first, count, weights)
    elif shape.kind == LANCZOS3:
        weigh_lanczos3(shape, centres, first, count, weights)
    elif shape.kind == TOPHAT:
        weigh_tophat(shape, centres, first, count, weights)

cdef extern from "lanes.h" nogil:
    # Vectors of LANES doubles; to Cython they look like numbers.
    ctypedef double lanes "hapctl_lanes"
    ctypedef int mask "hapctl_mask"
    ctypedef int ints "hapctl_ints"
    enum:
        LANES "HAPCTL_LANES"
    lanes spread_out "lanes_spread"(double number) noexcept
    lanes load "lanes_load"(const double *place) noexcept
    void store "lanes_store"(double *place, lanes a) noexcept
    void store_int "lanes_store_int"(int *place, ints a) noexcept
    void store_fours "lanes_store_fours"(double *place, lanes a, lanes b, lanes c) noexcept
    lanes lesser "lanes_lesser"(lanes a, lanes b) noexcept
    lanes greater "lanes_greater"(lanes a, lanes b) noexcept
    mask less "lanes_less"(lanes a, lanes b) noexcept
    mask at_most "lanes_at_most"(lanes a, lanes b) noexcept
    mask both "lanes_and"(mask a, mask b) noexcept
    mask either "lanes_or"(mask a, mask b) noexcept
    bint any_of "lanes_any"(mask a) noexcept
    bint all_of "lanes_all"(mask a) noexcept
    lanes select "lanes_select"(mask where, lanes a, lanes b) noexcept
    lanes zero_unless "lanes_where"(mask where, lanes a) noexcept
    lanes magnitude "lanes_magnitude"(lanes a) noexcept
    ints to_int "lanes_to_int"(lanes a) noexcept
    lanes from_int "lanes_from_int"(ints a) noexcept
    ctypedef double factors "hapctl_factors"
    factors factors_of "fours_factors"(double value) noexcept
    void add_four "fours_add"(double *pairs, const double *given, factors value) noexcept
    void add_four_squares "fours_add_squares"(double *sums, const double *given, double factor) noexcept
    void mark_four "fours_mark"(int *marks, const double *given, int bit) noexcept
    void expect "fours_expect"(const void *place) noexcept

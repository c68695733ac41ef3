/* As many doubles at once as the build has in a register, with names a kernel can be read by.
 *
 * Written for the vector builds of the kernels (see cpu.pyx): 8 lanes with AVX-512, 4 with AVX2, 2 with
 * SSE2, 1 elsewhere. Every operation is one IEEE operation a lane, so that all builds give the same bits;
 * lesser(a, b) is a < b ? a : b also for NaN, and greater likewise.
 */
#ifndef HAPCTL_LANES_H
#define HAPCTL_LANES_H

#if defined(__GNUC__) && !defined(__clang__) && defined(__SSE2__)
#include <immintrin.h>
#endif
#include <math.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__) && defined(__AVX512F__)

#define HAPCTL_AVX512 1
typedef __m512d hapctl_lanes;
typedef __mmask8 hapctl_mask;
enum { HAPCTL_LANES = 8 };
#define lanes_spread(number) _mm512_set1_pd(number)
#define lanes_load(from) _mm512_loadu_pd(from)
#define lanes_store(to, a) _mm512_storeu_pd(to, a)
#define lanes_lesser(a, b) _mm512_min_pd(a, b)
#define lanes_greater(a, b) _mm512_max_pd(a, b)
#define lanes_less(a, b) _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ)
#define lanes_at_most(a, b) _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ)
#define lanes_and(m, n) ((hapctl_mask)((m) & (n)))
#define lanes_or(m, n) ((hapctl_mask)((m) | (n)))
#define lanes_any(m) ((m) != 0)
#define lanes_all(m) ((m) == 0xff)
#define lanes_select(m, a, b) _mm512_mask_blend_pd(m, b, a)
#define lanes_where(m, a) _mm512_maskz_mov_pd(m, a)
#define lanes_magnitude(a) _mm512_abs_pd(a)
#define lanes_to_int(a) _mm512_cvttpd_epi32(a)
#define lanes_from_int(i) _mm512_cvtepi32_pd(i)
#define lanes_store_int(to, i) _mm256_storeu_si256((__m256i *)(to), i)
typedef __m256i hapctl_ints;

/* Each lane's a, b, c and a 0 next to each other. */
static inline void lanes_store_fours(double *to, hapctl_lanes a, hapctl_lanes b, hapctl_lanes c)
{
    __m512d ab_even = _mm512_unpacklo_pd(a, b), ab_odd = _mm512_unpackhi_pd(a, b);
    __m512d c_even = _mm512_unpacklo_pd(c, _mm512_setzero_pd());
    __m512d c_odd = _mm512_unpackhi_pd(c, _mm512_setzero_pd());
    /* Pairs of lanes 2k in even, 2k + 1 in odd; each pair becomes half of a four. */
    __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    __m512i high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    __m512d even0 = _mm512_permutex2var_pd(ab_even, low, c_even);
    __m512d odd0 = _mm512_permutex2var_pd(ab_odd, low, c_odd);
    __m512d even1 = _mm512_permutex2var_pd(ab_even, high, c_even);
    __m512d odd1 = _mm512_permutex2var_pd(ab_odd, high, c_odd);
    _mm256_storeu_pd(to, _mm512_castpd512_pd256(even0));
    _mm256_storeu_pd(to + 4, _mm512_castpd512_pd256(odd0));
    _mm256_storeu_pd(to + 8, _mm512_extractf64x4_pd(even0, 1));
    _mm256_storeu_pd(to + 12, _mm512_extractf64x4_pd(odd0, 1));
    _mm256_storeu_pd(to + 16, _mm512_castpd512_pd256(even1));
    _mm256_storeu_pd(to + 20, _mm512_castpd512_pd256(odd1));
    _mm256_storeu_pd(to + 24, _mm512_extractf64x4_pd(even1, 1));
    _mm256_storeu_pd(to + 28, _mm512_extractf64x4_pd(odd1, 1));
}

#elif defined(__GNUC__) && !defined(__clang__) && defined(__AVX2__)

typedef __m256d hapctl_lanes;
typedef __m256d hapctl_mask;
enum { HAPCTL_LANES = 4 };
#define lanes_spread(number) _mm256_set1_pd(number)
#define lanes_load(from) _mm256_loadu_pd(from)
#define lanes_store(to, a) _mm256_storeu_pd(to, a)
#define lanes_lesser(a, b) _mm256_min_pd(a, b)
#define lanes_greater(a, b) _mm256_max_pd(a, b)
#define lanes_less(a, b) _mm256_cmp_pd(a, b, _CMP_LT_OQ)
#define lanes_at_most(a, b) _mm256_cmp_pd(a, b, _CMP_LE_OQ)
#define lanes_and(m, n) _mm256_and_pd(m, n)
#define lanes_or(m, n) _mm256_or_pd(m, n)
#define lanes_any(m) (_mm256_movemask_pd(m) != 0)
#define lanes_all(m) (_mm256_movemask_pd(m) == 15)
#define lanes_select(m, a, b) _mm256_blendv_pd(b, a, m)
#define lanes_where(m, a) _mm256_and_pd(m, a)
#define lanes_magnitude(a) _mm256_andnot_pd(_mm256_set1_pd(-0.0), a)
#define lanes_to_int(a) _mm256_cvttpd_epi32(a)
#define lanes_from_int(i) _mm256_cvtepi32_pd(i)
#define lanes_store_int(to, i) _mm_storeu_si128((__m128i *)(to), i)
typedef __m128i hapctl_ints;

static inline void lanes_store_fours(double *to, hapctl_lanes a, hapctl_lanes b, hapctl_lanes c)
{
    __m256d ab_even = _mm256_unpacklo_pd(a, b), ab_odd = _mm256_unpackhi_pd(a, b);
    __m256d c_even = _mm256_unpacklo_pd(c, _mm256_setzero_pd());
    __m256d c_odd = _mm256_unpackhi_pd(c, _mm256_setzero_pd());
    _mm256_storeu_pd(to, _mm256_permute2f128_pd(ab_even, c_even, 0x20));
    _mm256_storeu_pd(to + 4, _mm256_permute2f128_pd(ab_odd, c_odd, 0x20));
    _mm256_storeu_pd(to + 8, _mm256_permute2f128_pd(ab_even, c_even, 0x31));
    _mm256_storeu_pd(to + 12, _mm256_permute2f128_pd(ab_odd, c_odd, 0x31));
}

#elif defined(__GNUC__) && !defined(__clang__) && defined(__SSE2__)

typedef __m128d hapctl_lanes;
typedef __m128d hapctl_mask;
enum { HAPCTL_LANES = 2 };
#define lanes_spread(number) _mm_set1_pd(number)
#define lanes_load(from) _mm_loadu_pd(from)
#define lanes_store(to, a) _mm_storeu_pd(to, a)
#define lanes_lesser(a, b) _mm_min_pd(a, b)
#define lanes_greater(a, b) _mm_max_pd(a, b)
#define lanes_less(a, b) _mm_cmplt_pd(a, b)
#define lanes_at_most(a, b) _mm_cmple_pd(a, b)
#define lanes_and(m, n) _mm_and_pd(m, n)
#define lanes_or(m, n) _mm_or_pd(m, n)
#define lanes_any(m) (_mm_movemask_pd(m) != 0)
#define lanes_all(m) (_mm_movemask_pd(m) == 3)
#define lanes_select(m, a, b) _mm_or_pd(_mm_and_pd(m, a), _mm_andnot_pd(m, b))
#define lanes_where(m, a) _mm_and_pd(m, a)
#define lanes_magnitude(a) _mm_andnot_pd(_mm_set1_pd(-0.0), a)
#define lanes_to_int(a) _mm_cvttpd_epi32(a)
#define lanes_from_int(i) _mm_cvtepi32_pd(i)
#define lanes_store_int(to, i) _mm_storel_epi64((__m128i *)(to), i)
typedef __m128i hapctl_ints;

static inline void lanes_store_fours(double *to, hapctl_lanes a, hapctl_lanes b, hapctl_lanes c)
{
    _mm_storeu_pd(to, _mm_unpacklo_pd(a, b));
    _mm_storeu_pd(to + 2, _mm_unpacklo_pd(c, _mm_setzero_pd()));
    _mm_storeu_pd(to + 4, _mm_unpackhi_pd(a, b));
    _mm_storeu_pd(to + 6, _mm_unpackhi_pd(c, _mm_setzero_pd()));
}

#else

typedef double hapctl_lanes;
typedef int hapctl_mask;
enum { HAPCTL_LANES = 1 };
#define lanes_spread(number) (number)
#define lanes_load(from) (*(from))
#define lanes_store(to, a) (*(to) = (a))
static inline double lanes_lesser(double a, double b) { return a < b ? a : b; }
static inline double lanes_greater(double a, double b) { return a > b ? a : b; }
#define lanes_less(a, b) ((a) < (b))
#define lanes_at_most(a, b) ((a) <= (b))
#define lanes_and(m, n) ((m) & (n))
#define lanes_or(m, n) ((m) | (n))
#define lanes_any(m) (m)
#define lanes_all(m) (m)
#define lanes_select(m, a, b) ((m) ? (a) : (b))
#define lanes_where(m, a) ((m) ? (a) : 0.0)
#define lanes_magnitude(a) fabs(a)
#define lanes_to_int(a) ((int)(a))
#define lanes_from_int(i) ((double)(i))
#define lanes_store_int(to, i) (*(to) = (i))
typedef int hapctl_ints;

static inline void lanes_store_fours(double *to, hapctl_lanes a, hapctl_lanes b, hapctl_lanes c)
{
    to[0] = a;
    to[1] = b;
    to[2] = c;
    to[3] = 0.0;
}

#endif

/* Four neighbours at once: the vectors of GCC and Clang, whatever the CPU. */
typedef double hapctl_four __attribute__((vector_size(32)));
typedef long long hapctl_four_mask __attribute__((vector_size(32)));
typedef int hapctl_four_int __attribute__((vector_size(16)));

/* Have a place that will be added to fetched; it need not exist. */
#define fours_expect(place) __builtin_prefetch(place, 1, 3)

#if defined(HAPCTL_AVX512)

typedef __m512d hapctl_factors;
#define fours_factors(value) _mm512_setr_pd(value, 1.0, value, 1.0, value, 1.0, value, 1.0)

static inline void fours_add(double *pairs, const double *given, hapctl_factors factors)
{
    const __m512i twice = _mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3);
    __m512d g = _mm512_permutexvar_pd(twice, _mm512_castpd256_pd512(_mm256_loadu_pd(given)));
    _mm512_storeu_pd(pairs, _mm512_add_pd(_mm512_loadu_pd(pairs), _mm512_mul_pd(g, factors)));
}

static inline void fours_mark(int *marks, const double *given, int bit)
{
    __mmask8 where = _mm256_cmp_pd_mask(_mm256_loadu_pd(given), _mm256_setzero_pd(), _CMP_GT_OQ);
    __m128i m = _mm_loadu_si128((const __m128i *)marks);
    _mm_storeu_si128((__m128i *)marks, _mm_mask_or_epi32(m, where, m, _mm_set1_epi32(bit)));
}

#else

typedef double hapctl_eight __attribute__((vector_size(64)));
typedef double hapctl_factors;
#define fours_factors(value) (value)

/* pairs[2 k] += given[k] * value and pairs[2 k + 1] += given[k], k = 0 ... 3 */
static inline void fours_add(double *pairs, const double *given, hapctl_factors value)
{
    const hapctl_eight factors = {value, 1.0, value, 1.0, value, 1.0, value, 1.0};
    hapctl_eight sums;
    hapctl_four g;
    memcpy(&sums, pairs, sizeof sums);
    memcpy(&g, given, sizeof g);
    sums += (hapctl_eight){g[0], g[0], g[1], g[1], g[2], g[2], g[3], g[3]} * factors;
    memcpy(pairs, &sums, sizeof sums);
}

/* marks[k] |= bit where given[k] is above 0 */
static inline void fours_mark(int *marks, const double *given, int bit)
{
    hapctl_four g;
    hapctl_four_int m;
    memcpy(&m, marks, sizeof m);
    memcpy(&g, given, sizeof g);
    m |= __builtin_convertvector(g > 0.0, hapctl_four_int) & bit;
    memcpy(marks, &m, sizeof m);
}

#endif

/* sums[k] += given[k]**2 * factor where given[k] is above 0 (factor may be NaN) */
static inline void fours_add_squares(double *sums, const double *given, double factor)
{
    hapctl_four s, g, square;
    memcpy(&s, sums, sizeof s);
    memcpy(&g, given, sizeof g);
    square = g * g * factor;
    s += (hapctl_four)((hapctl_four_mask)square & (hapctl_four_mask)(g > 0.0));
    memcpy(sums, &s, sizeof s);
}

#endif

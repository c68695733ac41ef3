/* Separable sums of a few pixels, whole rows in one vector.
 *
 * weighted_4, weighted_8 and weighted_16 add up as many rows of 4, 6 or 15 pixels as there are taps, each times
 * its weight, from the first to the last; then the columns times theirs, as ((0 + 4) + (2 + 6)) + ((1 + 5) +
 * (3 + 7)) and, of 15, 0 + 8, 1 + 9 ... before. Weight j lies at j * pitch. Of 8 and 16 columns loaded the last
 * two and the last one are left out. All operations are written here, so that every compiler and vector build
 * gives the same bits.
 */
#ifndef HAPCTL_WEIGHTED_H
#define HAPCTL_WEIGHTED_H

#include <stddef.h>
#include <string.h>

#if defined(__GNUC__)

typedef float hapctl_v4 __attribute__((vector_size(16)));
typedef float hapctl_v8 __attribute__((vector_size(32)));
typedef int hapctl_i4 __attribute__((vector_size(16)));
typedef int hapctl_i8 __attribute__((vector_size(32)));

static inline float hapctl_sum_4(hapctl_v4 v) { return (v[0] + v[2]) + (v[1] + v[3]); }

static inline hapctl_v4 hapctl_columns(
    const float *corner, ptrdiff_t stride, hapctl_v4 across, const float *y, ptrdiff_t pitch, int taps)
{
    hapctl_v4 row, sum;
    memcpy(&row, corner, sizeof row);
    sum = row * y[0];
    for (int j = 1; j < taps; j++) {
        memcpy(&row, corner + j * stride, sizeof row);
        sum = sum + row * y[j * pitch];
    }
    return sum * across;
}

static inline float weighted_4(
    const float *corner, ptrdiff_t stride, const float *x, const float *y, ptrdiff_t pitch, int taps)
{
    const hapctl_v4 across = {x[0], x[pitch], x[2 * pitch], x[3 * pitch]};
    return hapctl_sum_4(hapctl_columns(corner, stride, across, y, pitch, taps));
}

static inline float weighted_8(
    const float *corner, ptrdiff_t stride, const float *x, const float *y, ptrdiff_t pitch, int taps)
{
    const hapctl_i8 used = {-1, -1, -1, -1, -1, -1, 0, 0};
    const hapctl_v8 across = {
        x[0], x[pitch], x[2 * pitch], x[3 * pitch], x[4 * pitch], x[5 * pitch], 0.0f, 0.0f};
    hapctl_v8 row, sum;
    union { hapctl_v8 whole; hapctl_v4 half[2]; } eight;
    memcpy(&row, corner, sizeof row);
    sum = row * y[0];
    for (int j = 1; j < taps; j++) {
        memcpy(&row, corner + j * stride, sizeof row);
        sum = sum + row * y[j * pitch];
    }
    eight.whole = (hapctl_v8)((hapctl_i8)(sum * across) & used);
    return hapctl_sum_4(eight.half[0] + eight.half[1]);
}

static inline float weighted_16(
    const float *corner, ptrdiff_t stride, const float *x, const float *y, ptrdiff_t pitch, int taps)
{
    const hapctl_i4 used = {-1, -1, -1, 0};
    hapctl_v4 part[4];
    for (int k = 0; k < 4; k++) {
        const float *from = x + 4 * k * pitch;
        const hapctl_v4 across = {from[0], from[pitch], from[2 * pitch], k < 3 ? from[3 * pitch] : 0.0f};
        part[k] = hapctl_columns(corner + 4 * k, stride, across, y, pitch, taps);
    }
    part[3] = (hapctl_v4)((hapctl_i4)part[3] & used);
    return hapctl_sum_4((part[0] + part[2]) + (part[1] + part[3]));
}

#else

static inline float hapctl_weighted(
    const float *corner, ptrdiff_t stride, const float *x, const float *y, ptrdiff_t pitch, int taps, int width,
    int used)
{
    float sum[16];
    for (int k = 0; k < used; k++) {
        sum[k] = corner[k] * y[0];
        for (int j = 1; j < taps; j++)
            sum[k] = sum[k] + corner[j * stride + k] * y[j * pitch];
        sum[k] = sum[k] * x[k * pitch];
    }
    for (int k = used; k < width; k++)
        sum[k] = 0.0f;
    for (int half = width / 2; half >= 2; half /= 2)
        for (int k = 0; k < half; k++)
            sum[k] = sum[k] + sum[k + half];
    return sum[0] + sum[1];
}

#define weighted_4(corner, stride, x, y, pitch, taps) hapctl_weighted(corner, stride, x, y, pitch, taps, 4, 4)
#define weighted_8(corner, stride, x, y, pitch, taps) hapctl_weighted(corner, stride, x, y, pitch, taps, 8, 6)
#define weighted_16(corner, stride, x, y, pitch, taps) hapctl_weighted(corner, stride, x, y, pitch, taps, 16, 15)

#endif
#endif

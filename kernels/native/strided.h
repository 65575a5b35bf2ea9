/* Gather and scatter: between numbers that lie a constant number of bytes apart, unaligned or byte-swapped if need be, and
 * numbers side by side. */
#ifndef KERNELS_STRIDED_H
#define KERNELS_STRIDED_H

#include <stdint.h>
#include <string.h>

#define STRIDED_INLINE static inline __attribute__((always_inline))

/* What a step is told beside its arrays; the stride is in bytes. */
typedef struct {
    intptr_t stride;
    int itemsize;
    int swapped;
} strided_run;

/* The loops for numbers of one size. A stride that the compiler knows lets it take whole vectors. */
#define STRIDED_LOOPS(bits)                                                                                            \
    STRIDED_INLINE uint##bits##_t strided_swapped##bits(uint##bits##_t x, int swapped) {                               \
        return swapped ? __builtin_bswap##bits(x) : x;                                                                 \
    }                                                                                                                  \
                                                                                                                       \
    STRIDED_INLINE void strided_gather##bits(const char *restrict x, char *restrict out, intptr_t n, intptr_t stride,  \
                                             int swapped) {                                                            \
        for (intptr_t i = 0; i < n; i++) {                                                                             \
            uint##bits##_t one;                                                                                        \
            memcpy(&one, x + i * stride, sizeof one);                                                                  \
            one = strided_swapped##bits(one, swapped);                                                                 \
            memcpy(out + i * sizeof one, &one, sizeof one);                                                            \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    STRIDED_INLINE void strided_scatter##bits(const char *restrict x, char *restrict out, intptr_t n, intptr_t stride, \
                                              int swapped) {                                                           \
        for (intptr_t i = 0; i < n; i++) {                                                                             \
            uint##bits##_t one;                                                                                        \
            memcpy(&one, x + i * sizeof one, sizeof one);                                                              \
            one = strided_swapped##bits(one, swapped);                                                                 \
            memcpy(out + i * stride, &one, sizeof one);                                                                \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    static void strided_run##bits(const char *x, char *out, intptr_t n, const strided_run *run, int scatter) {         \
        const intptr_t size = bits / 8;                                                                                \
        if (scatter)                                                                                                   \
            if (run->swapped)                                                                                          \
                strided_scatter##bits(x, out, n, run->stride, 1);                                                      \
            else                                                                                                       \
                strided_scatter##bits(x, out, n, run->stride, 0);                                                      \
        else if (run->swapped && run->stride == size)                                                                  \
            strided_gather##bits(x, out, n, size, 1);                                                                  \
        else if (run->swapped)                                                                                         \
            strided_gather##bits(x, out, n, run->stride, 1);                                                           \
        else if (run->stride == 2 * size)                                                                              \
            strided_gather##bits(x, out, n, 2 * size, 0);                                                              \
        else if (run->stride == -size)                                                                                 \
            strided_gather##bits(x, out, n, -size, 0);                                                                 \
        else                                                                                                           \
            strided_gather##bits(x, out, n, run->stride, 0);                                                           \
    }

STRIDED_LOOPS(16)
STRIDED_LOOPS(32)
STRIDED_LOOPS(64)

STRIDED_INLINE void strided_move(const char *x, char *out, intptr_t n, const strided_run *run, int scatter) {
    if (run->stride == run->itemsize && !run->swapped)
        memcpy(out, x, n * run->itemsize);
    else if (run->itemsize == 2)
        strided_run16(x, out, n, run, scatter);
    else if (run->itemsize == 4)
        strided_run32(x, out, n, run, scatter);
    else
        strided_run64(x, out, n, run, scatter);
}

/* From numbers apart to numbers side by side. */
static void gather(const char *x, char *out, intptr_t n, const strided_run *run) { strided_move(x, out, n, run, 0); }

/* And back. */
static void scatter(const char *x, char *out, intptr_t n, const strided_run *run) { strided_move(x, out, n, run, 1); }

#endif

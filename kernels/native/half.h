/* Load and store steps of float16 and bfloat16, in the widest vectors of the level they are compiled for.
 *
 * Whatever is rounded is rounded to nearest even, subnormals included; NaN stays NaN. */
#ifndef KERNELS_HALF_H
#define KERNELS_HALF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "half_test.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#define HALF_WIDTH 64
#elif defined(__F16C__)
#include <immintrin.h>
#define HALF_WIDTH 32
#else
#define HALF_WIDTH 16
#endif

#define HALF_INLINE static inline __attribute__((always_inline))
/* float32 numbers in a vector. */
#define HALF_COUNT (HALF_WIDTH / 4)

typedef float half_reals __attribute__((vector_size(HALF_WIDTH)));
typedef int32_t half_words __attribute__((vector_size(HALF_WIDTH)));
typedef uint32_t half_unsigned __attribute__((vector_size(HALF_WIDTH)));
typedef uint16_t half_codes __attribute__((vector_size(HALF_WIDTH / 2)));

/* One bit pattern for all lanes. */
#define half_all(bits) ((half_words){} + (int32_t)(bits))
#define half_select(condition, yes, no) (((condition) & (yes)) | (~(condition) & (no)))
#define HALF_MAGNITUDE 0x7FFFFFFF
#define HALF_INFINITY 0x7F800000

/* ---------------------------------------------------------------- vectors */
#if defined(__AVX512F__)
HALF_INLINE half_words float16_widened(half_codes x) { return (half_words)_mm512_cvtph_ps((__m256i)x); }
HALF_INLINE half_codes float16_narrowed(half_words x) {
    return (half_codes)_mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT);
}
#elif defined(__F16C__)
HALF_INLINE half_words float16_widened(half_codes x) { return (half_words)_mm256_cvtph_ps((__m128i)x); }
HALF_INLINE half_codes float16_narrowed(half_words x) {
    return (half_codes)_mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT);
}
#else
HALF_INLINE half_words float16_widened(half_codes x) {
    half_words code = __builtin_convertvector(x, half_words);
    half_words sign = (code & 0x8000) << 16;
    half_words moved = (code & 0x7FFF) << 13;
    half_words bits = moved + (112 << 23);
    /* A subnormal's significand under the exponent of the smallest normal number, which is one too many. */
    half_words tiny = (half_words)((half_reals)(moved + (113 << 23)) - 0x1p-14f);
    bits = half_select(moved < (1 << 23), tiny, bits);
    bits = half_select(moved >= (31 << 23), bits + (112 << 23), bits);
    return bits | sign;
}
HALF_INLINE half_codes float16_narrowed(half_words x) {
    half_words bits = x & HALF_MAGNITUDE;
    half_words sign = (x >> 16) & 0x8000;
    half_words code = ((bits + 0xFFF + ((bits >> 13) & 1)) >> 13) - (112 << 10);
    /* The sum's last place is the subnormals'. */
    half_words tiny = (half_words)((half_reals)bits + 0.5f) - 0x3F000000;
    code = half_select(bits < 0x38800000, tiny, code);
    code = half_select(bits >= 0x477FF000, half_all(0x7C00), code);
    code = half_select(bits > HALF_INFINITY, half_all(0x7E00), code);
    return __builtin_convertvector(code | sign, half_codes);
}
#endif

HALF_INLINE half_words bfloat16_widened(half_codes x) { return __builtin_convertvector(x, half_words) << 16; }

/* Every NaN ends in zeros, for it was a half type's or is the processor's own: no carry makes infinity or zero of it. */
HALF_INLINE half_codes bfloat16_narrowed(half_words x) {
    half_words code = x + 0x7FFF + ((x >> 16) & 1);
    return __builtin_convertvector((half_unsigned)code >> 16, half_codes);
}

/* How far above the number ``steps`` below a tie, in float32 numbers, from 0 to the next such. */
HALF_INLINE half_unsigned bfloat16_place(half_words x, int32_t steps) {
    return (half_unsigned)(x + (steps - 0x8000)) & 0xFFFF;
}
HALF_INLINE half_unsigned float16_place(half_words x, int32_t steps) {
    half_words size = x & HALF_MAGNITUDE;
    /* A subnormal number and the smallest normal one together have the place of subnormals as their last. */
    half_words moved = (half_words)((half_reals)size + (half_reals)((size < 0x38800000) & 0x38800000));
    return (half_unsigned)(moved + (steps - 0x1000)) & 0x1FFF;
}

/* Where low and high, both positive, round to different codes. */
HALF_INLINE half_words float16_differ(half_words low, half_words high) {
    return __builtin_convertvector(float16_narrowed(low) ^ float16_narrowed(high), half_words) != 0;
}
HALF_INLINE half_words bfloat16_differ(half_words low, half_words high) {
    return (((low + 0x8000) ^ (high + 0x8000)) & ~0xFFFF) != 0;
}

/* A bit for each lane. */
#if defined(__AVX512F__)
#define half_bits(lanes) ((uint64_t)_mm512_test_epi32_mask((__m512i)(lanes), (__m512i)(lanes)))
#elif defined(__F16C__)
#define half_bits(lanes) ((uint64_t)_mm256_movemask_ps((__m256)(lanes)))
#else
HALF_INLINE uint64_t half_bits(half_words lanes) {
    uint64_t bits = 0;
    for (int i = 0; i < HALF_COUNT; i++)
        bits |= (uint64_t)(lanes[i] & 1) << i;
    return bits;
}
#endif

/* ---------------------------------------------------------------- a word of numbers, inlined around a formula */
/* What is left of an array is no whole word: it is copied to one, and its results from one. */
typedef struct {
    uint16_t x[HALF_WORD], g[HALF_WORD], out[HALF_WORD];
} half_words_apart;

/* n codes at x, or the first word of them, where a whole word can be read. */
HALF_INLINE const uint16_t *half_word(const uint16_t *x, intptr_t n, uint16_t *place) {
    if (n >= HALF_WORD)
        return x;
    memset(place, 0, HALF_WORD * sizeof *place);
    memcpy(place, x, n * sizeof *x);
    return place;
}
/* Where the results of a word go, and then those of what is left. */
HALF_INLINE uint16_t *half_room(uint16_t *out, intptr_t n, uint16_t *place) { return n >= HALF_WORD ? out : place; }
HALF_INLINE void half_rest(uint16_t *out, intptr_t n, const uint16_t *place) {
    if (n < HALF_WORD)
        memcpy(out, place, n * sizeof *out);
}

/* Numbers never leave the registers, and stand in any order: bfloat16's even ones and odd ones are apart in each vector. */
HALF_INLINE void float16_widen_word(const uint16_t *x, float *out) {
    for (int i = 0; i < HALF_WORD; i += HALF_COUNT) {
        half_codes codes;
        half_words words;
        memcpy(&codes, x + i, sizeof codes);
        words = float16_widened(codes);
        memcpy(out + i, &words, sizeof words);
    }
}
HALF_INLINE void float16_narrow_word(const float *x, uint16_t *out) {
    for (int i = 0; i < HALF_WORD; i += HALF_COUNT) {
        half_codes codes;
        half_words words;
        memcpy(&words, x + i, sizeof words);
        codes = float16_narrowed(words);
        memcpy(out + i, &codes, sizeof codes);
    }
}
HALF_INLINE void bfloat16_widen_word(const uint16_t *x, float *out) {
    for (int i = 0; i < HALF_WORD; i += 2 * HALF_COUNT) {
        half_words pairs, even, odd;
        memcpy(&pairs, x + i, sizeof pairs);
        even = pairs << 16;
        odd = pairs & ~0xFFFF;
        memcpy(out + i, &even, sizeof even);
        memcpy(out + i + HALF_COUNT, &odd, sizeof odd);
    }
}
HALF_INLINE void bfloat16_narrow_word(const float *x, uint16_t *out) {
    for (int i = 0; i < HALF_WORD; i += 2 * HALF_COUNT) {
        half_words pairs, even, odd;
        memcpy(&even, x + i, sizeof even);
        memcpy(&odd, x + i + HALF_COUNT, sizeof odd);
        even += 0x7FFF + ((even >> 16) & 1);
        odd += 0x7FFF + ((odd >> 16) & 1);
        pairs = (half_words)((half_unsigned)even >> 16) | (odd & ~0xFFFF);
        memcpy(out + i, &pairs, sizeof pairs);
    }
}

/* ---------------------------------------------------------------- loops */
/* Codes of a cache line, and how many of them ahead a look-up asks for its inputs: between results the processor looks too
 * little ahead. */
#define LOOK_UP_LINE 32
#define LOOK_UP_AHEAD (16 * LOOK_UP_LINE)
#define HALF(name) float16_##name
#include "half_loops.h"
#undef HALF
#define HALF(name) bfloat16_##name
#include "half_loops.h"
#undef HALF

/* ---------------------------------------------------------------- results looked up */
#if defined(__SSE2__)
#include <emmintrin.h>
/* Four results at once: their codes are read together, for loads are what a look-up waits for. */
HALF_INLINE __m128i look_up_four(const uint16_t *x, const uint16_t *results) {
    uint64_t codes;
    __m128i four;
    memcpy(&codes, x, sizeof codes);
    four = _mm_cvtsi32_si128(results[codes & 0xFFFF]);
    four = _mm_insert_epi16(four, results[codes >> 16 & 0xFFFF], 1);
    four = _mm_insert_epi16(four, results[codes >> 32 & 0xFFFF], 2);
    return _mm_insert_epi16(four, results[codes >> 48], 3);
}
#endif

/* The results of codes at x; the table has one for each code. What is streamed begins on a cache line. */
HALF_INLINE void look_up_lines(const uint16_t *x, uint16_t *out, intptr_t n, const uint16_t *results, int streamed) {
    intptr_t i = 0;
#if defined(__SSE2__)
    for (; i + LOOK_UP_LINE <= n; i += LOOK_UP_LINE) {
        _mm_prefetch((const char *)(x + i + LOOK_UP_AHEAD), _MM_HINT_T0);
        for (intptr_t j = i; j < i + LOOK_UP_LINE; j += 8) {
            __m128i eight = _mm_unpacklo_epi64(look_up_four(x + j, results), look_up_four(x + j + 4, results));
            if (streamed)
                _mm_stream_si128((__m128i *)(out + j), eight);
            else
                _mm_storeu_si128((__m128i *)(out + j), eight);
        }
    }
#endif
    for (; i < n; i++)
        out[i] = results[x[i]];
}

static void look_up(const uint16_t *x, uint16_t *out, intptr_t n, const uint16_t *results) {
    look_up_lines(x, out, n, results, 0);
}
static void look_up_streamed(const uint16_t *x, uint16_t *out, intptr_t n, const uint16_t *results) {
    look_up_lines(x, out, n, results, 1);
}

/* The same in the second of two tables. */
static void look_up_second(const uint16_t *x, uint16_t *out, intptr_t n, const uint16_t *results) {
    look_up_lines(x, out, n, results + KERNELS_CODES, 0);
}
static void look_up_second_streamed(const uint16_t *x, uint16_t *out, intptr_t n, const uint16_t *results) {
    look_up_lines(x, out, n, results + KERNELS_CODES, 1);
}

/* ---------------------------------------------------------------- from float64, rounded once */
/* x as the number of a half type that is nearest: bits of its significand, its smallest normal number, from where on it
 * is infinite. The sum with 1.5 times a power of two has the half type's last place. */
HALF_INLINE double half_rounded(double x, int bits, double smallest, double limit) {
    double size = fabs(x);
    double within = size < smallest ? smallest : size > limit ? limit : size;
    uint64_t power;
    double shift, rounded;
    memcpy(&power, &within, sizeof power);
    power = ((power & 0x7FF0000000000000u) + ((uint64_t)(53 - bits) << 52)) | 0x0008000000000000u;
    memcpy(&shift, &power, sizeof shift);
    rounded = (size + shift) - shift;
    return copysign(size >= limit ? (double)INFINITY : rounded, x);
}

static void float16_round(const double *restrict x, float *restrict out, intptr_t n, const void *params) {
    for (intptr_t i = 0; i < n; i++)
        out[i] = (float)half_rounded(x[i], 11, 0x1p-14, 65520.0);
}

static void bfloat16_round(const double *restrict x, float *restrict out, intptr_t n, const void *params) {
    for (intptr_t i = 0; i < n; i++)
        out[i] = (float)half_rounded(x[i], 8, 0x1p-126, 0x1.FFp127);
}

#endif

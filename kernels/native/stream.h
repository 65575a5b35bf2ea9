/* A copy whose stores go past the caches, in the widest vectors of the level it is compiled for. The lines of the
 * destination are not read first and push nothing out of the caches; the caller fences when all is written. */
#ifndef KERNELS_STREAM_H
#define KERNELS_STREAM_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define STREAM_WIDTH 64
#define stream_vector(to, from) _mm512_stream_si512((void *)(to), _mm512_loadu_si512(from))
#elif defined(__AVX__)
#include <immintrin.h>
#define STREAM_WIDTH 32
#define stream_vector(to, from) _mm256_stream_si256((__m256i *)(to), _mm256_loadu_si256((const __m256i *)(from)))
#elif defined(__SSE2__)
#include <emmintrin.h>
#define STREAM_WIDTH 16
#define stream_vector(to, from) _mm_stream_si128((__m128i *)(to), _mm_loadu_si128((const __m128i *)(from)))
#endif

/* Whole vectors to where a vector may begin. */
static inline __attribute__((always_inline)) void stream_whole(const void *from, void *to, intptr_t bytes) {
#ifdef STREAM_WIDTH
    for (intptr_t position = 0; position < bytes; position += STREAM_WIDTH)
        stream_vector((char *)to + position, (const char *)from + position);
#else
    memcpy(to, from, bytes);
#endif
}

static void stream_bytes(const char *from, char *to, intptr_t bytes) {
#ifdef STREAM_WIDTH
    intptr_t lead = -(uintptr_t)to & (STREAM_WIDTH - 1);
    intptr_t position = lead < bytes ? lead : bytes;
    memcpy(to, from, position);
    for (; position + STREAM_WIDTH <= bytes; position += STREAM_WIDTH)
        stream_vector(to + position, from + position);
    memcpy(to + position, from + position, bytes - position);
#else
    memcpy(to, from, bytes);
#endif
}

#endif

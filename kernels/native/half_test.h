/* How far results may be off that are about to be rounded to a half type, and where that decides how they are rounded. */
#ifndef KERNELS_HALF_TEST_H
#define KERNELS_HALF_TEST_H

#include <stdint.h>

/* Elements of a word of doubts, and of a block at most. */
#define HALF_WORD 64
#define HALF_MOST 1024

/* The error of y is at most ``steps`` of float32 numbers; or, where those say too little, relative |y| + least. */
typedef struct {
    int32_t steps;
    float relative;
    float least;
    uint64_t doubts[HALF_MOST / HALF_WORD]; /* a bit for each element */
} half_test;

#endif

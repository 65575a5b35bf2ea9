# Typed primitives of the vector math. Every function is inline, branch-free and free of libm calls, so that the loops
# around it vectorise. The formulas are written for the fused type ``real`` and compiled for float and double.
#
# No contraction, no fast-math: fma is explicit. Where the target has no fma instruction, float32 still gives the same
# bits: the product is exact in double, the sum is rounded to odd there (two-sum tells what was lost), and rounding that
# to float32 is then right. float64 calls libm's fma there: slow and right.
cdef extern from * nogil:
    """
    #include <math.h>
    #include <stdint.h>
    #include <string.h>

    #define KERNELS_INLINE static inline __attribute__((always_inline))

    KERNELS_INLINE double kernels_fma64(double a, double b, double c) { return __builtin_fma(a, b, c); }

    #if defined(__FMA__) || defined(__aarch64__)
    KERNELS_INLINE float kernels_fma32(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
    #else
    KERNELS_INLINE float kernels_fma32(float a, float b, float c) {
        double product = (double)a * (double)b;
        double addend = (double)c;
        double sum = product + addend;
        double back = sum - product;
        double lost = (product - (sum - back)) + (addend - back);
        double away = lost * sum;
        int64_t bits, larger, smaller;
        double odd_larger, odd_smaller;
        memcpy(&bits, &sum, sizeof bits);
        larger = bits | 1;
        smaller = (bits - 1) | 1;
        memcpy(&odd_larger, &larger, sizeof larger);
        memcpy(&odd_smaller, &smaller, sizeof smaller);
        /* lost is NaN where the sum is infinite or NaN: both comparisons are false and the sum stays. */
        sum = away > 0.0 ? odd_larger : sum;
        sum = away < 0.0 ? odd_smaller : sum;
        return (float)sum;
    }
    #endif

    /* 2^n from SHIFT + n: the biased integer n stands in the low bits of the significand field. */
    KERNELS_INLINE float kernels_power32(float z) {
        uint32_t bits;
        float power;
        memcpy(&bits, &z, sizeof bits);
        bits <<= 23;
        memcpy(&power, &bits, sizeof power);
        return power;
    }
    KERNELS_INLINE double kernels_power64(double z) {
        uint64_t bits;
        double power;
        memcpy(&bits, &z, sizeof bits);
        bits <<= 52;
        memcpy(&power, &bits, sizeof power);
        return power;
    }
    """
    double kernels_fma64(double a, double b, double c) noexcept
    float kernels_fma32(float a, float b, float c) noexcept
    float kernels_power32(float z) noexcept
    double kernels_power64(double z) noexcept
    float copysignf(float x, float sign) noexcept
    double copysign(double x, double sign) noexcept
    float fabsf(float x) noexcept
    double fabs(double x) noexcept

cdef extern from *:
    """
    typedef double kernels_wide;
    """
    # A double in C, with constants for results that are rounded to float32. Cython tells the members of a fused type
    # apart by the kind of number only, so it must not know.
    ctypedef long double wide "kernels_wide"

ctypedef fused real:
    float
    double
    wide


cdef inline real fma(real a, real b, real c) noexcept nogil:
    if real is float:
        return kernels_fma32(a, b, c)
    else:
        return kernels_fma64(a, b, c)


cdef inline real absolute(real x) noexcept nogil:
    if real is float:
        return fabsf(x)
    else:
        return fabs(x)


cdef inline real copy_sign(real x, real sign) noexcept nogil:
    if real is float:
        return copysignf(x, sign)
    else:
        return copysign(x, sign)


cdef inline real power_of_two(real z) noexcept nogil:
    """2^n from SHIFT + n."""
    if real is float:
        return kernels_power32(z)
    else:
        return kernels_power64(z)

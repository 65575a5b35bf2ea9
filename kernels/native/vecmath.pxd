# Typed primitives of the vector math. Every function is inline, branch-free and free of libm calls, so that the loops
# around it vectorise. The formulas are written for the fused type ``real`` and compiled for float and double.
#
# No contraction, no fast-math: fma is explicit. Where the target has no fma instruction, float32 still gives the same
# bits: the product is exact in double, the sum is rounded to odd there, and rounding that to float32 is then right.
# float64 calls libm's fma there: slow and right.
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
    KERNELS_INLINE int64_t kernels_bits(double x) {
        int64_t bits;
        memcpy(&bits, &x, sizeof bits);
        return bits;
    }
    KERNELS_INLINE double kernels_from_bits(int64_t bits) {
        double x;
        memcpy(&x, &bits, sizeof x);
        return x;
    }
    KERNELS_INLINE float kernels_fma32(float a, float b, float c) {
        double product = (double)a * (double)b;
        double addend = (double)c;
        double sum = product + addend;
        int64_t bits = kernels_bits(sum);
        /* With t the exact sum, sum - addend is product - (t - sum), rounded, so that the first difference has the sign
           of t - sum or is 0, and so has the second. That of the smaller of product and addend is t - sum (Fast2Sum). */
        int64_t lost = kernels_bits(product - (sum - addend)) | kernels_bits(addend - (sum - product));
        int64_t toward_zero = bits - (int64_t)((uint64_t)(lost ^ bits) >> 63);
        /* Where the sum is infinite or NaN, lost is NaN: the comparison is false and the sum stays. */
        return (float)(fabs(kernels_from_bits(lost)) > 0.0 ? kernels_from_bits(toward_zero | 1) : sum);
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
    float sqrtf(float x) noexcept
    double sqrt64 "sqrt"(double x) noexcept

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


cdef inline real sqrt(real x) noexcept nogil:
    """Correctly rounded, so that it has the same bits everywhere."""
    if real is float:
        return sqrtf(x)
    else:
        return sqrt64(x)


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

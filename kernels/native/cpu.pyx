# cython: language_level=3
"""What this processor can run; compiled without any instruction-set flag, so that it loads everywhere."""

cdef extern from *:
    """
    #if defined(__x86_64__)
    static void kernels_probe(int *v2, int *v3, int *v4) {
        __builtin_cpu_init();
        *v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("ssse3");
        *v3 = *v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
            && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
        #if __GNUC__ >= 12 && !defined(__clang__)
        /* All that the level allows a compiler to use: f16c, lzcnt and movbe too. */
        *v3 = *v3 && __builtin_cpu_supports("x86-64-v3");
        #endif
        *v4 = *v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq")
            && __builtin_cpu_supports("avx512vl");
    }
    #else
    static void kernels_probe(int *v2, int *v3, int *v4) { *v2 = *v3 = *v4 = 0; }
    #endif
    #if defined(__aarch64__)
    #define KERNELS_AARCH64 1
    #else
    #define KERNELS_AARCH64 0
    #endif
    """
    void kernels_probe(int *v2, int *v3, int *v4)
    const int KERNELS_AARCH64


def runnable_levels():
    """Names of the instruction-set levels that this processor runs."""
    cdef int v2 = 0, v3 = 0, v4 = 0
    kernels_probe(&v2, &v3, &v4)
    found = {"x86-64-v2": v2, "x86-64-v3": v3, "x86-64-v4": v4, "aarch64": KERNELS_AARCH64}
    return frozenset(name for name, runs in found.items() if runs)

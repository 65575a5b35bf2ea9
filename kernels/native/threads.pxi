# Threads: how many a call may use, and how a task is dealt to them.
cdef extern from *:
    """
    #include <limits.h>
    #ifdef _OPENMP
    #include <omp.h>
    #define kernels_openmp_limit() omp_get_max_threads()
    #else
    #define kernels_openmp_limit() INT_MAX
    #endif
    """
    int kernels_openmp_limit() noexcept nogil

cdef extern from "workers.h" nogil:
    ctypedef void (*workers_body)(const void *task, intptr_t first, intptr_t last) noexcept nogil
    void workers_run(workers_body body, const void *task, intptr_t n, intptr_t chunk, int threads, bint wake) noexcept

cdef enum:
    #: Elements that a worker takes at once: the least and the most.
    LEAST_CHUNK = 8 * BLOCK
    MOST_CHUNK = 64 * BLOCK

# ``kernels.threads`` sets it, to 1 in a forked child.
cdef int allowed_threads = 1
# A lower limit of OpenMP's than that of the start was set on purpose, for example by threadpoolctl.
cdef int openmp_at_start = kernels_openmp_limit()


def set_num_threads(int n):
    """Use at most n threads a call; ValueError if n < 1."""
    global allowed_threads
    if n < 1:
        raise ValueError(f"the number of threads must be at least 1, given {n}")
    allowed_threads = n


def get_num_threads():
    """Threads that a call from this thread may use."""
    return usable_threads()


cdef inline int usable_threads() noexcept nogil:
    cdef int limit = kernels_openmp_limit()
    return min(limit, allowed_threads) if limit < openmp_at_start else allowed_threads


cdef void run_elements_or_rows(const void *task, intptr_t first, intptr_t last) noexcept nogil:
    if is_gated((<const Task *>task).kind):
        run_gates(<const Task *>task, first, last)
    elif is_rows((<const Task *>task).kind):
        run_rows(<const Task *>task, first, last)
    else:
        run_blocks(<const Task *>task, first, last)


cdef void run(const Task *task, int threads) noexcept nogil:
    """The whole task with at most that many threads; chunks are whole blocks, and so whole cache lines."""
    cdef intptr_t chunk
    if threads == 1:
        run_elements_or_rows(task, 0, task.n)
        return
    if is_rows(task.kind):
        chunk = max(<intptr_t>1, <intptr_t>LEAST_CHUNK // max(task.row, <intptr_t>1))
    else:
        chunk = chunk_of(task.n, threads)
    workers_run(run_elements_or_rows, task, task.n, chunk, threads, task.wake)


cdef inline intptr_t chunk_of(intptr_t n, int threads) noexcept nogil:
    """Elements that a worker takes at once of n."""
    return min(max(n // (8 * <intptr_t>threads) // BLOCK * BLOCK, <intptr_t>LEAST_CHUNK), <intptr_t>MOST_CHUNK)

# Copies, without a kernel and without blocks: what the ceiling of bandwidth is measured with.
cdef struct Copy:
    const char *source
    char *target
    Kernel loop
    intptr_t unit
    intptr_t repeats


cdef void copy_bytes(const void *task, intptr_t first, intptr_t last) noexcept nogil:
    cdef const Copy *copied = <const Copy *>task
    cdef intptr_t k
    for k in range(copied.repeats):
        if copied.loop == NULL:
            memcpy(copied.target + first, copied.source + first, last - first)
        else:
            copied.loop(copied.source + first, copied.target + first, (last - first) // copied.unit, NULL)
    kernels_fence()


def copy(cnp.ndarray x, cnp.ndarray out, uintptr_t loop, int threads, intptr_t unit=1, intptr_t repeats=1):
    """Copy x's memory to out's, of the same size: what the ceiling of bandwidth is measured with.

    ``loop``: the address of one that copies units of ``unit`` bytes, 0 for memcpy. With repeats, each thread copies a
    part of its own so many times, which stays in its caches."""
    cdef Copy task
    cdef intptr_t chunk = MOST_CHUNK * sizeof(float)
    same = direct_dtype(x) == direct_dtype(out) >= 0 and cnp.PyArray_NBYTES(x) == cnp.PyArray_NBYTES(out)
    if not same or not cnp.PyArray_ISWRITEABLE(out):
        raise ValueError("expected two contiguous arrays of one dtype and size, the second one writeable")
    if threads < 1 or unit < 1 or repeats < 1:
        raise ValueError(f"threads, unit and repeats must be at least 1, given {threads}, {unit} and {repeats}")
    task.source = <const char *>cnp.PyArray_DATA(x)
    task.target = <char *>cnp.PyArray_DATA(out)
    task.loop = <Kernel>loop
    task.unit = unit
    task.repeats = repeats
    if repeats > 1:
        chunk = (cnp.PyArray_NBYTES(x) // threads + BLOCK) // BLOCK * BLOCK
    with nogil:
        workers_run(copy_bytes, &task, cnp.PyArray_NBYTES(x), chunk, threads, True)

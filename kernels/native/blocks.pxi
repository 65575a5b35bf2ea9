# The block pipeline: load, compute and store, a block at a time; blocks stay in the first-level cache.
cdef extern from * nogil:
    """
    #if defined(__SSE2__)
    #define kernels_fence() __builtin_ia32_sfence()
    #else
    #define kernels_fence() ((void)0)
    #endif
    """
    void kernels_fence() noexcept

cdef enum:
    CACHE_LINE = 64
    #: Bytes of a block that is streamed: short enough for the processor to read the next one while it writes this one.
    STREAMED_BLOCK = 2048


cdef void run_blocks(const Task *task, intptr_t start, intptr_t stop) noexcept nogil:
    """Elements start to stop of an elementwise task, in one thread."""
    cdef intptr_t block = STREAMED_BLOCK // task.itemsize if task.streamed else BLOCK
    cdef intptr_t position = start
    cdef intptr_t offset = start * task.itemsize
    cdef intptr_t m
    if is_one_loop(task):
        run_loop(task, task.x + offset, task.out + offset, start, stop - start, task.params)
        return
    if task.streamed and has_streamed_loops(task):
        run_streamed_loops(task, start, stop)
        return
    m = min(first_block(task, start, block), stop - start)
    while position < stop:
        run_block(task, position, m)
        position += m
        m = min(block, stop - position)
    if task.streamed:
        kernels_fence()


cdef inline bint has_streamed_loops(const Task *task) noexcept nogil:
    """Whether the loops write past the caches by themselves; those of a pair need outputs that begin lines together."""
    if task.load != NULL or task.each:
        return False
    if task.kind == PAIR:
        return (
            task.streamed_kernel != NULL
            and task.streamed_second != NULL
            and (<uintptr_t>task.out - <uintptr_t>task.out2) % CACHE_LINE == 0
        )
    return (task.streamed_second if is_fused(task) else task.streamed_kernel) != NULL


cdef void run_streamed_loops(const Task *task, intptr_t start, intptr_t stop) noexcept nogil:
    """Whole lines by the streamed loops, what is before and behind them by the others."""
    cdef Task plain = task[0]
    cdef Task lines
    plain.streamed = False
    lines = plain
    lines.kernel = task.streamed_kernel
    lines.second = task.streamed_second
    cdef intptr_t begin = start + min(to_line(task, start), stop - start)
    cdef intptr_t end = stop - (stop - begin) % STREAMED
    run_blocks(&plain, start, begin)
    run_blocks(&lines, begin, end)
    run_blocks(&plain, end, stop)
    kernels_fence()


cdef inline bint is_fused(const Task *task) noexcept nogil:
    """Whether the second loop is the first one times grad_output."""
    return task.kind == PRODUCT and task.second != NULL


cdef inline bint is_one_loop(const Task *task) noexcept nogil:
    """Whether no block needs a load or a store step."""
    return not (task.load != NULL or task.aliased or task.streamed) and (task.kind == SINGLE or is_fused(task))


cdef inline void run_loop(const Task *task, const char *x, char *out, intptr_t position, intptr_t m,
                          const char *params) noexcept nogil:
    """m elements from a position on by the task's first loop, or by its fused one."""
    cdef intptr_t offset = position * task.itemsize
    cdef const void *arguments[2]
    if is_fused(task):
        arguments[0], arguments[1] = task.g + offset, params
        task.second(x, out, m, arguments)
    else:
        task.kernel(x, out, m, parameters_at(task, offset, params))


cdef inline const char *parameters_at(const Task *task, intptr_t offset, const char *params) noexcept nogil:
    """The parameters of a block; those that need a load step are loaded block by block."""
    return params + offset if task.each and task.load == NULL else params


cdef void run_block(const Task *task, intptr_t position, intptr_t m) noexcept nogil:
    """Load, compute and store a block of m elements."""
    cdef Block source, result, extra
    if task.checked != NULL:
        run_checked_block(task, position, m)
        return
    cdef intptr_t offset = position * task.itemsize
    cdef const char *x = task.x + offset
    cdef const char *params = task.params
    cdef bint buffered = task.load != NULL or task.aliased or task.streamed
    cdef char *out = <char *>result.numbers if buffered else task.out + offset
    if task.each:
        params = load(task, task.params + offset, m, extra.numbers) if task.load != NULL else params
    if task.load != NULL:
        x = load(task, x, m, source.numbers)
    elif task.aliased:
        memcpy(source.numbers, x, m * task.itemsize)
        x = <const char *>source.numbers
    run_loop(task, x, out, position, m, params)
    if task.kind == PRODUCT and not is_fused(task):
        task.multiply(load(task, task.g + offset, m, extra.numbers), out, m, NULL)
    store(task, out, task.out + offset, m)
    if task.kind == PAIR:
        out = <char *>result.numbers if buffered else task.out2 + offset
        task.second(x, out, m, parameters_at(task, offset, params))
        store(task, out, task.out2 + offset, m)


cdef inline const char *load(const Task *task, const char *x, intptr_t m, double *place) noexcept nogil:
    """m numbers as they are computed: where they are, or converted into a place."""
    if task.load == NULL:
        return x
    task.load(x, place, m, NULL)
    return <const char *>place


cdef inline intptr_t first_block(const Task *task, intptr_t start, intptr_t block) noexcept nogil:
    """Elements of the first block: up to a cache line of the output where that is streamed, for a line must be whole."""
    cdef intptr_t lead = to_line(task, start)
    return lead if task.streamed and lead else block


cdef inline intptr_t to_line(const Task *task, intptr_t start) noexcept nogil:
    """Elements from start to where the output next begins a cache line."""
    cdef uintptr_t address = <uintptr_t>task.out + start * task.itemsize
    return (CACHE_LINE - address % CACHE_LINE) % CACHE_LINE // task.itemsize


cdef inline void store(const Task *task, const char *result, char *out, intptr_t m) noexcept nogil:
    cdef Block saved
    if task.save != NULL and task.streamed:
        task.save(result, saved.numbers, m, NULL)
        task.stream(saved.numbers, out, m * task.itemsize, NULL)
    elif task.save != NULL:
        task.save(result, out, m, NULL)
    elif task.streamed:
        task.stream(result, out, m * task.itemsize, NULL)
    elif task.aliased:
        memcpy(out, result, m * task.itemsize)

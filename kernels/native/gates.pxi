# The pipeline of gated pairs, included by dispatch.pyx: row after row, the first half of x times a function of the second.
# Elements are counted by the halves' common index, task.row of them a row, so that one long row has work for every thread.

cdef enum:
    #: Halves from this many elements on are worked on where they are, shorter ones gathered into blocks.
    LONG_HALF = 512


cdef void run_gates(const Task *task, intptr_t start, intptr_t stop) noexcept nogil:
    cdef bint direct = task.row >= LONG_HALF and not (task.load != NULL or task.aliased or task.streamed)
    cdef intptr_t block = STREAMED_BLOCK // task.itemsize if task.streamed else BLOCK
    cdef intptr_t position = start
    cdef intptr_t m = min(first_block(task, start, block), stop - start)
    while position < stop:
        if direct:
            m = min(task.row - position % task.row, stop - position)
            run_gate(task, position, m)
        else:
            run_gate_block(task, position, m)
        position += m
        m = min(block, stop - position)
    if task.streamed:
        kernels_fence()


cdef inline intptr_t gate_offset(const Task *task, intptr_t position) noexcept nogil:
    """Bytes from the beginning of x, or of its gradient, to an element of a first half."""
    return (position + position // task.row * task.row) * task.itemsize


cdef void run_gate(const Task *task, intptr_t position, intptr_t m) noexcept nogil:
    """m elements of one row, where they are."""
    cdef intptr_t offset = gate_offset(task, position)
    cdef intptr_t half = task.row * task.itemsize
    cdef const void *arguments[3]
    arguments[0] = task.x + offset + half
    arguments[1] = task.g + position * task.itemsize
    arguments[2] = task.out + offset + half
    task.kernel(task.x + offset, task.out + (position * task.itemsize if task.kind == GATE else offset), m, arguments)


cdef void run_gate_block(const Task *task, intptr_t position, intptr_t m) noexcept nogil:
    """m elements of any rows, gathered and scattered."""
    cdef Block a, b, g, result, second
    cdef const void *arguments[3]
    arguments[0] = gather(task, position, m, task.row, b.numbers)
    arguments[1] = arguments[2] = NULL
    if task.kind == GATE_BACKWARD:
        arguments[1] = load(task, task.g + position * task.itemsize, m, g.numbers)
        arguments[2] = second.numbers
    task.kernel(gather(task, position, m, 0, a.numbers), result.numbers, m, arguments)
    if task.kind == GATE:
        put(task, <char *>result.numbers, task.out + position * task.itemsize, m)
    else:
        scatter(task, position, m, 0, <char *>result.numbers)
        scatter(task, position, m, task.row, <char *>second.numbers)


cdef const char *gather(const Task *task, intptr_t position, intptr_t m, intptr_t shift, double *place) noexcept nogil:
    """m elements of the halves that begin ``shift`` after the rows, in the compute type: where they are, or one after another."""
    cdef intptr_t size = task.compute_size
    cdef intptr_t count = task.row - position % task.row
    cdef const char *x = task.x + gate_offset(task, position) + shift * task.itemsize
    cdef char *target = <char *>place
    if m <= count and task.load == NULL:
        return x
    while m > 0:
        count = min(count, m)
        if task.load != NULL:
            task.load(x, target, count, NULL)
        else:
            memcpy(target, x, count * size)
        target += count * size
        x += (count + task.row) * task.itemsize
        m -= count
        count = task.row
    return <const char *>place


cdef void scatter(const Task *task, intptr_t position, intptr_t m, intptr_t shift, const char *result) noexcept nogil:
    """m results to the halves that begin ``shift`` after the rows."""
    cdef intptr_t size = task.compute_size
    cdef intptr_t count = task.row - position % task.row
    cdef char *out = task.out + gate_offset(task, position) + shift * task.itemsize
    while m > 0:
        count = min(count, m)
        put(task, result, out, count)
        result += count * size
        out += (count + task.row) * task.itemsize
        m -= count
        count = task.row


cdef inline void put(const Task *task, const char *result, char *out, intptr_t m) noexcept nogil:
    if task.save != NULL or task.streamed:
        store(task, result, out, m)
    else:
        memcpy(out, result, m * task.itemsize)

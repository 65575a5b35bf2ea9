# The pipeline of rows, included by dispatch.pyx: whole rows where the kernels need no scratch or it fits a block, else one
# row block by block.

cdef enum:
    #: The state of a row is its largest entry and two numbers a lane.
    ROW_STATE = 1 + 2 * LANES
    #: Elements of a block of rows that is streamed: with four times as many, rows wait for memory a fifth longer.
    STREAMED_ROWS = 1024

#: Passes over a row that is worked on in blocks.
cdef enum Pass:
    FIND_LARGEST
    ADD_TERMS
    ADD_PRODUCTS
    WRITE


cdef void run_rows(const Task *task, intptr_t first, intptr_t last) noexcept nogil:
    """Rows first to last: whole where the kernels need no scratch or it fits a block, else block by block."""
    cdef bint scratch = task.load != NULL or (task.kind == ROW_BACKWARD and task.g == task.out)
    cdef intptr_t block = STREAMED_ROWS if streams_rows(task) else BLOCK
    cdef intptr_t most = last - first
    cdef intptr_t count
    if scratch or task.kind == ROW_BACKWARD or streams_rows(task):
        most = max(block // task.row, <intptr_t>1) if task.row else 1
        most -= most % ROW_BATCH if most > ROW_BATCH else 0
    while first < last:
        count = min(most, last - first)
        if scratch and task.row > BLOCK:
            run_long_row(task, first)
        else:
            run_whole_rows(task, first, count)
        first += count
    if task.streamed:
        kernels_fence()


cdef inline bint streams_rows(const Task *task) noexcept nogil:
    """Whether rows go past the caches: those that fit a block."""
    return task.streamed and 0 < task.row <= BLOCK


cdef void run_whole_rows(const Task *task, intptr_t first, intptr_t count) noexcept nogil:
    cdef Block source, gradient, middle
    cdef intptr_t m = count * task.row
    cdef intptr_t offset = first * task.row * task.itemsize
    cdef const char *x = load(task, task.x + offset, m, source.numbers)
    cdef bint buffered = task.load != NULL or streams_rows(task)
    cdef char *out = <char *>middle.numbers if buffered else task.out + offset
    cdef char *y = out
    cdef intptr_t arguments[2]
    arguments[0] = count
    if task.kind != ROW:
        arguments[1] = <intptr_t>load(task, task.g + offset, m, gradient.numbers)
        y = <char *>middle.numbers if task.g == task.out else out
    if task.kind != ROW_GRADIENT:
        task.kernel(x, y, task.row, arguments)
        x = y
    if task.kind != ROW:
        task.second(x, out, task.row, arguments)
    if buffered:
        store(task, out, task.out + offset, m)


cdef void run_long_row(const Task *task, intptr_t r) noexcept nogil:
    """One row in blocks; its terms are computed anew in each pass, to the same bits, instead of kept."""
    cdef double state[ROW_STATE]
    cdef double products[2 * LANES]
    task.parts.begin(NULL, state, 0, NULL)
    memset(products, 0, sizeof(products))
    if task.kind != ROW_GRADIENT:
        run_pass(task, r, FIND_LARGEST, state, products)
        run_pass(task, r, ADD_TERMS, state, products)
    if task.kind != ROW:
        run_pass(task, r, ADD_PRODUCTS, state, products)
    run_pass(task, r, WRITE, state, products)


cdef void run_pass(const Task *task, intptr_t r, Pass which, double *state, double *products) noexcept nogil:
    cdef intptr_t position = 0
    cdef intptr_t m
    while position < task.row:
        m = min(<intptr_t>BLOCK, task.row - position)
        run_row_block(task, (r * task.row + position) * task.itemsize, m, which, state, products)
        position += m


cdef void run_row_block(const Task *task, intptr_t offset, intptr_t m, Pass which, double *state,
                        double *products) noexcept nogil:
    cdef Block block, y_block
    cdef double *y = y_block.numbers
    cdef const char *x = load(task, task.x + offset, m, block.numbers)
    if which == FIND_LARGEST:
        task.parts.largest(x, state, m, NULL)
        return
    if which == ADD_TERMS:
        task.parts.add_terms(x, state, m, NULL)
        return
    if task.kind == ROW_GRADIENT:
        memcpy(y, x, m * task.compute_size)
    else:
        task.parts.normalise(x, y, m, state)
    if which == ADD_PRODUCTS:
        task.parts.add_products(y, products, m, load(task, task.g + offset, m, block.numbers))
        return
    if task.kind != ROW:
        task.parts.gradient(load(task, task.g + offset, m, block.numbers), y, m, products)
    if task.save != NULL:
        task.save(y, task.out + offset, m, NULL)
    else:
        memcpy(task.out + offset, y, m * task.itemsize)

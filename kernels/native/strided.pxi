# Arrays that lie in memory in any other way: each block is gathered from where it lies, and its results scattered.
cdef extern from "strided.h" nogil:
    ctypedef struct StridedRun "strided_run":
        intptr_t stride
        int itemsize
        int swapped

cdef enum:
    MAX_AXES = 8
    #: From so many elements side by side on, a run of them is a block of its own, in place.
    LONG_RUN = 64

cdef enum Operand:
    X
    G
    PARAMS
    OUT1
    OUT2
    OPERANDS

#: The elements in the order in which results lie in memory, axes that lie like one taken together.
cdef struct Layout:
    int axes
    intptr_t[MAX_AXES] shape
    intptr_t strides[OPERANDS][MAX_AXES]
    char *start[OPERANDS]
    bint[OPERANDS] there
    bint[OPERANDS] direct  # side by side, native and aligned
    bint[OPERANDS] direct_runs  # along the last axis
    bint[OPERANDS] swapped

cdef struct StridedTask:
    Task task
    Layout layout


cdef int lay_out(Layout *layout, list operands) except -1:
    """Fill a layout from arrays of one shape and dtype, None where there is none; 0 where it has too many axes."""
    cdef cnp.ndarray array
    cdef int k, axis, other
    cdef int itemsize
    layout.axes = 0
    array = operands[OUT1]
    for axis in range(cnp.PyArray_NDIM(array)):
        if cnp.PyArray_DIM(array, axis) == 1:
            continue
        if layout.axes == MAX_AXES:
            return 0
        layout.shape[layout.axes] = cnp.PyArray_DIM(array, axis)
        for k in range(OPERANDS):
            if operands[k] is not None:
                layout.strides[k][layout.axes] = cnp.PyArray_STRIDE(operands[k], axis)
        layout.axes += 1
    for k in range(OPERANDS):
        layout.there[k] = operands[k] is not None
        if layout.there[k]:
            layout.start[k] = <char *>cnp.PyArray_DATA(operands[k])
            layout.swapped[k] = not cnp.PyArray_ISNOTSWAPPED(operands[k])
    itemsize = cnp.PyArray_ITEMSIZE(array)
    if layout.axes == 0:
        layout.axes = 1
        layout.shape[0] = 1
        for k in range(OPERANDS):
            layout.strides[k][0] = itemsize
    sort_axes(layout)
    join_axes(layout)
    for k in range(OPERANDS):
        layout.direct_runs[k] = (
            layout.there[k]
            and not layout.swapped[k]
            and cnp.PyArray_ISALIGNED(operands[k])
            and layout.strides[k][layout.axes - 1] == itemsize
        )
        layout.direct[k] = layout.direct_runs[k] and layout.axes == 1
    return 1


cdef void sort_axes(Layout *layout) noexcept:
    """The longest strides of the result first, none of them backwards."""
    cdef int axis, place, k
    cdef intptr_t length
    for axis in range(layout.axes):
        if layout.strides[<int>OUT1][axis] < 0:
            length = layout.shape[axis] - 1
            for k in range(OPERANDS):
                if layout.there[k]:
                    layout.start[k] += length * layout.strides[k][axis]
                    layout.strides[k][axis] = -layout.strides[k][axis]
    for axis in range(1, layout.axes):
        place = axis
        while place and layout.strides[<int>OUT1][place - 1] < layout.strides[<int>OUT1][place]:
            swap_axes(layout, place - 1, place)
            place -= 1


cdef void swap_axes(Layout *layout, int a, int b) noexcept:
    cdef int k
    layout.shape[a], layout.shape[b] = layout.shape[b], layout.shape[a]
    for k in range(OPERANDS):
        if layout.there[k]:
            layout.strides[k][a], layout.strides[k][b] = layout.strides[k][b], layout.strides[k][a]


cdef void join_axes(Layout *layout) noexcept:
    """Take an axis and the one after it for one where every array allows."""
    cdef int axis = 0
    cdef int k, later
    cdef bint joined
    while axis + 1 < layout.axes:
        joined = True
        for k in range(OPERANDS):
            if layout.there[k] and layout.strides[k][axis] != layout.shape[axis + 1] * layout.strides[k][axis + 1]:
                joined = False
        if not joined:
            axis += 1
            continue
        layout.shape[axis] *= layout.shape[axis + 1]
        for k in range(OPERANDS):
            layout.strides[k][axis] = layout.strides[k][axis + 1]
        for later in range(axis + 1, layout.axes - 1):
            layout.shape[later] = layout.shape[later + 1]
            for k in range(OPERANDS):
                layout.strides[k][later] = layout.strides[k][later + 1]
        layout.axes -= 1


cdef void move(const StridedTask *strided, int k, intptr_t position, intptr_t m, char *buffer, Kernel step) noexcept nogil:
    """m elements of an operand between where they lie and a buffer, run by run."""
    cdef const Layout *layout = &strided.layout
    cdef int last = layout.axes - 1
    cdef int axis
    cdef intptr_t index[MAX_AXES]
    cdef char *place = layout.start[k]
    cdef intptr_t count
    cdef StridedRun run
    run.stride = layout.strides[k][last]
    run.itemsize = strided.task.itemsize
    run.swapped = layout.swapped[k]
    for axis in range(last, -1, -1):
        index[axis] = position % layout.shape[axis]
        position //= layout.shape[axis]
        place += index[axis] * layout.strides[k][axis]
    while m:
        count = min(layout.shape[last] - index[last], m)
        if k >= OUT1:
            step(buffer, place, count, &run)
        else:
            step(place, buffer, count, &run)
        buffer += count * run.itemsize
        m -= count
        # On to where the next run begins.
        place += count * run.stride
        index[last] += count
        axis = last
        while axis and index[axis] == layout.shape[axis]:
            place += layout.strides[k][axis - 1] - layout.shape[axis] * layout.strides[k][axis]
            index[axis] = 0
            axis -= 1
            index[axis] += 1


cdef inline char *place_of(const Layout *layout, int k, intptr_t position) noexcept nogil:
    """Where an element of an operand lies."""
    cdef char *place = layout.start[k]
    cdef int axis
    for axis in range(layout.axes - 1, -1, -1):
        place += position % layout.shape[axis] * layout.strides[k][axis]
        position //= layout.shape[axis]
    return place


cdef inline intptr_t block_from(const Layout *layout, intptr_t first, intptr_t last) noexcept nogil:
    """Elements of the next block: no more than a long run has."""
    cdef intptr_t m = min(<intptr_t>BLOCK, last - first)
    cdef intptr_t length = layout.shape[layout.axes - 1]
    return min(m, length - first % length) if length >= LONG_RUN else m


cdef inline bint in_place(const Layout *layout, int k) noexcept nogil:
    """Whether a block of this operand lies side by side."""
    return layout.direct[k] or (layout.direct_runs[k] and layout.shape[layout.axes - 1] >= LONG_RUN)


cdef inline const char *gathered(const StridedTask *strided, int k, intptr_t position, intptr_t m, double *buffer) noexcept nogil:
    """m elements of an input side by side."""
    if not strided.layout.there[k]:
        return NULL
    if in_place(&strided.layout, k):
        return place_of(&strided.layout, k, position)
    move(strided, k, position, m, <char *>buffer, strided.task.gather)
    return <const char *>buffer


cdef inline char *room(const StridedTask *strided, int k, intptr_t position, double *buffer) noexcept nogil:
    """Where m results go side by side."""
    if in_place(&strided.layout, k):
        return place_of(&strided.layout, k, position)
    return <char *>buffer


cdef void run_strided(const void *task, intptr_t first, intptr_t last) noexcept nogil:
    """Elements first to last in one thread, a block at a time."""
    cdef const StridedTask *strided = <const StridedTask *>task
    cdef Task plain = strided.task
    cdef Block x, g, params, out, out2
    cdef intptr_t m
    while first < last:
        m = block_from(&strided.layout, first, last)
        plain.x = gathered(strided, X, first, m, x.numbers)
        plain.g = gathered(strided, G, first, m, g.numbers) if strided.layout.there[<int>G] else plain.x
        if plain.each:
            plain.params = gathered(strided, PARAMS, first, m, params.numbers)
        plain.out = room(strided, OUT1, first, out.numbers)
        plain.out2 = room(strided, OUT2, first, out2.numbers) if plain.kind == PAIR else plain.out
        plain.aliased = is_aliased(&plain)
        run_blocks(&plain, 0, m)
        if not in_place(&strided.layout, OUT1):
            move(strided, OUT1, first, m, plain.out, plain.scatter)
        if plain.kind == PAIR and not in_place(&strided.layout, OUT2):
            move(strided, OUT2, first, m, plain.out2, plain.scatter)
        first += m


cdef inline bint lies_side_by_side(const StridedTask *strided) noexcept nogil:
    """Whether no operand needs a gather or a scatter."""
    cdef int k
    for k in range(OPERANDS):
        if strided.layout.there[k] and not strided.layout.direct[k]:
            return False
    return True


cdef void run_side_by_side(StridedTask *strided, int threads) noexcept nogil:
    """The whole task where the elements only have another order than the axes say."""
    cdef Task *task = &strided.task
    cdef Layout *layout = &strided.layout
    task.x = task.g = layout.start[<int>X]
    if layout.there[<int>G]:
        task.g = layout.start[<int>G]
    task.out = layout.start[<int>OUT1]
    task.out2 = layout.start[<int>OUT2] if layout.there[<int>OUT2] else task.out
    if task.each:
        task.params = layout.start[<int>PARAMS]
    task.aliased = is_aliased(task)
    run(task, threads)

# Half types: a block is computed in float32, and what its error leaves open once more in float64, to be rounded once.
cdef extern from *:
    int first_bit "__builtin_ctzll"(uint64_t bits) noexcept nogil

#: A block's inputs in float32.
cdef struct Loaded:
    const float *x
    const float *params


cdef enum:
    #: Elements that are computed again together: whole vectors.
    AGAIN = 32
    VECTOR = 8


cdef int fill_checked(Checked *checked, dict source) except -1:
    for k in range(2):
        checked.wide[k] = <Kernel><uintptr_t>source["wide"][k]
        checked.wide_each[k] = <Kernel><uintptr_t>source["wide_each"][k]
        checked.save_tested[k] = <Kernel><uintptr_t>source["save_tested"][k]
        test = source["tests"][k]
        checked.tests[k].steps = test.steps
        checked.tests[k].relative = test.relative
        checked.tests[k].least = test.least
    return 0


cdef void run_checked_block(const Task *task, intptr_t position, intptr_t m) noexcept nogil:
    """Load, compute and save a block of m elements."""
    cdef Block x, params, result
    cdef Loaded loaded
    cdef intptr_t offset = position * task.itemsize
    loaded.x = <const float *>load(task, task.x + offset, m, x.numbers)
    loaded.params = <const float *>task.params
    if task.each:
        loaded.params = <const float *>load(task, task.params + offset, m, params.numbers)
    task.kernel(loaded.x, result.numbers, m, loaded.params)
    save_checked(task, 0, &loaded, <const float *>result.numbers, task.out + offset, m)
    if task.kind == PAIR:
        task.second(loaded.x, result.numbers, m, loaded.params)
        save_checked(task, 1, &loaded, <const float *>result.numbers, task.out2 + offset, m)


cdef void save_checked(const Task *task, int which, const Loaded *loaded, const float *result, char *out,
                       intptr_t m) noexcept nogil:
    """Round the results of a block, and compute those again that may be rounded wrongly."""
    cdef Block saved
    cdef char *place = <char *>saved.numbers if task.streamed else out
    cdef HalfTest test
    cdef int found[AGAIN]
    cdef int count = 0
    cdef intptr_t word
    if task.checked.save_tested[which] == NULL:
        task.save(result, place, m, NULL)
    else:
        test = task.checked.tests[which]
        task.checked.save_tested[which](result, place, m, &test)
        for word in range((m + HALF_WORD - 1) // HALF_WORD):
            while test.doubts[word]:
                found[count] = <int>(word * HALF_WORD) + first_bit(test.doubts[word])
                test.doubts[word] &= test.doubts[word] - 1
                count += 1
                if count == AGAIN:
                    compute_again(task, which, loaded, <unsigned short *>place, found, count)
                    count = 0
        if count:
            compute_again(task, which, loaded, <unsigned short *>place, found, count)
    if task.streamed:
        task.stream(place, out, m * task.itemsize, NULL)


cdef void compute_again(const Task *task, int which, const Loaded *loaded, unsigned short *out, const int *found,
                        int count) noexcept nogil:
    """Some elements of a block in float64, rounded once."""
    cdef const Checked *checked = task.checked
    cdef double[AGAIN] x
    cdef double[AGAIN] params
    cdef double[AGAIN] result
    cdef float[AGAIN] rounded
    cdef unsigned short[AGAIN] codes
    cdef int n = (count + VECTOR - 1) // VECTOR * VECTOR
    cdef int k
    # What fills up the last vector is the first element again.
    for k in range(n):
        x[k] = loaded.x[found[k if k < count else 0]]
    if task.each:
        for k in range(n):
            params[k] = loaded.params[found[k if k < count else 0]]
        checked.wide_each[which](x, result, n, params)
    else:
        checked.wide[which](x, result, n, task.wide_params)
    task.round(result, rounded, n, NULL)
    task.save(rounded, codes, n, NULL)
    for k in range(count):
        out[found[k]] = codes[k]

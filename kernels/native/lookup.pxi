# Half types from codes to codes, without a load and a store step: by a formula that is always rounded right, by a product
# with grad_output, and, in long arrays, from a table: there are no more results, or factors of grad_output, than numbers,
# and one is looked up sooner than most are computed.

cdef enum:
    #: Elements from which a call looks its results up; what is shorter may cost more in cache misses than it saves.
    LOOK_UP_FROM = 4096
    #: Tables that are kept, of 128 KB or, for two results and for factors, 256.
    MOST_TABLES = 16

#: For which parameters a form has its results or factors, or gathers the elements that pay for computing them.
cdef struct Known:
    double parameters[MAX_PARAMETERS]
    intptr_t elements

#: (plan, dtype) -> all results, those used last at the end.
cdef dict tables_kept = {}
cdef cnp.ndarray all_codes = np.arange(CODES, dtype=np.uint16)


MOST_TABLES_HELD = MOST_TABLES


def tables_held():
    """Tables of a half type's results or factors that are held now; MOST_TABLES_HELD is their limit."""
    return len(tables_kept)


cdef object work_on_codes(Plan plan, int index, Task *task, int parameters):
    """Let a prepared task go from codes to codes where that pays; returns what must be held until it has run."""
    cdef Table *table = &plan.tables[index]
    cdef Kernel factor = task.kernel
    if task.each:
        return None
    if table.direct != NULL:
        take_loops(task, table.direct, table.direct_second)
        task.streamed_kernel = task.streamed_second = NULL
    if table.look_up == NULL or task.n < LOOK_UP_FROM:
        return None
    results = known_results(plan, index, task, factor, parameters)
    if results is not None:
        take_loops(task, table.look_up, table.look_up_second)
        task.streamed_kernel = table.look_up_streamed
        task.streamed_second = table.look_up_second_streamed
        task.params = <const char *>cnp.PyArray_DATA(results)
    return results


cdef inline void take_loops(Task *task, Kernel kernel, Kernel second) noexcept:
    """Loops that load and save by themselves."""
    task.kernel = kernel
    task.second = second
    task.load = task.save = NULL
    task.checked = NULL


cdef object known_results(Plan plan, int index, const Task *task, Kernel factor, int parameters):
    """All results for a task's parameters, of a product all factors, or None until as many elements were computed as there
    are numbers."""
    cdef Known *known = &plan.known[index]
    cdef tuple key = (plan, index)
    cdef object results = tables_kept.pop(key, None)
    if memcmp(known.parameters, task.wide_params, parameters * sizeof(double)) != 0:
        memcpy(known.parameters, task.wide_params, parameters * sizeof(double))
        known.elements = 0
        results = None
    if results is None:
        known.elements += task.n
        if known.elements < CODES:
            return None
        known.elements = 0
        if task.kind == PRODUCT:
            results = compute_factors(task, plan.tables[index].load, factor)
        else:
            results = compute_results(task)
    while len(tables_kept) >= MOST_TABLES:
        del tables_kept[next(iter(tables_kept))]
    tables_kept[key] = results
    return results


cdef object compute_results(const Task *task):
    """A task's results for every number, a row for each output."""
    cdef Task whole = task[0]
    cdef cnp.ndarray results = np.empty((2 if task.kind == PAIR else 1, CODES), np.uint16)
    whole.x = whole.g = <const char *>cnp.PyArray_DATA(all_codes)
    whole.out = <char *>cnp.PyArray_DATA(results)
    whole.out2 = whole.out + CODES * task.itemsize if task.kind == PAIR else whole.out
    whole.aliased = whole.streamed = False
    run_blocks(&whole, 0, CODES)
    return results


cdef object compute_factors(const Task *task, Kernel load, Kernel factor):
    """What a task's products multiply grad_output by, in float32, for every number."""
    cdef cnp.ndarray numbers = np.empty(CODES, np.float32)
    cdef cnp.ndarray factors = np.empty(CODES, np.float32)
    load(cnp.PyArray_DATA(all_codes), cnp.PyArray_DATA(numbers), CODES, NULL)
    factor(cnp.PyArray_DATA(numbers), cnp.PyArray_DATA(factors), CODES, task.params)
    return factors

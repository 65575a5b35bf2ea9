# Plans: the addresses of one form by dtype and size, from tables that Python fills.
cdef enum:
    #: Sleeping workers are woken for this many times the work from which those awake pay.
    WAKE_FACTOR = 8


cdef class Plan:
    """The addresses of one form by dtype and size, and the pipeline around them."""

    cdef Kind kind
    cdef Table tables[DTYPES]
    cdef Kernel each[DTYPES]
    cdef Kernel each_second[DTYPES]
    cdef Known known[DTYPES]

    def __init__(self, str kind, dict tables):
        """``tables``: dtype -> dict with "segments" [(start, *loops, threads)], the steps "load", "save", "multiply", "stream",
        "direct" and "each" (kernel, second), 0 where there is none, "compute_size", the "parts" of rows, and "checked" or None.
        Loops, and "look_up": kernel, second, and both streamed. A dtype without a table is left to Python."""
        self.kind = KINDS[kind]
        for index, name in enumerate(DTYPE_NAMES):
            if tables[name] is None:
                continue
            self._fill(&self.tables[index], tables[name])
            first, second = tables[name]["each"]
            self.each[index] = <Kernel><uintptr_t>first
            self.each_second[index] = <Kernel><uintptr_t>second

    cdef int _fill(self, Table *table, dict source) except -1:
        segments = source["segments"]
        if not 1 <= len(segments) <= MAX_SEGMENTS or segments[0][0] != 0:
            raise ValueError(f"a table has 1 to {MAX_SEGMENTS} segments and the first starts at 0, given {segments}")
        starts = [segment[0] for segment in segments]
        if starts != sorted(set(starts)) or any(min(segment) < 0 for segment in segments):
            raise ValueError(f"starts must rise and threads must not be negative, given {segments}")
        table.count = len(segments)
        table.compute_size = source["compute_size"]
        table.load = <Kernel><uintptr_t>source["load"]
        table.save = <Kernel><uintptr_t>source["save"]
        table.round = <Kernel><uintptr_t>source["round"]
        table.is_checked = source["checked"] is not None
        if table.is_checked:
            fill_checked(&table.checked, source["checked"])
        table.multiply = <Kernel><uintptr_t>source["multiply"]
        table.stream = <Kernel><uintptr_t>source["stream"]
        table.gather = <Kernel><uintptr_t>source["gather"]
        table.scatter = <Kernel><uintptr_t>source["scatter"]
        table.direct = <Kernel><uintptr_t>source["direct"][0]
        table.direct_second = <Kernel><uintptr_t>source["direct"][1]
        table.look_up = <Kernel><uintptr_t>source["look_up"][0]
        table.look_up_second = <Kernel><uintptr_t>source["look_up"][1]
        table.look_up_streamed = <Kernel><uintptr_t>source["look_up"][2]
        table.look_up_second_streamed = <Kernel><uintptr_t>source["look_up"][3]
        if source["parts"]:
            parts = source["parts"]
            table.parts.begin = <Kernel><uintptr_t>parts[0]
            table.parts.largest = <Kernel><uintptr_t>parts[1]
            table.parts.add_terms = <Kernel><uintptr_t>parts[2]
            table.parts.normalise = <Kernel><uintptr_t>parts[3]
            table.parts.add_products = <Kernel><uintptr_t>parts[4]
            table.parts.gradient = <Kernel><uintptr_t>parts[5]
        for i, (start, kernel, second, streamed, second_streamed, threads) in enumerate(segments):
            table.segments[i].start = start
            table.segments[i].kernel = <Kernel><uintptr_t>kernel
            table.segments[i].second = <Kernel><uintptr_t>second
            table.segments[i].streamed = <Kernel><uintptr_t>streamed
            table.segments[i].second_streamed = <Kernel><uintptr_t>second_streamed
            table.segments[i].threads = threads
        return 0

    def call(self, tuple inputs, tuple outputs, object params, bint each):
        """Run on prepared arrays: C-contiguous, aligned, native, one float dtype, one size (rows: one 2-d shape).

        ``inputs`` is (x,) or (g, x); ``params`` is a contiguous array of the parameters in float64, rounded to the arrays'
        dtype, or, with ``each``, of one parameter an element in that dtype. An output is a whole input or shares nothing
        with it.
        """
        cdef Task task
        cdef cnp.ndarray x = inputs[len(inputs) - 1]
        cdef cnp.ndarray p = params
        cdef int index = dtype_index(x)
        cdef int threads
        cdef Parameters values
        threads = self.prepare(&task, index, x, inputs[0], outputs[0], outputs[len(outputs) - 1])
        task.each = each
        if each:
            task.params = <const char *>cnp.PyArray_DATA(p)
            task.kernel = self.each[index]
            task.second = self.each_second[index]
        else:
            memcpy(values.wide, cnp.PyArray_DATA(p), cnp.PyArray_NBYTES(p))
            set_parameters(&task, &values, cnp.PyArray_SIZE(p))
        held = work_on_codes(self, index, &task, 0 if each else <int>cnp.PyArray_SIZE(p))
        with nogil:
            run(&task, threads)

    def call_strided(self, tuple inputs, tuple outputs, object params, bint each):
        """As ``call``, on arrays of one shape and dtype that lie in memory in any way; False, and nothing done, where they
        are not of one dtype or have too many axes. An output is a whole input, laid out the same, or shares nothing with it.
        """
        cdef cnp.ndarray p = params
        cdef Parameters values
        cdef int index = dtype_index(inputs[0])
        for array in (*inputs, *outputs, *((params,) if each else ())):
            if index < 0 or dtype_index(array) != index:
                return False
        if not each:
            memcpy(values.wide, cnp.PyArray_DATA(p), cnp.PyArray_NBYTES(p))
        operands = [inputs[len(inputs) - 1], inputs[0] if len(inputs) == 2 else None, params if each else None,
                    outputs[0], outputs[1] if len(outputs) == 2 else None]
        return self.run_strided(index, operands, &values, 0 if each else <int>cnp.PyArray_SIZE(p), True)

    cdef bint run_strided(self, int index, list operands, Parameters *values, int parameters, bint fresh) except -1:
        """False, and nothing done, where the arrays have too many axes."""
        cdef StridedTask strided
        cdef Task *task = &strided.task
        cdef cnp.ndarray x = operands[X]
        cdef cnp.ndarray out = operands[OUT1]
        cdef int threads
        if not lay_out(&strided.layout, operands):
            return False
        threads = self.prepare(task, index, x, x if operands[G] is None else operands[G], out,
                               out if operands[OUT2] is None else operands[OUT2])
        task.each = operands[PARAMS] is not None
        if task.each:
            task.kernel = self.each[index]
            task.second = self.each_second[index]
        set_parameters(task, values, parameters)
        task.streamed = task.streamed and not fresh and lies_side_by_side(&strided)
        held = work_on_codes(self, index, task, parameters)
        with nogil:
            if lies_side_by_side(&strided):
                run_side_by_side(&strided, threads)
            elif threads == 1:
                run_strided(&strided, 0, task.n)
            else:
                workers_run(run_strided, &strided, task.n, chunk_of(task.n, threads), threads, task.wake)
        return True

    cdef int prepare(self, Task *task, int index, cnp.ndarray x, cnp.ndarray g, cnp.ndarray out,
                     cnp.ndarray out2) noexcept:
        """Fill the task, all but its parameters; returns the number of threads."""
        cdef Table *table = &self.tables[index]
        cdef intptr_t size = cnp.PyArray_SIZE(x)
        cdef int i = table.count - 1
        cdef int threads
        while table.segments[i].start > size:
            i -= 1
        task.kind = self.kind
        task.itemsize = ITEMSIZE[index]
        task.compute_size = table.compute_size
        task.wake = size >= WAKE_FACTOR * table.segments[i].start
        task.kernel = table.segments[i].kernel
        task.second = table.segments[i].second
        task.streamed_kernel = table.segments[i].streamed
        task.streamed_second = table.segments[i].second_streamed
        task.load = table.load
        task.save = table.save
        task.round = table.round
        task.checked = &table.checked if table.is_checked else NULL
        task.multiply = table.multiply
        task.stream = table.stream
        task.gather = table.gather
        task.scatter = table.scatter
        task.parts = &table.parts
        task.x = <const char *>cnp.PyArray_DATA(x)
        task.g = <const char *>cnp.PyArray_DATA(g)
        task.out = <char *>cnp.PyArray_DATA(out)
        task.out2 = <char *>cnp.PyArray_DATA(out2)
        task.aliased = is_aliased(task)
        task.streamed = not task.aliased and traffic(self.kind) * cnp.PyArray_NBYTES(x) >= stream_from
        if is_rows(self.kind):
            task.row = cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 1)
            task.n = size // task.row if task.row else 0
        elif is_gated(self.kind):
            task.row = cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 1) // 2
            task.n = size // 2
            # Two halves apart: short ones would be streamed in pieces.
            task.streamed = task.streamed and (self.kind == GATE or task.row >= STREAMED_BLOCK)
        else:
            task.row = 0
            task.n = size
        threads = table.segments[i].threads
        if threads == 1:
            return 1
        return min(threads, usable_threads()) if threads else usable_threads()


cdef inline double traffic(Kind kind) noexcept nogil:
    """Arrays of x's size that a call reads or writes."""
    if is_gated(kind):
        return 1.5 if kind == GATE else 2.5
    return 2 if kind == SINGLE or kind == ROW else 3

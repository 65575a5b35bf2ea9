# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The fast call path: from a Python call straight to a kernel's address, through the block pipeline, over threads.

A ``Plan`` holds, for each dtype, the addresses to use from which size on. A ``FastForm`` is the callable that users see: an
exact, C-contiguous array of a floating dtype goes to the plan in C, anything else to ``general``, a Python function.
"""
cimport cython
cimport numpy as cnp
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport intptr_t, uint64_t, uintptr_t
from libc.string cimport memcmp, memcpy, memset

import numpy as np

cnp.import_array()

cdef extern from *:
    """
    #include <limits.h>
    #ifdef _OPENMP
    #include <omp.h>
    #define kernels_openmp_limit() omp_get_max_threads()
    #else
    #define kernels_openmp_limit() INT_MAX
    #endif

    #if defined(__SSE2__)
    #define kernels_fence() __builtin_ia32_sfence()
    #else
    #define kernels_fence() ((void)0)
    #endif

    static void kernels_enable_vectorcall(PyTypeObject *type, Py_ssize_t offset) {
        type->tp_vectorcall_offset = offset;
        type->tp_call = PyVectorcall_Call;
        type->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
        PyType_Modified(type);
    }
    """
    int kernels_openmp_limit() noexcept nogil
    void kernels_fence() noexcept nogil
    void kernels_enable_vectorcall(type cls, Py_ssize_t offset)
    ctypedef object (*vectorcallfunc)(object, PyObject *const *, size_t, PyObject *)
    Py_ssize_t PyVectorcall_NARGS(size_t nargsf)

cdef extern from "workers.h" nogil:
    ctypedef void (*workers_body)(const void *task, intptr_t first, intptr_t last) noexcept nogil
    void workers_run(workers_body body, const void *task, intptr_t n, intptr_t chunk, int threads, bint wake) noexcept

cdef extern from "numpy/arrayobject.h":
    ctypedef struct PyDataMem_Handler:
        pass
    const int NPY_HALF
    const int NPY_USERDEF
    const int NPY_KEEPORDER
    PyObject *PyArray_DescrFromType(int number)
    object PyArray_NewLikeArray(cnp.ndarray like, int order, PyObject *dtype, int subclass)
    object PyDataMem_SetHandler(object handler)
    PyObject *PyDataMem_DefaultHandler

cdef extern from "outputs.h" nogil:
    """
    #define outputs_capsule() PyCapsule_New(&outputs_handler, "mem_handler", NULL)
    """
    ctypedef struct Outputs:
        size_t held
        size_t limit
    Outputs outputs
    size_t OUTPUTS_FROM
    bint outputs_fresh
    void outputs_shrink(size_t most) noexcept
    void outputs_lock() noexcept
    void outputs_unlock() noexcept
    object outputs_capsule() with gil

cdef extern from * nogil:
    """
    /* Blocks on a thread's stack, where Cython gives 16-byte alignment: a vector across two cache lines costs double. */
    typedef struct { _Alignas(64) double numbers[1024]; } kernels_block;
    """
    ctypedef struct Block "kernels_block":
        double numbers[1024]

ctypedef void (*Kernel)(const void *x, void *out, intptr_t n, const void *params) noexcept nogil

cdef enum:
    #: Elements of a block: three float64 blocks and what they are read from stay in a 32 KB first-level cache.
    BLOCK = 1024
    #: As in kernels.constants, and STREAMED; the state of a row is its largest entry and two numbers a lane.
    LANES = 32
    STREAMED = 64
    #: Rows that a row kernel works on together.
    ROW_BATCH = 8
    ROW_STATE = 1 + 2 * LANES
    MAX_SEGMENTS = 8
    MAX_PARAMETERS = 4
    #: Elements that a worker takes at once: the least and the most.
    LEAST_CHUNK = 8 * BLOCK
    MOST_CHUNK = 64 * BLOCK
    #: Sleeping workers are woken for this many times the work from which those awake pay.
    WAKE_FACTOR = 8
    CACHE_LINE = 64
    #: Bytes of a block that is streamed: short enough for the processor to read the next one while it writes this one.
    STREAMED_BLOCK = 2048
    #: Below, releasing the GIL costs more than it gives.
    RELEASE_GIL_FROM = 8192

#: Dtypes with a table of their own.
cdef enum Dtype:
    FLOAT32
    FLOAT64
    FLOAT16
    BFLOAT16
    DTYPES

DTYPE_NAMES = ("float32", "float64", "float16", "bfloat16")
cdef int[DTYPES] ITEMSIZE = [4, 8, 2, 2]

cdef enum Kind:
    SINGLE = 0  # x -> out
    PRODUCT = 1  # g, x -> g * kernel(x)
    PAIR = 2  # x -> out, out2
    ROW = 3  # rows of x -> rows of out
    ROW_GRADIENT = 4  # g, y -> out, row by row
    ROW_BACKWARD = 5  # g, x -> out, row by row
    GATE = 6  # halves of x -> out, half as long
    GATE_BACKWARD = 7  # g, half as long as x -> out

KINDS = {
    "value": SINGLE,
    "derivative": SINGLE,
    "parameter_derivative": SINGLE,
    "backward": PRODUCT,
    "backward_from_output": PRODUCT,
    "value_and_derivative": PAIR,
    "row value": ROW,
    "row backward_from_output": ROW_GRADIENT,
    "row backward": ROW_BACKWARD,
    "gated value": GATE,
    "gated backward": GATE_BACKWARD,
}

cdef struct Segment:
    intptr_t start  # used from this many elements on
    Kernel kernel
    Kernel second
    Kernel streamed  # the same loops, writing past the caches; NULL: a store step does it
    Kernel second_streamed
    int threads  # 0: as many as allowed

cdef struct RowParts:
    Kernel begin  # state
    Kernel largest  # x -> state
    Kernel add_terms  # x -> state
    Kernel normalise  # x, state -> y
    Kernel add_products  # y, g -> lanes
    Kernel gradient  # g, lanes, y -> y

include "checked.pxi"

cdef struct Table:
    int count
    int compute_size  # bytes of a number while it is computed
    Kernel load  # to what is computed in; NULL: the dtype itself
    Kernel save
    Kernel round  # float64 to a half type's numbers, as float32
    Kernel multiply
    bint is_checked
    Checked checked
    Kernel stream  # bytes past the caches
    Kernel gather
    Kernel scatter
    Kernel direct  # from a half type's codes to codes; NULL: only through a load and a store step
    Kernel direct_second
    Kernel look_up  # in all results of a half type; NULL: they are computed as soon
    Kernel look_up_second
    Kernel look_up_streamed
    Kernel look_up_second_streamed
    RowParts parts
    Segment segments[MAX_SEGMENTS]

cdef struct Task:
    Kind kind
    bint aliased  # an output is an input: read each block before it is written
    bint each  # one parameter an element
    bint streamed  # outputs go past the caches
    bint wake  # worth waking workers for
    int itemsize
    int compute_size
    intptr_t n  # elements, or rows
    intptr_t row  # of a gated pair, its half
    Kernel kernel
    Kernel second
    Kernel streamed_kernel
    Kernel streamed_second
    Kernel load
    Kernel save
    Kernel round
    Kernel multiply
    Kernel stream
    Kernel gather
    Kernel scatter
    const Checked *checked  # NULL: what is saved is rounded right
    const RowParts *parts
    const char *x
    const char *g
    char *out
    char *out2
    const char *params
    const double *wide_params  # the same, for results that are computed again

# ---------------------------------------------------------------- threads
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


# ---------------------------------------------------------------- output memory
cdef object output_memory = outputs_capsule()
cdef size_t stream_from = <size_t>-1


def set_stream_from(size_t nbytes):
    """Calls that read and write at least this many bytes write past the caches."""
    global stream_from
    stream_from = nbytes


def get_stream_from():
    """Bytes read and written from which calls write past the caches."""
    return stream_from


def set_output_limit(size_t nbytes):
    """Keep at most this many bytes of collected outputs; what is more goes back to the system at once."""
    outputs_lock()
    outputs.limit = nbytes
    outputs_unlock()
    outputs_shrink(nbytes)


def output_memory_state():
    """(bytes of collected outputs held now, their limit)"""
    return outputs.held, outputs.limit


def release_outputs():
    """Give the memory of collected outputs back to the system."""
    outputs_shrink(0)


cdef object like(cnp.ndarray x, bint *fresh):
    """A new array laid out like x, in native byte order; a large one from the memory of collected outputs, or ``fresh``."""
    cdef bint pooled = <size_t>cnp.PyArray_NBYTES(x) >= OUTPUTS_FROM and outputs.limit
    before = PyDataMem_SetHandler(output_memory) if pooled else None
    if pooled and <PyObject *>before != PyDataMem_DefaultHandler:
        PyDataMem_SetHandler(before)
        pooled = False
    try:
        out = PyArray_NewLikeArray(x, NPY_KEEPORDER, PyArray_DescrFromType(cnp.PyArray_TYPE(x)), 0)
    finally:
        if pooled:
            PyDataMem_SetHandler(before)
    fresh[0] |= outputs_fresh if pooled else True
    return out


cdef object empty_like(cnp.ndarray x, bint half, bint *fresh):
    """A new array like x, or ``half`` of it; a large one from the memory of collected outputs, or ``fresh``."""
    cdef cnp.npy_intp shape[cnp.NPY_MAXDIMS]
    cdef int axes = cnp.PyArray_NDIM(x)
    memcpy(shape, cnp.PyArray_DIMS(x), axes * sizeof(cnp.npy_intp))
    if half:
        shape[axes - 1] //= 2
    if <size_t>cnp.PyArray_NBYTES(x) < OUTPUTS_FROM or not outputs.limit:
        fresh[0] = True
        return cnp.PyArray_EMPTY(axes, shape, cnp.PyArray_TYPE(x), 0)
    before = PyDataMem_SetHandler(output_memory)
    if <PyObject *>before != PyDataMem_DefaultHandler:
        # The caller's own allocator goes first.
        PyDataMem_SetHandler(before)
        fresh[0] = True
        return cnp.PyArray_EMPTY(axes, shape, cnp.PyArray_TYPE(x), 0)
    try:
        out = cnp.PyArray_EMPTY(axes, shape, cnp.PyArray_TYPE(x), 0)
    finally:
        PyDataMem_SetHandler(before)
    fresh[0] |= outputs_fresh
    return out


def new_like(x, dtype):
    """``numpy.empty_like`` of whatever layout; a large array from the memory of collected outputs."""
    if x.size * dtype.itemsize < OUTPUTS_FROM or not outputs.limit:
        return np.empty_like(x, dtype, subok=False)
    before = PyDataMem_SetHandler(output_memory)
    if <PyObject *>before != PyDataMem_DefaultHandler:
        PyDataMem_SetHandler(before)
        return np.empty_like(x, dtype, subok=False)
    try:
        return np.empty_like(x, dtype, subok=False)
    finally:
        PyDataMem_SetHandler(before)


# ---------------------------------------------------------------- the block pipeline
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


include "rows.pxi"
include "gates.pxi"


cdef inline bint is_rows(Kind kind) noexcept nogil:
    return kind in (ROW, ROW_GRADIENT, ROW_BACKWARD)


cdef inline bint is_gated(Kind kind) noexcept nogil:
    return kind in (GATE, GATE_BACKWARD)


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


include "strided.pxi"
include "lookup.pxi"


# ---------------------------------------------------------------- copying
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


# ---------------------------------------------------------------- plans
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


cdef struct Parameters:
    double wide[MAX_PARAMETERS]
    float narrow[MAX_PARAMETERS]


cdef inline void set_parameters(Task *task, Parameters *values, int count) noexcept nogil:
    """Give a task its parameters, which are rounded to the arrays' dtype, as it computes."""
    cdef int k
    for k in range(count):
        values.narrow[k] = <float>values.wide[k]
    task.wide_params = values.wide
    task.params = <const char *>values.wide if task.compute_size == sizeof(double) else <const char *>values.narrow


cdef inline bint is_aliased(const Task *task) noexcept nogil:
    """Whether an output is an input."""
    return task.x == task.out or task.x == task.out2 or task.g == task.out or task.g == task.out2


cdef inline double traffic(Kind kind) noexcept nogil:
    """Arrays of x's size that a call reads or writes."""
    if is_gated(kind):
        return 1.5 if kind == GATE else 2.5
    return 2 if kind == SINGLE or kind == ROW else 3


# ---------------------------------------------------------------- the callable
#: NumPy's number for bfloat16 once it was seen: who makes such arrays has imported ml_dtypes.
cdef int bfloat16_number = -1


cdef int dtype_index(cnp.ndarray array) except -2:
    """The table of an array's dtype, or -1."""
    global bfloat16_number
    cdef int number = cnp.PyArray_TYPE(array)
    if number == cnp.NPY_FLOAT:
        return FLOAT32
    if number == cnp.NPY_DOUBLE:
        return FLOAT64
    if number == NPY_HALF:
        return FLOAT16
    if number == bfloat16_number:
        return BFLOAT16
    if number < NPY_USERDEF or array.dtype.name != "bfloat16":
        return -1
    bfloat16_number = number
    return BFLOAT16


cdef inline int direct_dtype(object array) except -2:
    """The table of the dtype of an array that C can take as it is, else -1."""
    if not cnp.PyArray_CheckExact(array):
        return -1
    if not (cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>array) and cnp.PyArray_ISBEHAVED_RO(<cnp.ndarray>array)):
        return -1
    if cnp.PyArray_NDIM(<cnp.ndarray>array) == 0:
        return -1
    return dtype_index(<cnp.ndarray>array)


cdef inline bint same_shape(cnp.ndarray a, cnp.ndarray b) noexcept:
    return cnp.PyArray_SAMESHAPE(a, b)


cdef inline bint overlaps_partly(cnp.ndarray a, cnp.ndarray b) noexcept:
    cdef char *first = <char *>cnp.PyArray_DATA(a)
    cdef char *second = <char *>cnp.PyArray_DATA(b)
    cdef bint same = first == second and cnp.PyArray_NBYTES(a) == cnp.PyArray_NBYTES(b)
    return not same and first < second + cnp.PyArray_NBYTES(b) and second < first + cnp.PyArray_NBYTES(a)


cdef inline bint takes_result(object out, int index, cnp.ndarray x, cnp.ndarray g, Kind kind) except -1:
    """Whether C can write a result into ``out``: like x, writeable, one of the inputs or apart from both."""
    return (
        direct_dtype(out) == index
        and cnp.PyArray_ISWRITEABLE(<cnp.ndarray>out)
        and (is_half(<cnp.ndarray>out, x) if kind == GATE else same_shape(<cnp.ndarray>out, x))
        and not overlaps_partly(<cnp.ndarray>out, x)
        and not overlaps_partly(<cnp.ndarray>out, g)
    )


cdef inline bint takes_pair(tuple pair, int index, cnp.ndarray x) except -1:
    """Whether C can write the two results into a pair of arrays, which must be apart."""
    if PyTuple_GET_SIZE(pair) != 2 or not takes_result(pair[0], index, x, x, PAIR) or not takes_result(pair[1], index, x, x, PAIR):
        return False
    first, second = <cnp.ndarray>pair[0], <cnp.ndarray>pair[1]
    return cnp.PyArray_DATA(first) != cnp.PyArray_DATA(second) and not overlaps_partly(first, second)


cdef str OUT = "out"
cdef str AXIS = "axis"


@cython.final
cdef class FastForm:
    """One form of one activation: callable, with the documentation and the other forms as attributes."""

    cdef vectorcallfunc vectorcall
    cdef Plan plan
    cdef object general
    cdef tuple names
    cdef int inputs
    cdef int parameters
    cdef int required  # bit k: parameter k has no default
    cdef int nonnegative  # bit k: parameter k must be >= 0
    cdef double defaults[MAX_PARAMETERS]
    cdef dict __dict__
    cdef object __weakref__

    def __cinit__(self):
        self.vectorcall = call_form

    def __init__(self, Plan plan not None, object general, tuple parameters not None):
        """``parameters``: (name, default or None, must be >= 0) of each. The names are compared by identity: intern them."""
        if len(parameters) > MAX_PARAMETERS:
            raise ValueError(f"at most {MAX_PARAMETERS} parameters, given {len(parameters)}")
        self.plan = plan
        self.general = general
        self.names = tuple([name for name, _, _ in parameters])
        self.parameters = len(parameters)
        self.inputs = 2 if plan.kind in (PRODUCT, ROW_GRADIENT, ROW_BACKWARD, GATE_BACKWARD) else 1
        for k, (_, default, nonnegative) in enumerate(parameters):
            self.required |= (default is None) << k
            self.nonnegative |= bool(nonnegative) << k
            self.defaults[k] = 0.0 if default is None else default

    def __call__(self, *args, **kwargs):
        return self.general(*args, **kwargs)

    def __reduce__(self):
        return self.general.__reduce__()

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __repr__(self):
        return repr(self.general)

    cdef void round_parameters(self, int index, Parameters *values) noexcept:
        """A parameter is rounded to the arrays' dtype before use, whatever it is computed in."""
        cdef float rounded
        cdef int k
        if index == FLOAT64:
            return
        for k in range(self.parameters):
            rounded = <float>values.wide[k]
            if index != FLOAT32:
                self.plan.tables[index].round(&values.wide[k], &rounded, 1, NULL)
            values.wide[k] = rounded

    cdef bint set_parameter(self, double *values, int *given, int k, object value) noexcept:
        """Take a parameter that is exactly a float or a small int; False leaves the call to Python."""
        if type(value) is float:
            values[k] = <double>value
        elif type(value) is int and -65536 < value < 65536:
            values[k] = <double>value
        else:
            return False
        given[0] |= 1 << k
        return values[k] >= 0.0 or not (self.nonnegative >> k) & 1

    cdef bint parse(self, PyObject *const *args, Py_ssize_t count, PyObject *kwnames, double *values,
                    PyObject **out) noexcept:
        """Parameters and out of a call, or False where Python must look at it."""
        cdef int given = 0
        cdef Py_ssize_t i
        cdef int k
        if count < self.inputs or count > self.inputs + self.parameters:
            return False
        memcpy(values, self.defaults, sizeof(self.defaults))
        for i in range(self.inputs, count):
            if not self.set_parameter(values, &given, <int>(i - self.inputs), <object>args[i]):
                return False
        if kwnames != NULL:
            for i in range(PyTuple_GET_SIZE(<tuple>kwnames)):
                if <object>PyTuple_GET_ITEM(<tuple>kwnames, i) is OUT:
                    out[0] = args[count + i]
                    continue
                if self.plan.kind >= ROW and <object>PyTuple_GET_ITEM(<tuple>kwnames, i) is AXIS:
                    # The last axis is what C works along; any other is Python's.
                    if type(<object>args[count + i]) is not int or <object>args[count + i] != -1:
                        return False
                    continue
                for k in range(self.parameters):
                    if <object>PyTuple_GET_ITEM(<tuple>kwnames, i) is <object>PyTuple_GET_ITEM(self.names, k):
                        break
                else:
                    return False
                if (given >> k) & 1 or not self.set_parameter(values, &given, k, <object>args[count + i]):
                    return False
        return not self.required & ~given


cdef object call_form(object callable_, PyObject *const *args, size_t nargsf, PyObject *kwnames):
    cdef FastForm form = <FastForm>callable_
    cdef Py_ssize_t count = PyVectorcall_NARGS(nargsf)
    cdef Parameters values
    cdef PyObject *given_out = NULL
    cdef cnp.ndarray x, g
    cdef int index
    cdef bint fresh = False
    if form.plan is None:
        raise TypeError("this form was never initialised")
    if not form.parse(args, count, kwnames, values.wide, &given_out):
        return call_general(form, args, count, kwnames)
    index = direct_dtype(<object>args[form.inputs - 1])
    if index < 0 or not form.plan.tables[index].count:
        return call_strided(form, args, count, kwnames, &values, given_out)
    x = <cnp.ndarray>args[form.inputs - 1]
    if is_gated(form.plan.kind) and cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 1) % 2:
        return call_general(form, args, count, kwnames)
    g = x
    if form.inputs == 2:
        if direct_dtype(<object>args[0]) != index:
            return call_strided(form, args, count, kwnames, &values, given_out)
        g = <cnp.ndarray>args[0]
        if not (is_half(g, x) if form.plan.kind == GATE_BACKWARD else same_shape(g, x)):
            return call_general(form, args, count, kwnames)
    if given_out == NULL or <object>given_out is None:
        if form.plan.kind == PAIR:
            pair = (empty_like(x, False, &fresh), empty_like(x, False, &fresh))
            run_direct(form, index, x, g, <cnp.ndarray>pair[0], <cnp.ndarray>pair[1], &values, fresh)
            return pair
        out = empty_like(x, form.plan.kind == GATE, &fresh)
    else:
        out = <object>given_out
        if form.plan.kind == PAIR:
            if type(out) is not tuple or not takes_pair(<tuple>out, index, x):
                return call_general(form, args, count, kwnames)
            run_direct(form, index, x, g, <cnp.ndarray>(<tuple>out)[0], <cnp.ndarray>(<tuple>out)[1], &values, False)
            return out
        if not takes_result(out, index, x, g, form.plan.kind):
            return call_strided(form, args, count, kwnames, &values, given_out)
    run_direct(form, index, x, g, <cnp.ndarray>out, <cnp.ndarray>out, &values, fresh)
    return out


cdef int run_direct(FastForm form, int index, cnp.ndarray x, cnp.ndarray g, cnp.ndarray out, cnp.ndarray out2,
                   Parameters *values, bint fresh) except -1:
    cdef Task task
    cdef int threads = form.plan.prepare(&task, index, x, g, out, out2)
    task.each = False
    # The system clears new pages through the caches: stores that go past them would only send that to memory, too.
    task.streamed = task.streamed and not fresh
    form.round_parameters(index, values)
    set_parameters(&task, values, form.parameters)
    held = work_on_codes(form.plan, index, &task, form.parameters)
    if cnp.PyArray_SIZE(x) < RELEASE_GIL_FROM:
        run(&task, 1)
    else:
        with nogil:
            run(&task, threads)
    return 0


cdef inline bint is_strided(object array, int index, cnp.ndarray x) except -1:
    """Whether this is an array of x's shape and of a dtype with a table."""
    return (
        cnp.PyArray_CheckExact(array)
        and cnp.PyArray_NDIM(<cnp.ndarray>array) > 0
        and dtype_index(<cnp.ndarray>array) == index
        and same_shape(<cnp.ndarray>array, x)
    )


cdef void span(cnp.ndarray a, char **first, char **end) noexcept:
    """The memory from an array's first byte to its last."""
    cdef int axis
    cdef intptr_t length
    first[0] = <char *>cnp.PyArray_DATA(a)
    end[0] = first[0] + cnp.PyArray_ITEMSIZE(a)
    for axis in range(cnp.PyArray_NDIM(a)):
        length = (cnp.PyArray_DIM(a, axis) - 1) * cnp.PyArray_STRIDE(a, axis)
        if length < 0:
            first[0] += length
        else:
            end[0] += length


cdef bint is_apart_or_same(cnp.ndarray out, cnp.ndarray a) noexcept:
    """Whether two arrays of one shape have the same elements or no memory in common."""
    cdef char *first
    cdef char *end
    cdef char *other_first
    cdef char *other_end
    if cnp.PyArray_DATA(out) == cnp.PyArray_DATA(a):
        return memcmp(cnp.PyArray_STRIDES(out), cnp.PyArray_STRIDES(a), cnp.PyArray_NDIM(a) * sizeof(intptr_t)) == 0
    span(out, &first, &end)
    span(a, &other_first, &other_end)
    return end <= other_first or other_end <= first


cdef object call_strided(FastForm form, PyObject *const *args, Py_ssize_t count, PyObject *kwnames, Parameters *values,
                         PyObject *given_out):
    """The call on arrays of one shape and dtype that lie in memory in any way; any other call as Python."""
    cdef object x = <object>args[form.inputs - 1]
    cdef object g = <object>args[0] if form.inputs == 2 else None
    cdef object out, out2 = None
    cdef bint given = given_out != NULL and <object>given_out is not None
    cdef bint fresh = False
    cdef int index
    if form.plan.kind >= ROW or not cnp.PyArray_CheckExact(x) or (given and form.plan.kind == PAIR):
        return call_general(form, args, count, kwnames)
    index = dtype_index(<cnp.ndarray>x)
    if index < 0 or not is_strided(x, index, <cnp.ndarray>x):
        return call_general(form, args, count, kwnames)
    if form.inputs == 2 and not is_strided(g, index, <cnp.ndarray>x):
        return call_general(form, args, count, kwnames)
    if given:
        out = <object>given_out
        if not (is_strided(out, index, <cnp.ndarray>x) and cnp.PyArray_ISWRITEABLE(<cnp.ndarray>out)
                and is_apart_or_same(<cnp.ndarray>out, <cnp.ndarray>x)
                and (g is None or is_apart_or_same(<cnp.ndarray>out, <cnp.ndarray>g))):
            return call_general(form, args, count, kwnames)
    else:
        out = like(x, &fresh)
        out2 = like(x, &fresh) if form.plan.kind == PAIR else None
    form.round_parameters(index, values)
    if not form.plan.run_strided(index, [x, g, None, out, out2], values, form.parameters, fresh):
        return call_general(form, args, count, kwnames)
    return out if out2 is None else (out, out2)


cdef object call_general(FastForm form, PyObject *const *args, Py_ssize_t count, PyObject *kwnames):
    """The same call, as Python."""
    cdef Py_ssize_t i
    positional = tuple([<object>args[i] for i in range(count)])
    named = {}
    if kwnames != NULL:
        for i in range(PyTuple_GET_SIZE(<tuple>kwnames)):
            named[(<tuple>kwnames)[i]] = <object>args[count + i]
    return form.general(*positional, **named)


def _install():
    probe = FastForm.__new__(FastForm)
    cdef char *start = <char *><PyObject *>probe
    kernels_enable_vectorcall(FastForm, <char *>&(<FastForm>probe).vectorcall - start)


_install()

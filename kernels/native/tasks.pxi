# What there is to do: the addresses of loops, the tables of them by dtype and size, and a task for one call.
cdef extern from * nogil:
    """
    /* Blocks on a thread's stack, where Cython gives 16-byte alignment: a vector across two cache lines costs double. */
    typedef struct { _Alignas(64) double numbers[1024]; } kernels_block;
    """
    ctypedef struct Block "kernels_block":
        double numbers[1024]

ctypedef void (*Kernel)(const void *x, void *out, intptr_t n, const void *params) noexcept nogil

# Of kernels.constants, by the build script.
cdef extern from *:
    enum:
        LANES "KERNELS_LANES"
        STREAMED "KERNELS_STREAMED"
        ROW_BATCH "KERNELS_ROW_BATCH"
        CODES "KERNELS_CODES"

cdef enum:
    #: Elements of a block: three float64 blocks and what they are read from stay in a 32 KB first-level cache.
    BLOCK = 1024
    MAX_SEGMENTS = 8
    MAX_PARAMETERS = 4

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

cdef extern from "half_test.h" nogil:
    ctypedef struct HalfTest "half_test":
        int steps
        float relative
        float least
        uint64_t doubts[16]
    const int HALF_WORD

#: Of a pair, the second of two is the derivative's.
cdef struct Checked:
    Kernel[2] save_tested  # NULL: exact in float32
    Kernel[2] wide
    Kernel[2] wide_each
    HalfTest[2] tests

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


cdef inline bint is_rows(Kind kind) noexcept nogil:
    return kind in (ROW, ROW_GRADIENT, ROW_BACKWARD)


cdef inline bint is_gated(Kind kind) noexcept nogil:
    return kind in (GATE, GATE_BACKWARD)


cdef inline bint is_aliased(const Task *task) noexcept nogil:
    """Whether an output is an input."""
    return task.x == task.out or task.x == task.out2 or task.g == task.out or task.g == task.out2

# The memory of outputs: kept when they are collected and used again, and written past the caches where it is long.
cdef extern from "numpy/arrayobject.h":
    ctypedef struct PyDataMem_Handler:
        pass
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


cdef inline bint is_pooled(size_t nbytes) noexcept:
    return nbytes >= OUTPUTS_FROM and outputs.limit > 0


cdef object enter_pool():
    """Let NumPy allocate from the memory of collected outputs until what this returns is set again; None, and nothing
    done, where the caller has an allocator, which goes first."""
    before = PyDataMem_SetHandler(output_memory)
    if <PyObject *>before == PyDataMem_DefaultHandler:
        return before
    PyDataMem_SetHandler(before)
    return None


cdef object like(cnp.ndarray x, bint *fresh):
    """A new array laid out like x, in native byte order; a large one from the memory of collected outputs, or ``fresh``."""
    before = enter_pool() if is_pooled(cnp.PyArray_NBYTES(x)) else None
    try:
        out = PyArray_NewLikeArray(x, NPY_KEEPORDER, PyArray_DescrFromType(cnp.PyArray_TYPE(x)), 0)
    finally:
        if before is not None:
            PyDataMem_SetHandler(before)
    fresh[0] |= outputs_fresh if before is not None else True
    return out


cdef object empty_like(cnp.ndarray x, bint half, bint *fresh):
    """A new array like x, or ``half`` of it; a large one from the memory of collected outputs, or ``fresh``."""
    cdef cnp.npy_intp shape[cnp.NPY_MAXDIMS]
    cdef int axes = cnp.PyArray_NDIM(x)
    memcpy(shape, cnp.PyArray_DIMS(x), axes * sizeof(cnp.npy_intp))
    if half:
        shape[axes - 1] //= 2
    if is_pooled(cnp.PyArray_NBYTES(x)):
        before = enter_pool()
        if before is not None:
            try:
                out = cnp.PyArray_EMPTY(axes, shape, cnp.PyArray_TYPE(x), 0)
            finally:
                PyDataMem_SetHandler(before)
            fresh[0] |= outputs_fresh
            return out
    fresh[0] = True
    return cnp.PyArray_EMPTY(axes, shape, cnp.PyArray_TYPE(x), 0)


def new_like(x, dtype):
    """``numpy.empty_like`` of whatever layout; a large array from the memory of collected outputs."""
    before = enter_pool() if is_pooled(x.size * dtype.itemsize) else None
    try:
        return np.empty_like(x, dtype, subok=False)
    finally:
        if before is not None:
            PyDataMem_SetHandler(before)

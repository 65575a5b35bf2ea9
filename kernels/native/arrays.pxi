# Arrays: which of them C takes as they are, and which may be outputs.
cdef extern from "numpy/arrayobject.h":
    const int NPY_HALF
    const int NPY_USERDEF

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


cdef inline bint is_half(cnp.ndarray half, cnp.ndarray whole) noexcept:
    """Whether an array has the shape of the other's halves along the last axis."""
    cdef int last = cnp.PyArray_NDIM(whole) - 1
    cdef int k
    if cnp.PyArray_NDIM(half) != last + 1:
        return False
    for k in range(last):
        if cnp.PyArray_DIM(half, k) != cnp.PyArray_DIM(whole, k):
            return False
    return 2 * cnp.PyArray_DIM(half, last) == cnp.PyArray_DIM(whole, last)


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

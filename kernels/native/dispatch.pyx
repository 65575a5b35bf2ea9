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
    static void kernels_enable_vectorcall(PyTypeObject *type, Py_ssize_t offset) {
        type->tp_vectorcall_offset = offset;
        type->tp_call = PyVectorcall_Call;
        type->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
        PyType_Modified(type);
    }
    """
    void kernels_enable_vectorcall(type cls, Py_ssize_t offset)
    ctypedef object (*vectorcallfunc)(object, PyObject *const *, size_t, PyObject *)
    Py_ssize_t PyVectorcall_NARGS(size_t nargsf)

include "tasks.pxi"  # what there is to do: loops, tables of them, a task for one call
include "threads.pxi"  # how many a call may use, and how a task is dealt to them
include "blocks.pxi"  # the block pipeline: load, compute, store
include "checked.pxi"  # the same for half types whose rounding float32 leaves open
include "rows.pxi"  # functions of whole rows
include "gates.pxi"  # gated pairs
include "strided.pxi"  # arrays that lie in memory in any way
include "lookup.pxi"  # half types from codes to codes
include "arrays.pxi"  # which arrays C takes as they are
include "outputs.pxi"  # the memory of outputs
include "plans.pxi"  # the addresses of a form by dtype and size
include "copies.pxi"  # what the ceiling of bandwidth is measured with

cdef enum:
    #: Below, releasing the GIL costs more than it gives.
    RELEASE_GIL_FROM = 8192

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

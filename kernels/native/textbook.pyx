# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""What a newcomer to Cython writes: typed memoryviews, a parallel loop, the C library's exp. To compare with."""

from cython.parallel cimport prange
from libc.math cimport exp
from libc.math cimport tanh as c_tanh

ctypedef fused real:
    float
    double


def relu(const real[::1] x, real[::1] out, int threads):
    cdef Py_ssize_t i
    for i in prange(x.shape[0], nogil=True, num_threads=threads):
        out[i] = 0 if x[i] <= 0 else x[i]


def leaky_relu(const real[::1] x, real[::1] out, int threads, double negative_slope):
    cdef Py_ssize_t i
    for i in prange(x.shape[0], nogil=True, num_threads=threads):
        out[i] = x[i] if x[i] > 0 else negative_slope * x[i]


def prelu(const real[::1] x, real[::1] out, int threads, double weight):
    cdef Py_ssize_t i
    for i in prange(x.shape[0], nogil=True, num_threads=threads):
        out[i] = x[i] if x[i] > 0 else weight * x[i]


def elu(const real[::1] x, real[::1] out, int threads, double alpha):
    cdef Py_ssize_t i
    for i in prange(x.shape[0], nogil=True, num_threads=threads):
        out[i] = x[i] if x[i] > 0 else alpha * (exp(x[i]) - 1)


def selu(const real[::1] x, real[::1] out, int threads):
    cdef Py_ssize_t i
    for i in prange(x.shape[0], nogil=True, num_threads=threads):
        out[i] = 1.0507009873554805 * (x[i] if x[i] > 0 else 1.6732632423543772 * (exp(x[i]) - 1))


def sigmoid(const real[::1] x, real[::1] out, int threads):
    cdef Py_ssize_t i
    for i in prange(x.shape[0], nogil=True, num_threads=threads):
        out[i] = 1 / (1 + exp(-x[i]))


def tanh(const real[::1] x, real[::1] out, int threads):
    cdef Py_ssize_t i
    for i in prange(x.shape[0], nogil=True, num_threads=threads):
        out[i] = c_tanh(x[i])


def swish(const real[::1] x, real[::1] out, int threads, double beta):
    cdef Py_ssize_t i
    for i in prange(x.shape[0], nogil=True, num_threads=threads):
        out[i] = x[i] / (1 + exp(-beta * x[i]))


def softmax(const real[:, ::1] x, real[:, ::1] out, int threads):
    cdef Py_ssize_t r
    for r in prange(x.shape[0], nogil=True, num_threads=threads):
        softmax_of_row(x, out, r)


cdef void softmax_of_row(const real[:, ::1] x, real[:, ::1] out, Py_ssize_t r) noexcept nogil:
    cdef Py_ssize_t i
    cdef real largest = x[r, 0]
    cdef real total = 0
    for i in range(x.shape[1]):
        if x[r, i] > largest:
            largest = x[r, i]
    for i in range(x.shape[1]):
        out[r, i] = exp(x[r, i] - largest)
        total += out[r, i]
    for i in range(x.shape[1]):
        out[r, i] /= total

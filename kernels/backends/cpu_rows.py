"""The serial kernels of row functions: sums over fixed lanes and a fixed tree, as in the Cython text."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from kernels.activations import RECORDS, lookup
from kernels.backends.cpu_loops import compiled
from kernels.backends.cpu_primitives import formulas, jit, lanes, pointer
from kernels.constants import LANES


def _tree(combine: Callable) -> Callable:
    """The fixed tree over LANES numbers, which it overwrites."""
    both = jit(combine)

    @jit
    def tree(values):
        half = LANES // 2
        while half:
            for j in range(half):
                values[j] = both(values[j], values[j + half])
            half //= 2
        return values[0]

    return tree


larger_tree = _tree(lambda a, b: b if b > a else a)
sum_tree = _tree(lambda a, b: a + b)


@functools.cache
def row(loop: str, compute: str) -> object:
    """The compiled loop of a row function, called as in the Cython text: the same signature, n is the row's length.

    The parameters are the number of rows and, for a gradient, the address of grad_output.
    """
    name = next(one.name for one in RECORDS if one.kind == "row" and loop in (one.name, *one.row_loops))
    if lookup(name).normaliser == "threshold":
        text = _projection(name, loop, compute)
    elif loop == name:
        text = _row_value(name, compute)
    else:
        text = _row_gradient(name, loop.removesuffix("_rows"), compute)
    return compiled(_each_row(text), compute, np.intp)


def _each_row(one_row: Callable) -> Callable:
    whole_row = jit(one_row)

    def rows(x, out, n, params):
        g = pointer(params[1], x)
        for r in range(params[0]):
            whole_row(x, out, g, r * n, n)

    return rows


def _row_value(name: str, compute: str) -> Callable:
    text = formulas(compute)
    value, real = text[f"{name}_value"], text["real"]
    largest_of, add_terms = _largest_of(name, compute), _add_terms(name, compute)
    reciprocal, logarithm_of = _reciprocal(real), _logarithm(real)

    def divided(x, out, g, begin, n):
        totals, rests = lanes(0.0), lanes(0.0)
        add_terms(x, out, begin, n, largest_of(x, begin, n), totals, rests)
        high, low = reciprocal(totals, rests)
        for i in range(begin, begin + n):
            out[i] = value(out[i], high, low)

    def subtracted(x, out, g, begin, n):
        totals, rests = lanes(0.0), lanes(0.0)
        largest = largest_of(x, begin, n)
        add_terms(x, out, begin, n, largest, totals, rests)
        logarithm = logarithm_of(totals, rests)
        for i in range(begin, begin + n):
            out[i] = value(x[i], largest, logarithm)

    return subtracted if lookup(name).normaliser == "logarithm" else divided


def _largest_of(name: str, compute: str) -> Callable:
    text = formulas(compute)
    entry, lowest = text[f"{name}_entry"], text["real"](-np.inf)

    @jit
    def largest_of(x, begin, n):
        end = begin + n
        whole = end - n % LANES
        tops = lanes(lowest)
        for first in range(begin, whole, LANES):
            for j in range(LANES):
                one = entry(x[first + j])
                tops[j] = one if one > tops[j] else tops[j]
        for i in range(whole, end):
            one = entry(x[i])
            tops[i - whole] = one if one > tops[i - whole] else tops[i - whole]
        return larger_tree(tops)

    return largest_of


def _add_terms(name: str, compute: str) -> Callable:
    """The sums of a row's terms, a lane each, and what rounding took from them; out keeps the terms to be divided."""
    text = formulas(compute)
    parts_of, term_of, start, zero = text[f"{name}_parts"], text["row_term"], text["SUM_START"], text["real"](0)
    rounding_of_sum, rounding_of_term = text["rounding_of_sum"], text["rounding_of_term"]
    kept = lookup(name).normaliser == "reciprocal"
    rounded = kept or compute == "float64"

    @jit
    def add_term(x, out, i, largest, sums, lost, j):
        p, m = parts_of(x[i], largest)
        one = term_of(p, m)
        total = sums[j] + one
        lost[j] += rounding_of_sum(total, one, sums[j])
        sums[j] = total
        if rounded:
            lost[j] += rounding_of_term(one, p, m)
        if kept:
            out[i] = one

    @jit
    def add_terms(x, out, begin, n, largest, totals, rests):
        end = begin + n
        whole = end - n % LANES
        sums, lost = lanes(start), lanes(zero)
        for first in range(begin, whole, LANES):
            for j in range(LANES):
                add_term(x, out, first + j, largest, sums, lost, j)
        for i in range(whole, end):
            add_term(x, out, i, largest, sums, lost, i - whole)
        for j in range(LANES):
            totals[j] = np.float64(sums[j]) - np.float64(start)
            rests[j] = np.float64(lost[j])

    return add_terms


def _projection(name: str, loop: str, compute: str) -> Callable:
    """The loops of a projection, which computes in float64 whatever its arrays are."""
    text, wide = formulas(compute), formulas("float64")
    largest_of, real = _largest_of(name, compute), text["real"]
    value, gradient, zero = wide[f"{name}_value"], wide[f"{name}_gradient"], 0.0

    def forward(x, out, g, begin, n):
        largest = np.float64(largest_of(x, begin, n))
        threshold = threshold_of(x, begin, n, largest)
        for i in range(begin, begin + n):
            out[i] = real(value(np.float64(x[i]) - largest, threshold))

    def backward(x, out, g, begin, n):
        largest = np.float64(largest_of(x, begin, n))
        threshold = threshold_of(x, begin, n, largest)
        mean = mean_of(x, g, begin, n, largest, threshold)
        for i in range(begin, begin + n):
            out[i] = real(gradient(np.float64(g[i]), np.float64(x[i]) - largest, threshold, mean))

    def from_output(y, out, g, begin, n):
        mean = mean_of(y, g, begin, n, zero, zero)
        for i in range(begin, begin + n):
            out[i] = real(gradient(np.float64(g[i]), np.float64(y[i]), zero, mean))

    return {name: forward, f"{name}_backward_rows": backward, f"{name}_gradient_rows": from_output}[loop]


@jit
def threshold_of(x, begin, n, largest):
    """Michelot's: of what is above a threshold that is too low, the one that makes its sum 1, until nothing falls."""
    threshold, whole = -1.0, begin + n - n % LANES
    while True:
        sums, counts = lanes(0.0), lanes(0.0)
        for first in range(begin, whole, LANES):
            for j in range(LANES):
                z = np.float64(x[first + j]) - largest
                sums[j] += 0.0 if z <= threshold else z
                counts[j] += 0.0 if z <= threshold else 1.0
        for i in range(whole, begin + n):
            z = np.float64(x[i]) - largest
            sums[i - whole] += 0.0 if z <= threshold else z
            counts[i - whole] += 0.0 if z <= threshold else 1.0
        higher = (sum_tree(sums) - 1.0) / sum_tree(counts)
        if not higher > threshold:
            return higher
        threshold = higher


@jit
def mean_of(x, g, begin, n, largest, threshold):
    """Of g, where x is above the threshold; NaN where that is."""
    sums, counts = lanes(0.0), lanes(0.0)
    for i in range(n):
        z = np.float64(x[begin + i]) - largest
        sums[i % LANES] += 0.0 if z <= threshold else np.float64(g[begin + i])
        counts[i % LANES] += 0.0 if z <= threshold else 1.0
    return sum_tree(sums) / sum_tree(counts) + (threshold - threshold)


def _row_gradient(name: str, formula: str, compute: str) -> Callable:
    text = formulas(compute)
    gradient, real = text[formula], text["real"]
    total_of_products = _products(text[f"{name}_product"], compute)

    def backward(y, out, g, begin, n):
        total = real(total_of_products(y, g, begin, n))
        for i in range(begin, begin + n):
            out[i] = gradient(g[i], y[i], total)

    return backward


@functools.cache
def _tree_of_pairs() -> Callable:
    """The fixed tree over sums and what rounding took from them."""
    text = formulas("float64")
    joined, closely = text["joined_sums"], text["closely"]

    @jit
    def tree_of_pairs(sums, lost):
        half = LANES // 2
        while half:
            for j in range(half):
                sums[j], lost[j] = joined(sums[j], lost[j], sums[j + half], lost[j + half])
            half //= 2
        return closely(sums[0], lost[0])

    return tree_of_pairs


def _products(product_of: Callable, compute: str) -> Callable:
    """The sum of the products of g and y: float32's in float64, float64's with what rounding took from it."""
    text = formulas(compute)
    rounding_of_sum, tree_of_pairs, double = text["rounding_of_any_sum"], _tree_of_pairs(), compute == "float64"

    @jit
    def add_product(y, g, i, sums, lost, j):
        product = np.float64(product_of(g[i], y[i]))
        total = sums[j] + product
        if double:
            lost[j] += rounding_of_sum(total, product, sums[j])
        sums[j] = total

    @jit
    def total_of_products(y, g, begin, n):
        end = begin + n
        whole_lanes = end - n % LANES
        sums, lost = lanes(0.0), lanes(0.0)
        for start in range(begin, whole_lanes, LANES):
            for j in range(LANES):
                add_product(y, g, start + j, sums, lost, j)
        for i in range(whole_lanes, end):
            add_product(y, g, i, sums, lost, i - whole_lanes)
        return tree_of_pairs(sums, lost) if double else sum_tree(sums)

    return total_of_products


@functools.cache
def _reciprocal(dtype: type) -> Callable:
    """1 / (the sum of the terms), as the sum of two numbers of ``dtype``."""
    rounding = formulas("float64")["rounding_of_reciprocal"]

    def of_single(totals, rests):
        for j in range(LANES):
            totals[j] += rests[j]
        reciprocal = 1.0 / sum_tree(totals)
        high = np.float32(reciprocal)
        return high, np.float32(reciprocal - np.float64(high))

    def of_double(totals, rests):
        sum_, low = sum_tree(totals), sum_tree(rests)
        total = sum_ + low
        low -= total - sum_
        reciprocal = 1.0 / total
        return reciprocal, rounding(reciprocal, total, low)

    return jit(of_single if dtype is np.float32 else of_double)


@functools.cache
def _logarithm(dtype: type) -> Callable:
    """The logarithm of the sum of the terms, the largest of which is 1."""
    logarithm_of_sum, tree_of_pairs = formulas("float64")["logarithm_of_sum"], _tree_of_pairs()
    single = dtype is np.float32
    up, down = (np.float64(formulas(np.dtype(dtype).name)[name]) for name in ("UP", "DOWN"))

    @jit
    def logarithm(totals, rests):
        lost = sum_tree(rests) if single else tree_of_pairs(rests, lanes(0.0))
        return dtype(logarithm_of_sum(sum_tree(totals), lost, up, down))

    return logarithm

"""The loop of the elementwise functions and gated pairs on the GPU, around their scalar formulas.

``cuda`` is a global here because the simulator replaces it in a kernel's globals.
"""

from __future__ import annotations

from collections.abc import Callable

from numba import cuda

from kernels.backends.cuda_primitives import Memory, device, quiet


def grid_loop(many: Callable, one: Callable, width: int) -> Callable:
    """The one loop over elements: every thread of the grid takes groups, by ``many``, and single elements in turn.

    Elements [start, start + width * groups) go in groups, whose addresses the launcher has made sure are aligned; those
    before and after one by one. Each of the ``channels`` numbers of a parameter array is for ``inner`` elements in a
    row; of pairs ``inner`` is half a row. Where there is one input only, ``first`` and ``second`` are the same address.
    """

    @quiet
    def elements(first, second, p, q, out, second_out, start, groups, n, inner, channels):
        thread = cuda.grid(1)
        step = cuda.gridsize(1)
        group = thread
        while group < groups:
            many(first, second, p, q, out, second_out, start, groups, n, inner, channels, group)
            group += step
        grouped = groups * width
        single = thread
        while single < n - grouped:
            i = single if single < start else single + grouped
            one(first, second, p, q, out, second_out, n, inner, channels, i)
            single += step

    return elements


def spelled(arguments: str, entry: str, width: int, **names: Callable) -> Callable:
    """A device function of ``arguments`` that gives the tuple of ``entry`` for k = 0, 1, ... below ``width``.

    An index into a tuple that is not a constant would put the tuple into memory.
    """
    entries = ", ".join(entry.format(k=k) for k in range(width))
    exec(f"def function({arguments}):\n    return ({entries},)", names)
    return device(names["function"])


def weight_index(i, n, inner, channels):
    """Which number of a parameter array is element i's."""
    return i if channels == n else i // inner % channels


def elementwise_loop(formulas: tuple[Callable, ...], memory: Memory, parameter_array: bool) -> Callable:
    """The loop of an elementwise form: for each output a formula of an element of ``first``, of ``second``, p and q."""
    load, store, load_groups, store_groups = memory.load, memory.store, memory.load_groups, memory.store_groups
    value, slope, two, group_size = formulas[0], formulas[-1], len(formulas) == 2, memory.group
    values, slopes = (
        spelled("a, b, w, q", "f(a[{k}], b[{k}], w[{k}], q)", memory.width, f=formula) for formula in (value, slope)
    )
    index = device(weight_index)
    weight = device((lambda p, i, n, m, c: load(p, index(i, n, m, c))) if parameter_array else lambda p, i, n, m, c: p)
    places = [f"i + {unit} * span + {k}" for unit in range(memory.units) for k in range(group_size)]
    units = [f"weight(p, {place}, n, inner, channels)" for place in places]
    weights = spelled("p, i, span, n, inner, channels", ", ".join(units), 1, weight=weight)

    def many(first, second, p, q, out, second_out, start, groups, n, inner, channels, group):
        i = start + group * group_size
        span = groups * group_size
        a = load_groups(first, i, span)
        b = load_groups(second, i, span)
        w = weights(p, i, span, n, inner, channels)
        store_groups(out, i, span, values(a, b, w, q))
        if two:
            store_groups(second_out, i, span, slopes(a, b, w, q))

    def one(first, second, p, q, out, second_out, n, inner, channels, i):
        a = load(first, i)
        b = load(second, i)
        w = weight(p, i, n, inner, channels)
        store(out, i, value(a, b, w, q))
        if two:
            store(second_out, i, slope(a, b, w, q))

    return grid_loop(device(many), device(one), memory.width)


def gated_loop(formulas: tuple[Callable, ...], memory: Memory) -> Callable:
    """The loop of a gated pair: a formula of g, an element of each half, and p for each half of the result.

    The i-th pair begins at i + i // inner * inner. Its groups never cross a half: the launcher sees to it.
    """
    load, store, load_groups, store_groups = memory.load, memory.store, memory.load_groups, memory.store_groups
    value, slope, two, group_size = formulas[0], formulas[-1], len(formulas) == 2, memory.group
    values, slopes = (
        spelled("g, a, b, p", "f(g[{k}], a[{k}], b[{k}], p)", memory.width, f=formula) for formula in (value, slope)
    )

    def many(first, second, p, q, out, second_out, start, groups, n, inner, channels, group):
        i = group * group_size
        span = groups * group_size
        at = i + i // inner * inner
        span_of_pairs = i + span + (i + span) // inner * inner - at
        a = load_groups(second, at, span_of_pairs)
        b = load_groups(second, at + inner, span_of_pairs)
        if two:
            g = load_groups(first, i, span)
            store_groups(out, at, span_of_pairs, values(g, a, b, p))
            store_groups(out, at + inner, span_of_pairs, slopes(g, a, b, p))
        else:
            store_groups(out, i, span, values(b, a, b, p))

    def one(first, second, p, q, out, second_out, n, inner, channels, i):
        at = i + i // inner * inner
        a = load(second, at)
        b = load(second, at + inner)
        if two:
            g = load(first, i)
            y = value(g, a, b, p)
            z = slope(g, a, b, p)
            store(out, at, y)
            store(out, at + inner, z)
        else:
            store(out, i, value(b, a, b, p))

    return grid_loop(device(many), device(one), memory.width)

"""The loops of the row functions on the GPU, around their scalar formulas.

A team of threads takes a row: a warp a short one, a block a longer one. Sums keep the order that every backend has,
LANES sums of the elements i with i % LANES == lane and then a fixed tree, so that their bits are the same: a warp's
threads add what they compute, a block's compute the terms, each its own, into shared memory, and its first warp adds
them up. There terms have what rounding took from them beside themselves, unless they are float32's of a logarithm.
``cuda`` is a global here because the simulator replaces it in a kernel's globals.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import cuda, float32, float64

from kernels.activations import Activation, lookup
from kernels.backends import texts
from kernels.backends.cuda_primitives import SIMULATED, Memory, device, formulas, primitives, quiet
from kernels.constants import LANES

#: All threads of a warp.
ALL = 0xFFFFFFFF
#: Numbers of a warp's, or of the simulator's threads', that a reduction passes on.
BOARD_BYTES = 512


class Geometry(NamedTuple):
    """How rows are dealt to threads."""

    #: Rows up to this long are a warp's.
    warp_row: int
    #: Threads of a block that takes a row, and of one whose warps take rows.
    block: int
    warps: int
    #: Shared memory of a block.
    shared: int
    #: Terms that a block holds at a time, of a row that is too long to be held.
    tile: int
    #: Rows beyond are taken in turns.
    most_blocks: int


#: The simulator starts a Python thread for each of the device's.
GEOMETRY = Geometry(1024, 256, 256, 48 << 10, 2048, 1 << 16)
if SIMULATED:
    GEOMETRY = Geometry(40, 2 * LANES, LANES, 1536, 64, 2)


class Dealt(NamedTuple):
    """How the rows of a call are dealt: the kernel's variant, and the launch."""

    #: "warp" or "block", which hold the row in shared memory, or "long".
    variant: str
    blocks: int
    threads: int
    shared: int


def deal(record: Activation, form: str, rows: int, n: int, itemsize: int) -> Dealt:
    """How ``rows`` rows of n numbers, computed in ``itemsize`` bytes, are dealt."""
    alone = record.normaliser == "threshold" or n <= GEOMETRY.warp_row
    element = itemsize * held_arrays(record, form, itemsize == 8, alone)
    room, needed = GEOMETRY.shared - BOARD_BYTES, n * element
    held = needed <= room
    if alone:
        most = GEOMETRY.warps // LANES
        teams = max(1, min(most, room // needed)) if held else most
        blocks = min(-(-rows // teams), GEOMETRY.most_blocks)
        return Dealt("warp" if held else "long", blocks, teams * LANES, BOARD_BYTES + teams * needed * held)
    shared = BOARD_BYTES + (needed if held else GEOMETRY.tile * element)
    return Dealt("block" if held else "long", min(rows, GEOMETRY.most_blocks), GEOMETRY.block, shared)


# ---------------------------------------------------------------- what a team does together
class Team(NamedTuple):
    """``sync()`` and reductions of the threads that share a row; every thread gets the result."""

    threads: int
    sync: Callable
    #: (board, value of this thread)
    maximum: Callable
    #: (board, sum of this lane, which is that of the team's first LANES threads)
    sum_of_lanes: Callable
    #: (board, sum of this lane, what rounding took from it)
    sum_of_pairs: Callable


def larger(m, v):
    """The larger one, by a select: a NaN in ``v`` is ignored here and comes back through the row's terms."""
    return v if v > m else m


def tree(combine: Callable) -> Callable:
    """The fixed tree over the lanes of a warp: ``board`` is where the simulator's threads meet."""

    def shuffled(board, value):
        value = combine(value, cuda.shfl_down_sync(ALL, value, 16))
        value = combine(value, cuda.shfl_down_sync(ALL, value, 8))
        value = combine(value, cuda.shfl_down_sync(ALL, value, 4))
        value = combine(value, cuda.shfl_down_sync(ALL, value, 2))
        value = combine(value, cuda.shfl_down_sync(ALL, value, 1))
        return cuda.shfl_sync(ALL, value, 0)

    def shared(board, value):
        thread = cuda.threadIdx.x
        board[thread] = value
        cuda.syncthreads()
        half = LANES // 2
        while half > 0:
            if thread % LANES < half:
                board[thread] = combine(board[thread], board[thread + half])
            cuda.syncthreads()
            half //= 2
        result = board[thread - thread % LANES]
        cuda.syncthreads()
        return result

    return shared if SIMULATED else device(shuffled)


def tree_of_pairs() -> Callable:
    """The fixed tree over sums and what rounding took from them."""
    text = formulas("float64")
    joined, closely = text["joined_sums"], text["closely"]

    def shuffled(board, value, lost):
        half = LANES // 2
        while half > 0:
            other, other_lost = cuda.shfl_down_sync(ALL, value, half), cuda.shfl_down_sync(ALL, lost, half)
            value, lost = joined(value, lost, other, other_lost)
            half //= 2
        return cuda.shfl_sync(ALL, closely(value, lost), 0)

    def passed(board, value, source):
        board[cuda.threadIdx.x] = value
        cuda.syncthreads()
        result = board[source]
        cuda.syncthreads()
        return result

    def shared(board, value, lost):
        first = cuda.threadIdx.x - cuda.threadIdx.x % LANES
        half = LANES // 2
        while half > 0:
            source = first + (cuda.threadIdx.x + half) % LANES
            other, other_lost = passed(board, value, source), passed(board, lost, source)
            value, lost = joined(value, lost, other, other_lost)
            half //= 2
        return passed(board, closely(value, lost), first)

    return shared if SIMULATED else device(shuffled)


def team_of(threads: int) -> Team:
    add = primitives(np.float64)["rounded_add"]
    maximum, total, pairs, larger_of = tree(device(larger)), tree(add), tree_of_pairs(), device(larger)
    if threads == LANES:
        # What a thread of a warp reads from shared memory it has written itself.
        return Team(LANES, device(lambda: None), maximum, total, pairs)
    warps = threads // LANES

    def maximum_of_block(board, value):
        mine = maximum(board, value)
        if cuda.threadIdx.x % LANES == 0:
            board[cuda.threadIdx.x // LANES] = mine
        cuda.syncthreads()
        result = board[0]
        for warp in range(1, warps):
            result = larger_of(result, board[warp])
        cuda.syncthreads()
        return result

    def told_by_first(board, mine):
        if cuda.threadIdx.x == 0:
            board[0] = mine
        cuda.syncthreads()
        result = board[0]
        cuda.syncthreads()
        return result

    told = device(told_by_first)

    def sum_of_block(board, value):
        return told(board, total(board, value))

    def pairs_of_block(board, value, lost):
        return told(board, pairs(board, value, lost))

    sums = device(sum_of_block), device(pairs_of_block)
    return Team(threads, device(lambda: cuda.syncthreads()), device(maximum_of_block), *sums)


def each_row(one_row: Callable, team: int, real: type, held_arrays: int) -> Callable:
    """The one walk over rows: ``one_row(first, second, out, begin, n, thread, board, scratch, base)``.

    ``scratch`` is the block's shared memory, ``base`` where the team's part of it begins.
    """
    number = float32 if real is np.float32 else float64
    skipped = BOARD_BYTES // real().itemsize

    @quiet
    def row(first, second, out, rows, n):
        board = cuda.shared.array(0, float64)
        scratch = cuda.shared.array(0, number)
        mine = cuda.threadIdx.x // team
        teams = cuda.blockDim.x // team
        base = skipped + mine * n * held_arrays
        r = cuda.blockIdx.x * teams + mine
        while r < rows:
            one_row(first, second, out, r * n, n, cuda.threadIdx.x % team, board, scratch, base)
            r += cuda.gridDim.x * teams

    return row


def reading(entry: Callable, memory: Memory, real: type, threads: int, held: bool) -> Callable:
    """``read(second, begin, n, thread, scratch, base)``: a thread's largest entry; a row that is held gets held."""
    load, widen, larger_of = memory.load, memory.widen, device(larger)

    def read(second, begin, n, thread, scratch, base):
        largest = real(-math.inf)
        for i in range(thread, n, threads):
            x = real(widen(load(second, begin + i)))
            if held:
                scratch[base + i] = x
            largest = larger_of(largest, entry(x))
        return largest

    return device(read)


# ---------------------------------------------------------------- softmax and its like
def _reciprocal(real: type, sum_of: Callable) -> Callable:
    """1 / (the sum of the terms), as the sum of two numbers, from each lane's sum and what rounding took from it."""
    add, rounding = primitives(np.float64)["rounded_add"], formulas("float64")["rounding_of_reciprocal"]

    def of_single(board, total, lost):
        reciprocal = np.float64(1) / sum_of(board, add(total, lost))
        high = np.float32(reciprocal)
        return high, np.float32(add(reciprocal, -np.float64(high)))

    def of_double(board, total, lost):
        high = sum_of(board, total)
        low = sum_of(board, lost)
        both = add(high, low)
        low = add(low, -add(both, -high))
        reciprocal = np.float64(1) / both
        return reciprocal, rounding(reciprocal, both, low)

    return of_single if real is np.float32 else of_double


def _logarithm(real: type, sum_of: Callable, sum_of_pairs: Callable) -> Callable:
    """The logarithm of the sum of the terms, the largest of which is 1; there is no low part."""
    logarithm_of_sum, single = formulas("float64")["logarithm_of_sum"], real is np.float32
    up, down = (np.float64(formulas(np.dtype(real).name)[name]) for name in ("UP", "DOWN"))

    def logarithm(board, total, lost):
        high = sum_of(board, total)
        low = sum_of(board, lost) if single else sum_of_pairs(board, lost, np.float64(0))
        return real(logarithm_of_sum(high, low, up, down)), real(0)

    return logarithm


def _add_term(compute: str, rounded: bool) -> Callable:
    """Adds a term to a sum, and what rounding took from the sum, and from the term, to another."""
    text = formulas(compute)
    rounding_of_sum, add = text["rounding_of_sum"], primitives(text["real"])["rounded_add"]

    def add_term(before, lost, one, rounding):
        total = add(before, one)
        lost = add(lost, rounding_of_sum(total, one, before))
        if rounded:
            lost = add(lost, rounding)
        return total, lost

    return device(add_term)


def _sum_of_terms(compute: str, rounded: bool) -> Callable:
    """Adds a lane's terms in scratch memory, what rounding took from each ``apart`` from it, to the lane's sum."""
    add_term, zero = _add_term(compute, rounded), formulas(compute)["real"](0)

    def sum_of_terms(scratch, begin, end, apart, total, lost):
        for i in range(begin, end, LANES):
            total, lost = add_term(total, lost, scratch[i], scratch[i + apart] if rounded else zero)
        return total, lost

    return device(sum_of_terms)


def _sum_of_products(paired: bool) -> Callable:
    rounding_of_sum, add = formulas("float64")["rounding_of_any_sum"], primitives(np.float64)["rounded_add"]

    def sum_of_products(scratch, begin, end, total, lost):
        for i in range(begin, end, LANES):
            product = np.float64(scratch[i])
            before = total
            total = add(before, product)
            if paired:
                lost = add(lost, rounding_of_sum(total, product, before))
        return total, lost

    return device(sum_of_products)


def row_loop(record: Activation, form: str, compute: str, memory: Memory, team: int, held: bool) -> Callable:
    """The loop of softmax and its like: ``first`` is the gradient and ``second`` x or y.

    A row that is held is read once and its terms are computed once; else a block holds a tile of terms at a time, and
    computes them anew where they are needed: the same bits. The thread that reads an element for the last time then
    writes it, so out may be an input.
    """
    name, gradient_rows = texts.formulas(record, form)
    text, formula, wide = formulas(compute), gradient_rows.removesuffix("_rows"), primitives(np.float64)
    real, start, add_wide = text["real"], text["SUM_START"], wide["rounded_add"]
    entry, parts, value_of = text[f"{name}_entry"], text[f"{name}_parts"], text[f"{name}_value"]
    product, gradient_of = text[f"{formula.partition('_gradient')[0]}_product"], text[formula]
    term, rounding_of_term = text["row_term"], text["rounding_of_term"]
    load, store, widen, narrow, double = memory.load, memory.store, memory.widen, memory.narrow, np.float64
    normalise, gradient = form != "backward_from_output", form != "value"
    threads, sync, maximum, sum_of, sum_of_pairs = team_of(team)
    read, tile_size = reading(entry, memory, real, threads, held), GEOMETRY.tile
    subtracted, paired = lookup(name).normaliser == "logarithm", compute == "float64"
    normaliser = device(_logarithm(real, sum_of, sum_of_pairs) if subtracted else _reciprocal(real, sum_of))
    rounded, alone = paired or not subtracted, team == LANES
    add_term = _add_term(compute, rounded)
    sum_of_terms, sum_of_products = _sum_of_terms(compute, rounded), _sum_of_products(paired)

    def output_at(second, i, scratch, at, largest, high, low):
        """An entry of the result, from x or its term, the largest entry, and what the sum of the terms became."""
        if not normalise:
            return real(widen(load(second, i)))
        if subtracted:
            return value_of(real(widen(load(second, i))), largest, high)
        if held:
            return value_of(scratch[at], high, low)
        p, m = parts(real(widen(load(second, i))), largest)
        return value_of(term(p, m), high, low)

    output = device(output_at)

    def one_row(first, second, out, begin, n, thread, board, scratch, base):
        largest = real(-math.inf)
        high = real(0)
        low = real(0)
        products = real(0)
        step = n if held else tile_size
        if normalise:
            largest = real(maximum(board, read(second, begin, n, thread, scratch, base)))
            total = start
            lost = real(0)
            for tile in range(0, n, step):
                count = min(step, n - tile)
                for i in range(thread, count, threads):
                    x = scratch[base + i] if held else real(widen(load(second, begin + tile + i)))
                    p, m = parts(x, largest)
                    one = term(p, m)
                    scratch[base + i] = one
                    if alone:
                        total, lost = add_term(total, lost, one, rounding_of_term(one, p, m))
                    elif rounded:
                        scratch[base + step + i] = rounding_of_term(one, p, m)
                sync()
                if not alone and thread < LANES:
                    total, lost = sum_of_terms(scratch, base + thread, base + count, step, total, lost)
                sync()
            high, low = normaliser(board, add_wide(double(total), -double(start)), double(lost))
        if gradient:
            accumulator = double(0)
            rest = double(0)
            held_products = base + (n if held else 0)
            for tile in range(0, n, step):
                count = min(step, n - tile)
                for i in range(thread, count, threads):
                    at = begin + tile + i
                    y = output(second, at, scratch, base + i, largest, high, low)
                    if held:
                        scratch[base + i] = y
                    scratch[held_products + i] = product(real(widen(load(first, at))), y)
                sync()
                if thread < LANES:
                    lane, end = held_products + thread, held_products + count
                    accumulator, rest = sum_of_products(scratch, lane, end, accumulator, rest)
                sync()
            products = real(sum_of_pairs(board, accumulator, rest) if paired else sum_of(board, accumulator))
        for i in range(thread, n, threads):
            if gradient and held:
                y = scratch[base + i]
            else:
                y = output(second, begin + i, scratch, base + i, largest, high, low)
            if gradient:
                y = gradient_of(real(widen(load(first, begin + i))), y, products)
            store(out, begin + i, narrow(y))

    return each_row(device(one_row), team, real, held_arrays(record, form, paired, alone) if held else 0)


def held_arrays(record: Activation, form: str, paired: bool, alone: bool) -> int:
    """How many numbers of an element a team holds: its term, and what rounding took or, later, the product with it."""
    unrounded = alone or (record.normaliser == "logarithm" and not paired)
    return 1 if record.normaliser == "threshold" or (form == "value" and unrounded) else 2


# ---------------------------------------------------------------- projections
def projection_loop(name: str, compute: str, memory: Memory, form: str, held: bool) -> Callable:
    """The loop of a projection, a warp a row; it computes in float64 whatever its arrays are."""
    load, store, widen, narrow, double = memory.load, memory.store, memory.widen, memory.narrow, np.float64
    entry, text = formulas(compute)[f"{name}_entry"], formulas("float64")
    real, gradient_of, value_of = formulas(compute)["real"], text[f"{name}_gradient"], text[f"{name}_value"]
    add = primitives(np.float64)["rounded_add"]
    threads, _, maximum, sum_of, _ = team_of(LANES)
    read = reading(entry, memory, real, threads, held)
    from_output, gradient = form == "backward_from_output", form != "value"

    def above(second, i, scratch, at, top):
        return add(double(scratch[at] if held else real(widen(load(second, i)))), -top)

    z_at = device(above)

    def one_row(first, second, out, begin, n, thread, board, scratch, base):
        top = double(0)
        threshold = double(0)
        mean = double(0)
        largest = read(second, begin, n, thread, scratch, base)
        if not from_output:
            top = double(real(maximum(board, largest)))
            threshold = double(-1)
            rising = True
            while rising:
                total = double(0)
                count = double(0)
                for i in range(thread, n, threads):
                    z = z_at(second, begin + i, scratch, base + i, top)
                    total = add(total, double(0) if z <= threshold else z)
                    count = add(count, double(0) if z <= threshold else double(1))
                total = add(sum_of(board, total), double(-1))
                higher = total / sum_of(board, count)
                rising = higher > threshold
                threshold = higher
        if gradient:
            total = double(0)
            count = double(0)
            for i in range(thread, n, threads):
                z = z_at(second, begin + i, scratch, base + i, top)
                total = add(total, double(0) if z <= threshold else double(widen(load(first, begin + i))))
                count = add(count, double(0) if z <= threshold else double(1))
            total = sum_of(board, total)
            mean = add(total / sum_of(board, count), add(threshold, -threshold))
        for i in range(thread, n, threads):
            z = z_at(second, begin + i, scratch, base + i, top)
            if gradient:
                y = gradient_of(double(widen(load(first, begin + i))), z, threshold, mean)
            else:
                y = value_of(z, threshold)
            store(out, begin + i, narrow(real(y)))

    return each_row(device(one_row), LANES, real, 1 if held else 0)

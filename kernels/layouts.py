"""A kernel over arrays that lie in memory in any way.

Kernels take contiguous, aligned, native arrays of a floating dtype. The whole array goes to the kernel where it is such
an array; other layouts go to the kernel's own ``strided``, where it has that; else blocks are gathered, cast and
scattered by ``numpy.nditer``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

#: Elements of a block for arrays that need a cast or a gather.
BLOCK = 8192
#: Parameter gradients add up blocks of this many products, each by NumPy's pairwise sum, then the blocks' sums.
SUM_BLOCK = 4096


def quiet() -> np.errstate:
    """Infinities and NaN in the data are the data's business, not a warning's."""
    return np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore")


def is_plain(array: np.ndarray, dtype: type) -> bool:
    """Whether a kernel can take the array's memory as it is."""
    flags = array.flags
    return array.dtype == dtype and array.dtype.isnative and flags.c_contiguous and flags.aligned


def share_memory(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays have an element's memory in common; what is too hard to tell counts as yes."""
    try:
        return np.shares_memory(a, b, max_work=10_000)
    except np.exceptions.TooHardError:
        return True


def clash(out: np.ndarray, source: np.ndarray) -> bool:
    """Whether they share memory without being the very same elements."""
    same = (
        out.__array_interface__["data"][0] == source.__array_interface__["data"][0]
        and out.shape == source.shape
        and out.strides == source.strides
    )
    return not same and np.may_share_memory(out, source)


def apart(array: np.ndarray, outs: Sequence[np.ndarray]) -> np.ndarray:
    """The array, or a copy where an output lies in its memory."""
    return array.copy() if any(np.may_share_memory(array, out) for out in outs) else array


def run_elementwise(kernel: Callable, inputs: Sequence, outs: Sequence, params: Sequence, compute: type) -> None:
    """``kernel`` over all elements of ``inputs`` into ``outs``; a parameter is a float or an array that fits x."""
    # A kernel reads a parameter array again for its second output.
    params = [apart(p, outs) if isinstance(p, np.ndarray) else p for p in params]
    arrays = [p for p in params if isinstance(p, np.ndarray)]
    if not arrays and all(a.flags.f_contiguous for a in (*inputs, *outs)):
        inputs, outs = [a.T for a in inputs], [out.T for out in outs]
    plain = not arrays and all(is_plain(a, compute) for a in (*inputs, *outs))
    if plain and not any(clash(out, source) for out in outs for source in inputs):
        flat = [out.reshape(-1) for out in outs]
        kernel(*(a.reshape(-1) for a in inputs), *params, out=flat[0] if len(flat) == 1 else tuple(flat))
        return
    strided = getattr(kernel, "strided", None)
    if strided and not any(clash(out, source) for out in outs for source in inputs):
        spread = tuple(np.broadcast_to(p, inputs[-1].shape) if isinstance(p, np.ndarray) else p for p in params)
        if strided(tuple(inputs), tuple(outs), spread):
            return
    operands = [*inputs, *(np.broadcast_to(a, inputs[-1].shape) for a in arrays), *outs]
    readers = len(operands) - len(outs)
    flags = [["readonly", "contig", "aligned", "nbo", "overlap_assume_elementwise"]] * readers
    flags += [["writeonly", "contig", "aligned", "nbo", "overlap_assume_elementwise"]] * len(outs)
    blocks = np.nditer(
        operands,
        flags=["external_loop", "buffered", "zerosize_ok", "copy_if_overlap"],
        op_flags=flags,
        op_dtypes=[compute] * len(operands),
        casting="unsafe",
        buffersize=BLOCK,
    )
    with blocks:
        for block in blocks:
            run_block(kernel, block, len(inputs), len(outs), params)


def run_block(kernel: Callable, block: tuple, inputs: int, outs: int, params: Sequence) -> None:
    """One block of nditer: inputs, parameter arrays, outputs."""
    arrays = iter(block[inputs : len(block) - outs])
    values = [next(arrays) if isinstance(p, np.ndarray) else p for p in params]
    results = block[len(block) - outs :]
    kernel(*block[:inputs], *values, out=results[0] if outs == 1 else results)


def new_like(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A new array of this dtype, laid out in memory like x."""
    return np.empty_like(x, dtype, subok=False)


def sum_of_products(kernel: Callable, gradient: np.ndarray, x: np.ndarray, value: float) -> float:
    """sum(gradient * df/dparameter) in float64, in an order that depends on the length alone."""
    sums = []
    for start in range(0, x.size, SUM_BLOCK):
        block = x[start : start + SUM_BLOCK].astype(np.float64)
        derivative = kernel(block, value, out=np.empty_like(block))
        derivative *= gradient[start : start + SUM_BLOCK]
        sums.append(np.add.reduce(derivative))
    return float(np.add.reduce(np.array(sums)))

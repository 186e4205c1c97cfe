"""Stencils as tables of tensors: the smallest layout that says the same, held once for all layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from omniconv.nn.stencil.layouts import Table
from omniconv.surfaces.neighbours.periodic_stencil import PeriodicStencil
from omniconv.surfaces.neighbours.stencil import Stencil


class Patch(NamedTuple):
    """What all taps of each output see, ``(outputs, seen)``, and with which weights, ``(outputs, taps, seen)``.

    Outputs that see fewer than most, ``counts``, name themselves at the end with weight 0: they or their first sample.
    """

    samples: np.ndarray
    values: np.ndarray
    counts: np.ndarray


class Plan(NamedTuple):
    """A table whose tensors are places among those of a pair."""

    kind: str
    sizes: Sequence[int]
    places: Sequence[int]

    def table(self, tensors: Sequence[Tensor]) -> Table:
        """With the tensors at these places."""
        return Table(self.kind, self.sizes, [tensors[place] for place in self.places])


class StencilPair:
    """A stencil's table and that of its transpose, on a device and in a precision.

    Args:
        stencil: neighbours and fixed weights.
        by_tap: transpose each tap by itself (row ``n · taps + m`` is tap m of input n), not all as one matrix.
        dtype: float64 for that; float32 for all others, half precision too: a Laplacian rounded to bfloat16 would no
            longer send a constant to zero.
        device: where the tensors lie.
    """

    def __init__(self, stencil: Stencil, by_tap: bool, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype = torch.float64 if dtype == torch.float64 else torch.float32
        self.device = device
        with torch.inference_mode(False):  # who trains later holds the same tensors
            tables = _tables(stencil, by_tap)
            unlike = {id(tensor): tensor for table in tables for tensor in table.tensors}  # some are in both
            self.tensors = [self._placed(tensor) for tensor in unlike.values()]
        order = list(unlike)
        self.ahead, self.back = (
            Plan(table.kind, table.sizes, tuple(order.index(id(tensor)) for tensor in table.tensors))
            for table in tables
        )

    def __deepcopy__(self, memo: object) -> StencilPair:
        return self  # nothing in it changes

    def _placed(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, self.dtype if tensor.is_floating_point() else tensor.dtype)


_held: WeakKeyDictionary[Stencil, WeakValueDictionary[tuple, StencilPair]] = WeakKeyDictionary()


def cached_tables(stencil: Stencil, by_tap: bool, dtype: torch.dtype, device: torch.device) -> StencilPair:
    """The tables of a stencil; all who ask for the same hold the same."""
    held = _held.setdefault(stencil, WeakValueDictionary())
    key = by_tap, dtype == torch.float64, device
    pair = held.get(key)
    if pair is None:
        pair = held[key] = StencilPair(stencil, by_tap, dtype, device)
    return pair


def patch_of(stencil: Stencil) -> Patch:
    """A stencil by what each output sees.

    Example:
        >>> ring = Stencil.from_table(np.array([[0, 1], [1, 2], [2, 0]]), inputs=3)
        >>> patch_of(ring).samples.tolist(), patch_of(ring).values[0].tolist()
        ([[0, 1], [1, 2], [0, 2]], [[1.0, 0.0], [0.0, 1.0]])
    """
    entries = stencil.fused.tocoo()
    output, tap = np.divmod(entries.row.astype(np.int64), stencil.taps)
    pairs, place = np.unique(output * stencil.inputs + entries.col, return_inverse=True)
    owner, sample = np.divmod(pairs, stencil.inputs)
    counts = np.bincount(owner, minlength=stencil.outputs)
    begin = np.cumsum(counts) - counts
    slot = np.arange(len(pairs)) - begin[owner]
    itself = np.arange(stencil.outputs) if stencil.inputs == stencil.outputs else np.append(sample, 0)[begin]
    samples = np.repeat(itself[:, None], counts.max(initial=0), axis=1)
    samples[owner, slot] = sample
    values = np.zeros((stencil.outputs, stencil.taps, samples.shape[1]))
    values[output, tap, slot[place]] = entries.data
    return Patch(samples, values, counts)


def _tables(stencil: Stencil, by_tap: bool) -> tuple[Table, Table]:
    if isinstance(stencil, PeriodicStencil):
        return _turns(stencil), _turns(stencil.adjoint if by_tap else stencil.transpose)
    if _repeats_samples(stencil):
        patch = patch_of(stencil)
        table = Table("patches", (), [_int32(patch.samples), torch.from_numpy(patch.values)])
        places = _places(patch) if stencil.inputs == stencil.outputs else None
        if places is not None:
            return table, Table(
                "reversed", (int(by_tap),), [table.tensors[0], torch.from_numpy(places), table.tensors[1]]
            )
        return table, _rows(stencil.transposed_by_tap if by_tap else stencil.transposed)
    return _rows(stencil.fused), _rows(stencil.transposed_by_tap if by_tap else stencil.transposed)


def _repeats_samples(stencil: Stencil) -> bool:
    """Whether taps see the same samples so often that it use_border_strips to name these once."""
    if stencil.taps == 1 or stencil.nnz == 0:
        return False
    together = sum((operator != 0 for operator in stencil.operators[1:]), start=stencil.operators[0] != 0)
    seen = int(np.diff(sparse.csr_array(together).indptr).max())
    return 4 * seen * (1 + stencil.taps) * stencil.outputs < 8 * stencil.nnz + 4 * stencil.taps * stencil.outputs


def _places(patch: Patch) -> np.ndarray | None:
    """Where among the samples of ``samples[n, k]`` n itself is found; ``None`` if somewhere it is not."""
    outputs, seen = patch.samples.shape
    if seen > 256:
        return None
    found = patch.samples[patch.samples] == np.arange(outputs)[:, None, None]  # (n, k, place)
    filled = np.arange(seen) >= patch.counts[:, None]
    if not found.any(axis=2).all():
        return None
    return np.where(filled, np.arange(seen), found.argmax(axis=2)).astype(np.uint8)


def _turns(stencil: PeriodicStencil) -> Table:
    first, lines = stencil.pattern, stencil.output_shape[0]
    ends = first.indptr[:: first.shape[0] // lines].astype(np.int64)
    counts = np.diff(ends)
    if counts.min() == 0:
        return _rows(stencil.fused)
    slots = np.arange(counts.max())
    entry = ends[:-1, None] + np.minimum(slots, counts[:, None] - 1)
    row, column = np.divmod(first.indices[entry].astype(np.int64), stencil.input_shape[1])
    values = np.where(slots < counts[:, None], first.data[entry], 0)
    starts = first.indptr[:-1].reshape(lines, -1) - ends[:-1, None]
    tensors = [_int32(starts), _int32(row * stencil.input_shape[1]), _int32(column), torch.from_numpy(values)]
    return Table("turns", (stencil.repeats, stencil.step), tensors)


def _rows(matrix: sparse.csr_array) -> Table:
    samples = _int32(matrix.indices)
    if matrix.nnz == matrix.shape[0] and (np.diff(matrix.indptr) == 1).all() and (matrix.data == 1).all():
        return Table("picks", (), [samples, torch.empty(0, dtype=torch.float64)])
    few = np.unique(matrix.data[:4096])
    if 0 < len(few) <= 256:
        few = np.unique(matrix.data)
    if 0 < len(few) <= 256:
        codes = np.searchsorted(few, matrix.data).astype(np.uint8)
        return Table("rows", (), [_int32(matrix.indptr), samples, torch.from_numpy(codes), torch.from_numpy(few)])
    return Table("rows", (), [_int32(matrix.indptr), samples, torch.from_numpy(matrix.data)])


def _int32(indices: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(indices, dtype=np.int32))

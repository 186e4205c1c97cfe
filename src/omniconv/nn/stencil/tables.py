"""Build the tensors of a stencil in its smallest layout."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from omniconv.nn.stencil.layouts import (
    CsrLayout,
    EllLayout,
    EllTransposeLayout,
    IndexLayout,
    Layout,
    PeriodicLayout,
    pack_layouts,
)
from omniconv.surfaces.neighbours.periodic_stencil import PeriodicStencil
from omniconv.surfaces.neighbours.stencil import Stencil


class EllTable(NamedTuple):
    """ELL layout of a stencil in NumPy: all taps of an output share their samples.

    Entries beyond ``counts`` have value 0 and name the output itself, or its first sample where inputs and outputs are
    different sets.
    """

    samples: np.ndarray  # (outputs, width)
    values: np.ndarray  # (outputs, taps, width)
    counts: np.ndarray  # samples of each output


def stencil_layouts(stencil: Stencil, by_tap: bool) -> tuple[Layout, Layout]:
    """Return the smallest layouts of a stencil and its transpose, float64 on the CPU."""
    stencil = stencil.computed
    if isinstance(stencil, PeriodicStencil):
        return _periodic(stencil), _periodic(stencil.adjoint if by_tap else stencil.transpose)
    transposed = stencil.transposed_by_tap if by_tap else stencil.transposed
    if not _ell_is_smaller(stencil):
        return _csr(stencil.fused), _csr(transposed)
    table = ell_table(stencil)
    matrix = EllLayout(_int32(table.samples), torch.from_numpy(table.values))
    slot = _slots_in_neighbours(table) if stencil.inputs == stencil.outputs else None
    if slot is None:
        return matrix, _csr(transposed)
    return matrix, EllTransposeLayout(matrix.indices, torch.from_numpy(slot), matrix.values, int(by_tap))


def packed_layouts(stencil: Stencil, by_tap: bool) -> tuple[list[int], list[Tensor]]:
    """Return ``stencil_layouts`` as arguments of a custom op."""
    return pack_layouts(*stencil_layouts(stencil, by_tap))


def ell_table(stencil: Stencil) -> EllTable:
    """Return the ELL layout of a stencil.

    Example:
        >>> ring = Stencil.from_table(np.array([[0, 1], [1, 2], [2, 0]]), inputs=3)
        >>> ell_table(ring).samples.tolist(), ell_table(ring).values[0].tolist()
        ([[0, 1], [1, 2], [0, 2]], [[1.0, 0.0], [0.0, 1.0]])
    """
    entries = stencil.fused.tocoo()
    output, tap = np.divmod(entries.row.astype(np.int64), stencil.taps)
    pairs, inverse = np.unique(output * stencil.inputs + entries.col, return_inverse=True)
    owner, sample = np.divmod(pairs, stencil.inputs)
    counts = np.bincount(owner, minlength=stencil.outputs)
    begin = np.cumsum(counts) - counts
    slot = np.arange(len(pairs)) - begin[owner]
    padding = np.arange(stencil.outputs) if stencil.inputs == stencil.outputs else np.append(sample, 0)[begin]
    samples = np.repeat(padding[:, None], counts.max(initial=0), axis=1)
    samples[owner, slot] = sample
    values = np.zeros((stencil.outputs, stencil.taps, samples.shape[1]))
    values[output, tap, slot[inverse]] = entries.data
    return EllTable(samples, values, counts)


def _ell_is_smaller(stencil: Stencil) -> bool:
    """Compare bytes in float32: ELL with shared samples, or CSR with 8 an entry and 4 a row."""
    if stencil.taps == 1 or stencil.nnz == 0:
        return False
    union = sum((operator != 0 for operator in stencil.operators[1:]), start=stencil.operators[0] != 0)
    width = int(np.diff(sparse.csr_array(union).indptr).max())
    return 4 * width * (1 + stencil.taps) * stencil.outputs < 8 * stencil.nnz + 4 * stencil.taps * stencil.outputs


def _slots_in_neighbours(table: EllTable) -> np.ndarray | None:
    """Return the slot of n in the list of its k-th neighbour, or ``None`` if it is not in every one of them."""
    outputs, width = table.samples.shape
    if width > 256:  # slots are uint8
        return None
    is_own = table.samples[table.samples] == np.arange(outputs)[:, None, None]  # (n, k, slot)
    if not is_own.any(axis=2).all():
        return None
    is_padding = np.arange(width) >= table.counts[:, None]  # a slot whose value is 0 in the list of n itself
    return np.where(is_padding, np.arange(width), is_own.argmax(axis=2)).astype(np.uint8)


def _periodic(stencil: PeriodicStencil) -> Layout:
    pattern, grid_rows = stencil.pattern, stencil.output_shape[0]
    ends = pattern.indptr[:: pattern.shape[0] // grid_rows].astype(np.int64)
    counts = np.diff(ends)
    if counts.min() == 0:  # a grid row without entries has none to repeat as padding
        return _csr(stencil.fused)
    slots = np.arange(counts.max())
    entry = ends[:-1, None] + np.minimum(slots, counts[:, None] - 1)
    row, column = np.divmod(pattern.indices[entry].astype(np.int64), stencil.input_shape[1])
    values = np.where(slots < counts[:, None], pattern.data[entry], 0)
    offsets = pattern.indptr[:-1].reshape(grid_rows, -1) - ends[:-1, None]
    tensors = _int32(offsets), _int32(row * stencil.input_shape[1]), _int32(column), torch.from_numpy(values)
    return PeriodicLayout(*tensors, stencil.repeats, stencil.step)


def _csr(matrix: sparse.csr_array) -> Layout:
    indices = _int32(matrix.indices)
    if matrix.nnz == matrix.shape[0] and (np.diff(matrix.indptr) == 1).all() and (matrix.data == 1).all():
        return IndexLayout(indices, torch.empty(0, dtype=torch.float64, device="cpu"))
    codebook = np.unique(matrix.data[:4096])  # a sample first: sorting all entries only where few values are likely
    if 0 < len(codebook) <= 256:
        codebook = np.unique(matrix.data)
    if 0 < len(codebook) <= 256:
        codes = np.searchsorted(codebook, matrix.data).astype(np.uint8)
        return CsrLayout(_int32(matrix.indptr), indices, torch.from_numpy(codes), torch.from_numpy(codebook))
    return CsrLayout(_int32(matrix.indptr), indices, torch.from_numpy(matrix.data))


def _int32(indices: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(indices, dtype=np.int32))

"""Stencils that are the same along every row of a grid, up to a turn: kept as those of a few outputs of each row."""

from __future__ import annotations

from functools import cached_property
from math import prod

import numpy as np
from scipy import sparse

from omniconv.surfaces.neighbours.stencil import Stencil


class TurnedStencil(Stencil):
    """A stencil between grids of rows and columns that says only what the first outputs of each row see.

    The columns go round. Those outputs, turned by ``step`` input columns ``turns`` times, are all outputs of the row:
    one output in a convolution, two neighbours in the transpose of one of stride 2, which see different samples.

    Args:
        first: rows (output row, column, tap) of a matrix, with columns (input row, column), float64.
        turns: how often a row repeats.
        input_shape: rows and columns that go in.
        output_shape: rows and columns that come out; ``turns`` divides both numbers of columns.
        kernel_shape: how the taps lie in a weight.

    Example:
        >>> ahead = sparse.csr_array(([1.0], ([0], [1])), shape=(1, 4))     # on a ring of four: the next sample
        >>> TurnedStencil(ahead, 4, (1, 4), (1, 4), (1,)).fused.indices.tolist()
        [1, 2, 3, 0]
    """

    first: sparse.csr_array
    turns: int

    def __init__(
        self,
        first: sparse.csr_array,
        turns: int,
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        kernel_shape: tuple[int, ...],
    ) -> None:
        first.sum_duplicates()
        values = first, turns, input_shape, output_shape, kernel_shape
        for name, value in zip(("first", "turns", "input_shape", "output_shape", "kernel_shape"), values, strict=True):
            object.__setattr__(self, name, value)

    @property
    def nnz(self) -> int:
        """Entries of all operators."""
        return self.turns * self.first.nnz

    @property
    def step(self) -> int:
        """Columns of the input from one turn to the next."""
        return self.input_shape[1] // self.turns

    @property
    def operators(self) -> tuple[sparse.csr_array, ...]:
        """One sparse matrix for each tap."""
        fused = self.fused
        return tuple(fused[tap :: self.taps] for tap in range(self.taps))

    @property
    def fused(self) -> sparse.csr_array:
        """All taps as one matrix, worked out for each who asks."""
        return _turned(self.first, self.turns, self.output_shape[0], self.input_shape[1], self.step)

    @property
    def transposed(self) -> sparse.csr_array:
        """The transpose of ``fused``, worked out for each who asks."""
        return sparse.csr_array(self.fused.T)

    @property
    def transposed_by_tap(self) -> sparse.csr_array:
        """The transposed operators as one matrix, worked out for each who asks."""
        return self.adjoint.fused

    @cached_property
    def adjoint(self) -> TurnedStencil:
        """The transpose of every tap."""
        row, phase, tap, entries = self._parts
        input_row, column, own = self._seen_from_first_inputs(entries.col)
        output_columns = self.output_shape[1]
        places = (input_row * self.step + own) * self.taps + tap, row * output_columns + column * self._phases + phase
        return self._reversed(entries.data, places, self.taps, self.output_shape, self.kernel_shape)

    @cached_property
    def transpose(self) -> TurnedStencil:
        """The transpose of ``fused``, with one tap: inputs are the outputs' taps, side by side in each row."""
        row, phase, tap, entries = self._parts
        input_row, column, own = self._seen_from_first_inputs(entries.col)
        rows, columns = self.output_shape
        seen = (row * columns + column * self._phases + phase) * self.taps + tap
        return self._reversed(entries.data, (input_row * self.step + own, seen), 1, (rows, columns * self.taps), (1,))

    @property
    def _phases(self) -> int:
        """Outputs of a row that have entries of their own."""
        return self.output_shape[1] // self.turns

    @property
    def _parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, sparse.coo_array]:
        """Output row, output of that row, and tap of each entry; and the entries."""
        entries = self.first.tocoo()
        output, tap = np.divmod(entries.row.astype(np.int64), self.taps)
        return *np.divmod(output, self._phases), tap, entries

    def _seen_from_first_inputs(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where a first output sees samples: their row, and which turn of it sees which of the row's first inputs."""
        row, column = np.divmod(samples.astype(np.int64), self.input_shape[1])
        turn, own = np.divmod(column, self.step)
        return row, -turn % self.turns, own

    def _reversed(
        self,
        values: np.ndarray,
        places: tuple[np.ndarray, np.ndarray],
        taps: int,
        input_shape: tuple[int, ...],
        kernel_shape: tuple[int, ...],
    ) -> TurnedStencil:
        size = self.input_shape[0] * self.step * taps, prod(input_shape)
        first = sparse.csr_array(sparse.coo_array((values, places), shape=size))
        return TurnedStencil(first, self.turns, input_shape, self.input_shape, kernel_shape)


def _turned(first: sparse.csr_array, turns: int, rows: int, width: int, step: int) -> sparse.csr_array:
    """The entries of all outputs, row by row."""
    kind = np.int32 if first.nnz * turns < 2**31 else np.int64
    turned = step * np.arange(turns, dtype=kind)[:, None]
    row, column = np.divmod(first.indices.astype(kind), width)
    bags = first.shape[0] // rows
    columns, values, counts = [], [], []
    for start in range(0, first.shape[0], bags):
        own = slice(first.indptr[start], first.indptr[start + bags])
        columns.append((row[own] * kind(width) + (column[own] + turned) % width).ravel())
        values.append(np.tile(first.data[own], turns))
        counts.append(np.tile(np.diff(first.indptr[start : start + bags + 1]), turns))
    ends = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(kind)
    fused = sparse.csr_array((np.concatenate(values), np.concatenate(columns), ends), (len(ends) - 1, first.shape[1]))
    fused.sort_indices()
    return fused

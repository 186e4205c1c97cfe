"""Stencils that repeat along every row of a grid, stored as one period of each row."""

from __future__ import annotations

from functools import cached_property
from math import prod

import numpy as np
from scipy import sparse

from omniconv.surfaces.neighbours.stencil import Stencil


class PeriodicStencil(Stencil):
    """A stencil between grids with circular columns, given by the first outputs of each row (one period).

    Rolling these outputs by ``step`` input columns ``repeats`` times gives all outputs of the row. The period is one
    output in a convolution, and two in the transpose of one of stride 2, whose even and odd outputs differ. The
    expanded operators are computed at each access and not kept: they are ``repeats`` times as large as the pattern.

    Args:
        pattern: CSR matrix of one period, float64: rows (output row, output of the period, tap), columns (input row,
            input column).
        repeats: number of periods in a row.
        input_shape: rows and columns of the input.
        output_shape: rows and columns of the output; ``repeats`` divides both numbers of columns.
        kernel_shape: shape of the taps in a weight.

    Example:
        >>> east = sparse.csr_array(([1.0], ([0], [1])), shape=(1, 4))     # on a ring of four: the next sample
        >>> PeriodicStencil(east, 4, (1, 4), (1, 4), (1,)).fused.indices.tolist()
        [1, 2, 3, 0]
    """

    pattern: sparse.csr_array
    repeats: int

    def __init__(
        self, pattern: sparse.csr_array, repeats: int, input_shape: tuple[int, ...], output_shape: tuple[int, ...],
        kernel_shape: tuple[int, ...],
    ) -> None:  # fmt: skip
        pattern.sum_duplicates()
        values = pattern, repeats, input_shape, output_shape, kernel_shape
        names = ("pattern", "repeats", "input_shape", "output_shape", "kernel_shape")
        for name, value in zip(names, values, strict=True):
            object.__setattr__(self, name, value)

    @property
    def nnz(self) -> int:
        """Number of entries of all operators."""
        return self.repeats * self.pattern.nnz

    @property
    def step(self) -> int:
        """Input columns from one period to the next."""
        return self.input_shape[1] // self.repeats

    @property
    def operators(self) -> tuple[sparse.csr_array, ...]:
        """One sparse matrix for each tap."""
        fused = self.fused
        return tuple(fused[tap :: self.taps] for tap in range(self.taps))

    @property
    def fused(self) -> sparse.csr_array:
        """All taps as one matrix, as ``Stencil.fused``."""
        return _expand(self.pattern, self.repeats, self.output_shape[0], self.input_shape[1], self.step)

    @property
    def transposed(self) -> sparse.csr_array:
        """The transpose of ``fused``."""
        return sparse.csr_array(self.fused.T)

    @property
    def transposed_by_tap(self) -> sparse.csr_array:
        """The transposed operators as one matrix, as ``Stencil.transposed_by_tap``."""
        return self.adjoint.fused

    @cached_property
    def adjoint(self) -> PeriodicStencil:
        """The stencil of the transposed taps."""
        return self._transposed(self.output_shape, self.kernel_shape)

    @cached_property
    def transpose(self) -> PeriodicStencil:
        """The transpose of ``fused`` as a stencil of one tap; its input rows hold the outputs' taps side by side."""
        rows, columns = self.output_shape
        return self._transposed((rows, columns * self.taps), (1,))

    def _transposed(self, input_shape: tuple[int, ...], kernel_shape: tuple[int, ...]) -> PeriodicStencil:
        """Return the stencil of the transposed entries, whose taps go to its rows or, with one tap, to its columns."""
        entries = self.pattern.tocoo()
        output, tap = np.divmod(entries.row.astype(np.int64), self.taps)
        phases = self.output_shape[1] // self.repeats  # outputs of one period
        row, phase = np.divmod(output, phases)
        input_row, column = np.divmod(entries.col.astype(np.int64), self.input_shape[1])
        # As the first period reads this column, the one `period` periods earlier reads one of the first `step` columns.
        period, first_column = np.divmod(column, self.step)
        target = input_row * self.step + first_column
        source = row * self.output_shape[1] + -period % self.repeats * phases + phase
        taps = prod(kernel_shape)
        coordinates = (target * taps + tap, source) if taps == self.taps else (target, source * self.taps + tap)
        size = self.input_shape[0] * self.step * taps, prod(input_shape)
        pattern = sparse.csr_array((entries.data, coordinates), shape=size)
        return PeriodicStencil(pattern, self.repeats, input_shape, self.input_shape, kernel_shape)


def _expand(pattern: sparse.csr_array, repeats: int, rows: int, width: int, step: int) -> sparse.csr_array:
    """Return the matrix of all periods, built row by row because rows differ in their number of entries."""
    index_type = np.int32 if pattern.nnz * repeats < 2**31 else np.int64
    shifts = step * np.arange(repeats, dtype=index_type)[:, None]
    row, column = np.divmod(pattern.indices.astype(index_type), width)
    per_row = pattern.shape[0] // rows
    columns, values, counts = [], [], []
    for start in range(0, pattern.shape[0], per_row):
        own = slice(pattern.indptr[start], pattern.indptr[start + per_row])
        columns.append((row[own] * index_type(width) + (column[own] + shifts) % width).ravel())
        values.append(np.tile(pattern.data[own], repeats))
        counts.append(np.tile(np.diff(pattern.indptr[start : start + per_row + 1]), repeats))
    ends = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(index_type)
    entries = np.concatenate(values), np.concatenate(columns), ends
    fused = sparse.csr_array(entries, (len(ends) - 1, pattern.shape[1]))
    fused.sort_indices()
    return fused

"""Max and Lp pooling of windows given by a stencil.

A stencil with one operator names the samples of each window. A stencil with several operators interpolates one sample
of the window by each of them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from omniconv.nn.grid.pool import safe_pow
from omniconv.nn.stencil.modules import SparseOperator, StencilProduct, to_channels_first, to_channels_last
from omniconv.nn.surface_tables.table_module import TableModule
from omniconv.surfaces.neighbours.stencil import Stencil


class _MaxPool(TableModule):
    """Base of max poolings; table ``windows`` ``(N', window)`` has the index of the (nearest) sample of each entry."""

    stencil: Stencil

    def forward(self, x: Tensor) -> Tensor:
        return to_channels_first(self._gather_windows(x).amax(2), self.stencil)

    def with_switches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maxima and the index of each."""
        values, entries = self._gather_windows(x).max(2)  # (B, N', C)
        switches = self._windows(x).expand(*x.shape[:1], -1, -1).gather(2, entries)
        return to_channels_first(values, self.stencil), to_channels_first(switches, self.stencil)

    def _windows(self, x: Tensor) -> Tensor:
        return self.table("windows", x).tensors[0]

    def _gather_windows(self, x: Tensor) -> Tensor:
        """Return the samples of each window, ``(B, N', window, C)``."""
        raise NotImplementedError


class StencilMaxPool(_MaxPool):
    """Maximum of the samples of each window, which are the neighbours in a stencil's first operator."""

    def __init__(self, stencil: Stencil) -> None:
        super().__init__()
        self.stencil = stencil
        self.set_table("windows", _neighbours, stencil)

    def _gather_windows(self, x: Tensor) -> Tensor:
        windows = self._windows(x)
        samples = to_channels_last(x, self.stencil).contiguous().index_select(1, windows.flatten())
        return samples.unflatten(1, tuple(windows.shape))


class InterpolatedMaxPool(_MaxPool, SparseOperator):
    """Maximum of the interpolated samples of each window; switches name the nearest sample of the surface."""

    def __init__(self, stencil: Stencil) -> None:
        super().__init__(stencil)
        self.set_table("windows", _largest_entries, stencil)

    def _gather_windows(self, x: Tensor) -> Tensor:
        return _interpolate_windows(self, x)


class StencilLpPool(StencilProduct):
    """p-norm of the samples of each window, weighted by their share of the window.

    The stencil averages; its means are scaled by the largest number of samples in a window, so that windows of equal
    shares give the p-norm.
    """

    def __init__(self, stencil: Stencil, p: float) -> None:
        super().__init__(stencil)
        self.p = p
        self.set_table("window_size", _window_size, stencil)

    def forward(self, x: Tensor) -> Tensor:
        (samples,) = self.table("window_size", x).plan
        return safe_pow(super().forward(safe_pow(x.abs(), self.p)) * samples, 1 / self.p)


class InterpolatedLpPool(SparseOperator):
    """p-norm of the interpolated samples of each window."""

    def __init__(self, stencil: Stencil, p: float) -> None:
        super().__init__(stencil)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        powers = safe_pow(_interpolate_windows(self, x).abs(), self.p)
        return to_channels_first(safe_pow(powers.sum(2), 1 / self.p), self.stencil)


def make_max_pool(stencil: Stencil) -> StencilMaxPool | InterpolatedMaxPool:
    """Return the max pooling for windows given as one operator, or as one operator for each of their samples."""
    return StencilMaxPool(stencil) if stencil.taps == 1 else InterpolatedMaxPool(stencil)


def make_lp_pool(stencil: Stencil, p: float) -> StencilLpPool | InterpolatedLpPool:
    """Return the Lp pooling for windows given as one operator, or as one operator for each of their samples."""
    return StencilLpPool(stencil, p) if stencil.taps == 1 else InterpolatedLpPool(stencil, p)


def _interpolate_windows(operator: SparseOperator, x: Tensor) -> Tensor:
    """Return the samples of each window, ``(B, N', window, C)``, from a signal ``(B, C, *shape)``."""
    return operator.matmul(to_channels_last(x, operator.stencil)).unflatten(1, (-1, operator.stencil.taps))


def _window_size(stencil: Stencil) -> tuple[list[int], list[Tensor]]:
    """Return the largest number of samples of a window."""
    return [int(np.diff(stencil.operators[0].indptr).max())], []


def _neighbours(stencil: Stencil) -> tuple[list[int], list[Tensor]]:
    """Return the columns in each row of the first operator, ``(N', window)``; a shorter row repeats its last."""
    operator = stencil.operators[0]
    counts = np.diff(operator.indptr)
    slots = np.minimum(np.arange(counts.max())[None, :], counts[:, None] - 1)
    return [], [torch.from_numpy(operator.indices[operator.indptr[:-1, None] + slots].astype(np.int64))]


def _largest_entries(stencil: Stencil) -> tuple[list[int], list[Tensor]]:
    """Return the column of the largest entry in each row, ``(N', taps)``."""
    matrix = stencil.fused
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((-matrix.data, row))
    largest = matrix.indices[order[matrix.indptr[:-1]]].astype(np.int64)
    return [], [torch.from_numpy(largest.reshape(-1, stencil.taps))]

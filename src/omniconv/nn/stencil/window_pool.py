"""Pooling of windows whose samples lie between those of the surface: each is interpolated first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np
import torch
from torch import Tensor

from omniconv.nn.grid.pool import safe_pow
from omniconv.nn.stencil.modules import SparseOperator, StencilLpPool, StencilMaxPool
from omniconv.surfaces.neighbours.stencil import Stencil


class InterpolatedMaxPool(SparseOperator):
    """Maximum of the interpolated samples of each window; switches name the nearest sample of the surface.

    Args:
        stencil: one operator for each sample of a window.
    """

    nearest: Tensor

    def __init__(self, stencil: Stencil) -> None:
        super().__init__(stencil)
        self.register_buffer("nearest", torch.from_numpy(_largest_entries(stencil)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, *shape)`` to ``(batch, channels, *shape)``, channels last in memory."""
        return self.to_channels_first(_gather_windows(self, x).amax(2))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.nearest = fn(self.nearest)
        return super()._apply(fn, recurse)

    def with_switches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maxima, and the index of the sample nearest to each."""
        values, taps = _gather_windows(self, x).max(2)  # (B, N', C)
        switches = self.nearest.expand(*x.shape[:1], -1, -1).gather(2, taps)
        return self.to_channels_first(values), self.to_channels_first(switches)


class InterpolatedLpPool(SparseOperator):
    """p-norm of the interpolated samples of each window.

    Args:
        stencil: one operator for each sample of a window.
        p: exponent.
    """

    def __init__(self, stencil: Stencil, p: float) -> None:
        super().__init__(stencil)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, *shape)`` to ``(batch, channels, *shape)``, channels last in memory."""
        return self.to_channels_first(safe_pow(safe_pow(_gather_windows(self, x).abs(), self.p).sum(2), 1 / self.p))


def make_max_pool(stencil: Stencil) -> StencilMaxPool | InterpolatedMaxPool:
    """Return the max pooling for windows given as one operator, or as one operator for each of their samples."""
    return StencilMaxPool(stencil) if stencil.taps == 1 else InterpolatedMaxPool(stencil)


def make_lp_pool(stencil: Stencil, p: float) -> StencilLpPool | InterpolatedLpPool:
    """Return the Lp pooling for windows given as one operator, or as one operator for each of their samples."""
    return StencilLpPool(stencil, p) if stencil.taps == 1 else InterpolatedLpPool(stencil, p)


def _gather_windows(operator: SparseOperator, x: Tensor) -> Tensor:
    """Return the samples of each window, ``(B, N', taps, C)``, from a signal ``(B, C, *shape)``."""
    return operator.matmul(operator.to_channels_last(x)).unflatten(1, (-1, operator.stencil.taps))


def _largest_entries(stencil: Stencil) -> np.ndarray:
    """Return the column of the largest entry in each row, ``(N', taps)``."""
    matrix = stencil.fused
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((-matrix.data, row))
    return matrix.indices[order[matrix.indptr[:-1]]].astype(np.int64).reshape(-1, stencil.taps)

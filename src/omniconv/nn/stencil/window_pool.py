"""Pooling of windows whose samples lie between those of the surface: each is interpolated, then they are compared."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from omniconv.nn.grid.pool import safe_pow
from omniconv.nn.stencil.modules import SparseOperator, StencilLpPool, StencilMaxPool
from omniconv.surfaces.neighbours.stencil import Stencil


class _Windows(SparseOperator):
    """Windows with one operator for each of their samples."""

    def seen(self, x: Tensor) -> Tensor:
        """A signal ``(B, C, *shape)`` as the samples of each window, ``(B, N', taps, C)``."""
        return self.times(self.rows(x)).unflatten(1, (-1, self.stencil.taps))


class InterpolatedMaxPool(_Windows):
    """The largest of the interpolated samples of each window; switches name who has the largest share of it.

    Args:
        stencil: one operator for each sample of a window.
    """

    owners: Tensor

    def __init__(self, stencil: Stencil) -> None:
        super().__init__(stencil)
        self.register_buffer("owners", torch.from_numpy(_owners(stencil)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, *shape)`` to ``(batch, channels, *shape)``, in memory channels last."""
        return self.signal(self.seen(x).amax(2))

    def with_switches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The largest samples, and the index of the one nearest to each."""
        values, taps = self.seen(x).max(2)  # (B, N', C)
        switches = self.owners.expand(*x.shape[:1], -1, -1).gather(2, taps)
        return self.signal(values), self.signal(switches)


class InterpolatedLpPool(_Windows):
    """The p-norm of the interpolated samples of each window.

    Args:
        stencil: one operator for each sample of a window.
        p: exponent.
    """

    def __init__(self, stencil: Stencil, p: float) -> None:
        super().__init__(stencil)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, *shape)`` to ``(batch, channels, *shape)``, in memory channels last."""
        return self.signal(safe_pow(safe_pow(self.seen(x).abs(), self.p).sum(2), 1 / self.p))


def make_max_pool(stencil: Stencil) -> StencilMaxPool | InterpolatedMaxPool:
    """The layer that finds the largest sample of windows, given as one operator or as one for each sample."""
    return StencilMaxPool(stencil) if stencil.taps == 1 else InterpolatedMaxPool(stencil)


def make_lp_pool(stencil: Stencil, p: float) -> StencilLpPool | InterpolatedLpPool:
    """The layer of the p-norm of windows, given as one operator or as one for each sample."""
    return StencilLpPool(stencil, p) if stencil.taps == 1 else InterpolatedLpPool(stencil, p)


def _owners(stencil: Stencil) -> np.ndarray:
    """The sample with the largest share in each operator's row, ``(N', taps)``."""
    matrix = stencil.fused
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((-matrix.data, row))
    return matrix.indices[order[matrix.indptr[:-1]]].astype(np.int64).reshape(-1, stencil.taps)

"""Layers without weights of their own on samples that lie anywhere: a stencil put to work on tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.nn.arguments import check_signal
from omniconv.nn.grid.pool import safe_pow
from omniconv.nn.stencil.halo_ops import halo_convolution, reference_halo_convolution
from omniconv.nn.stencil.layouts import Table
from omniconv.nn.stencil.ops import stencil_convolution, stencil_product
from omniconv.nn.stencil.reference import plain_convolution, plain_product
from omniconv.nn.stencil.tables import cached_tables
from omniconv.nn.torch_private import needs_forward_ad
from omniconv.surfaces.neighbours.halo_stencil import HaloStencil
from omniconv.surfaces.neighbours.stencil import Stencil


class SparseOperator(nn.Module):
    """A stencil's tables as tensors that follow their module to its device and precision; layers share them."""

    def __init__(self, stencil: Stencil, by_tap: bool = False, tabled: Stencil | None = None) -> None:
        super().__init__()
        self.stencil, self.by_tap = stencil, by_tap
        self.tabled = tabled or stencil
        self._adopt(torch.get_default_dtype(), torch.empty(0).device)

    @property
    def tables(self) -> list[Tensor]:
        """The tensors of both tables, as they lie in this module."""
        return [getattr(self, f"table_{place}") for place in range(len(self.pair.tensors))]

    @property
    def ahead(self) -> Table:
        """The operators."""
        return self.pair.ahead.table(self.tables)

    @property
    def back(self) -> Table:
        """Their transposes."""
        return self.pair.back.table(self.tables)

    def times(self, rows: Tensor) -> Tensor:
        """Every operator times each picture: ``(B, N, C)`` to ``(B, N' · taps, C)``."""
        if needs_forward_ad():
            return plain_product(rows, self.ahead.layout)
        return stencil_product(rows, *self.ahead, *self.back)

    def convolve(self, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Every operator, then weights ``(taps · C, O)`` and a bias: ``(B, N, C)`` to ``(B, N', O)``."""
        if needs_forward_ad():
            return plain_convolution(rows, weight, bias, self.ahead.layout)
        return stencil_convolution(rows, weight, bias, *self.ahead, *self.back)

    def rows(self, x: Tensor) -> Tensor:
        """A signal ``(B, C, *shape)`` as rows of channels ``(B, N, C)``."""
        return rows_of(x, self.stencil)

    def signal(self, rows: Tensor) -> Tensor:
        """Rows of channels that came out, ``(B, N', C)``, as a signal ``(B, C, *shape)``, in memory channels last."""
        return signal_of(rows, self.stencil)

    def _adopt(self, dtype: torch.dtype, device: torch.device) -> None:
        """Take the tables that all layers on this stencil share."""
        self.pair = cached_tables(self.tabled, self.by_tap, dtype, device)
        for place, tensor in enumerate(self.pair.tensors):  # an alias each: tracing allows no module another's own
            self.register_buffer(f"table_{place}", tensor.detach(), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        probe = fn(torch.empty(0, dtype=self.pair.dtype, device=self.pair.device))
        self._adopt(probe.dtype, probe.device)
        return self


class StencilConvolution(SparseOperator):
    """``y = Σ_m W_m (S_m x)``: ``forward(x, weight, bias)`` with weights ``(out, in / groups, *kernel_shape)``.

    Args:
        stencil: neighbours and fixed weights.
        groups: groups of channels.
    """

    def __init__(self, stencil: Stencil, groups: int) -> None:
        super().__init__(stencil, by_tap=groups == 1)
        self.groups = groups
        self.multiply = self._multiply if groups == 1 else self._multiply_groups

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """``(batch, in, *shape)`` to ``(batch, out, *shape)``, in memory channels last."""
        return self.signal(self.multiply(self.rows(x), weight.flatten(2), bias))

    def _multiply(self, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        by_tap = weight.permute(2, 1, 0).reshape(-1, weight.shape[0])  # (taps · in, out)
        return self.convolve(rows, by_tap, bias)

    def _multiply_groups(self, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        taps = weight.shape[2]
        gathered = self.times(rows).unflatten(1, (-1, taps))  # (B, N', taps, in)
        channels = gathered.permute(0, 3, 2, 1).flatten(1, 2)  # (B, in · taps, N')
        return F.conv1d(channels, weight.flatten(1)[..., None], bias, groups=self.groups).transpose(1, 2)


class HaloConvolution(StencilConvolution):
    """The same where the stencil is the windows of framed faces: the backend's dense convolution does the work.

    Args:
        stencil: windows, faces and frame.
    """

    places: Tensor
    order: Tensor

    def __init__(self, stencil: HaloStencil) -> None:
        SparseOperator.__init__(self, stencil, tabled=stencil.halo)
        self.groups, self.multiply = 1, self._multiply
        places = torch.from_numpy(stencil.faces.astype(np.int32))
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("order", places.flatten().argsort().int(), persistent=False)

    def convolve(self, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Weights ``(9 · C, O)`` and a bias: ``(B, N, C)`` to ``(B, N, O)``."""
        kernel = weight.view(3, 3, -1, weight.shape[1]).permute(3, 2, 0, 1)
        if needs_forward_ad():
            return reference_halo_convolution(rows, kernel, bias, self.places, self.order, self.ahead.layout)
        return halo_convolution(rows, kernel, bias, self.places, self.order, *self.ahead, *self.back)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.places, self.order = fn(self.places), fn(self.order)
        return super()._apply(fn, recurse)


class PointwiseConvolution(nn.Module):
    """A convolution whose stencil is the identity: every sample by itself."""

    def __init__(self, stencil: Stencil, groups: int) -> None:
        super().__init__()
        self.stencil, self.groups = stencil, groups
        self.multiply = self._multiply if groups == 1 else self._multiply_groups

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """``(batch, in, *shape)`` to ``(batch, out, *shape)``, in memory channels last unless in groups."""
        check_signal(x, None, len(self.stencil.input_shape), self.stencil.input_shape)
        return self.multiply(x.flatten(2), weight.flatten(1), bias).unflatten(2, self.stencil.output_shape)

    def _multiply(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x.transpose(1, 2), weight, bias).transpose(1, 2)

    def _multiply_groups(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv1d(x, weight[..., None], bias, groups=self.groups)


class StencilProduct(SparseOperator):
    """A stencil of one operator on every channel alike: averages, interpolation, maps."""

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, *shape)`` to ``(batch, channels, *shape)``, in memory channels last."""
        return self.signal(self.times(self.rows(x)))


class StencilMaxPool(nn.Module):
    """The largest of the samples that a stencil's first operator sees."""

    windows: Tensor

    def __init__(self, stencil: Stencil) -> None:
        super().__init__()
        self.stencil = stencil
        self.register_buffer("windows", torch.from_numpy(_windows(stencil)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, *shape)`` to ``(batch, channels, *shape)``, in memory channels last."""
        return signal_of(self._seen(x).amax(2), self.stencil)

    def with_switches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The largest samples, and the index of each."""
        values, taps = self._seen(x).max(2)  # (B, N', C)
        switches = self.windows.expand(*x.shape[:1], -1, -1).gather(2, taps)
        return signal_of(values, self.stencil), signal_of(switches, self.stencil)

    def _seen(self, x: Tensor) -> Tensor:
        """``(B, N', most, C)``."""
        seen = rows_of(x, self.stencil).contiguous().index_select(1, self.windows.flatten())
        return seen.unflatten(1, tuple(self.windows.shape))


class StencilLpPool(StencilProduct):
    """The p-norm of the samples that a stencil of averages sees, each by its share of the window.

    Args:
        stencil: averages; they are scaled so that windows of equal shares give the plain norm.
        p: exponent.
    """

    def __init__(self, stencil: Stencil, p: float) -> None:
        super().__init__(stencil)
        self.p, self.samples = p, int(np.diff(stencil.operators[0].indptr).max())

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, *shape)`` to ``(batch, channels, *shape)``, in memory channels last."""
        return safe_pow(super().forward(safe_pow(x.abs(), self.p)) * self.samples, 1 / self.p)


def rows_of(x: Tensor, stencil: Stencil) -> Tensor:
    """A signal ``(B, C, *shape)`` that a stencil takes, as rows of channels ``(B, N, C)``."""
    check_signal(x, None, len(stencil.input_shape), stencil.input_shape)
    return x.flatten(2).transpose(1, 2)


def signal_of(rows: Tensor, stencil: Stencil) -> Tensor:
    """Rows of channels that come out of a stencil, ``(B, N', C)``, as a signal ``(B, C, *shape)``."""
    return rows.transpose(1, 2).unflatten(2, stencil.output_shape)


def make_stencil_convolution(stencil: Stencil, groups: int) -> StencilConvolution | PointwiseConvolution:
    """The cheapest layer that convolves on a stencil."""
    if isinstance(stencil, HaloStencil) and groups == 1:
        return HaloConvolution(stencil)
    return PointwiseConvolution(stencil, groups) if _is_identity(stencil) else StencilConvolution(stencil, groups)


def _is_identity(stencil: Stencil) -> bool:
    if stencil.taps != 1 or stencil.inputs != stencil.outputs or stencil.nnz != stencil.outputs:
        return False
    return bool((stencil.fused.diagonal() == 1).all())


def _windows(stencil: Stencil) -> np.ndarray:
    """Samples in each row of the first operator, ``(N', most)``; a shorter row repeats its last."""
    operator = stencil.operators[0]
    counts = np.diff(operator.indptr)
    slots = np.minimum(np.arange(counts.max())[None, :], counts[:, None] - 1)
    return operator.indices[operator.indptr[:-1, None] + slots].astype(np.int64)

"""Layers without weights of their own on samples that lie anywhere: a stencil put to work on tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor, nn
from torch.autograd import forward_ad

from omniconv.nn.arguments import check_signal
from omniconv.nn.grid_pooling import power
from omniconv.nn.stencil_product import (
    Tables,
    plain_convolution,
    plain_product,
    stencil_convolution,
    stencil_product,
)
from omniconv.surfaces.stencil import Stencil


class StencilTables(nn.Module):
    """A stencil's tables as tensors that follow their module to its device and precision.

    Values come anew from the stencil's float64 when the precision changes, and stay in float32 for half precision:
    a Laplacian rounded to bfloat16 would no longer send a constant to zero.
    """

    values: Tensor
    transposed_values: Tensor

    def __init__(self, stencil: Stencil, by_tap: bool = False) -> None:
        super().__init__()
        self.stencil = stencil
        self.matrices = stencil.fused, stencil.transposed_by_tap if by_tap else stencil.transposed
        for name, tensor in zip(Tables._fields, _tables(self.matrices, torch.get_default_dtype()), strict=True):
            self.register_buffer(name, tensor, persistent=False)

    @property
    def tables(self) -> Tables:
        """Rows, columns, values, and those of the transpose."""
        return Tables(*(getattr(self, name) for name in Tables._fields))

    def times(self, rows: Tensor) -> Tensor:
        """Every operator times each picture: ``(B, N, C)`` to ``(B, N' · taps, C)``."""
        if derives_forward():
            return plain_product(rows, *self.tables[:3])
        return stencil_product(rows, *self.tables)

    def convolve(self, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Every operator, then weights ``(taps · C, O)`` and a bias: ``(B, N, C)`` to ``(B, N', O)``."""
        if derives_forward():
            return plain_convolution(rows, weight, bias, *self.tables[:3])
        return stencil_convolution(rows, weight, bias, *self.tables)

    def rows(self, x: Tensor) -> Tensor:
        """A signal ``(B, C, *shape)`` as rows of channels ``(B, N, C)``."""
        return rows_of(x, self.stencil)

    def signal(self, rows: Tensor) -> Tensor:
        """Rows of channels that came out, ``(B, N', C)``, as a signal ``(B, C, *shape)``, in memory channels last."""
        return signal_of(rows, self.stencil)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        before = self.values.dtype
        super()._apply(fn, recurse)
        if self.values.dtype != before:
            exact = _tables(self.matrices, self.values.dtype)
            self.values = exact.values.to(self.values.device)
            self.transposed_values = exact.transposed_values.to(self.values.device)
        return self


class StencilConvolution(StencilTables):
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


class StencilProduct(StencilTables):
    """A stencil of one operator on every channel alike: averages, interpolation, maps."""

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, *shape)`` to ``(batch, channels, *shape)``, in memory channels last."""
        return self.signal(self.times(self.rows(x)))


class StencilMaximum(nn.Module):
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
        seen = rows_of(x, self.stencil).index_select(1, self.windows.flatten())
        return seen.unflatten(1, tuple(self.windows.shape))


class StencilPower(StencilProduct):
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
        return power(super().forward(power(x.abs(), self.p)) * self.samples, 1 / self.p)


def derives_forward() -> bool:
    """Whether derivatives are asked for that operators of one's own do not have: forward mode, ``torch.func``."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def rows_of(x: Tensor, stencil: Stencil) -> Tensor:
    """A signal ``(B, C, *shape)`` that a stencil takes, as rows of channels ``(B, N, C)``."""
    check_signal(x, None, len(stencil.input_shape), stencil.input_shape)
    return x.flatten(2).transpose(1, 2).contiguous()


def signal_of(rows: Tensor, stencil: Stencil) -> Tensor:
    """Rows of channels that come out of a stencil, ``(B, N', C)``, as a signal ``(B, C, *shape)``."""
    return rows.transpose(1, 2).unflatten(2, stencil.output_shape)


def convolution_on(stencil: Stencil, groups: int) -> StencilConvolution | PointwiseConvolution:
    """The cheapest layer that convolves on a stencil."""
    return PointwiseConvolution(stencil, groups) if _is_identity(stencil) else StencilConvolution(stencil, groups)


def _is_identity(stencil: Stencil) -> bool:
    if stencil.taps != 1 or stencil.inputs != stencil.outputs or stencil.fused.nnz != stencil.outputs:
        return False
    return bool((stencil.fused.diagonal() == 1).all())


def _tables(matrices: tuple[sparse.csr_array, ...], dtype: torch.dtype) -> Tables:
    precise = torch.float64 if dtype == torch.float64 else torch.float32
    tensors = []
    for matrix in matrices:
        if matrix.nnz == matrix.shape[0] and (np.diff(matrix.indptr) == 1).all() and (matrix.data == 1).all():
            columns = torch.from_numpy(matrix.indices.astype(np.int32))
            tensors += [columns.new_empty(0), columns, torch.empty(0, dtype=precise)]
            continue
        tensors += [torch.from_numpy(matrix.indptr.astype(np.int32)), torch.from_numpy(matrix.indices.astype(np.int32))]
        tensors.append(torch.from_numpy(matrix.data).to(precise))
    return Tables(*tensors)


def _windows(stencil: Stencil) -> np.ndarray:
    """Samples in each row of the first operator, ``(N', most)``; a shorter row repeats its last."""
    operator = stencil.operators[0]
    counts = np.diff(operator.indptr)
    slots = np.minimum(np.arange(counts.max())[None, :], counts[:, None] - 1)
    return operator.indices[operator.indptr[:-1, None] + slots].astype(np.int64)

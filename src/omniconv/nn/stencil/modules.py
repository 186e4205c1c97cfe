"""Modules on stencils without learned parameters: convolution, and the product with one matrix."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.nn.stencil.backends import Backend, CustomOps, HaloOps, StandardOps
from omniconv.nn.surface_tables.table_module import TableModule
from omniconv.surfaces.neighbours.stencil import Stencil


class SparseOperator(TableModule):
    """Base of modules that multiply signals by a stencil's sparse matrices.

    ``by_tap`` transposes each tap by itself, as ``convolve`` needs it.
    """

    def __init__(self, stencil: Stencil, by_tap: bool = False, backend: Backend | None = None) -> None:
        super().__init__()
        self.stencil, self.by_tap = stencil, by_tap
        self._use(backend or CustomOps())

    def use_standard_ops(self) -> None:
        """Compute with torch's own operators from now on: slower, with larger tables, but exportable."""
        self._use(StandardOps())

    def matmul(self, x: Tensor) -> Tensor:
        """Multiply by every operator: ``(B, N, C)`` to ``(B, N' · taps, C)``."""
        tables = self.table("operators", x)
        return self.backend.matmul(x, tables.plan, tables.tensors)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Multiply by every operator, then by a weight ``(taps · C, O)``: ``(B, N, C)`` to ``(B, N', O)``."""
        tables = self.table("operators", x)
        return self.backend.convolve(x, weight, bias, tables.plan, tables.tensors)

    def _use(self, backend: Backend) -> None:
        self.backend = backend
        self.set_table("operators", backend.build, self.stencil, self.by_tap)


class StencilConvolution(SparseOperator):
    """Convolution ``y = Σ_m W_m (S_m x)`` with weights ``(out, in / groups, *kernel_shape)``.

    ``forward(x, weight, bias)`` maps ``(batch, in, *shape)`` to ``(batch, out, *shape)``, channels last in memory.
    """

    def __init__(self, stencil: Stencil, groups: int) -> None:
        # HaloOps is faster than a gather of nine taps (see halo_ops), but not group by group.
        backend = HaloOps() if stencil.is_halo and groups == 1 else CustomOps()
        super().__init__(stencil, by_tap=groups == 1, backend=backend)
        self.groups = groups
        self.multiply = self._multiply if groups == 1 else self._multiply_groups

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        y = self.multiply(to_channels_last(x, self.stencil), weight.flatten(2), bias)
        return to_channels_first(y, self.stencil)

    def _multiply(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        by_tap = weight.permute(2, 1, 0).reshape(-1, weight.shape[0])  # (taps · in, out)
        return self.convolve(x, by_tap, bias)

    def _multiply_groups(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        gathered = self.matmul(x).unflatten(1, (-1, weight.shape[2]))  # (B, N', taps, in)
        channels = gathered.permute(0, 3, 2, 1).flatten(1, 2)  # (B, in · taps, N')
        return F.conv1d(channels, weight.flatten(1)[..., None], bias, groups=self.groups).transpose(1, 2)


class PointwiseConvolution(nn.Module):
    """Convolution whose stencil is the identity: a linear layer on the channels of every sample."""

    def __init__(self, stencil: Stencil, groups: int) -> None:
        super().__init__()
        self.stencil, self.groups = stencil, groups
        self.multiply = self._multiply if groups == 1 else self._multiply_groups

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return self.multiply(x.flatten(2), weight.flatten(1), bias).unflatten(2, self.stencil.output_shape)

    def _multiply(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x.transpose(1, 2), weight, bias).transpose(1, 2)

    def _multiply_groups(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv1d(x, weight[..., None], bias, groups=self.groups)


class StencilProduct(SparseOperator):
    """Product of every channel with the one matrix of a stencil: average pooling, interpolation, resampling."""

    def forward(self, x: Tensor) -> Tensor:
        return to_channels_first(self.matmul(to_channels_last(x, self.stencil)), self.stencil)


def to_channels_last(x: Tensor, stencil: Stencil) -> Tensor:
    """Return an input ``(B, C, *shape)`` of a stencil as ``(B, N, C)``."""
    return x.flatten(2).transpose(1, 2)


def to_channels_first(y: Tensor, stencil: Stencil) -> Tensor:
    """Return an output ``(B, N', C)`` of a stencil as ``(B, C, *shape)``, channels last in memory."""
    return y.transpose(1, 2).unflatten(2, stencil.output_shape)


def concatenate(signals: Sequence[Tensor]) -> Tensor:
    """Concatenate signals ``(B, C, *grid)`` along their channels; mesh signals that are channels last stay so.

    ``torch.cat`` of channels-last ``(B, C, N)`` is contiguous (torch 2.13), and the next layer would transpose it.
    """
    # Not on the meta device: summaries follow the axes of a signal there, and take axis 2 for its samples.
    if all(x.ndim == 3 and x.stride(1) == 1 and not x.is_meta for x in signals):
        return torch.cat([x.transpose(1, 2) for x in signals], 2).transpose(1, 2)
    return torch.cat(list(signals), 1)


def make_stencil_convolution(stencil: Stencil, groups: int) -> StencilConvolution | PointwiseConvolution:
    """Return the module that convolves on a stencil; one that is the identity needs no gather."""
    return PointwiseConvolution(stencil, groups) if stencil.is_identity else StencilConvolution(stencil, groups)

"""What omniconv's own layers see of their input, and what they cost, whatever does their work inside."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from typing import Any

from torch import Tensor, nn

from omniconv.arithmetic import multiply_adds
from omniconv.nn import AvgPool, Conv, ConvTranspose, GlobalAvgPool, MaxPool, Upsample
from omniconv.nn.arguments import Size, per_axis
from omniconv.nn.stencil import StencilConvolution
from omniconv.summaries.function_sight import Moves, resize, windows
from omniconv.summaries.reach import Move, transposed, window
from omniconv.surfaces import Stencil

OMNICONV_LAYERS = (Conv, ConvTranspose, MaxPool, AvgPool, GlobalAvgPool, Upsample)


@singledispatch
def layer_moves(layer: nn.Module, result: Tensor, x: Tensor) -> Moves:
    """How a layer moves along each grid axis; a mesh has one, on which distances count in rings."""
    raise NotImplementedError(type(layer).__name__)


@layer_moves.register(Conv)
@layer_moves.register(MaxPool)
@layer_moves.register(AvgPool)
def _(layer: Any, result: Tensor, x: Tensor) -> Moves:
    if _on_mesh(layer):
        return _mesh_window(window, layer, layer.kernel_size if isinstance(layer, Conv) else _pool_span(layer))
    return windows(window, x.shape[2:], layer.kernel_size, layer.stride, layer.padding, layer.dilation)


@layer_moves.register
def _(layer: ConvTranspose, result: Tensor, x: Tensor) -> Moves:
    if _on_mesh(layer):
        return _mesh_window(transposed, layer, layer.kernel_size)
    return windows(transposed, result.shape[2:], layer.kernel_size, layer.stride, layer.padding, layer.dilation)


@layer_moves.register
def _(layer: Upsample, result: Tensor, x: Tensor) -> Moves:
    if _on_mesh(layer):  # a new sample lies between two old ones
        return [Move(lambda j: j // layer.scale_factor, lambda j: -(-j // layer.scale_factor), layer.scale_factor, 1)]
    return resize(result, x, mode="nearest-exact" if layer.mode == "nearest" else layer.mode, antialias=True)


@layer_moves.register
def _(layer: GlobalAvgPool, result: Tensor, x: Tensor) -> Moves:
    return None


def layer_cost(layer: nn.Module, result: Tensor, x: Tensor) -> int:
    """Multiply-adds on the whole batch; a stencil adds one for each of its entries and channels in."""
    if not isinstance(layer, Conv | ConvTranspose):
        return 0
    stencils = [part.stencil for part in layer.modules() if isinstance(part, StencilConvolution)]
    entries = sum(stencil.fused.nnz for stencil in stencils)
    by_input = isinstance(layer, ConvTranspose) and not _on_mesh(layer)
    positions = (x if by_input else result).shape[2:]
    dense = multiply_adds(layer.in_channels, layer.out_channels, layer.weight.shape[2:], positions, layer.groups)
    return len(x) * (dense + entries * layer.in_channels)


def _on_mesh(layer: Any) -> bool:
    return None not in layer.surface.shape


def _mesh_window(kind: Callable[[int, int, int], Move], layer: Any, width: Size) -> Moves:
    """A kernel of 3 is a sample and the ring around it."""
    (span,), (stride,) = per_axis("kernel_size", width, 1), per_axis("stride", layer.stride, 1)
    return [kind(span, stride, span // 2)]


def _pool_span(layer: MaxPool | AvgPool) -> int:
    """Windows on a mesh part its samples (2 in a row), or overlap (a sample and the ring around it: 3)."""
    stencil = layer.surface.pool_neighbours(2, 2)
    return 3 if isinstance(stencil, Stencil) and stencil.fused.nnz > stencil.inputs else 2

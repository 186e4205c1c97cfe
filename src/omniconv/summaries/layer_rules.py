"""What omniconv's own layers see of their input, and what they cost, whatever does their work inside."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from typing import Any

from torch import Tensor, nn

from omniconv.arithmetic import multiply_adds, span
from omniconv.nn import (
    AvgPool,
    Conv,
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    CoordConv,
    Downsample,
    GlobalAvgPool,
    LpPool,
    MaxPool,
    MaxUnpool,
    Upsample,
)
from omniconv.nn.arguments import Size, is_grid, per_axis
from omniconv.nn.rows.modules import RowConvolution
from omniconv.nn.stencil.modules import StencilConvolution
from omniconv.summaries.functional_rules import Moves, resize, windows
from omniconv.summaries.receptive_field import Move, moved, resized, transposed, window
from omniconv.surfaces import Stencil, Surface

CONVOLUTIONS = (Conv, Conv1d, Conv2d, Conv3d)
TRANSPOSED = (ConvTranspose, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
POOLS = (MaxPool, AvgPool, LpPool)
OMNICONV_LAYERS = (*CONVOLUTIONS, *TRANSPOSED, *POOLS, MaxUnpool, CoordConv, GlobalAvgPool, Upsample, Downsample)


@singledispatch
def layer_moves(layer: nn.Module, result: Tensor, x: Tensor) -> Moves:
    """How a layer moves along each grid axis; a mesh has one, on which distances count in rings."""
    raise NotImplementedError(type(layer).__name__)


def _window(layer: Any, result: Tensor, x: Tensor) -> Moves:
    if _on_mesh(layer):
        return _mesh_window(window, layer, layer.kernel_size if isinstance(layer, Conv) else _pool_span(layer.surface))
    return _on_grid(layer, x, window)


def _spread(layer: Any, result: Tensor, x: Tensor) -> Moves:
    if _on_mesh(layer):
        return _mesh_window(transposed, layer, layer.kernel_size)
    return _on_grid(layer, result, transposed)


for _kinds, _moves in (((*CONVOLUTIONS, *POOLS), _window), (TRANSPOSED, _spread)):
    for _kind in _kinds:
        layer_moves.register(_kind, _moves)


@layer_moves.register
def _(layer: CoordConv, result: Tensor, x: Tensor) -> Moves:
    return _window(layer.conv, result, x)


@layer_moves.register
def _(layer: MaxUnpool, result: Tensor, x: Tensor) -> Moves:
    """A sample sees the windows that may have taken it."""
    if _on_mesh(layer):
        return _mesh_window(transposed, layer, _pool_span(layer.output_surface))
    return _on_grid(layer, result, transposed)


@layer_moves.register
def _(layer: Downsample, result: Tensor, x: Tensor) -> Moves:
    factor = layer.scale_factor
    if _on_mesh(layer):
        return [window(_pool_span(layer.surface), factor, 1) if layer.mode == "linear" else window(1, factor, 0)]
    alone = x.ndim - 2 - layer.surface.kernel_ndim
    if layer.mode == "linear" and all(size % factor == 0 for size in x.shape[2 + alone :]):
        return [moved(0)] * alone + windows(window, x.shape[2 + alone :], factor, factor, 0)
    return resize(result, x, mode="nearest-exact" if layer.mode == "nearest" else layer.mode, antialias=True)


@layer_moves.register
def _(layer: Upsample, result: Tensor, x: Tensor) -> Moves:
    # a new sample lies between two old ones
    if _on_mesh(layer) and layer.surface.is_nested_prefix and layer.mode == "linear":
        return [Move(lambda j: j // layer.scale_factor, lambda j: -(-j // layer.scale_factor), layer.scale_factor, 1)]
    if _on_mesh(layer):
        return [resized(1, layer.scale_factor, int(layer.mode == "linear"))]
    return resize(result, x, mode="nearest-exact" if layer.mode == "nearest" else layer.mode, antialias=True)


@layer_moves.register
def _(layer: GlobalAvgPool, result: Tensor, x: Tensor) -> Moves:
    return None


def layer_cost(layer: nn.Module, result: Tensor, x: Tensor) -> int:
    """Multiply-adds on the whole batch; a stencil adds one for each of its entries and channels in."""
    if isinstance(layer, CoordConv):
        return layer_cost(layer.conv, result, x)
    if not isinstance(layer, (*CONVOLUTIONS, *TRANSPOSED)):
        return 0
    stencils = [part.stencil for part in layer.modules() if isinstance(part, StencilConvolution)]
    entries = sum(stencil.nnz for stencil in stencils)
    rows = _row_kernels(layer)
    by_input = isinstance(layer, TRANSPOSED) and not stencils
    positions = (x if by_input else result).shape[3 if rows else 2 :]  # taps of all rows stand side by side
    dense = multiply_adds(layer.in_channels, layer.out_channels, layer.weight.shape[2:], positions, layer.groups)
    return len(x) * (dense + entries * layer.in_channels)


def _on_mesh(layer: Any) -> bool:
    return hasattr(layer, "surface") and layer.surface.ndim == 1 and not is_grid(layer.surface)


def _on_grid(layer: Any, finer: Tensor, kind: Callable[[int, int, int], Move]) -> Moves:
    """Windows along the axes of the kernel; on those before, such as the faces of a cube, every sample by itself."""
    sizes = finer.shape[2:]
    alone = len(sizes) - layer.surface.kernel_ndim if hasattr(layer, "surface") else 0
    dilation, rows = getattr(layer, "dilation", 1), _row_kernels(layer)
    kernel_size = rows[0].stencil.max_kernel_shape if rows else layer.kernel_size
    moves = windows(kind, sizes[alone:], kernel_size, layer.stride, layer.padding, dilation)
    return [moved(0)] * alone + moves


def _row_kernels(layer: nn.Module) -> list[RowConvolution]:
    """What convolves with a kernel for each row, if anything does."""
    return [part for part in layer.modules() if isinstance(part, RowConvolution)]


def _mesh_window(kind: Callable[[int, int, int], Move], layer: Any, width: Size) -> Moves:
    """A kernel of 3 is a sample and the ring around it; dilated by 2 it reaches the second ring."""
    (taps,), (stride,) = per_axis("kernel_size", width, 1), per_axis("stride", layer.stride, 1)
    (gap,) = per_axis("dilation", getattr(layer, "dilation", 1), 1)
    reach = span(taps, gap)
    return [kind(reach, stride, reach // 2)]


def _pool_span(surface: Surface) -> int:
    """Windows on a mesh part its samples (2 in a row), or overlap (a sample and the ring around it: 3)."""
    stencil = surface.pool_neighbours(2, 2)
    return 3 if isinstance(stencil, Stencil) and stencil.nnz > stencil.inputs else 2

"""Axis maps and multiply-adds of omniconv's own layers, independent of the operator that computes them."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from typing import Any

from torch import Tensor, nn

import omniconv.nn as ocnn
from omniconv.arithmetic import multiply_adds, span
from omniconv.nn.arguments import Size, is_grid, per_axis
from omniconv.nn.attention.contextual_attention import Attention
from omniconv.nn.rows.modules import RowConvolution
from omniconv.nn.stencil.modules import StencilConvolution
from omniconv.summaries.functional_rules import AxisMaps, interpolate_maps, window_maps
from omniconv.summaries.receptive_field import (
    AxisMap,
    interpolation_map,
    regrid_map,
    slice_map,
    transposed_map,
    window_map,
)
from omniconv.surfaces import Stencil, Surface

CONVOLUTIONS = (ocnn.Conv, ocnn.Conv1d, ocnn.Conv2d, ocnn.Conv3d)
TRANSPOSED = (ocnn.ConvTranspose, ocnn.ConvTranspose1d, ocnn.ConvTranspose2d, ocnn.ConvTranspose3d)
POOL_LAYERS = (ocnn.MaxPool, ocnn.AvgPool, ocnn.LpPool)
OTHERS = (
    ocnn.MaxUnpool, ocnn.CoordConv, ocnn.GlobalAvgPool, ocnn.GroupNorm, ocnn.Upsample, ocnn.Downsample,
    ocnn.SpaceToDepth, ocnn.DepthToSpace, ocnn.SelfAttention, Attention,
)  # fmt: skip
OMNICONV_LAYERS = (*CONVOLUTIONS, *TRANSPOSED, *POOL_LAYERS, *OTHERS)


@singledispatch
def layer_maps(layer: nn.Module, result: Tensor, x: Tensor) -> AxisMaps:
    """Return the axis maps of a layer; a mesh has one axis, on which distances are rings of neighbours."""
    raise NotImplementedError(type(layer).__name__)


def _window(layer: Any, result: Tensor, x: Tensor) -> AxisMaps:
    if _on_mesh(layer):
        width = layer.kernel_size if isinstance(layer, ocnn.Conv) else _pool_span(layer.surface)
        return _mesh_window(window_map, layer, width)
    return _on_grid(layer, x, window_map)


def _transposed(layer: Any, result: Tensor, x: Tensor) -> AxisMaps:
    if _on_mesh(layer):
        return _mesh_window(transposed_map, layer, layer.kernel_size)
    return _on_grid(layer, result, transposed_map)


for _classes, _rule in (((*CONVOLUTIONS, *POOL_LAYERS), _window), (TRANSPOSED, _transposed)):
    for _class in _classes:
        layer_maps.register(_class, _rule)


@layer_maps.register
def _(layer: ocnn.CoordConv, result: Tensor, x: Tensor) -> AxisMaps:
    return _window(layer.conv, result, x)


@layer_maps.register
def _(layer: ocnn.MaxUnpool, result: Tensor, x: Tensor) -> AxisMaps:
    """Return maps from an output to the windows that may have their maximum there."""
    if _on_mesh(layer):
        return _mesh_window(transposed_map, layer, _pool_span(layer.output_surface))
    return _on_grid(layer, result, transposed_map)


@layer_maps.register
def _(layer: ocnn.Downsample, result: Tensor, x: Tensor) -> AxisMaps:
    factor = layer.scale_factor
    if _on_mesh(layer):
        width, before = (_pool_span(layer.surface), 1) if layer.mode == "linear" else (1, 0)
        return [window_map(width, factor, before)]
    leading = x.ndim - 2 - layer.surface.kernel_ndim
    if layer.mode == "linear" and all(size % factor == 0 for size in x.shape[2 + leading :]):
        return [slice_map(0)] * leading + window_maps(window_map, x.shape[2 + leading :], factor, factor, 0)
    return interpolate_maps(result, x, mode="nearest-exact" if layer.mode == "nearest" else layer.mode, antialias=True)


@layer_maps.register
def _(layer: ocnn.Upsample, result: Tensor, x: Tensor) -> AxisMaps:
    factor = layer.scale_factor
    # Where the coarse samples are the first of the fine ones, a new sample is interpolated between two old ones.
    if _on_mesh(layer) and layer.surface.is_nested_prefix and layer.mode == "linear":
        return [AxisMap(lambda j: j // factor, lambda j: -(-j // factor), factor, 1)]
    if _on_mesh(layer):
        return [interpolation_map(1, factor, int(layer.mode == "linear"))]
    return interpolate_maps(result, x, mode="nearest-exact" if layer.mode == "nearest" else layer.mode, antialias=True)


@layer_maps.register
def _(layer: ocnn.GlobalAvgPool | ocnn.SelfAttention | Attention, result: Tensor, x: Tensor) -> AxisMaps:
    return None


@layer_maps.register
def _(layer: ocnn.GroupNorm, result: Tensor, x: Tensor) -> AxisMaps:
    return [slice_map(0)] * (x.ndim - 2)  # statistics do not count


@layer_maps.register
def _(layer: ocnn.SpaceToDepth, result: Tensor, x: Tensor) -> AxisMaps:
    axes = x.ndim - 2
    return [*[slice_map(0)] * (axes - layer.surface.kernel_ndim), *[window_map(2, 2, 0)] * layer.surface.kernel_ndim]


@layer_maps.register
def _(layer: ocnn.DepthToSpace, result: Tensor, x: Tensor) -> AxisMaps:
    axes = x.ndim - 2
    return [*[slice_map(0)] * (axes - layer.surface.kernel_ndim), *[regrid_map(1, 2)] * layer.surface.kernel_ndim]


def layer_multiply_adds(layer: nn.Module, result: Tensor, x: Tensor) -> int:
    """Return multiply-adds on all samples of the batch; a stencil adds one per stored entry and input channel."""
    if isinstance(layer, ocnn.CoordConv):
        return layer_multiply_adds(layer.conv, result, x)
    if isinstance(layer, ocnn.SelfAttention):  # its four linear layers
        return 4 * layer.channels**2 * x.numel() // layer.channels
    if not isinstance(layer, (*CONVOLUTIONS, *TRANSPOSED)):
        return 0
    stencils = [part.stencil for part in layer.modules() if isinstance(part, StencilConvolution)]
    entries = sum(stencil.nnz for stencil in stencils)
    rows = _row_kernels(layer)
    by_input = isinstance(layer, TRANSPOSED) and not stencils
    positions = (x if by_input else result).shape[3 if rows else 2 :]  # one axis has the taps of all rows
    dense = multiply_adds(layer.in_channels, layer.out_channels, layer.weight.shape[2:], positions, layer.groups)
    return len(x) * (dense + entries * layer.in_channels)


def _on_mesh(layer: Any) -> bool:
    return hasattr(layer, "surface") and layer.surface.ndim == 1 and not is_grid(layer.surface)


def _on_grid(layer: Any, finer: Tensor, axis_map: Callable[[int, int, int], AxisMap]) -> AxisMaps:
    """Return windows along the kernel's axes; leading axes, such as the faces of a cube, are not mixed."""
    sizes = finer.shape[2:]
    leading = len(sizes) - layer.surface.kernel_ndim if hasattr(layer, "surface") else 0
    dilation, rows = getattr(layer, "dilation", 1), _row_kernels(layer)
    kernel_size = rows[0].stencil.max_kernel_shape if rows else layer.kernel_size
    maps = window_maps(axis_map, sizes[leading:], kernel_size, layer.stride, layer.padding, dilation)
    return [slice_map(0)] * leading + maps


def _row_kernels(layer: nn.Module) -> list[RowConvolution]:
    """Return the submodules that convolve with a kernel per row."""
    return [part for part in layer.modules() if isinstance(part, RowConvolution)]


def _mesh_window(axis_map: Callable[[int, int, int], AxisMap], layer: Any, width: Size) -> AxisMaps:
    """Return a window on a mesh: a kernel of 3 is a sample and its ring of neighbours; at dilation 2, the second."""
    (taps,), (stride,) = per_axis("kernel_size", width, 1), per_axis("stride", layer.stride, 1)
    (gap,) = per_axis("dilation", getattr(layer, "dilation", 1), 1)
    reach = span(taps, gap)
    return [axis_map(reach, stride, reach // 2)]


def _pool_span(surface: Surface) -> int:
    """Return 2 for disjoint pooling windows on a mesh, 3 for overlapping ones (a sample and the ring around it)."""
    stencil = surface.pool_neighbours(2, 2)
    return 3 if isinstance(stencil, Stencil) and stencil.nnz > stencil.inputs else 2

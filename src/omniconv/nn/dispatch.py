"""Choice of the operator for a layer and its neighbourhoods, made once when the layer is built.

============  =====================  ============================  ========================
layer         ``Border`` (grid)      ``Stencil`` (mesh)            ``RowStencil`` (row kernels)
============  =====================  ============================  ========================
convolution   ``GridConv``           ``make_stencil_convolution``  ``make_row_convolution``
transposed    ``GridConvTranspose``  ``make_stencil_convolution``  ``make_row_convolution``
max pooling   ``GridMaxPool``        ``make_max_pool``
avg pooling   ``GridAvgPool``        ``StencilProduct``
p-norm        ``GridLpPool``         ``make_lp_pool``
resizing      ``GridResize``         ``StencilProduct``
============  =====================  ============================  ========================

A transposed convolution on a mesh is a convolution with the stencil of ``surface.transposed_neighbours``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.checks import check_number
from omniconv.errors import InputError
from omniconv.nn.arguments import (
    GridWindow,
    Padding,
    Size,
    check_fixed_size,
    check_mesh_padding,
    is_unit_stride,
    parse_window,
    per_axis,
)
from omniconv.nn.grid.conv import make_grid_conv, make_grid_conv_transpose
from omniconv.nn.grid.pool import GridAvgPool, GridLpPool, GridMaxPool
from omniconv.nn.grid.resize import GridResize
from omniconv.nn.rows.modules import make_row_convolution
from omniconv.nn.stencil.modules import StencilProduct, make_stencil_convolution
from omniconv.nn.stencil.window_pool import make_lp_pool, make_max_pool
from omniconv.nn.surface_tables.area_weights import make_mean_weights
from omniconv.surfaces import Border, RowStencil, Stencil, Surface
from omniconv.surfaces.base import Neighbours, Resampling


class ConvWindow(NamedTuple):
    """Arguments of a convolution as the user gave them."""

    kernel_size: Size
    stride: Size
    padding: Padding
    dilation: Size
    groups: int


class PoolWindow(NamedTuple):
    """Arguments of a pooling as the user gave them."""

    kernel_size: Size
    stride: Size
    padding: Padding
    dilation: Size
    ceil_mode: bool


def make_conv(neighbours: Neighbours, window: ConvWindow) -> tuple[tuple[int, ...], nn.Module]:
    """Return the kernel's shape and the operator ``(x, weight, bias)`` of a convolution."""
    if isinstance(neighbours, Border):
        op = make_grid_conv(neighbours, *window)
        return op.kernel_size[-neighbours.kernel_ndim :], op
    check_mesh_padding(window.padding)
    make = make_row_convolution if isinstance(neighbours, RowStencil) else make_stencil_convolution
    return neighbours.kernel_shape, make(neighbours, window.groups)  # type: ignore[arg-type]


def make_conv_transpose(
    surface: Surface,
    neighbours: Neighbours,
    channels: tuple[int, int],
    window: ConvWindow,
    output_padding: Size,
    pad_value: float,
) -> tuple[tuple[int, ...], nn.Module]:
    """Return the weight's shape and the operator ``(x, weight, bias, output_size)`` of a transposed convolution.

    ``surface`` is that of the input, ``neighbours`` its ``transposed_neighbours`` for the window.
    """
    (inputs, outputs), groups = channels, window.groups
    _check_pad_value(pad_value, surface, window.stride)
    if isinstance(neighbours, Border):
        op = make_grid_conv_transpose(neighbours, *window, output_padding)
        return (inputs, outputs // groups, *op.kernel_size[-neighbours.kernel_ndim :]), op
    if any(per_axis("output_padding", output_padding, surface.kernel_ndim, least=0)):
        raise InputError("output_padding", output_padding, "must be 0 on a mesh, which has one size", "leave it out")
    kernel, conv = make_conv(neighbours, window)
    if pad_value:
        conv = _ZeroInsertConv(surface, parse_window(surface, window.kernel_size)[0], groups, pad_value)
    if isinstance(neighbours, RowStencil):
        return (inputs, outputs // groups, *kernel), _FixedSizeConvTranspose(conv, neighbours.output_shape)
    if len(kernel) > 1:  # tangent kernels have taps on rows and columns; their weights are torch's
        return (inputs, outputs // groups, *kernel), _TorchWeightConvTranspose(conv, neighbours.output_shape)
    return (outputs, inputs // groups, *kernel), _FixedSizeConvTranspose(conv, neighbours.output_shape)


def make_max_pool_op(neighbours: Border | Stencil, window: PoolWindow) -> Any:
    """Return the operator of max pooling, which also has ``with_switches``."""
    return _make_pool(neighbours, window, GridMaxPool, make_max_pool)


def make_avg_pool_op(
    neighbours: Border | Stencil, window: PoolWindow, surface: Surface, count_include_pad: bool
) -> nn.Module:
    """Return the operator of average pooling; on the sphere samples count by their areas."""
    on_grid: Callable[..., nn.Module] = partial(GridAvgPool, count_include_pad=count_include_pad)
    if surface.spherical:
        on_grid = partial(_AreaAvgPool, on_grid, surface)
    return _make_pool(neighbours, window, on_grid, StencilProduct)


def make_lp_pool_op(neighbours: Border | Stencil, window: PoolWindow, p: float) -> nn.Module:
    """Return the operator of p-norm pooling."""
    return _make_pool(neighbours, window, partial(GridLpPool, p=p), partial(make_lp_pool, p=p))


def make_resize(neighbours: Border | Stencil, up: int, down: int, mode: Resampling) -> nn.Module:
    """Return the operator ``(x, output_size)`` that resizes by the factor ``up / down``."""
    return _MeshResize(neighbours) if isinstance(neighbours, Stencil) else GridResize(neighbours, up, down, mode)


def _make_pool(
    neighbours: Border | Stencil,
    window: PoolWindow,
    on_grid: Callable[..., nn.Module],
    on_stencil: Callable[[Stencil], nn.Module],
) -> nn.Module:
    if isinstance(neighbours, Border):
        return on_grid(neighbours, GridWindow.parse(neighbours, *window[:4]), window.ceil_mode)
    check_mesh_padding(window.padding)
    if per_axis("dilation", window.dilation, 1) != (1,):
        raise InputError("dilation", window.dilation, "must be 1 on a mesh", "leave it out")
    return on_stencil(neighbours)


class _ZeroInsertConv(nn.Module):
    """Convolution on the next finer level, whose new vertices have a constant value."""

    def __init__(self, surface: Surface, kernel_size: int, groups: int, value: float) -> None:
        super().__init__()
        finer = surface.finer()
        self.new_vertices = math.prod(finer.shape) - math.prod(surface.shape)  # type: ignore[arg-type]
        self.value = value
        self.op = make_stencil_convolution(finer.conv_neighbours(kernel_size), groups)  # type: ignore[arg-type]

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return self.op(F.pad(x, (0, self.new_vertices), value=self.value), weight, bias)


class _FixedSizeConvTranspose(nn.Module):
    """Transposed convolution on a mesh, which has a single output size."""

    def __init__(self, op: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.op, self.shape = op, shape

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None, output_size: Size | None) -> Tensor:
        check_fixed_size(output_size, self.shape)
        return self.op(x, weight, bias)


class _TorchWeightConvTranspose(_FixedSizeConvTranspose):
    """``_FixedSizeConvTranspose`` with a weight ``(in, out / groups, *kernel)``, as torch's."""

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None, output_size: Size | None) -> Tensor:
        by_group = weight.unflatten(0, (self.op.groups, -1))
        return super().forward(x, by_group.transpose(1, 2).flatten(0, 1), bias, output_size)


class _AreaAvgPool(nn.Module):
    """Mean of each window of a grid, weighted by the areas of its samples."""

    def __init__(self, avg_pool: Callable[..., nn.Module], surface: Surface, *window: object) -> None:
        super().__init__()
        self.avg_pool, self.weights = avg_pool(*window), make_mean_weights(surface)

    def forward(self, x: Tensor) -> Tensor:
        precise = x.to(torch.promote_types(x.dtype, torch.float32))
        areas = (self.weights(precise) * math.prod(x.shape[2:])).expand(1, 1, *x.shape[2:])  # 1 on average
        return (self.avg_pool(precise * areas) / self.avg_pool(areas)).to(x.dtype)


class _MeshResize(StencilProduct):
    def forward(self, x: Tensor, output_size: Size | None) -> Tensor:  # type: ignore[override]
        check_fixed_size(output_size, self.stencil.output_shape)
        return super().forward(x)


def _check_pad_value(value: float, surface: Surface, stride: Size) -> None:
    cure = "use 0.0, or 1.0 as the published code does"
    check_number("pad_value", value, math.isfinite, "must be a finite number", cure)
    if value and not (surface.is_nested_prefix and not is_unit_stride(stride)):
        rule = "must be 0 except for an icosphere at stride 2, whose new vertices it fills"
        raise InputError("pad_value", value, rule, "leave it out")

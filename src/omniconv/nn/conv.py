"""Convolution and transposed convolution on any surface."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.checks import check_channels, check_flag, check_number
from omniconv.errors import InputError
from omniconv.nn.arguments import (
    Padding,
    Size,
    check_fixed_size,
    check_mesh_padding,
    check_signal,
    check_weight,
    is_unit_stride,
    last_axes,
    parse_window,
    per_axis,
)
from omniconv.nn.grid.conv import make_grid_conv, make_grid_conv_transpose
from omniconv.nn.jit_tracing import Traceable
from omniconv.nn.rows.modules import init_row_weight, make_row_convolution
from omniconv.nn.stencil.modules import make_stencil_convolution
from omniconv.surfaces import Border, Plane, RowStencil, Stencil, Surface
from omniconv.surfaces.base import Neighbours


class _Weighted(Traceable, nn.Module):
    """Weight and bias of a convolution, drawn as torch draws them: parse_window within 1/√fan."""

    def __init__(
        self, neighbours: Neighbours, shape: tuple[int, ...], out_channels: int, fan_in: int, bias: bool
    ) -> None:
        super().__init__()
        check_weight(shape)
        bound = 1 / math.sqrt(fan_in)
        draw = partial(init_row_weight, neighbours) if isinstance(neighbours, RowStencil) else uniform_init
        self.weight = nn.Parameter(draw(shape, bound))
        self.register_parameter(
            "bias", nn.Parameter(draw((out_channels,), bound)) if check_flag("bias", bias) else None
        )

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.described)

    described = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "surface")


class Conv(_Weighted):
    """A convolution of the samples of a surface with those around them.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps on each axis; on a mesh 3 means its operators or taps (four on an icosphere, ten on an
            icosahedron), 1 the samples alone.
        stride: step from one output to the next; on a mesh 1, or 2 for the next coarser level.
        padding: a number, one an axis, one ``(before, after)`` pair an axis, ``"valid"``, ``"same"`` (symmetric,
            ⌈size / stride⌉ outputs), ``"same_upper"`` (TensorFlow's) or ``"same_lower"``. What the padded samples hold
            is the surface's affair. A mesh has no edge: only ``"same"``.
        dilation: step between taps.
        groups: groups of channels that do not see one another.
        bias: add a learned number to each output channel.
        surface: where the input lies.

    Shape:
        ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *grid of output_surface)``.

    Attributes:
        weight: ``(out, in / groups, *kernel)`` on grids and with tangent kernels, ``(out, in / groups, taps)`` on other
            stencils and with kernels of rows, one row after the other.
        bias: ``(out,)``; with kernels of rows ``(out, output rows)``.
        output_surface: where the output lies.

    Raises:
        InputError: an argument out of range or without a meaning on the surface; an input of the wrong shape.

    Example:
        >>> Conv(3, 8, surface=Plane())(torch.zeros(1, 3, 5, 7)).shape
        torch.Size([1, 8, 5, 7])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size = 3,
        stride: Size = 1,
        padding: Padding = "same",
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    ) -> None:
        in_channels, out_channels, groups = check_channels(in_channels, out_channels, groups)
        window = parse_window(surface, kernel_size, stride, dilation)
        neighbours = surface.conv_neighbours(*window)
        kernel, op = _convolution(neighbours, kernel_size, stride, padding, dilation, groups)
        fan_in = in_channels // groups * math.prod(kernel)
        shape = (out_channels, in_channels // groups, *kernel)
        super().__init__(neighbours, shape, out_channels, fan_in, bias)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation
        self.surface, self.output_surface = surface, surface if is_unit_stride(stride) else surface.coarser()
        self.op = op

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(batch, in_channels, *grid)``."""
        weight = self.weight
        check_signal(x, self.in_channels, self.surface.ndim, dtype=weight.dtype)
        return self.op(x, weight, self.bias)


class ConvTranspose(_Weighted):
    """The transposed ("fractionally strided") convolution: on grids the exact adjoint of ``Conv`` as it was built.

    What the convolution reads past an edge, this one writes back to where it came from: round the ring, over the pole,
    or nowhere for zeros. On an icosphere the signal is ``pad_value`` at the new vertices and then convolved on the
    finer level (Jiang et al., ICLR 2019: 0 in their figure 2, 1 in their code).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps on each axis.
        stride: how many times finer the output is.
        padding: as in ``Conv``: what the convolution would add, this one takes away.
        output_padding: which of the ``stride`` sizes that convolve to the input's size is meant; only with numbers.
        dilation: step between taps.
        groups: groups of channels.
        bias: add a learned number to each output channel.
        surface: where the input lies.
        pad_value: what new vertices of an icosphere hold before the convolution; 0 elsewhere.

    Shape:
        ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *output_size)``; by default ``size · stride`` for the
        names of SAME, (size − 1)·stride − 2·padding + dilation·(kernel − 1) + 1 + output_padding for numbers.

    Attributes:
        weight: ``(in, out / groups, *kernel)`` on grids and with tangent kernels, as torch's;
            ``(out, in / groups, taps)`` on other stencils.

    Raises:
        InputError: an argument out of range; an ``output_size`` that does not convolve to the input's size; a
            ``pad_value`` on a surface that has no new vertices.

    Example:
        >>> up = ConvTranspose(8, 4, kernel_size=3, stride=2)
        >>> up(torch.zeros(1, 8, 3, 4)).shape, up(torch.zeros(1, 8, 3, 4), output_size=(5, 7)).shape
        (torch.Size([1, 4, 6, 8]), torch.Size([1, 4, 5, 7]))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size = 3,
        stride: Size = 2,
        padding: Padding = "same",
        output_padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
        pad_value: float = 0.0,
    ) -> None:
        in_channels, out_channels, groups = check_channels(in_channels, out_channels, groups)
        _check_pad_value(pad_value, surface, stride)
        window = parse_window(surface, kernel_size, stride, dilation)
        neighbours = surface.transposed_neighbours(*window)
        op: nn.Module
        if isinstance(neighbours, Border):
            op = make_grid_conv_transpose(neighbours, kernel_size, stride, padding, dilation, groups, output_padding)
            kernel, fan = op.kernel_size[-neighbours.kernel_ndim :], out_channels // groups  # what torch counts
            shape = (in_channels, out_channels // groups, *kernel)
        else:
            if per_axis("output_padding", output_padding, surface.kernel_ndim, least=0) != (0,) * surface.kernel_ndim:
                raise InputError("output_padding", output_padding, "must be 0: there is one size", "leave it out")
            kernel, direct = _convolution(neighbours, kernel_size, stride, padding, dilation, groups)
            if pad_value:
                direct = _ZeroInsertConv(surface, window[0], groups, pad_value)
            as_torch = len(kernel) > 1 or isinstance(neighbours, RowStencil)
            turns = as_torch and isinstance(neighbours, Stencil)
            op = (_AdjointOfFixedSize if turns else _OfFixedSize)(direct, neighbours.output_shape)
            fan = (out_channels if as_torch else in_channels) // groups
            shape = (in_channels if as_torch else out_channels, fan, *kernel)
        super().__init__(neighbours, shape, out_channels, fan * math.prod(kernel), bias)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation
        self.surface, self.output_surface = surface, surface if is_unit_stride(stride) else surface.finer()
        self.op = op

    def forward(self, x: Tensor, output_size: Size | None = None) -> Tensor:
        """Convolve ``(batch, in_channels, *grid)`` back to ``output_size``."""
        weight = self.weight
        check_signal(x, self.in_channels, self.surface.ndim, dtype=weight.dtype)
        size = None if output_size is None else last_axes(output_size, self.surface.ndim)
        return self.op(x, weight, self.bias, size)


class _ZeroInsertConv(nn.Module):
    """A convolution on the next finer level, of a signal that holds one value at the vertices that are new there."""

    def __init__(self, surface: Surface, kernel_size: int, groups: int, value: float) -> None:
        super().__init__()
        finer = surface.finer()
        self.new, self.value = math.prod(finer.shape) - math.prod(surface.shape), value  # type: ignore[arg-type]
        self.op = make_stencil_convolution(finer.conv_neighbours(kernel_size), groups)  # type: ignore[arg-type]

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return self.op(F.pad(x, (0, self.new), value=self.value), weight, bias)


class _OfFixedSize(nn.Module):
    """A convolution on a mesh as a transposed one: there is one size that it can give."""

    def __init__(self, op: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.op, self.shape = op, shape

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None, output_size: Size | None) -> Tensor:
        check_fixed_size(output_size, self.shape)
        return self.op(x, weight, bias)


class _AdjointOfFixedSize(_OfFixedSize):
    """The same with a weight ``(in, out / groups, *kernel)``."""

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None, output_size: Size | None) -> Tensor:
        by_group = weight.unflatten(0, (self.op.groups, -1))
        return super().forward(x, by_group.transpose(1, 2).flatten(0, 1), bias, output_size)


def _check_pad_value(value: float, surface: Surface, stride: Size) -> None:
    check_number(
        "pad_value", value, math.isfinite, "must be a finite number", "use 0.0, or 1.0 as the published code does"
    )
    if value and not (surface.is_nested_prefix and not is_unit_stride(stride)):
        raise InputError(
            "pad_value", value, "must be 0 where no vertices are new: it fills an icosphere at stride 2", "leave it out"
        )


def _convolution(
    neighbours: Neighbours, kernel_size: Size, stride: Size, padding: Padding, dilation: Size, groups: int
) -> tuple[tuple[int, ...], nn.Module]:
    """Taps and the layer that convolves: the one place where a convolution chooses its answer."""
    if isinstance(neighbours, RowStencil):
        check_mesh_padding(padding)
        return neighbours.kernel_shape, make_row_convolution(neighbours, groups)
    if isinstance(neighbours, Stencil):
        check_mesh_padding(padding)
        return neighbours.kernel_shape, make_stencil_convolution(neighbours, groups)
    op = make_grid_conv(neighbours, kernel_size, stride, padding, dilation, groups)
    return op.kernel_size[-neighbours.kernel_ndim :], op


def uniform_init(shape: tuple[int, ...], bound: float) -> Tensor:
    """Draw a tensor uniformly from [-bound, bound), as ``torch.nn`` initialises convolutions."""
    return torch.empty(shape).uniform_(-bound, bound)

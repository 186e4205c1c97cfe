"""Convolution and transposed convolution on any surface."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from omniconv.checks import check_channels, check_flag
from omniconv.nn.arguments import Padding, Size, check_on_surface, check_weight, is_unit_stride, last_axes, parse_window
from omniconv.nn.dispatch import ConvWindow, make_conv, make_conv_transpose
from omniconv.nn.jit_tracing import Traceable
from omniconv.nn.rows.modules import init_row_weight
from omniconv.surfaces import Plane, RowStencil, Surface
from omniconv.surfaces.base import Neighbours


class _ConvBase(Traceable, nn.Module):
    """Arguments, weight and bias of a convolution, initialised as torch's: uniform within ±1/√fan_in."""

    def __init__(
        self, channels: tuple[int, int], window: ConvWindow, surface: Surface, neighbours: Neighbours,
        shape: tuple[int, ...], op: nn.Module, bias: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.in_channels, self.out_channels = channels
        self.kernel_size, self.stride, self.padding, self.dilation, self.groups = window
        self.surface = surface
        check_weight(shape)
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        init = partial(init_row_weight, neighbours) if isinstance(neighbours, RowStencil) else _uniform_init
        self.weight = nn.Parameter(init(shape, bound))
        has_bias = check_flag("bias", bias)
        self.register_parameter("bias", nn.Parameter(init(channels[1:], bound)) if has_bias else None)
        self.op = op

    def extra_repr(self) -> str:
        names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "surface")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


class Conv(_ConvBase):
    """Convolution on any surface.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps on each axis; on a mesh 3 means its own operators or taps (four on an icosphere, ten on an
            icosahedron), 1 a pointwise convolution.
        stride: step from one output to the next; on a mesh 1, or 2 for the next coarser level.
        padding: a number, one an axis, one ``(before, after)`` pair an axis, ``"valid"``, ``"same"`` (symmetric,
            ⌈size / stride⌉ outputs), ``"same_upper"`` (TensorFlow's) or ``"same_lower"``. The surface's border defines
            the values of padded samples. A mesh has no edge: only ``"same"``.
        dilation: step between taps.
        groups: groups of channels, as in ``torch.nn.Conv2d``.
        bias: add a learned number to each output channel.
        surface: surface of the input.

    Shape:
        ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *grid of output_surface)``.

    Attributes:
        weight: ``(out, in / groups, *kernel)`` on grids and with tangent kernels, ``(out, in / groups, taps)`` on other
            stencils and with row kernels, one row after the other.
        bias: ``(out,)``; with row kernels ``(out, output rows)``.
        output_surface: surface of the output.

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
        window, channels = ConvWindow(kernel_size, stride, padding, dilation, groups), (in_channels, out_channels)
        parsed = parse_window(surface, kernel_size, stride, dilation)
        neighbours = surface.conv_neighbours(*parsed)
        kernel, op = make_conv(neighbours, window)
        shape = (out_channels, in_channels // groups, *kernel)
        super().__init__(channels, window, surface, neighbours, shape, op, bias)
        self.output_surface = surface if is_unit_stride(stride) else surface.coarser()

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(batch, in_channels, *grid)``."""
        weight = self.weight
        check_on_surface(x, self.surface, self.in_channels, weight.dtype)
        return self.op(x, weight, self.bias)


class ConvTranspose(_ConvBase):
    """Transposed ("fractionally strided") convolution: on grids the exact adjoint of ``Conv`` with the same arguments.

    Outputs in the padding are added to the samples that the convolution pads with, or dropped where it pads with zeros.
    On an icosphere the new vertices are filled with ``pad_value`` and the signal is convolved on the
    finer level (Jiang et al., ICLR 2019: 0 in their figure 2, 1 in their code).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps on each axis.
        stride: factor by which the output is finer.
        padding: padding of the convolution that this one transposes, as in ``Conv``.
        output_padding: selects one of the ``stride`` output sizes that convolve to the input's size; only with a
            ``padding`` in numbers.
        dilation: step between taps.
        groups: groups of channels.
        bias: add a learned number to each output channel.
        surface: surface of the input.
        pad_value: value of the new vertices of an icosphere before the convolution; 0 on other surfaces.

    Shape:
        ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *output_size)``; by default ``size · stride`` for the
        names of SAME, (size − 1)·stride − 2·padding + dilation·(kernel − 1) + 1 + output_padding for numbers.

    Attributes:
        weight: ``(in, out / groups, *kernel)`` on grids and with tangent kernels, as torch's;
            ``(out, in / groups, taps)`` on other stencils.

    Raises:
        InputError: an argument out of range; an ``output_size`` that does not convolve to the input's size; a
            ``pad_value`` on a surface without new vertices.

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
        window, channels = ConvWindow(kernel_size, stride, padding, dilation, groups), (in_channels, out_channels)
        parsed = parse_window(surface, kernel_size, stride, dilation)
        neighbours = surface.transposed_neighbours(*parsed)
        shape, op = make_conv_transpose(surface, neighbours, channels, window, output_padding, pad_value)
        super().__init__(channels, window, surface, neighbours, shape, op, bias)
        self.output_surface = surface if is_unit_stride(stride) else surface.finer()

    def forward(self, x: Tensor, output_size: Size | None = None) -> Tensor:
        """Convolve ``(batch, in_channels, *grid)`` back to ``output_size``."""
        weight = self.weight
        check_on_surface(x, self.surface, self.in_channels, weight.dtype)
        size = None if output_size is None else last_axes(output_size, self.surface.ndim)
        return self.op(x, weight, self.bias, size)


def _uniform_init(shape: tuple[int, ...], bound: float) -> Tensor:
    return torch.empty(shape).uniform_(-bound, bound)

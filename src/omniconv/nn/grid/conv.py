"""Convolution and its adjoint on regular grids: the border pads what the backend cannot, the backend does the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.arithmetic import check_output_padding, size_after, span
from omniconv.errors import InputError
from omniconv.nn.arguments import GridPadding, Padding, Size, parse_grid_window, per_axis
from omniconv.nn.grid.axis import Axis, convolve_and_crop, crop_adjoint, fast_path_is_cheaper
from omniconv.nn.grid.border_strips import border_edges, gather_strips, scatter_add_strips, use_border_strips
from omniconv.nn.grid.padding import pad, pad_adjoint, pad_adjoint_symbolic
from omniconv.nn.symbolic import is_symbolic, statically_true, to_int_if_static
from omniconv.surfaces.neighbours.border import Border

SAME_NAMES = ("same", "same_upper", "same_lower")
CONVOLVE: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
CONVOLVE_TRANSPOSED: dict[int, Callable[..., Tensor]] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}


class GridConv(nn.Module):
    """A convolution without weights of its own: ``forward(x, weight, bias)``.

    Zeros that come in equal numbers before and after an axis are left to the backend; every other border is put there
    first.

    Args:
        border: what lies beyond the edges.
        kernel_size: taps of each axis.
        stride: step of each axis.
        padding: parsed padding of every axis.
        dilation: step between the taps of each axis.
        groups: groups of channels.
    """

    def __init__(
        self,
        border: Border,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: GridPadding,
        dilation: tuple[int, ...],
        groups: int,
    ) -> None:
        super().__init__()
        self.border, self.padding = border, padding
        self.kernel_size, self.stride, self.dilation, self.groups = kernel_size, stride, dilation, groups
        self.backend = tuple(_backend_padding(border, padding, axis) for axis in range(border.ndim))
        self.pads = any(self.backend[axis] != padding.symmetric(axis) for axis in range(border.ndim))
        self.is_flat = border.kernel_ndim < border.ndim
        self.convolve = CONVOLVE[border.ndim]

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """``(batch, in, *grid)`` to ``(batch, out, *smaller grid)``."""
        sizes, weight = x.shape[2:], self.of_every_axis(weight)
        if self.pads and use_border_strips(x) and fast_path_is_cheaper(axes := self.axes(sizes)):
            return self._with_edges(x, weight, bias, axes)
        if self.pads:
            x = pad(x, self.own_amounts(sizes), self.border)
        self._check_room(sizes, x.shape[2:])
        return self._convolve(x, weight, bias, self.backend)

    def _with_edges(self, x: Tensor, weight: Tensor, bias: Tensor | None, axes: Sequence[Axis]) -> Tensor:
        """Zeros past the edges left to the backend, then what is there instead."""
        edges = border_edges(self.border, axes)
        x, *strips = gather_strips(x, [edge.beyond for edge in edges])
        margins = [axis.margin for axis in axes]
        y = convolve_and_crop(lambda part: self._convolve(part, weight, bias, margins), x, axes)
        pieces = [
            self._convolve(edge.pad_strip(strip), edge.taps.gather(weight), None)
            for edge, strip in zip(edges, strips, strict=True)
        ]
        return scatter_add_strips(y, [edge.outputs for edge in edges], pieces)

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None, zeros: Size = 0) -> Tensor:
        return self.convolve(x, weight, bias, self.stride, zeros, self.dilation, self.groups)

    def of_every_axis(self, weight: Tensor) -> Tensor:
        """A kernel with one tap on the axes that it does not extend along."""
        return weight.view(*weight.shape[:2], *self.kernel_size) if self.is_flat else weight

    def axes(self, sizes: Sequence[int]) -> list[Axis]:
        """The axes of a grid of these sizes."""
        found = []
        for size, (before, after), (_, kernel, stride, dilation) in zip(
            sizes, self.padding.amounts(sizes), self.padding.rules, strict=True
        ):
            outputs = (size + before + after - span(kernel, dilation)) // stride + 1
            found.append(Axis(size, outputs, kernel, stride, dilation, before))
        return found

    def own_amounts(self, sizes: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """What the backend does not pad."""
        amounts = self.padding.amounts(sizes)
        return tuple((0, 0) if left else sides for left, sides in zip(self.backend, amounts, strict=True))

    def _check_room(self, sizes: Sequence[int], padded: Sequence[int]) -> None:
        for axis, (size, left) in enumerate(zip(padded, self.backend, strict=True)):
            reach = span(self.kernel_size[axis], self.dilation[axis])
            if statically_true(size + 2 * left < reach):
                raise InputError(
                    "input",
                    tuple(sizes),
                    f"is smaller on grid axis {axis} than the kernel, which spans {reach}",
                    "pad more or use a smaller kernel or dilation",
                )


class GridConvTranspose(GridConv):
    """The exact adjoint of ``GridConv`` of the same arguments: ``forward(x, weight, bias, output_size)``.

    Args:
        output_padding: which of the ``stride`` sizes that convolve to the input's size is meant, for each axis.
    """

    def __init__(self, *arguments, output_padding: tuple[int, ...]) -> None:  # type: ignore[no-untyped-def]
        super().__init__(*arguments)
        self.output_padding = output_padding
        self.convolve = CONVOLVE_TRANSPOSED[self.border.ndim]

    def forward(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, output_size: tuple[int, ...] | None = None
    ) -> Tensor:
        """``(batch, in, *grid)`` to ``(batch, out, *output_size)``."""
        weight = self.of_every_axis(weight)
        sizes = self.default_size(x.shape[2:]) if output_size is None else output_size
        rest = self._rest(x.shape[2:], sizes)
        if self.pads and use_border_strips(x) and fast_path_is_cheaper(axes := self.axes(sizes)):
            return self._with_edges(x, weight, bias, axes)
        if is_symbolic(*rest):
            y = self.convolve(x, weight, None, self.stride, 0, 0, self.groups, self.dilation)
            return pad_adjoint_symbolic(y, rest, self.padding.amounts(sizes), self.border, bias)
        direct = not self.pads
        y = self._spread(x, weight, bias if direct else None, rest, self.backend)
        if direct:
            return y
        y = pad_adjoint(y, self.own_amounts(sizes), self.border)
        return y if bias is None else y + bias.to(y.dtype).view(-1, *[1] * self.border.ndim)

    def _with_edges(self, x: Tensor, weight: Tensor, bias: Tensor | None, axes: Sequence[Axis]) -> Tensor:
        """What falls past the edges left out by the backend, then sent back to where it belongs."""
        edges = border_edges(replace(self.border, value=0.0), axes)
        x, *parts = gather_strips(x, [edge.outputs for edge in edges])
        margins, rests = [axis.margin for axis in axes], [axis.rest for axis in axes]
        y = self._spread(crop_adjoint(x, axes), weight, bias, rests, margins)
        strips = [
            edge.pad_strip_adjoint(self._spread(part, edge.taps.gather(weight), None, edge.rest))
            for edge, part in zip(edges, parts, strict=True)
        ]
        return scatter_add_strips(y, [edge.beyond for edge in edges], strips)

    def _spread(self, x: Tensor, weight: Tensor, bias: Tensor | None, rest: Size, margins: Size = 0) -> Tensor:
        return self.convolve(x, weight, bias, self.stride, margins, rest, self.groups, self.dilation)

    def default_size(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """``size · stride`` for the names of SAME, PyTorch's formula for numbers."""
        return tuple(
            size_after(size, kernel, stride, rule, dilation, transposed=True, output_padding=extra)
            for size, (rule, kernel, stride, dilation), extra in zip(
                sizes, self.padding.rules, self.output_padding, strict=True
            )
        )

    def _rest(self, sizes: Sequence[int], wanted: Sequence[int]) -> tuple[int, ...]:
        """Samples at the end of each padded axis that no window of the convolution reaches."""
        rests = []
        for size, target, sides, (rule, kernel, stride, dilation) in zip(
            sizes, wanted, self.padding.amounts(wanted), self.padding.rules, strict=True
        ):
            rest = to_int_if_static(target + sum(sides) - (size - 1) * stride - span(kernel, dilation))
            if not is_symbolic(rest) and not 0 <= rest < max(stride, dilation):
                least = (size - 1) * stride + 1 if rule in SAME_NAMES else target - rest
                raise InputError(
                    "output_size",
                    tuple(wanted),
                    f"cannot come from {tuple(sizes)} at stride {stride}",
                    f"ask for {least} to {least + stride - 1} on that axis",
                )
            rests.append(rest)
        return tuple(rests)


def make_grid_conv(
    border: Border, kernel_size: Size, stride: Size, padding: Padding, dilation: Size, groups: int
) -> GridConv:
    """The layer that convolves on a grid, from arguments as they were given.

    Raises:
        InputError: an argument out of range.
    """
    return GridConv(border, *parse_grid_window(border, kernel_size, stride, padding, dilation), groups)


def make_grid_conv_transpose(
    border: Border, kernel_size: Size, stride: Size, padding: Padding, dilation: Size, groups: int, output_padding: Size
) -> GridConvTranspose:
    """The layer that undoes a convolution on a grid, from arguments as they were given.

    Raises:
        InputError: an argument out of range.
    """
    parsed = parse_grid_window(border, kernel_size, stride, padding, dilation)
    extra = per_axis("output_padding", output_padding, border.kernel_ndim, least=0)
    extra = (0,) * (border.ndim - border.kernel_ndim) + extra
    rules = tuple(rule for rule, *_ in parsed[2].rules)
    check_output_padding(extra, rules, parsed[1], parsed[3], "pass an output_size to the layer's forward")
    return GridConvTranspose(border, *parsed, groups, output_padding=extra)


def _backend_padding(border: Border, padding: GridPadding, axis: int) -> int:
    """What the backend pads by itself on an axis."""
    if border.modes[axis] != ("zeros", "zeros") or border.value != 0:
        return 0
    return padding.symmetric(axis) or 0

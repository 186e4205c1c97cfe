"""Convolution of large signals with a border, without a padded copy of the signal.

Padding would copy the signal to add a few rows. Here the backend convolves the signal with its own zero padding, and
for each edge the strip of samples beyond it is convolved with the taps that reach it, and added to the outputs whose
windows reach it. The transposed convolution runs the same steps backwards.

Measured in CPU time at 64 channels, 4 x 128 x 256, kernel 3, one thread, relative to zero padding: every border 0.96 to
1.05, forward and with backward; with a padded copy 1.2 to 1.8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from omniconv.arithmetic import span
from omniconv.nn.grid.axis import Axis
from omniconv.nn.grid.cube_padding import CubeStrip, cube_strips
from omniconv.nn.grid.padding import Amounts, border_strip, border_strip_adjoint_, pad, pad_adjoint
from omniconv.nn.torch_private import functorch_is_active
from omniconv.surfaces.neighbours.border import Border, CubeBorder, Mode

MIN_ELEMENTS = 2**20
"""Elements of a signal (batch and channels included) from which border strips are faster than a padded copy."""


def use_border_strips(x: Tensor) -> bool:
    """Return True on eager CPU float32/64 tensors of >= 2**20 elements, outside compile, trace, functorch and autocast.

    Compilers and accelerators pad efficiently themselves; the autograd functions below define no ``vmap``.
    """
    is_traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]
    if is_traced or functorch_is_active():
        return False
    if x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return False
    return x.dtype in (torch.float32, torch.float64) and x.numel() >= MIN_ELEMENTS


class AxisSlice(NamedTuple):
    """Slice of a tensor along one axis."""

    axis: int
    start: int
    length: int

    def gather(self, x: Tensor) -> Tensor:
        return x.narrow(*self)

    def scatter_add_(self, y: Tensor, piece: Tensor) -> None:
        y.narrow(*self).add_(piece)


class BorderStrip(NamedTuple):
    """Samples beyond one edge of a tensor, given by its border mode."""

    axis: int
    amount: int
    mode: Mode
    value: float
    before: bool

    def gather(self, x: Tensor) -> Tensor:
        return border_strip(x, *self)

    def scatter_add_(self, y: Tensor, piece: Tensor) -> None:
        """Add the adjoint of ``gather`` to ``y`` in place; a constant has no source."""
        if self.mode != "zeros":
            border_strip_adjoint_(y, piece, self.axis, self.mode, self.before)


StripLike = AxisSlice | BorderStrip | CubeStrip


@dataclass(frozen=True)
class Edge:
    """Strip of samples beyond one edge of a grid, and the taps and outputs that reach the strip.

    The border also pads the strip on the axes after its own, which gives the corners. ``zeros`` pads it on its own axis
    (negative: samples that no window reads) and on those before, in the order of ``torch.nn.functional.pad``.
    """

    strip: StripLike
    border: Border
    amounts: Amounts  # padding of the strip by the border
    zeros: list[int]
    unread: list[int]  # samples at the end of each axis that no window reaches
    taps: AxisSlice
    outputs: AxisSlice

    def pad_strip(self, strip: Tensor) -> Tensor:
        """Pad the strip by everything that its windows read."""
        return F.pad(pad(strip, self.amounts, self.border), self.zeros)

    def pad_strip_adjoint(self, padded: Tensor) -> Tensor:
        """Apply the adjoint of ``pad_strip``."""
        return pad_adjoint(F.pad(padded, [-amount for amount in self.zeros]), self.amounts, self.border)


def border_edges(border: Border, axes: Sequence[Axis]) -> list[Edge]:
    """Return the edges of a grid that are padded with something other than zeros."""
    if isinstance(border, CubeBorder):
        return list(_cube_edges(border, axes))
    edges = []
    for index, (axis, modes) in enumerate(zip(axes, border.modes, strict=True)):
        for mode, amount, before in ((modes[0], axis.before, True), (modes[1], axis.after, False)):
            if amount > 0 and (mode != "zeros" or border.value != 0):
                strip = BorderStrip(2 + index, amount, mode, border.value, before)
                # Axes are padded first to last, so the strip of an axis is padded on later axes only: each corner is
                # counted once, with the values of `pad`.
                amounts = [(0, 0)] * (index + 1) + [later.padding for later in axes[index + 1 :]]
                edges.append(_edge(border, axes, index, strip, before, amounts))
    return edges


def _cube_edges(border: CubeBorder, axes: Sequence[Axis]) -> Iterator[Edge]:
    """Yield the edges of a cube's faces; the strips of rows include the corners."""
    for number, strip in enumerate(cube_strips(axes[-1].size, axes[1].padding, axes[2].padding)):
        index, side = 1 + number // 2, number % 2
        if axes[index].padding[side] > 0:
            yield _edge(border, axes, index, strip, side == 0, amounts=[(0, 0)] * 3)


def _edge(border: Border, axes: Sequence[Axis], index: int, strip: StripLike, before: bool, amounts: Amounts) -> Edge:
    taps, outputs, own = (_first_windows if before else _last_windows)(axes[index], 2 + index)
    zeros = [*(earlier.padding for earlier in axes[:index]), own, *[(0, 0)] * (len(axes) - index - 1)]
    unread = [0 if other == index else max(-axis.after, 0) for other, axis in enumerate(axes)]
    return Edge(strip, border, amounts, [side for pair in reversed(zeros) for side in pair], unread, taps, outputs)


def _first_windows(axis: Axis, dim: int) -> tuple[AxisSlice, AxisSlice, tuple[int, int]]:
    """Return taps and outputs that reach samples before the axis, and zeros to pad around those samples."""
    taps = min(axis.kernel_size, -(-axis.before // axis.dilation))
    outputs = min(axis.outputs, -(-axis.before // axis.stride))
    reach = (outputs - 1) * axis.stride + span(taps, axis.dilation)
    return AxisSlice(dim, 0, taps), AxisSlice(dim, 0, outputs), (0, reach - axis.before)


def _last_windows(axis: Axis, dim: int) -> tuple[AxisSlice, AxisSlice, tuple[int, int]]:
    """Return taps and outputs that reach samples after the axis, and zeros to pad around those samples.

    Sample ``output * stride - before + tap * dilation`` is that of a tap in the window of an output; those from
    ``axis.size`` on are after the axis.
    """
    last_window = (axis.outputs - 1) * axis.stride - axis.before
    first_tap = max(0, -(-(axis.size - last_window) // axis.dilation))  # in the last window, which reaches farthest
    inside = axis.size + axis.before - span(axis.kernel_size, axis.dilation)  # largest start of a window inside
    first_output = max(0, inside // axis.stride + 1)
    first_sample = first_output * axis.stride - axis.before + first_tap * axis.dilation
    taps = AxisSlice(dim, first_tap, axis.kernel_size - first_tap)
    outputs = AxisSlice(dim, first_output, axis.outputs - first_output)
    return taps, outputs, (axis.size - first_sample, 0)


def gather_strips(x: Tensor, strips: Sequence[StripLike]) -> tuple[Tensor, ...]:
    """Return x and copies of its strips; backward accumulates the strips' gradients into x's gradient in place."""
    return _GatherStrips.apply(x, strips) if strips else (x,)


def scatter_add_strips(y: Tensor, strips: Sequence[StripLike], pieces: Sequence[Tensor]) -> Tensor:
    """Return y with the pieces added at their strips, in place."""
    return _ScatterAddStrips.apply(y, strips, *pieces) if strips else y


class _GatherStrips(torch.autograd.Function):
    """Autograd of ``gather_strips``.

    Plain indexing would make autograd allocate a gradient of x's size for each strip and sum them.
    """

    @staticmethod
    def forward(x: Tensor, strips: Sequence[StripLike]) -> tuple[Tensor, ...]:
        return x.view_as(x), *(strip.gather(x).clone() for strip in strips)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.strips = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient, *pieces = gradients
        for strip, piece in zip(ctx.strips, pieces, strict=True):
            strip.scatter_add_(gradient, piece)
        return gradient, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, strips: None) -> tuple[Tensor, ...]:
        return _GatherStrips.forward(tangent, ctx.strips)


class _ScatterAddStrips(torch.autograd.Function):
    """Autograd of ``scatter_add_strips``."""

    @staticmethod
    def forward(y: Tensor, strips: Sequence[StripLike], *pieces: Tensor) -> Tensor:
        for strip, piece in zip(strips, pieces, strict=True):
            strip.scatter_add_(y, piece)
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.mark_dirty(inputs[0])
        ctx.strips = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return gradient, None, *(strip.gather(gradient) for strip in ctx.strips)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, strips: None, *pieces: Tensor) -> Tensor:
        return _ScatterAddStrips.forward(tangent, ctx.strips, *pieces)

"""What windows see past the edges of a large grid, added to what the backend makes of zeros there.

Padding copies the whole signal to add a few rows; here only those rows are copied. A convolution with a border is the
backend's own one with zeros past the edges plus, for each edge, the convolution of the strip that lies past it with the
taps that reach it. The transposed convolution is the same the other way round.
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
"""Samples of a signal from which on copying the edges alone is faster than copying it all."""


def use_border_strips(x: Tensor) -> bool:
    """Whether a signal is large enough for the work on its edges; compilers and other devices pad well themselves."""
    is_traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]
    if is_traced or functorch_is_active():
        return False
    if x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return False
    return x.dtype in (torch.float32, torch.float64) and x.numel() >= MIN_ELEMENTS


class AxisSlice(NamedTuple):
    """A piece of a tensor along one axis."""

    axis: int
    start: int
    length: int

    def gather(self, x: Tensor) -> Tensor:
        """The piece, as a view."""
        return x.narrow(*self)

    def scatter_add_(self, y: Tensor, piece: Tensor) -> None:
        """The adjoint: ``piece`` is added to its place in ``y``."""
        y.narrow(*self).add_(piece)


class BorderStrip(NamedTuple):
    """The samples past one edge of a tensor."""

    axis: int
    amount: int
    mode: Mode
    value: float
    before: bool

    def gather(self, x: Tensor) -> Tensor:
        """The samples."""
        return border_strip(x, *self)

    def scatter_add_(self, y: Tensor, piece: Tensor) -> None:
        """The adjoint: ``piece`` is added to where its samples come from; constants come from nowhere."""
        if self.mode != "zeros":
            border_strip_adjoint_(y, piece, self.axis, self.mode, self.before)


StripLike = AxisSlice | BorderStrip | CubeStrip


@dataclass(frozen=True)
class Edge:
    """One edge of a grid: a strip of samples past it, the outputs that see the strip, and through which taps.

    Attributes:
        beyond: the strip.
        border: what lies around the strip on the axes after its own: there it reaches into the corners.
        around: that much of it.
        zeros: what lies around the strip on its own axis (negative: what no window reads of it) and on those before,
            in the order of ``torch.nn.functional.pad``.
        rest: samples at the end of each axis that no window reaches.
        taps: those of the kernel that reach the strip.
        outputs: those whose windows reach the strip.
    """

    beyond: StripLike
    border: Border
    around: Amounts
    zeros: list[int]
    rest: list[int]
    taps: AxisSlice
    outputs: AxisSlice

    def pad_strip(self, strip: Tensor) -> Tensor:
        """The strip with all that windows see around it."""
        return F.pad(pad(strip, self.around, self.border), self.zeros)

    def pad_strip_adjoint(self, wide: Tensor) -> Tensor:
        """The adjoint of ``pad_strip``."""
        return pad_adjoint(F.pad(wide, [-amount for amount in self.zeros]), self.around, self.border)


def border_edges(border: Border, axes: Sequence[Axis]) -> list[Edge]:
    """The edges of a grid past which there is something else than zeros."""
    if isinstance(border, CubeBorder):
        return list(_cube_edges(border, axes))
    found = []
    for index, (axis, modes) in enumerate(zip(axes, border.modes, strict=True)):
        for mode, amount, before in ((modes[0], axis.before, True), (modes[1], axis.after, False)):
            if amount > 0 and (mode != "zeros" or border.value != 0):
                beyond = BorderStrip(2 + index, amount, mode, border.value, before)
                around = [(0, 0)] * (index + 1) + [later.sides for later in axes[index + 1 :]]
                found.append(_edge(border, axes, index, beyond, before, around))
    return found


def _cube_edges(border: CubeBorder, axes: Sequence[Axis]) -> Iterator[Edge]:
    """Each strip has its corners with it: the rows those beside them, the columns none."""
    for place, strip in enumerate(cube_strips(axes[-1].size, axes[1].sides, axes[2].sides)):
        index, side = 1 + place // 2, place % 2
        if axes[index].sides[side] > 0:
            yield _edge(border, axes, index, strip, side == 0, around=[(0, 0)] * 3)


def _edge(border: Border, axes: Sequence[Axis], index: int, beyond: StripLike, before: bool, around: Amounts) -> Edge:
    taps, outputs, own = (_first_windows if before else _last_windows)(axes[index], 2 + index)
    zeros = [*(earlier.sides for earlier in axes[:index]), own, *[(0, 0)] * (len(axes) - index - 1)]
    rest = [0 if other == index else max(-axis.after, 0) for other, axis in enumerate(axes)]
    return Edge(beyond, border, around, [side for pair in reversed(zeros) for side in pair], rest, taps, outputs)


def _first_windows(axis: Axis, dim: int) -> tuple[AxisSlice, AxisSlice, tuple[int, int]]:
    """Taps and outputs that reach samples before the axis, and zeros to add around those samples."""
    taps = -(-axis.before // axis.dilation)
    outputs = min(axis.outputs, -(-axis.before // axis.stride))
    taps = min(taps, axis.kernel_size)
    reach = (outputs - 1) * axis.stride + span(taps, axis.dilation)
    return AxisSlice(dim, 0, taps), AxisSlice(dim, 0, outputs), (0, reach - axis.before)


def _last_windows(axis: Axis, dim: int) -> tuple[AxisSlice, AxisSlice, tuple[int, int]]:
    """Taps and outputs that reach samples after the axis, and zeros to add around those samples."""
    last = (axis.outputs - 1) * axis.stride - axis.before
    tap = max(0, -(-(axis.size - last) // axis.dilation))
    behind = axis.size + axis.before - span(axis.kernel_size, axis.dilation)
    output = max(0, behind // axis.stride + 1)
    start = output * axis.stride - axis.before + tap * axis.dilation
    taps, outputs = AxisSlice(dim, tap, axis.kernel_size - tap), AxisSlice(dim, output, axis.outputs - output)
    return taps, outputs, (axis.size - start, 0)


def gather_strips(x: Tensor, places: Sequence[StripLike]) -> tuple[Tensor, ...]:
    """A tensor, to go on with, and pieces of it: their gradients meet in one tensor, without others of its size."""
    return GatherStrips.apply(x, places) if places else (x,)


def scatter_add_strips(y: Tensor, places: Sequence[StripLike], pieces: Sequence[Tensor]) -> Tensor:
    """A tensor with pieces added to their places, in place."""
    return ScatterAddStrips.apply(y, places, *pieces) if places else y


class GatherStrips(torch.autograd.Function):
    """What ``take`` does, forth and back."""

    @staticmethod
    def forward(x: Tensor, places: Sequence[StripLike]) -> tuple[Tensor, ...]:
        """``x`` and its pieces."""
        return x.view_as(x), *(place.gather(x).clone() for place in places)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Remember where the pieces lay."""
        ctx.places = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Add the gradients of the pieces to that of the tensor."""
        whole, *pieces = gradients
        for place, piece in zip(ctx.places, pieces, strict=True):
            place.scatter_add_(whole, piece)
        return whole, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, places: None) -> tuple[Tensor, ...]:
        """The same of the tangent."""
        return GatherStrips.forward(tangent, ctx.places)


class ScatterAddStrips(torch.autograd.Function):
    """What ``put`` does, forth and back."""

    @staticmethod
    def forward(y: Tensor, places: Sequence[StripLike], *pieces: Tensor) -> Tensor:
        """``y`` with the pieces added."""
        for place, piece in zip(places, pieces, strict=True):
            place.scatter_add_(y, piece)
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Remember where the pieces went."""
        ctx.mark_dirty(inputs[0])
        ctx.places = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The same for the tensor, and for each piece what lies in its place."""
        return gradient, None, *(place.gather(gradient) for place in ctx.places)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, places: None, *pieces: Tensor) -> Tensor:
        """The same of the tangents."""
        return ScatterAddStrips.forward(tangent, ctx.places, *pieces)

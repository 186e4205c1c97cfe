"""Kernels on the planes that touch the sphere at each pixel in place of flat ones (SphereNet: Coors et al., ECCV 2018).

The weights of a flat kernel fit as they are. What has no meaning on a touching plane (kernels of even size, steps other
than 1 and 2) stays flat, and goes on past the edges of the panorama.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.arithmetic import span
from omniconv.convert.overrides import conv_pool as windows
from omniconv.convert.overrides.mode import PanoramaMode, Table
from omniconv.convert.overrides.pad_tracking import Sides, added, after_window, core, frame_of
from omniconv.convert.overrides.table import GRID_TABLE
from omniconv.convert.overrides.transposed import unpool
from omniconv.errors import InputError
from omniconv.nn.arguments import GridPadding, Padding, Size, per_axis
from omniconv.nn.stencil.modules import make_stencil_convolution
from omniconv.nn.stencil.window_pool import make_max_pool
from omniconv.surfaces import Equirectangular, Stencil


class TangentRules:
    """The rules of tangent-plane kernels, and the tables that they need on each level of the panorama.

    Args:
        height: rows of the panoramas that the network takes.

    Raises:
        InputError: a height that is no whole number from 1.
    """

    def __init__(self, height: int) -> None:
        _surface(height)  # says what is wrong with it
        self.height = height
        self.layers: dict[tuple[Any, ...], nn.Module] = {}

    @property
    def table(self) -> Table:
        """Convolutions and maxima on touching planes; the rest is that of flat kernels."""
        return TANGENT_TABLE

    def layer(self, build: Callable[..., nn.Module], x: Tensor, *arguments: Any) -> Any:
        """The layer for signals of this height, built when it is first asked for, at the signal's place."""
        key = (build, x.shape[2], *arguments)
        if key not in self.layers:
            self.layers[key] = build(x.shape[2], *arguments)
        layer: Any = self.layers[key]
        precise = torch.float64 if x.dtype == torch.float64 else torch.float32
        if layer.pair.device != x.device or layer.pair.dtype != precise:
            layer.to(x.device, precise)
        return layer

    def __getstate__(self) -> dict[str, Any]:
        return {"height": self.height, "layers": {}}  # tables are built anew; files stay small


class Level(NamedTuple):
    """Where the windows of a call are centred: the panorama, a step between pixels, and which of them are wanted."""

    x: Tensor
    stride: int
    wanted: tuple[slice, ...]


@windows.on_pictures
def conv2d(
    panorama: PanoramaMode, input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1,
    padding: Padding = 0, dilation: Size = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """``torch.nn.functional.conv2d``."""
    kernel, step, gap = tuple(weight.shape[2:]), per_axis("stride", stride, 2), per_axis("dilation", dilation, 2)
    amounts = GridPadding(padding, kernel, step, gap).amounts(input.shape[2:])
    level = level_of(panorama, "conv2d", input, kernel, step, amounts, gap)
    if level is None:
        return windows.conv2d(panorama, input, weight, bias, stride, padding, dilation, groups)
    rules = cast(TangentRules, panorama.rules)
    layer = rules.layer(_convolution, level.x, kernel, level.stride, gap, groups)
    return layer(level.x, weight, bias)[level.wanted]


@windows.on_pictures
def max_pool2d(
    panorama: PanoramaMode, input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
    dilation: Size = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """``torch.nn.functional.max_pool2d``; indices name the pixel with the largest share of the winning sample."""
    kernel, step, amounts, gap = windows.window_of(kernel_size, stride, padding, dilation)
    amounts = windows.rounded_up(input, kernel, step, amounts, gap) if ceil_mode else amounts
    level = level_of(panorama, "max_pool2d", input, kernel, step, amounts, gap)
    if level is None or set(gap) != {1}:
        return windows.max_pool2d(panorama, input, kernel, step, padding, gap, ceil_mode, return_indices)
    layer = cast(TangentRules, panorama.rules).layer(_maximum, level.x, kernel, level.stride)
    if return_indices:
        values, places = layer.with_switches(level.x)
        return values[level.wanted], places[level.wanted]
    return layer(level.x)[level.wanted]


def level_of(
    panorama: PanoramaMode, operation: str, x: Tensor, kernel: Sequence[int], stride: Sequence[int],
    amounts: Sequence[Sides], dilation: Sequence[int],
) -> Level | None:  # fmt: skip
    """Where windows are centred on a panorama; ``None`` where touching planes have no part in it.

    Windows of the flat call that start elsewhere than those of the stencils (TensorFlow's SAME pads one column after
    an even number of them, none before) are found among those of stride 1.

    Raises:
        InputError: a signal that is no panorama, or whose height cannot be halved.
    """
    ring, sides = core(x, frame_of(x)), added(frame_of(x), amounts)
    height, width = ring.shape[2:]
    if set(kernel) == {1} or height == width == 1:
        return None
    if width != 2 * height:
        raise InputError("input", tuple(x.shape), f"must have twice as many columns as rows for {panorama.module!r}",
                         "give panoramas, of a height that the strides of the network divide")  # fmt: skip
    step = stride[0]
    starts = [span(taps, gap) - 1 - 2 * pair[0] for taps, gap, pair in zip(kernel, dilation, sides, strict=True)]
    left = list(map(after_window, sides, kernel, stride, dilation))
    least = [(taps + 1) % 2 for taps in kernel]  # in half pixels, as the starts
    has_evens = any(least) and (step == 1 or operation == "conv2d")
    if set(stride) not in ({1}, {2}) or any(map(any, left)) or has_evens or (step == 1 and any(starts)):
        panorama.changed(operation, "stays flat: on touching planes there are odd windows of stride 1 or 2 alone")
        return None
    if step == 2 and height % 2:
        _refuse(panorama, height)
    if starts == least:
        panorama.changed(operation, "became one on touching planes")
        return Level(ring, step, (...,))  # type: ignore[arg-type]  # all of them
    if any(least) or not set(starts) <= {0, 2}:
        panorama.changed(operation, "stays flat: its windows start elsewhere than those on touching planes")
        return None
    panorama.changed(operation, "became one on touching planes, at every other pixel")
    rows, columns = (slice(start // 2, None, 2) for start in starts)
    return Level(ring, 1, (slice(None), slice(None), rows, columns))


def _refuse(panorama: PanoramaMode, height: int) -> None:
    whole = cast(TangentRules, panorama.rules).height
    factor = 2 * (whole // height)
    raise InputError("height", whole, f"is {height} at {panorama.module!r}, which halves it",
                     f"use a multiple of {factor}, for example {max(whole // factor, 1) * factor}")  # fmt: skip


def _surface(height: int) -> Equirectangular:
    return Equirectangular(height=height, kernels="tangent")


def _convolution(
    height: int, kernel: tuple[int, ...], stride: int, dilation: tuple[int, ...], groups: int
) -> nn.Module:
    return make_stencil_convolution(cast(Stencil, _surface(height).conv_neighbours(kernel, stride, dilation)), groups)


def _maximum(height: int, kernel: tuple[int, ...], stride: int) -> nn.Module:
    return make_max_pool(cast(Stencil, _surface(height).window_neighbours(kernel, stride)))


TANGENT_TABLE: Table = {
    **GRID_TABLE,
    torch.conv2d: conv2d,
    F.max_pool2d: max_pool2d,
    torch.max_pool2d: max_pool2d,
    F.max_pool2d_with_indices: partial(max_pool2d, return_indices=True),
    F.max_unpool2d: unpool,
}

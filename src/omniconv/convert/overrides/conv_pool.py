"""Convolution, pooling and unfolding of panoramas, in the words of torch's functions.

A rule takes the mode it runs in, then the arguments of the function whose place it takes, under torch's names. Layers
of ``omniconv.nn`` do the work: what they are told to pad is what the call pads, and what was padded before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from omniconv.arithmetic import overhang
from omniconv.convert.overrides.cached_modules import product
from omniconv.convert.overrides.mode import PanoramaMode
from omniconv.convert.overrides.pad_tracking import (
    NONE,
    Frame,
    Sides,
    added,
    after_window,
    core,
    frame_of,
    framed,
    total,
)
from omniconv.errors import InputError
from omniconv.nn.arguments import GridPadding, Padding, Size, per_axis
from omniconv.nn.grid.conv import make_grid_conv
from omniconv.nn.grid.padding import pad
from omniconv.nn.grid.pool import GridAvgPool, GridMaxPool
from omniconv.surfaces.neighbours.border import Border

Pairs = tuple[Sides, Sides]
_MEAN_WITH_ZEROS = partial(GridAvgPool, count_include_pad=True)


def on_pictures(rule: Callable[..., Any]) -> Callable[..., Any]:
    """A rule for pictures ``(batch, channels, height, width)`` also takes them without a batch, as torch does."""

    @wraps(rule)
    def wrapped(panorama: PanoramaMode, input: Tensor, *args: Any, **kwargs: Any) -> Any:
        if not (input.is_floating_point() or input.is_complex()):
            raise InputError("input", input.dtype, "must be of a floating-point kind", "use x.float()")
        if input.ndim != 3:
            return rule(panorama, input, *args, **kwargs)
        result = rule(panorama, framed(input.unsqueeze(0), frame_of(input)), *args, **kwargs)
        if isinstance(result, tuple):
            return tuple(part.squeeze(0) for part in result)
        return framed(result.squeeze(0), frame_of(result))

    return wrapped


@on_pictures
def conv2d(
    panorama: PanoramaMode, input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1,
    padding: Padding = 0, dilation: Size = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """``torch.nn.functional.conv2d``."""
    kernel, step, gap = tuple(weight.shape[2:]), per_axis("stride", stride, 2), per_axis("dilation", dilation, 2)
    amounts = GridPadding(padding, kernel, step, gap).amounts(input.shape[2:])
    x, pairs, frame = surrounded(panorama, "conv2d", input, kernel, step, amounts, gap)
    layer = product(make_grid_conv, panorama.border, kernel, step, pairs, gap, groups)
    return framed(layer(x, weight, bias), frame)


@on_pictures
def max_pool2d(
    panorama: PanoramaMode, input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
    dilation: Size = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """``torch.nn.functional.max_pool2d``; indices are those of the input as it came, a ring."""
    kernel, step, amounts, gap = window_of(kernel_size, stride, padding, dilation)
    x, pairs, frame = surrounded(panorama, "max_pool2d", input, kernel, step, amounts, gap, ceil_mode)
    layer = product(_pool_on_grid, GridMaxPool, panorama.border, kernel, step, pairs, gap)
    if not return_indices:
        return framed(layer(x), frame)
    values, places = layer.with_switches(x)
    return framed(values, frame), places


@on_pictures
def avg_pool2d(
    panorama: PanoramaMode, input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """``torch.nn.functional.avg_pool2d``."""
    kernel, step, amounts, gap = window_of(kernel_size, stride, padding)
    x, pairs, frame = surrounded(panorama, "avg_pool2d", input, kernel, step, amounts, gap, ceil_mode)
    mean = _MEAN_WITH_ZEROS if count_include_pad or divisor_override else GridAvgPool
    y = product(_pool_on_grid, mean, panorama.border, kernel, step, pairs, gap)(x)
    return framed(y * (prod(kernel) / divisor_override) if divisor_override else y, frame)


@on_pictures
def lp_pool2d(
    panorama: PanoramaMode, input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None = None,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """``torch.nn.functional.lp_pool2d``."""
    kernel, step, amounts, gap = window_of(kernel_size, stride, 0)
    x, pairs, frame = surrounded(panorama, "lp_pool2d", input, kernel, step, amounts, gap, ceil_mode)
    return framed(F.lp_pool2d(pad(x, pairs, panorama.border), norm_type, (kernel[0], kernel[1]), step), frame)


@on_pictures
def unfold(
    panorama: PanoramaMode, input: Tensor, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
) -> Tensor:
    """``torch.nn.functional.unfold``."""
    kernel, step, amounts, gap = window_of(kernel_size, stride, padding, dilation)
    x, pairs, _ = surrounded(panorama, "unfold", input, kernel, step, amounts, gap)
    return F.unfold(pad(x, pairs, panorama.border), kernel, gap, 0, step)


def surrounded(
    panorama: PanoramaMode,
    operation: str,
    x: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    amounts: Sequence[Sides],
    dilation: tuple[int, ...],
    ceil_mode: bool = False,
) -> tuple[Tensor, Pairs, Frame]:
    """A panorama, what windows ask for around it, and the frame that they leave; and what leaves a seam is said.

    A panorama that was padded before, and is not padded again, is taken as it is. Where sizes are rounded up, the last
    windows go on round the ring too.
    """
    frame, ring = frame_of(x), core(x, frame_of(x))
    rows, columns = added(frame, amounts)
    if any(map(any, amounts)):
        panorama.changed(operation, "goes on past the edges in place of its padding")
    if ceil_mode:
        rows, columns = rounded_up(ring, kernel, stride, (rows, columns), dilation)
    above, beside = map(after_window, (rows, columns), kernel, stride, dilation)
    _check_ring(panorama, operation, ring.shape[-1], stride[-1], -total(beside))
    remains = (above if total(above) > 0 else (0, 0), beside if total(beside) > 0 else (0, 0))
    return (x, NONE, remains) if (rows, columns) == frame else (ring, (rows, columns), remains)


def rounded_up(
    ring: Tensor, kernel: Sequence[int], stride: Sequence[int], amounts: Sequence[Sides], dilation: Sequence[int]
) -> Pairs:
    """Padding with what the last windows hang over by, where sizes are rounded up."""
    axes = zip(ring.shape[2:], kernel, stride, amounts, dilation, strict=True)
    rows, columns = ((sides[0], sides[1] + overhang(size, k, s, sides, d)) for size, k, s, sides, d in axes)
    return rows, columns


def _check_ring(panorama: PanoramaMode, operation: str, columns: int, stride: int, lost: int) -> None:
    """Say what breaks the ring of columns; rows end at the poles in any case."""
    if isinstance(columns, int) and columns % stride:
        panorama.seam(operation, f"{columns} columns are no multiple of the stride {stride}; give another size")
    elif lost > 0:
        panorama.seam(operation, f"pads less than its kernel reaches: {lost} columns of the ring are lost")


def window_of(
    kernel_size: Size, stride: Size | None, padding: Size, dilation: Size = 1
) -> tuple[tuple[int, ...], tuple[int, ...], Pairs, tuple[int, ...]]:
    """Kernel size, stride, padding and dilation of a pooling, for both axes."""
    kernel, gap = per_axis("kernel_size", kernel_size, 2), per_axis("dilation", dilation, 2)
    step = per_axis("stride", stride, 2) if stride is not None and stride != [] and stride != () else kernel
    above, left = per_axis("padding", padding, 2, least=0)
    return kernel, step, ((above, above), (left, left)), gap


def _pool_on_grid(
    kind: Callable[..., Any], border: Border, kernel: tuple[int, ...], stride: tuple[int, ...], pairs: Pairs,
    dilation: tuple[int, ...],
) -> Any:  # fmt: skip
    return kind(border, kernel, stride, GridPadding(pairs, kernel, stride, dilation), dilation, False)


WINDOW_RULES: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.conv2d: conv2d,
    F.max_pool2d: max_pool2d,
    torch.max_pool2d: max_pool2d,
    F.max_pool2d_with_indices: partial(max_pool2d, return_indices=True),
    F.avg_pool2d: avg_pool2d,
    F.lp_pool2d: lp_pool2d,
    F.unfold: unfold,
}

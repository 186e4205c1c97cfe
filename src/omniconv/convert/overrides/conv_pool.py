"""Overrides of convolution, pooling and unfolding.

Each takes the active mode, then the arguments of the torch function of its name. Layers of ``omniconv.nn`` do the work,
padding the panorama by what the call pads plus what was padded before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial, wraps
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from omniconv.arithmetic import overhang
from omniconv.convert.overrides.mode import PanoramaFunctionMode
from omniconv.convert.overrides.pad_tracking import (
    NO_OFFSET,
    PadOffset,
    Sides,
    add_sides,
    crop,
    offset_after_window,
    offset_of,
    with_offset,
)
from omniconv.errors import InputError
from omniconv.nn.arguments import GridPadding, Padding, Size, per_axis
from omniconv.nn.grid.conv import make_grid_conv
from omniconv.nn.grid.padding import pad
from omniconv.nn.grid.pool import GridAvgPool, GridMaxPool
from omniconv.surfaces.neighbours.border import Border

_MEAN_WITH_PADDING = partial(GridAvgPool, count_include_pad=True)


def cached_layer(build: Callable[..., Any], *arguments: Any) -> Any:
    """Return ``build(*arguments)``, a layer without weights, built once for each set of hashable arguments."""
    # A network calls with the same arguments on every forward. torch.compile cannot trace lru_cache, and traces a call
    # once anyway.
    if torch.compiler.is_compiling():
        return build(*arguments)
    return _build_once(build, *arguments)


@lru_cache(maxsize=1024)
def _build_once(build: Callable[..., Any], *arguments: Any) -> Any:
    return build(*arguments)


def accept_unbatched(override: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate an override of images (batch, channels, height, width) to take them without a batch, as torch does."""

    @wraps(override)
    def wrapped(context: PanoramaFunctionMode, input: Tensor, *args: Any, **kwargs: Any) -> Any:
        if not (input.is_floating_point() or input.is_complex()):
            raise InputError("input", input.dtype, "must have a floating-point dtype", "use x.float()")
        if input.ndim != 3:
            return override(context, input, *args, **kwargs)
        result = override(context, with_offset(input.unsqueeze(0), offset_of(input)), *args, **kwargs)
        if isinstance(result, tuple):
            return tuple(part.squeeze(0) for part in result)
        return with_offset(result.squeeze(0), offset_of(result))

    return wrapped


@accept_unbatched
def conv2d(
    context: PanoramaFunctionMode, input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1,
    padding: Padding = 0, dilation: Size = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Override ``F.conv2d``."""
    kernel, step, dilations = tuple(weight.shape[2:]), per_axis("stride", stride, 2), per_axis("dilation", dilation, 2)
    amounts = GridPadding(padding, kernel, step, dilations).amounts(input.shape[2:])
    x, padding_amounts, offset = resolve_padding(context, "conv2d", input, kernel, step, amounts, dilations)
    layer = cached_layer(make_grid_conv, context.border, kernel, step, padding_amounts, dilations, groups)
    return with_offset(layer(x, weight, bias), offset)


@accept_unbatched
def max_pool2d(
    context: PanoramaFunctionMode, input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
    dilation: Size = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Override ``F.max_pool2d``; indices refer to the input without its pad offset."""
    kernel, step, amounts, dilations = parse_pool_arguments(kernel_size, stride, padding, dilation)
    x, padding_amounts, offset = resolve_padding(
        context, "max_pool2d", input, kernel, step, amounts, dilations, ceil_mode
    )
    layer = cached_layer(_pool_on_grid, GridMaxPool, context.border, kernel, step, padding_amounts, dilations)
    if not return_indices:
        return with_offset(layer(x), offset)
    values, indices = layer.with_switches(x)
    return with_offset(values, offset), indices


@accept_unbatched
def avg_pool2d(
    context: PanoramaFunctionMode, input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """Override ``F.avg_pool2d``."""
    kernel, step, amounts, dilations = parse_pool_arguments(kernel_size, stride, padding)
    x, padding_amounts, offset = resolve_padding(
        context, "avg_pool2d", input, kernel, step, amounts, dilations, ceil_mode
    )
    mean = _MEAN_WITH_PADDING if count_include_pad or divisor_override else GridAvgPool
    y = cached_layer(_pool_on_grid, mean, context.border, kernel, step, padding_amounts, dilations)(x)
    return with_offset(y * (prod(kernel) / divisor_override) if divisor_override else y, offset)


@accept_unbatched
def lp_pool2d(
    context: PanoramaFunctionMode, input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None = None,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """Override ``F.lp_pool2d``."""
    kernel, step, amounts, dilations = parse_pool_arguments(kernel_size, stride, 0)
    x, padding_amounts, offset = resolve_padding(
        context, "lp_pool2d", input, kernel, step, amounts, dilations, ceil_mode
    )
    padded = pad(x, padding_amounts, context.border)
    return with_offset(F.lp_pool2d(padded, norm_type, (kernel[0], kernel[1]), step), offset)


@accept_unbatched
def unfold(
    context: PanoramaFunctionMode, input: Tensor, kernel_size: Size, dilation: Size = 1, padding: Size = 0,
    stride: Size = 1,
) -> Tensor:  # fmt: skip
    """Override ``F.unfold``; its result has no height and width, and so carries no pad offset."""
    kernel, step, amounts, dilations = parse_pool_arguments(kernel_size, stride, padding, dilation)
    x, padding_amounts, _ = resolve_padding(context, "unfold", input, kernel, step, amounts, dilations)
    return F.unfold(pad(x, padding_amounts, context.border), kernel, dilations, 0, step)


def resolve_padding(
    context: PanoramaFunctionMode, operation: str, x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...],
    amounts: Sequence[Sides], dilation: tuple[int, ...], ceil_mode: bool = False,
) -> tuple[Tensor, PadOffset, PadOffset]:  # fmt: skip
    """Return the input of windows, the padding that it still needs, and the pad offset of their output.

    Reports what leaves a seam. An input that was padded before and is not padded again is returned with its padding.
    With ``ceil_mode``, the samples that torch leaves out of the last windows are padded too.
    """
    offset, panorama = offset_of(x), crop(x, offset_of(x))
    rows, columns = add_sides(offset, amounts)
    if any(map(any, amounts)):
        context.report_change(operation, "padding replaced by the border of the panorama")
    if ceil_mode:
        rows, columns = ceil_mode_padding(panorama, kernel, stride, (rows, columns), dilation)
    left_rows, left_columns = map(offset_after_window, (rows, columns), kernel, stride, dilation)
    _report_seams(context, operation, panorama.shape[-1], stride[-1], -sum(left_columns))
    output_offset = (
        left_rows if sum(left_rows) > 0 else (0, 0),
        left_columns if sum(left_columns) > 0 else (0, 0),
    )
    if (rows, columns) == offset:
        return x, NO_OFFSET, output_offset
    return panorama, (rows, columns), output_offset


def ceil_mode_padding(
    panorama: Tensor, kernel: Sequence[int], stride: Sequence[int], amounts: Sequence[Sides], dilation: Sequence[int]
) -> PadOffset:
    """Return padding enlarged by the samples that the last windows of ``ceil_mode`` reach beyond the end."""
    axes = zip(panorama.shape[2:], kernel, stride, amounts, dilation, strict=True)
    rows, columns = ((sides[0], sides[1] + overhang(size, k, s, sides, d)) for size, k, s, sides, d in axes)
    return rows, columns


def _report_seams(context: PanoramaFunctionMode, operation: str, columns: int, stride: int, missing: int) -> None:
    """Report what keeps columns from being a full circle; rows end at the poles in any case."""
    if isinstance(columns, int) and columns % stride:
        context.report_seam(operation, f"stride {stride} does not divide {columns} columns; use another input width")
    elif missing > 0:
        context.report_seam(operation, f"padding is too small for the kernel; missing output columns: {missing}")


def parse_pool_arguments(
    kernel_size: Size, stride: Size | None, padding: Size, dilation: Size = 1
) -> tuple[tuple[int, ...], tuple[int, ...], PadOffset, tuple[int, ...]]:
    """Return kernel size, stride, padding and dilation of a pooling for both axes."""
    kernel, dilations = per_axis("kernel_size", kernel_size, 2), per_axis("dilation", dilation, 2)
    # an empty list also means kernel_size: it is the default of torch's builtin pooling functions
    step = per_axis("stride", stride, 2) if stride is not None and stride != [] and stride != () else kernel
    above, left = per_axis("padding", padding, 2, least=0)
    return kernel, step, ((above, above), (left, left)), dilations


def _pool_on_grid(
    build: Callable[..., Any], border: Border, kernel: tuple[int, ...], stride: tuple[int, ...], amounts: PadOffset,
    dilation: tuple[int, ...],
) -> Any:  # fmt: skip
    return build(border, kernel, stride, GridPadding(amounts, kernel, stride, dilation), dilation, False)


CONV_POOL_OVERRIDES: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.conv2d: conv2d,
    F.max_pool2d: max_pool2d,
    torch.max_pool2d: max_pool2d,
    F.max_pool2d_with_indices: partial(max_pool2d, return_indices=True),
    F.avg_pool2d: avg_pool2d,
    F.lp_pool2d: lp_pool2d,
    F.unfold: unfold,
}

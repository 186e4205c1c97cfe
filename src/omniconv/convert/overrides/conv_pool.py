"""Overrides of convolution, pooling and unfolding.

Each takes the active mode, then the arguments of the torch function of its name. Layers of ``omniconv.nn`` do the work,
padding the panorama by the padding of the call plus the pad offset of its input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial, wraps
from math import prod
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from omniconv.arithmetic import overhang, span
from omniconv.convert.overrides.column_tracking import is_continued_by_hand
from omniconv.convert.overrides.mode import PanoramaFunctionMode
from omniconv.convert.overrides.pad_tracking import NO_OFFSET, PadOffset, Sides, add_sides, crop, offset_of, with_offset
from omniconv.errors import InputError
from omniconv.nn.arguments import GridWindow, Padding, Size, per_axis
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


class Window(NamedTuple):
    """Arguments of a convolution or pooling, parsed for both axes."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: Sequence[Sides]

    @classmethod
    def of_conv(cls, x: Tensor, weight: Tensor, stride: Size, padding: Padding, dilation: Size) -> Window:
        """Parse the arguments of ``F.conv2d``; the padding may depend on the size of the input."""
        kernel, step, gaps = tuple(weight.shape[2:]), per_axis("stride", stride, 2), per_axis("dilation", dilation, 2)
        return cls(kernel, step, gaps, GridWindow(padding, kernel, step, gaps).amounts(x.shape[2:]))

    @classmethod
    def of_pool(cls, kernel_size: Size, stride: Size | None, padding: Size, dilation: Size = 1) -> Window:
        """Parse the arguments of a pooling function."""
        kernel, gaps = per_axis("kernel_size", kernel_size, 2), per_axis("dilation", dilation, 2)
        # an empty list also means kernel_size: it is the default of torch's builtin pooling functions
        step = per_axis("stride", stride, 2) if stride is not None and stride != [] and stride != () else kernel
        above, left = per_axis("padding", padding, 2, least=0)
        return cls(kernel, step, gaps, ((above, above), (left, left)))

    def with_ceil_mode(self, size: Sequence[int]) -> Window:
        """Return the window padded by the samples that its last positions of ``ceil_mode`` reach beyond the end."""
        axes = zip(size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return self._replace(padding=[(p[0], p[1] + overhang(n, k, s, p, d)) for n, k, s, p, d in axes])

    def remaining_offset(self) -> list[Sides]:
        """Return the sides of the output that are not part of the panorama."""
        return list(map(offset_after_window, self.padding, self.kernel, self.stride, self.dilation))


@accept_unbatched
def conv2d(
    context: PanoramaFunctionMode, input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1,
    padding: Padding = 0, dilation: Size = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Override ``F.conv2d``."""
    window = Window.of_conv(input, weight, stride, padding, dilation)
    x, amounts, offset = resolve_padding(context, "conv2d", input, window)
    layer = cached_layer(make_grid_conv, context.border, window.kernel, window.stride, amounts, window.dilation, groups)
    return with_offset(layer(x, weight, bias), offset)


@accept_unbatched
def max_pool2d(
    context: PanoramaFunctionMode, input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
    dilation: Size = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Override ``F.max_pool2d``; indices refer to the input without its pad offset."""
    window = Window.of_pool(kernel_size, stride, padding, dilation)
    x, amounts, offset = resolve_padding(context, "max_pool2d", input, window, ceil_mode)
    layer = cached_layer(_pool_on_grid, GridMaxPool, context.border, window._replace(padding=amounts))
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
    window = Window.of_pool(kernel_size, stride, padding)
    x, amounts, offset = resolve_padding(context, "avg_pool2d", input, window, ceil_mode)
    if ceil_mode and context.overrides.pads_rows_as_flat:  # torch divides by the samples of the last, smaller windows
        x, rows = pad(x, (NO_OFFSET[0], amounts[1]), context.border), (window.padding[0][0], 0)
        y = F.avg_pool2d(x, window.kernel, window.stride, rows, True, count_include_pad, divisor_override)
        return with_offset(y[..., : _whole_windows(x, window)], offset)
    mean = _MEAN_WITH_PADDING if count_include_pad or divisor_override else GridAvgPool
    y = cached_layer(_pool_on_grid, mean, context.border, window._replace(padding=amounts))(x)
    return with_offset(y * (prod(window.kernel) / divisor_override) if divisor_override else y, offset)


@accept_unbatched
def lp_pool2d(
    context: PanoramaFunctionMode, input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None = None,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """Override ``F.lp_pool2d``."""
    window = Window.of_pool(kernel_size, stride, 0)
    x, amounts, offset = resolve_padding(context, "lp_pool2d", input, window, ceil_mode)
    height, width = window.kernel
    clips_rows = ceil_mode and context.overrides.pads_rows_as_flat  # as in avg_pool2d, on which torch builds
    padded = pad(x, (NO_OFFSET[0], amounts[1]) if clips_rows else amounts, context.border)
    y = F.lp_pool2d(padded, norm_type, (height, width), window.stride, clips_rows)
    return with_offset(y[..., : _whole_windows(padded, window)], offset)


@accept_unbatched
def unfold(
    context: PanoramaFunctionMode, input: Tensor, kernel_size: Size, dilation: Size = 1, padding: Size = 0,
    stride: Size = 1,
) -> Tensor:  # fmt: skip
    """Override ``F.unfold``; its result has no height and width, and so carries no pad offset."""
    window = Window.of_pool(kernel_size, stride, padding, dilation)
    x, amounts, _ = resolve_padding(context, "unfold", input, window)
    return F.unfold(pad(x, amounts, context.border), window.kernel, window.dilation, 0, window.stride)


def resolve_padding(
    context: PanoramaFunctionMode, operation: str, x: Tensor, window: Window, ceil_mode: bool = False
) -> tuple[Tensor, PadOffset, PadOffset]:
    """Return the input of a window, the padding that it still needs, and the pad offset of the output.

    Calls that leave a seam are reported. An input that was padded before, and is not padded again, keeps its padding.
    With ``ceil_mode``, the samples that torch leaves out of the last windows are padded too.
    """
    offset, panorama = offset_of(x), crop(x, offset_of(x))
    if any(map(any, window.padding)):
        context.report_change(operation, "padding replaced by the border of the panorama")
    window = window._replace(padding=add_sides(offset, window.padding))
    if ceil_mode:
        window = window.with_ceil_mode(panorama.shape[2:])
    rows, columns = window.remaining_offset()
    # rows end at the poles in any case; only columns have to be a full circle
    width, stride, missing = panorama.shape[-1], window.stride[-1], -sum(columns)
    if isinstance(width, int) and width % stride:
        context.report_seam(operation, f"stride {stride} does not divide {width} columns; use another input width")
    elif missing > 0 and is_continued_by_hand(panorama, missing):
        if not context.overrides.pads_rows_as_flat:  # else it runs as in the flat network, on all rows and columns
            context.report_continued_by_hand(operation)
    elif missing > 0:
        context.report_seam(operation, f"padding is too small for the kernel; missing output columns: {missing}")
    keeps_rows = sum(rows) > 0 and not context.overrides.pads_rows_as_flat
    output_offset = (rows if keeps_rows else (0, 0), columns if sum(columns) > 0 else (0, 0))
    above_below, left_right = window.padding
    if (above_below, left_right) == offset:
        return x, NO_OFFSET, output_offset
    return panorama, (above_below, left_right), output_offset


def offset_after_window(sides: Sides, kernel_size: int, stride: int, dilation: int = 1) -> Sides:
    """Return the sides that remain of one axis after windows, where the stride divides the panorama.

    A negative number after the axis means that so many outputs are missing.

    Example:
        >>> offset_after_window((1, 1), kernel_size=3, stride=1), offset_after_window((0, 1), kernel_size=3, stride=2)
        ((0, 0), (0, 0))
        >>> offset_after_window((3, 3), kernel_size=3, stride=1), offset_after_window((0, 0), kernel_size=3, stride=1)
        ((2, 2), (0, -2))
    """
    reach = span(kernel_size, dilation)
    extra = (sum(sides) - reach) // stride + 1
    if extra <= 0:
        return 0, extra
    # Output k is centred on sample k * stride + (reach - 1) / 2 - sides[0] of the panorama. Its first output is the
    # last one centred at or before sample 0; all terms are doubled to stay integers.
    before = min(max((2 * sides[0] - reach + 1) // (2 * stride), 0), extra)
    return before, extra - before


def _whole_windows(x: Tensor, window: Window) -> int:
    """Return the number of windows along the columns of an image that is padded; ceil_mode may add another one."""
    return (x.shape[-1] - window.kernel[-1]) // window.stride[-1] + 1


def _pool_on_grid(build: Callable[..., Any], border: Border, window: Window) -> Any:
    kernel, stride, dilation, amounts = window
    return build(border, GridWindow(amounts, kernel, stride, dilation), False)


CONV_POOL_OVERRIDES: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.conv2d: conv2d,
    F.max_pool2d: max_pool2d,
    torch.max_pool2d: max_pool2d,
    F.max_pool2d_with_indices: partial(max_pool2d, return_indices=True),
    F.avg_pool2d: avg_pool2d,
    F.lp_pool2d: lp_pool2d,
    F.unfold: unfold,
}

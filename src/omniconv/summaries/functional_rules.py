"""Axis maps and multiply-adds of torch's functions.

A rule takes the result of a call and then its arguments, and returns an axis map for each grid axis. Rules have the
parameter names of torch's functions, so that Python binds a recorded call to them. A function without a rule is treated
as pointwise or as a reduction (``tracing``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from omniconv.arithmetic import multiply_adds, span
from omniconv.nn.arguments import GridWindow, Padding, Size, per_axis
from omniconv.summaries.receptive_field import (
    AxisMap,
    adaptive_pool_map,
    interpolation_map,
    regrid_map,
    slice_map,
    transposed_map,
    window_map,
)

AxisMaps = list[AxisMap] | None
"""One map for each grid axis; ``None`` if every output depends on all samples of the image."""


def function_maps(name: str, result: Tensor, arguments: Sequence[Any], options: dict[str, Any]) -> AxisMaps:
    """Return the axis maps of a call of a torch function; raise KeyError if there is no rule for it."""
    return _RULES[name](result, *arguments, **options)


def function_multiply_adds(name: str, result: Tensor, arguments: Sequence[Any], options: dict[str, Any]) -> int:
    """Return the multiply-adds of a convolution or linear layer for the batch; 0 for every other function."""
    family = name.rstrip("123d")
    if family not in ("conv", "conv_transpose", "linear"):
        return 0
    x, weight = [*arguments, *(options[key] for key in ("input", "weight") if key in options)][:2]
    channels = weight.shape[0]
    positions = x.numel() if family == "conv_transpose" else result.numel()
    return multiply_adds(weight.shape[1], channels, tuple(weight.shape[2:]), positions // channels)


def window_maps(
    axis_map: Callable[[int, int, int], AxisMap],
    sizes: Sequence[int],
    kernel_size: Size,
    stride: Size,
    padding: Padding,
    dilation: Size = 1,
) -> list[AxisMap]:
    """Return the axis maps of a convolution or pooling (``axis_map=window_map``) or a transposed one on a grid."""
    named = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation}
    kernel, strides, dilations = (per_axis(name, value, len(sizes)) for name, value in named.items())
    befores = [before for before, _ in GridWindow(padding, kernel, strides, dilations).amounts(sizes)]
    axes = zip(kernel, dilations, strides, befores, strict=True)
    return [axis_map(span(taps, gap), step, before) for taps, gap, step, before in axes]


def interpolate_maps(  # type: ignore[no-untyped-def]
    result, input, size=None, scale_factor=None, mode="nearest", align_corners=None,
    recompute_scale_factor=None, antialias=False,
) -> AxisMaps:  # fmt: skip
    """Return the axis maps of ``torch.nn.functional.interpolate``."""
    if mode in ("area", "nearest"):
        rule = adaptive_pool_map if mode == "area" else regrid_map
        return [rule(old, new) for old, new in _sizes(input, result)]
    reach = {"nearest-exact": 0, "bicubic": 2}.get(mode, 1)  # 1 is linear, in one to three dimensions
    return [interpolation_map(old, new, reach, antialias) for old, new in _sizes(input, result)]


def _convolve(  # type: ignore[no-untyped-def]
    result, input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1
) -> AxisMaps:
    return window_maps(window_map, input.shape[2:], tuple(weight.shape[2:]), stride, padding, dilation)


def _convolve_transposed(  # type: ignore[no-untyped-def]
    result, input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
) -> AxisMaps:
    return window_maps(transposed_map, result.shape[2:], tuple(weight.shape[2:]), stride, padding, dilation)


def _pool(result, input, kernel_size, stride=None, padding=0, dilation=1, *rest, **options) -> AxisMaps:  # type: ignore[no-untyped-def]
    return window_maps(window_map, input.shape[2:], kernel_size, stride or kernel_size, padding, dilation)


def _average(result, input, kernel_size, stride=None, padding=0, *rest, **options) -> AxisMaps:  # type: ignore[no-untyped-def]
    return _pool(result, input, kernel_size, stride, padding)


def _power_average(result, input, norm_type, kernel_size, stride=None, *rest, **options) -> AxisMaps:  # type: ignore[no-untyped-def]
    return _pool(result, input, kernel_size, stride)


def _unpool(result, input, indices, kernel_size, stride=None, padding=0, output_size=None) -> AxisMaps:  # type: ignore[no-untyped-def]
    return window_maps(transposed_map, result.shape[2:], kernel_size, stride or kernel_size, padding)


def _adaptive_pool(result: Tensor, input: Tensor, *rest: Any, **options: Any) -> AxisMaps:
    if result.shape[2:].numel() == 1:
        return None
    return [adaptive_pool_map(old, new) for old, new in _sizes(input, result)]


def _pad(result: Tensor, input: Tensor, pad: Sequence[int], *rest: Any, **options: Any) -> AxisMaps:
    befores = [*pad[::2], *[0] * input.ndim][: input.ndim - 2]
    return [slice_map(-before) for before in reversed(befores)]


def _narrow(result: Tensor, input: Tensor, dim: int, start: int, length: int) -> AxisMaps:
    return [slice_map(start if axis == dim % input.ndim else 0) for axis in range(2, input.ndim)]


def _slice(result: Tensor, input: Tensor, index: Any) -> AxisMaps:
    """Return the axis maps of crops and strided slices; other indices have no rule."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if parts[0] is ...:
        parts = [slice(None)] * (input.ndim - len(parts) + 1) + parts[1:]
    parts += [slice(None)] * (input.ndim - len(parts))
    if not all(isinstance(part, slice) for part in parts):
        raise KeyError("this index has no rule")
    bounds = [part.indices(size) for part, size in zip(parts, input.shape, strict=True)]
    return [slice_map(start, step) for start, _, step in bounds[2:]]


def _regrid(result: Tensor, input: Tensor, *rest: Any, **options: Any) -> AxisMaps:
    return [regrid_map(old, new) for old, new in _sizes(input, result)]


def _sizes(input: Tensor, result: Tensor) -> list[tuple[int, int]]:
    return list(zip(input.shape[2:], result.shape[2:], strict=True))


_BY_RANK: dict[str, Callable[..., AxisMaps]] = {
    "conv{}d": _convolve,
    "conv_transpose{}d": _convolve_transposed,
    "max_pool{}d": _pool,
    "max_pool{}d_with_indices": _pool,
    "avg_pool{}d": _average,
    "lp_pool{}d": _power_average,
    "max_unpool{}d": _unpool,
    "adaptive_avg_pool{}d": _adaptive_pool,
    "adaptive_max_pool{}d": _adaptive_pool,
    "adaptive_max_pool{}d_with_indices": _adaptive_pool,
}
_GLOBAL = ("scaled_dot_product_attention", "multi_head_attention_forward", "lstm", "gru")
_RULES: dict[str, Callable[..., AxisMaps]] = {
    **{name.format(rank): rule for name, rule in _BY_RANK.items() for rank in (1, 2, 3)},
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), _regrid),
    **dict.fromkeys(_GLOBAL, lambda *arguments, **options: None),
    "interpolate": interpolate_maps,
    "pad": _pad,
    "narrow": _narrow,
    "__getitem__": _slice,
}

"""What torch's functions see of their input, and what they cost.

A rule takes a call, its result and then its arguments, and says how it moves along each grid axis. A function without
a rule changes samples one by one. Arguments have torch's names, so that a call binds itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from omniconv.arithmetic import multiply_adds, span
from omniconv.nn.arguments import GridPadding, Padding, Size, per_axis
from omniconv.summaries.receptive_field import Move, moved, regridded, resized, shared_out, transposed, window

Moves = list[Move] | None
"""One for each grid axis; ``None`` where every output sees the whole image."""
INTERPOLATION_REACH = {"nearest-exact": 0, "bicubic": 2}


def function_moves(name: str, result: Tensor, arguments: Sequence[Any], options: dict[str, Any]) -> Moves:
    """How a function of torch moves along each grid axis.

    Raises:
        KeyError: the function of this name has no rule.
    """
    return _RULES[name](result, *arguments, **options)


def function_cost(name: str, result: Tensor, arguments: Sequence[Any], options: dict[str, Any]) -> int:
    """Multiply-adds of torch's convolutions and linear layers on the whole batch; 0 for every other function."""
    family = name.rstrip("123d")
    if family not in ("conv", "conv_transpose", "linear"):
        return 0
    x, weight = [*arguments, *(options[key] for key in ("input", "weight") if key in options)][:2]
    channels = weight.shape[0]
    positions = x.numel() if family == "conv_transpose" else result.numel()
    return multiply_adds(weight.shape[1], channels, tuple(weight.shape[2:]), positions // channels)


def windows(
    kind: Callable[[int, int, int], Move],
    sizes: Sequence[int],
    kernel_size: Size,
    stride: Size,
    padding: Padding,
    dilation: Size = 1,
) -> list[Move]:
    """The moves of a convolution or pooling (``kind`` is ``window``) or a transposed one, on a grid of these sizes."""
    named = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation}
    kernel, step, spread = (per_axis(name, value, len(sizes)) for name, value in named.items())
    befores = [before for before, _ in GridPadding(padding, kernel, step, spread).amounts(sizes)]
    axes = zip(kernel, spread, step, befores, strict=True)
    return [kind(span(taps, gap), stride, before) for taps, gap, stride, before in axes]


def resize(  # type: ignore[no-untyped-def]
    result, input, size=None, scale_factor=None, mode="nearest", align_corners=None,
    recompute_scale_factor=None, antialias=False,
) -> Moves:  # fmt: skip
    """The moves of ``torch.nn.functional.interpolate``."""
    if mode in ("area", "nearest"):
        rule = shared_out if mode == "area" else regridded
        return [rule(old, new) for old, new in _sizes(input, result)]
    reach = INTERPOLATION_REACH.get(mode, 1)
    return [resized(old, new, reach, antialias) for old, new in _sizes(input, result)]


def _convolve(  # type: ignore[no-untyped-def]
    result, input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1
) -> Moves:
    return windows(window, input.shape[2:], tuple(weight.shape[2:]), stride, padding, dilation)


def _convolve_transposed(  # type: ignore[no-untyped-def]
    result, input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
) -> Moves:
    return windows(transposed, result.shape[2:], tuple(weight.shape[2:]), stride, padding, dilation)


def _pool(result, input, kernel_size, stride=None, padding=0, dilation=1, *rest, **options) -> Moves:  # type: ignore[no-untyped-def]
    return windows(window, input.shape[2:], kernel_size, stride or kernel_size, padding, dilation)


def _average(result, input, kernel_size, stride=None, padding=0, *rest, **options) -> Moves:  # type: ignore[no-untyped-def]
    return _pool(result, input, kernel_size, stride, padding)


def _power_average(result, input, norm_type, kernel_size, stride=None, *rest, **options) -> Moves:  # type: ignore[no-untyped-def]
    return _pool(result, input, kernel_size, stride)


def _unpool(result, input, indices, kernel_size, stride=None, padding=0, output_size=None) -> Moves:  # type: ignore[no-untyped-def]
    return windows(transposed, result.shape[2:], kernel_size, stride or kernel_size, padding)


def _share(result: Tensor, input: Tensor, *rest: Any, **options: Any) -> Moves:
    if result.shape[2:].numel() == 1:
        return None
    return [shared_out(old, new) for old, new in _sizes(input, result)]


def _pad(result: Tensor, input: Tensor, pad: Sequence[int], *rest: Any, **options: Any) -> Moves:
    befores = [*pad[::2], *[0] * input.ndim][: input.ndim - 2]
    return [moved(-before) for before in reversed(befores)]


def _narrow(result: Tensor, input: Tensor, dim: int, start: int, length: int) -> Moves:
    return [moved(start if axis == dim % input.ndim else 0) for axis in range(2, input.ndim)]


def _slice(result: Tensor, input: Tensor, index: Any) -> Moves:
    """Crops; other indices have no rule."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if parts[0] is ...:
        parts = [slice(None)] * (input.ndim - len(parts) + 1) + parts[1:]
    parts += [slice(None)] * (input.ndim - len(parts))
    if not all(isinstance(part, slice) for part in parts):
        raise KeyError("this index has no rule")
    bounds = [part.indices(size) for part, size in zip(parts, input.shape, strict=True)]
    return [moved(start, step) for start, _, step in bounds[2:]]


def _regrid(result: Tensor, input: Tensor, *rest: Any, **options: Any) -> Moves:
    return [regridded(old, new) for old, new in _sizes(input, result)]


def _sizes(input: Tensor, result: Tensor) -> list[tuple[int, int]]:
    return list(zip(input.shape[2:], result.shape[2:], strict=True))


_BY_RANK: dict[str, Callable[..., Moves]] = {
    "conv{}d": _convolve,
    "conv_transpose{}d": _convolve_transposed,
    "max_pool{}d": _pool,
    "max_pool{}d_with_indices": _pool,
    "avg_pool{}d": _average,
    "lp_pool{}d": _power_average,
    "max_unpool{}d": _unpool,
    "adaptive_avg_pool{}d": _share,
    "adaptive_max_pool{}d": _share,
    "adaptive_max_pool{}d_with_indices": _share,
}
_SEES_ALL = ("scaled_dot_product_attention", "multi_head_attention_forward", "lstm", "gru")
_RULES: dict[str, Callable[..., Moves]] = {
    **{name.format(rank): rule for name, rule in _BY_RANK.items() for rank in (1, 2, 3)},
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), _regrid),
    **dict.fromkeys(_SEES_ALL, lambda *arguments, **options: None),
    "interpolate": resize,
    "pad": _pad,
    "narrow": _narrow,
    "__getitem__": _slice,
}

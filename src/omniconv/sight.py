"""What each layer sees of its input, and what it costs: omniconv's layers by their kind, torch's by their functions.

A rule takes a call (its result, then its arguments) and says how the call moves along each grid axis, or that it sees
everything; costs are multiply-adds on the whole batch. Whatever has no rule here changes samples one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Any

from torch import Tensor, nn

from omniconv.arithmetic import multiply_adds, span
from omniconv.nn import AvgPool, Conv, ConvTranspose, GlobalAvgPool, MaxPool, Upsample
from omniconv.nn.arguments import GridPadding, Padding, Size, per_axis
from omniconv.nn.stencil import StencilConvolution
from omniconv.reach import Move, moved, regridded, resized, shared_out, transposed, window
from omniconv.surfaces import Stencil

Moves = list[Move] | None
"""One for each grid axis; ``None`` where every output sees the whole image."""
OMNICONV_LAYERS = (Conv, ConvTranspose, MaxPool, AvgPool, GlobalAvgPool, Upsample)
INTERPOLATION_REACH = {"nearest-exact": 0, "bicubic": 2}


@singledispatch
def layer_moves(layer: nn.Module, result: Tensor, x: Tensor) -> Moves:
    """How a layer of omniconv moves along each grid axis."""
    raise NotImplementedError(type(layer).__name__)


@layer_moves.register(Conv)
@layer_moves.register(MaxPool)
@layer_moves.register(AvgPool)
def _(layer: Any, result: Tensor, x: Tensor) -> Moves:
    if _on_mesh(layer):
        return _mesh_window(window, layer, layer.kernel_size if isinstance(layer, Conv) else _pool_span(layer))
    return _windows(window, x.shape[2:], layer.kernel_size, layer.stride, layer.padding, layer.dilation)


@layer_moves.register
def _(layer: ConvTranspose, result: Tensor, x: Tensor) -> Moves:
    if _on_mesh(layer):
        return _mesh_window(transposed, layer, layer.kernel_size)
    return _windows(transposed, result.shape[2:], layer.kernel_size, layer.stride, layer.padding, layer.dilation)


@layer_moves.register
def _(layer: Upsample, result: Tensor, x: Tensor) -> Moves:
    if _on_mesh(layer):  # a new sample lies between two old ones
        return [Move(lambda j: j // layer.scale_factor, lambda j: -(-j // layer.scale_factor), layer.scale_factor, 1)]
    mode = "nearest-exact" if layer.mode == "nearest" else layer.mode
    return _resize(result, x, mode=mode, antialias=True)


@layer_moves.register
def _(layer: GlobalAvgPool, result: Tensor, x: Tensor) -> Moves:
    return None


def layer_cost(layer: nn.Module, result: Tensor, x: Tensor) -> int:
    """Multiply-adds of a layer of omniconv; a stencil adds one for each of its entries and channels in."""
    if not isinstance(layer, Conv | ConvTranspose):
        return 0
    stencils = [part.stencil for part in layer.modules() if isinstance(part, StencilConvolution)]
    by_input = isinstance(layer, ConvTranspose) and not _on_mesh(layer)
    positions = (x if by_input else result).shape[2:]
    kernel = layer.weight.shape[2:]
    dense = multiply_adds(layer.in_channels, layer.out_channels, kernel, positions, layer.groups)
    return len(x) * (dense + sum(stencil.fused.nnz for stencil in stencils) * layer.in_channels)


def function_moves(name: str, result: Tensor, arguments: Sequence[Any], options: dict[str, Any]) -> Moves:
    """How a function of torch moves along each grid axis, by its name; ``KeyError`` where it has no rule."""
    return _RULES[name](result, *arguments, **options)


def function_cost(name: str, result: Tensor, arguments: Sequence[Any], options: dict[str, Any]) -> int:
    """Multiply-adds of torch's convolutions and linear layers; 0 for every other function."""
    family = name.rstrip("123d")
    if family not in ("conv", "conv_transpose", "linear"):
        return 0
    x, weight = [*arguments, *(options[key] for key in ("input", "weight") if key in options)][:2]
    outputs = x.numel() // x.shape[1] if family == "conv_transpose" else result.numel() // weight.shape[0]
    if family == "linear":
        outputs = result.numel() // result.shape[-1]
    return multiply_adds(weight.shape[1], weight.shape[0], tuple(weight.shape[2:]), outputs)


def _on_mesh(layer: Any) -> bool:
    return None not in layer.surface.shape


def _mesh_window(kind: Callable[[int, int, int], Move], layer: Any, width: Size) -> Moves:
    """On a mesh distances are counted in rings: a kernel of 3 is a sample and the ring around it."""
    (span,), (stride,) = per_axis("kernel_size", width, 1), per_axis("stride", layer.stride, 1)
    return [kind(span, stride, span // 2)]


def _pool_span(layer: MaxPool | AvgPool) -> int:
    """Windows on a mesh part its samples (2 in a row), or overlap (a sample and the ring around it: 3)."""
    stencil = layer.surface.pool_neighbours(2, 2)
    return 3 if isinstance(stencil, Stencil) and stencil.fused.nnz > stencil.inputs else 2


def _windows(
    kind: Callable[[int, int, int], Move],
    sizes: Sequence[int],
    kernel_size: Size,
    stride: Size,
    padding: Padding,
    dilation: Size = 1,
) -> list[Move]:
    named = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation}
    kernel, step, spread = (per_axis(name, value, len(sizes)) for name, value in named.items())
    amounts = GridPadding(padding, kernel, step, spread).amounts(sizes)
    axes = zip(kernel, step, spread, amounts, strict=True)
    return [kind(span(taps, gap), stride, before) for taps, stride, gap, (before, _) in axes]


def _convolve(result, input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1) -> Moves:  # type: ignore[no-untyped-def]
    return _windows(window, input.shape[2:], tuple(weight.shape[2:]), stride, padding, dilation)


def _convolve_transposed(  # type: ignore[no-untyped-def]
    result, input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
) -> Moves:
    return _windows(transposed, result.shape[2:], tuple(weight.shape[2:]), stride, padding, dilation)


def _pool(result, input, kernel_size, stride=None, padding=0, dilation=1, *rest, **options) -> Moves:  # type: ignore[no-untyped-def]
    return _windows(window, input.shape[2:], kernel_size, stride or kernel_size, padding, dilation)


def _average(result, input, kernel_size, stride=None, padding=0, *rest, **options) -> Moves:  # type: ignore[no-untyped-def]
    return _windows(window, input.shape[2:], kernel_size, stride or kernel_size, padding)


def _power_average(result, input, norm_type, kernel_size, stride=None, ceil_mode=False) -> Moves:  # type: ignore[no-untyped-def]
    return _windows(window, input.shape[2:], kernel_size, stride or kernel_size, 0)


def _unpool(result, input, indices, kernel_size, stride=None, padding=0, output_size=None) -> Moves:  # type: ignore[no-untyped-def]
    return _windows(transposed, result.shape[2:], kernel_size, stride or kernel_size, padding)


def _share(result: Tensor, input: Tensor, *rest: Any, **options: Any) -> Moves:
    if result.shape[2:].numel() == 1:
        return None
    return [shared_out(old, new) for old, new in _sizes(input, result)]


def _resize(  # type: ignore[no-untyped-def]
    result, input, size=None, scale_factor=None, mode="nearest", align_corners=None,
    recompute_scale_factor=None, antialias=False,
) -> Moves:  # fmt: skip
    if mode in ("area", "nearest"):
        rule = shared_out if mode == "area" else regridded
        return [rule(old, new) for old, new in _sizes(input, result)]
    return [resized(old, new, INTERPOLATION_REACH.get(mode, 1), antialias) for old, new in _sizes(input, result)]


def _pad(result: Tensor, input: Tensor, pad: Sequence[int], *rest: Any, **options: Any) -> Moves:
    befores = [*pad[::2], *[0] * input.ndim][: input.ndim - 2]
    return [moved(-before) for before in reversed(befores)]


def _narrow(result: Tensor, input: Tensor, dim: int, start: int, length: int) -> Moves:
    return [moved(start if axis == dim % input.ndim else 0) for axis in range(2, input.ndim)]


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
    "interpolate": _resize,
    "pad": _pad,
    "narrow": _narrow,
}

"""Overrides of resizing, adaptive pooling and grid sampling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from omniconv.convert.overrides.mode import PanoramaFunctionMode
from omniconv.convert.overrides.pad_tracking import NO_OFFSET, offset_of
from omniconv.nn.arguments import per_axis
from omniconv.nn.grid.resize import resize, resize_with
from omniconv.nn.symbolic import is_symbolic

INTERPOLATION_REACH = {"bilinear": 1, "bicubic": 2}
"""Input samples on each side that an output depends on; other modes copy samples, or average windows."""


def interpolate(
    context: PanoramaFunctionMode, input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None, recompute_scale_factor: bool | None = None, antialias: bool = False,
) -> Tensor:  # fmt: skip
    """Override ``F.interpolate``: interpolate across the edges, with ``align_corners=False``.

    A full circle has no corners to align. Compared with ``align_corners=True``, outputs move by at most a quarter of an
    input sample at a doubled size, and by at most half of one at any; in the middle of the image they do not move.
    """
    if input.ndim != 4:
        return F.interpolate(input, size, scale_factor, mode, align_corners, recompute_scale_factor, antialias)
    new_size = _output_size(context, input, size, scale_factor)
    if offset_of(input) != NO_OFFSET:
        context.report_seam("interpolate", "resizes a padded image together with its padding")
    if mode not in INTERPOLATION_REACH:
        return F.interpolate(input, new_size, mode=mode)
    old_size = input.shape[2:]
    corners = (
        "; align_corners=True became False, as a full circle has no corners: outputs move" if align_corners else ""
    )
    context.report_change("interpolate", f"interpolates across the edges of the panorama{corners}")
    if all(isinstance(length, int) and length == 1 for length in old_size):  # a single sample has no neighbours
        return input.expand(*input.shape[:2], *new_size)
    grows = is_symbolic(*old_size, *new_size) or all(new >= old for new, old in zip(new_size, old_size, strict=True))
    if mode == "bilinear" and grows:
        return resize(input, new_size, context.border, "linear", grows=True)
    # antialias=True widens the filter by the factor by which the size shrinks
    scales = [max(old / new, 1) if antialias else 1 for new, old in zip(new_size, old_size, strict=True)]
    reaches = [INTERPOLATION_REACH[mode] * scale for scale in scales]
    flat = partial(F.interpolate, mode=mode, align_corners=False, antialias=antialias)
    return resize_with(input, new_size, context.border, reaches, lambda x, extended: flat(x, extended))


def adaptive_pool2d(name: str) -> Callable[..., Any]:
    """Return the override of an adaptive pooling, which reports an output width that does not divide the input's."""
    function = getattr(F, name)

    def override(context: PanoramaFunctionMode, input: Tensor, output_size: Any, *args: Any, **kwargs: Any) -> Any:
        columns = output_size[-1] if isinstance(output_size, Sequence) else output_size
        if columns is not None and not is_symbolic(input.shape[-1]) and input.shape[-1] % columns:
            context.report_seam(name, f"{columns} output columns do not divide {input.shape[-1]} input columns",
                                is_certain=True)  # fmt: skip
        return function(input, output_size, *args, **kwargs)

    return override


def grid_sample(context: PanoramaFunctionMode, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Override ``F.grid_sample``: report it, and run it unchanged."""
    context.report_seam("grid_sample", "runs unchanged: it samples fixed coordinates and has a padding_mode of its own")
    return F.grid_sample(input, *args, **kwargs)


def _output_size(context: PanoramaFunctionMode, x: Tensor, size: Any, scale_factor: Any) -> tuple[int, ...]:
    if size is not None:
        return per_axis("size", size, 2)
    factors = scale_factor if isinstance(scale_factor, Sequence) else (scale_factor, scale_factor)
    if all(factor == int(factor) for factor in factors):  # int products, so that symbolic sizes stay symbolic ints
        return tuple(length * int(factor) for length, factor in zip(x.shape[2:], factors, strict=True))
    exact = [length * factor for length, factor in zip(x.shape[2:], factors, strict=True)]
    if exact[-1] != int(exact[-1]):
        context.report_seam("interpolate", f"scale_factor={scale_factor} times {x.shape[-1]} columns is not an integer")
    return tuple(int(length) for length in exact)


RESIZE_OVERRIDES: dict[Callable[..., Any], Callable[..., Any]] = {
    F.interpolate: interpolate,
    F.grid_sample: grid_sample,
    F.adaptive_avg_pool2d: adaptive_pool2d("adaptive_avg_pool2d"),
    F.adaptive_max_pool2d: adaptive_pool2d("adaptive_max_pool2d"),
    F.adaptive_max_pool2d_with_indices: adaptive_pool2d("adaptive_max_pool2d_with_indices"),
}

"""Panoramas at another size, in the words of torch's functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from omniconv.convert.overrides.mode import PanoramaMode
from omniconv.convert.overrides.pad_tracking import NONE, frame_of
from omniconv.nn.arguments import per_axis
from omniconv.nn.grid.resize import resize, resize_with
from omniconv.nn.symbolic import is_symbolic

REACH = {"bilinear": 1, "bicubic": 2}
"""Samples on each side that a new one is made of; other modes pick samples, or average whole windows."""


def interpolate(
    panorama: PanoramaMode, input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None, recompute_scale_factor: bool | None = None, antialias: bool = False,
) -> Tensor:  # fmt: skip
    """``torch.nn.functional.interpolate``: sample centres keep their places, and there is something past each edge.

    Where corners were to be aligned, samples move by a quarter of an old one at most when a size is doubled, by half of
    one in the limit; in the middle they stay: a ring has no corners.
    """
    if input.ndim != 4:
        return F.interpolate(input, size, scale_factor, mode, align_corners, recompute_scale_factor, antialias)
    wanted = _size(panorama, input, size, scale_factor)
    if frame_of(input) != NONE:
        panorama.seam("interpolate", "resizes what was padded")
    if mode not in REACH:
        return F.interpolate(input, wanted, mode=mode)
    old = input.shape[2:]
    corners = "; align_corners=True became False: a ring has no corners to align" if align_corners else ""
    panorama.changed("interpolate", f"goes on past the edges{corners}")
    if all(isinstance(length, int) and length == 1 for length in old):
        return input.expand(*input.shape[:2], *wanted)
    grows = is_symbolic(*old, *wanted) or all(new >= length for new, length in zip(wanted, old, strict=True))
    if mode == "bilinear" and grows:
        return resize(input, wanted, panorama.border, "linear", grows=True)
    reaches = [REACH[mode] * max(length / new if antialias else 1, 1) for new, length in zip(wanted, old, strict=True)]
    flat = partial(F.interpolate, mode=mode, align_corners=False, antialias=antialias)
    return resize_with(input, wanted, panorama.border, reaches, lambda x, extended: flat(x, extended))


def adaptive_pool2d(name: str) -> Callable[..., Any]:
    """The rule of an adaptive pooling: its windows part the ring where their number divides it."""
    flat = getattr(F, name)

    def rule(panorama: PanoramaMode, input: Tensor, output_size: Any, *args: Any, **kwargs: Any) -> Any:
        columns = output_size[-1] if isinstance(output_size, Sequence) else output_size
        if columns is not None and not is_symbolic(input.shape[-1]) and input.shape[-1] % columns:
            panorama.seam(name, f"makes {columns} columns of {input.shape[-1]}, which is no multiple of them")
        return flat(input, output_size, *args, **kwargs)

    return rule


def grid_sample(panorama: PanoramaMode, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """``torch.nn.functional.grid_sample``, as it is."""
    panorama.seam("grid_sample", "samples at given places, and takes what lies past an edge from its padding_mode")
    return F.grid_sample(input, *args, **kwargs)


def _size(panorama: PanoramaMode, x: Tensor, size: Any, scale_factor: Any) -> tuple[int, ...]:
    if size is not None:
        return per_axis("size", size, 2)
    factors = scale_factor if isinstance(scale_factor, Sequence) else (scale_factor, scale_factor)
    if all(factor == int(factor) for factor in factors):
        return tuple(length * int(factor) for length, factor in zip(x.shape[2:], factors, strict=True))
    exact = [length * factor for length, factor in zip(x.shape[2:], factors, strict=True)]
    if exact[-1] != int(exact[-1]):
        panorama.seam("interpolate", f"scale_factor={scale_factor} of {x.shape[-1]} columns is no whole number")
    return tuple(int(length) for length in exact)


RESAMPLING_RULES: dict[Callable[..., Any], Callable[..., Any]] = {
    F.interpolate: interpolate,
    F.grid_sample: grid_sample,
    F.adaptive_avg_pool2d: adaptive_pool2d("adaptive_avg_pool2d"),
    F.adaptive_max_pool2d: adaptive_pool2d("adaptive_max_pool2d"),
    F.adaptive_max_pool2d_with_indices: adaptive_pool2d("adaptive_max_pool2d_with_indices"),
}

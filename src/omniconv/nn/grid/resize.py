"""Resizing on regular grids without a seam: interpolation where an axis grows, averages where it shrinks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.nn.arguments import Size, per_axis
from omniconv.nn.grid.padding import pad
from omniconv.nn.grid.symbolic_resize import LINEAR, resize_symbolic, upsample_linear
from omniconv.nn.symbolic import is_symbolic
from omniconv.surfaces import Border
from omniconv.surfaces.base import Resampling


class GridResize(nn.Module):
    """Resize a grid by the factor ``up / down``, sizes rounded up, or to a given size."""

    def __init__(self, border: Border, up: int, down: int, mode: Resampling) -> None:
        super().__init__()
        self.border, self.up, self.down, self.mode = border, up, down, mode
        self.face_axes = border.ndim - border.kernel_ndim

    def forward(self, x: Tensor, output_size: Size | None) -> Tensor:
        """Resize ``(batch, channels, *grid)``."""
        size = output_size
        if size is None:
            scaled = [(length * self.up + self.down - 1) // self.down for length in x.shape[2 + self.face_axes :]]
            size = [*x.shape[2 : 2 + self.face_axes], *scaled]
        return resize(x, size, self.border, self.mode, grows=self.down == 1)


def resize(x: Tensor, size: Size, border: Border, mode: Resampling = "linear", grows: bool = False) -> Tensor:
    """Resize ``(batch, channels, *grid)`` with ``align_corners=False``, without a seam where the border closes.

    A circular or pole axis is padded by samples that become an integer number of outputs, resized, and cropped, so that
    the result does not depend on where the ring starts. Other axes end at their edge samples, as in torch. ``linear``
    averages where an axis shrinks: over windows where the ratio is an integer, else with a triangle two steps wide.
    ``grows`` states that no axis shrinks, which cannot be checked for symbolic sizes.

    Raises:
        InputError: a ``size`` that is not one whole number from 1 for each axis.
    """
    size = per_axis("output_size", size, border.ndim)
    if is_symbolic(*x.shape[2:], *size):
        return resize_symbolic(x, size, border, mode, grows)
    if tuple(x.shape[2:]) == size:
        return x
    reaches = [0.0 if mode == "nearest" else max(1.0, old / new) for old, new in zip(x.shape[2:], size, strict=True)]
    # Sizes with a small common divisor would be padded by almost the whole ring.
    if mode == "linear" and _grows(x, size) and any(before > 2 for before, _ in _margins(x, size, border, reaches)):
        return upsample_linear(x, size, border)
    return resize_with(x, size, border, reaches, partial(_interpolate, mode=mode))


def resize_with(
    x: Tensor, size: tuple[int, ...], border: Border, reaches: Sequence[float], interpolate: Callable[..., Tensor]
) -> Tensor:
    """Resize a grid signal by ``interpolate(x, size)``, which has ``align_corners=False`` and no border.

    ``reaches`` is the support of the interpolation on each axis, in samples to each side.
    """
    margins = _margins(x, size, border, reaches)
    x = pad(x, [(before, before) for before, _ in margins], border)
    extended = tuple(new + 2 * after for new, (_, after) in zip(size, margins, strict=True))
    if border.kernel_ndim < border.ndim:  # the faces of a cube are not interpolated between
        x = interpolate(x.flatten(1, 2), extended[1:]).unflatten(1, (-1, size[0]))
    else:
        x = interpolate(x, extended)
    for axis, (new, (_, after)) in enumerate(zip(size, margins, strict=True), start=2):
        x = x.narrow(axis, after, new) if after else x
    return x


def _margins(x: Tensor, size: Sequence[int], border: Border, reaches: Sequence[float]) -> list[tuple[int, int]]:
    """Return for each axis the samples to pad by, enough for the reach, and the number of outputs they become."""
    axes = zip(x.shape[2:], size, border.wraps, reaches, strict=True)
    return [_margin(old, new, reach) if wraps else (0, 0) for old, new, wraps, reach in axes]


def _margin(old: int, new: int, reach: float) -> tuple[int, int]:
    common = math.gcd(old, new)
    step, outputs = old // common, new // common
    steps = math.ceil(reach / step)
    return steps * step, steps * outputs


def _grows(x: Tensor, size: tuple[int, ...]) -> bool:
    return all(new >= old for new, old in zip(size, x.shape[2:], strict=True))


def _interpolate(x: Tensor, size: tuple[int, ...], mode: Resampling) -> Tensor:
    if mode == "nearest":
        return F.interpolate(x, size, mode="nearest-exact")
    if _grows(x, size):
        return F.interpolate(x, size, mode=LINEAR[len(size)], align_corners=False)
    if all(old % new == 0 for new, old in zip(size, x.shape[2:], strict=True)):
        return F.interpolate(x, size, mode="area")  # halving is average pooling by 2
    return _shrink(x, size)


def _shrink(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Average with antialiasing, which torch has for two axes only: three axes are resized in two steps."""
    if len(size) == 1:
        return _antialiased(x[:, :, None], (1, size[0]))[:, :, 0]
    if len(size) == 2:
        return _antialiased(x, size)
    channels = x.shape[1]
    x = _antialiased(x.flatten(1, 2), size[1:]).unflatten(1, (channels, -1))  # (B, C, D, h, w)
    depth = _antialiased(x.flatten(3), (size[0], size[1] * size[2]))
    return depth.unflatten(3, size[1:])


def _antialiased(x: Tensor, size: tuple[int, ...]) -> Tensor:
    precise = x.to(torch.promote_types(x.dtype, torch.float32))  # on the CPU torch has it in no lower precision (2.13)
    return F.interpolate(precise, size, mode="bilinear", align_corners=False, antialias=True).to(x.dtype)

"""Resizing of grids whose sizes are symbolic under ``torch.export``: formulas that hold for every size.

Relations between sizes that hold for every size (one is twice the other) select a faster formula; otherwise indices and
weights are computed from the sizes when the program runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from omniconv.nn.grid.padding import pad
from omniconv.nn.grid.pool import AVG_POOL
from omniconv.nn.grid.symbolic_padding import along_axis, roll_half_width
from omniconv.nn.symbolic import statically_true, to_int_if_static
from omniconv.surfaces.base import Resampling
from omniconv.surfaces.neighbours.border import Border, Sides

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def resize_symbolic(x: Tensor, size: tuple[int, ...], border: Border, mode: Resampling, grows: bool) -> Tensor:
    """Compute ``resize`` for symbolic sizes; ``grows``: no axis shrinks."""
    old = x.shape[2:]
    if all(statically_true(new == length) for new, length in zip(size, old, strict=True)):
        return x
    if mode == "nearest":
        return _nearest(x, size)
    if grows or all(statically_true(new >= length) for new, length in zip(size, old, strict=True)):
        return _grow(x, size, border)
    factors = _static_factors(old, size)
    if factors is not None:
        return AVG_POOL[len(size)](x, factors, factors)
    return _shrink(x, size, border)


def upsample_linear(x: Tensor, size: Sequence[int], border: Border) -> Tensor:
    """Interpolate linearly axis by axis, for any ratio of old and new size."""
    modes = zip(border.wraps, border.modes, strict=True)
    ends = Border(tuple(sides if wraps else ("replicate", "replicate") for wraps, sides in modes))
    old_sizes = x.shape[2:]
    x = pad(x, [(1, 1)] * len(size), ends)
    for axis, (old, new) in enumerate(zip(old_sizes, size, strict=True), start=2):
        position = (torch.arange(new, device=x.device, dtype=torch.float64) + 0.5) * old / new + 0.5
        before = position.floor()
        weight = along_axis((position - before).to(x.dtype), axis, x.ndim)
        left, right = (x.index_select(axis, (before + step).long()) for step in (0, 1))
        x = torch.lerp(left, right, weight)
    return x


def _static_factors(larger: Sequence[int], smaller: Sequence[int]) -> list[int] | None:
    """Return the integer ratios of the sizes if they are the same for every size, else ``None``."""
    if not all(statically_true(large % small == 0) for large, small in zip(larger, smaller, strict=True)):
        return None
    factors = [to_int_if_static(large // small) for large, small in zip(larger, smaller, strict=True)]
    return factors if all(isinstance(factor, int) for factor in factors) else None


def _grow(x: Tensor, size: tuple[int, ...], border: Border) -> Tensor:
    factors = _static_factors(size, x.shape[2:])
    if not any(border.wraps):
        return F.interpolate(x, size, mode=LINEAR[len(size)], align_corners=False)
    if factors is None:
        return upsample_linear(x, size, border)
    margins = [int(wraps) for wraps in border.wraps]
    x = pad(x, [(margin, margin) for margin in margins], border)
    extended = [length * factor for length, factor in zip(x.shape[2:], factors, strict=True)]
    x = F.interpolate(x, extended, mode=LINEAR[len(size)], align_corners=False)
    for axis, (new, margin, factor) in enumerate(zip(size, margins, factors, strict=True), start=2):
        x = x.narrow(axis, factor, new) if margin else x
    return x


def _nearest(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Round as torch's ``nearest-exact``, in float32."""
    for axis, (old, new) in enumerate(zip(x.shape[2:], size, strict=True), start=2):
        position = ((torch.arange(new, device=x.device, dtype=torch.float32) + 0.5) * (old / new)).floor()
        x = x.index_select(axis, position.long().clamp(0, old - 1))
    return x


def _shrink(x: Tensor, size: tuple[int, ...], border: Border) -> Tensor:
    """Multiply each axis by a matrix of weights: means of windows if every ratio is an integer, else triangles."""
    remainder = sum(old % new for old, new in zip(x.shape[2:], size, strict=True))
    is_integer_ratio = torch.full((1, 1), remainder, device=x.device) == 0
    for axis, (new, wraps, modes) in enumerate(zip(size, border.wraps, border.modes, strict=True), start=2):
        old, moved = x.shape[axis], x.movedim(axis, -1)
        direct, rolled = _triangle_weights(old, new, modes if wraps else ("zeros", "zeros"), x.device)
        step = torch.full((1,), old // new, device=x.device).clamp(min=1)
        windows = torch.arange(old, device=x.device) // step == torch.arange(new, device=x.device)[:, None]
        means = windows / windows.sum(1, keepdim=True).clamp(min=1)
        y = moved @ torch.where(is_integer_ratio, means, direct).to(x.dtype).T
        if "pole" in modes:
            weights = torch.where(is_integer_ratio, 0.0, rolled).to(x.dtype)
            y = y + roll_half_width(x).movedim(axis, -1) @ weights.T
        x = y.movedim(-1, axis)
    return x


def _triangle_weights(old: int, new: int, modes: Sides, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the weights ``(new, old)`` of the samples in each output, and of samples rolled beyond a pole.

    The sample at position p repeats at p ± old on a ring, and at −1 − p and 2·old − 1 − p beyond the poles.
    """
    ratio = torch.full((1, 1), old, device=device, dtype=torch.float64) / new
    centre = (torch.arange(new, device=device, dtype=torch.float64)[:, None] + 0.5) * ratio - 0.5
    position = torch.arange(old, device=device, dtype=torch.float64)

    def triangle(positions: Tensor) -> Tensor:
        return (1 - (positions - centre).abs() / ratio.clamp(min=1)).clamp(min=0)

    direct, rolled = triangle(position), torch.zeros_like(position)
    for mode, on_ring, beyond_pole in zip(
        modes, (position - old, position + old), (-1 - position, 2 * old - 1 - position), strict=True
    ):
        direct = direct + triangle(on_ring) if mode == "circular" else direct
        rolled = rolled + triangle(beyond_pole) if mode == "pole" else rolled
    total = (direct + rolled).sum(1, keepdim=True)
    return direct / total, rolled / total

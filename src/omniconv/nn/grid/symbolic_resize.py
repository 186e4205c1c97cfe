"""Resizing where sizes are left open in an export: formulas that are right for every size, ``if`` none asks.

What is known of two sizes for sure (that one is twice the other) is used; the rest is left to indices and weights that
are computed when the sizes come.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from omniconv.nn.grid.padding import pad
from omniconv.nn.grid.symbolic_padding import roll_half_width
from omniconv.nn.symbolic import statically_true, to_int_if_static
from omniconv.surfaces.base import Resampling
from omniconv.surfaces.neighbours.border import Border, Sides

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def resize_symbolic(x: Tensor, size: tuple[int, ...], border: Border, mode: Resampling, grows: bool) -> Tensor:
    """A grid signal at another size, as ``resize`` gives it for sizes that are known; ``grows``: no axis shrinks."""
    old = x.shape[2:]
    if all(statically_true(new == length) for new, length in zip(size, old, strict=True)):
        return x
    if mode == "nearest":
        return _nearest(x, size)
    if grows or all(statically_true(new >= length) for new, length in zip(size, old, strict=True)):
        return _grow(x, size, border)
    factors = _factors(old, size)
    if factors is not None:
        return POOL[len(size)](x, factors, factors)
    return _shrink(x, size, border)


def lerp(x: Tensor, size: Sequence[int], border: Border) -> Tensor:
    """Linear growth axis by axis, also where a ring and its outputs have no small common measure to extend by."""
    ends = Border(tuple(("replicate", "replicate") if not wraps else sides
                        for wraps, sides in zip(border.wraps, border.modes, strict=True)))  # fmt: skip
    old_sizes = x.shape[2:]
    x = pad(x, [(1, 1)] * len(size), ends)
    for axis, (old, new) in enumerate(zip(old_sizes, size, strict=True), start=2):
        place = (torch.arange(new, device=x.device, dtype=torch.float64) + 0.5) * old / new + 0.5
        before = place.floor()
        share = (place - before).to(x.dtype).view([-1 if other == axis else 1 for other in range(x.ndim)])
        left, right = (x.index_select(axis, (before + step).long()) for step in (0, 1))
        x = torch.lerp(left, right, share)
    return x


def _factors(larger: Sequence[int], smaller: Sequence[int]) -> list[int] | None:
    """How many times each of the sizes is the other, where that is the same whole number whatever they are."""
    if not all(statically_true(large % small == 0) for large, small in zip(larger, smaller, strict=True)):
        return None
    found = [to_int_if_static(large // small) for large, small in zip(larger, smaller, strict=True)]
    return found if all(isinstance(factor, int) for factor in found) else None


def _grow(x: Tensor, size: tuple[int, ...], border: Border) -> Tensor:
    factors = _factors(size, x.shape[2:])
    if not any(border.wraps):
        return F.interpolate(x, size, mode=LINEAR[len(size)], align_corners=False)
    if factors is None:
        return lerp(x, size, border)
    margins = [int(wraps) for wraps in border.wraps]
    x = pad(x, [(margin, margin) for margin in margins], border)
    extended = [length * factor for length, factor in zip(x.shape[2:], factors, strict=True)]
    x = F.interpolate(x, extended, mode=LINEAR[len(size)], align_corners=False)
    for axis, (new, margin, factor) in enumerate(zip(size, margins, factors, strict=True), start=2):
        x = x.narrow(axis, factor, new) if margin else x
    return x


def _nearest(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """The rounding of torch's own ``nearest-exact``."""
    for axis, (old, new) in enumerate(zip(x.shape[2:], size, strict=True), start=2):
        place = ((torch.arange(new, device=x.device, dtype=torch.float32) + 0.5) * (old / new)).floor()
        x = x.index_select(axis, place.long().clamp(0, old - 1))
    return x


def _shrink(x: Tensor, size: tuple[int, ...], border: Border) -> Tensor:
    """Each axis times a matrix of weights: the means of whole windows if all axes have them, else of triangles."""
    rest = sum(old % new for old, new in zip(x.shape[2:], size, strict=True))
    whole = torch.full((1, 1), rest, device=x.device) == 0
    for axis, (new, wraps, modes) in enumerate(zip(size, border.wraps, border.modes, strict=True), start=2):
        old, moved = x.shape[axis], x.movedim(axis, -1)
        direct, turned = _triangles(old, new, modes if wraps else ("zeros", "zeros"), x.device)
        step = torch.full((1,), old // new, device=x.device).clamp(min=1)
        windows = torch.arange(old, device=x.device) // step == torch.arange(new, device=x.device)[:, None]
        direct = torch.where(whole, windows / windows.sum(1, keepdim=True).clamp(min=1), direct).to(x.dtype)
        y = moved @ direct.T
        if "pole" in modes:
            y = y + roll_half_width(x).movedim(axis, -1) @ torch.where(whole, 0.0, turned).to(x.dtype).T
        x = y.movedim(-1, axis)
    return x


def _triangles(old: int, new: int, modes: Sides, device: torch.device) -> tuple[Tensor, Tensor]:
    """Weights of the samples in each output, ``(new, old)``: of the samples as they are, and turned past a pole."""
    ratio = torch.full((1, 1), old, device=device, dtype=torch.float64) / new
    centre = (torch.arange(new, device=device, dtype=torch.float64)[:, None] + 0.5) * ratio - 0.5
    place = torch.arange(old, device=device, dtype=torch.float64)

    def at(places: Tensor) -> Tensor:
        return (1 - (places - centre).abs() / ratio.clamp(min=1)).clamp(min=0)

    direct, turned = at(place), torch.zeros_like(place)
    for mode, round_ring, over_pole in zip(
        modes, (place - old, place + old), (-1 - place, 2 * old - 1 - place), strict=True
    ):
        direct = direct + at(round_ring) if mode == "circular" else direct
        turned = turned + at(over_pole) if mode == "pole" else turned
    total = (direct + turned).sum(1, keepdim=True)
    return direct / total, turned / total

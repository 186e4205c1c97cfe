"""Padding, and its adjoint, along an axis whose size is left open in an export: by the index of every sample.

Slower than whole strips, and right for every size and amount: no question is asked of them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from omniconv.nn.symbolic import is_symbolic, statically_true, to_int_if_static
from omniconv.surfaces.neighbours.border import Mode, Sides


def needs_symbolic_padding(size: int, amounts: tuple[int, int], modes: Sides) -> bool:
    """Whether an amount is open, or whether a strip of a ring or past a pole could be longer than the axis."""
    if isinstance(size, int):
        return False
    if is_symbolic(*map(to_int_if_static, amounts)):
        return True
    return any(
        mode in ("circular", "pole") and not statically_true(amount <= size)
        for amount, mode in zip(amounts, modes, strict=True)
    )


def pad_axis(x: Tensor, axis: int, amounts: tuple[int, int], modes: Sides, value: float) -> Tensor:
    """``x`` with ``amounts`` more samples before and after one axis."""
    if modes == ("zeros", "zeros"):
        return F.pad(x, [0, 0] * (x.ndim - 1 - axis) + list(amounts), value=value)
    (before, after), size = amounts, x.shape[axis]
    place = torch.arange(-before, size + after, device=x.device)
    past = place < 0, place >= size
    index, turned = _source(place, size, modes, amounts)
    y = x.index_select(axis, index)
    column = [-1 if other == axis else 1 for other in range(x.ndim)]
    if "pole" in modes:
        y = torch.where(turned.view(column), roll_half_width(y), y)
    for side, mode in zip(past, modes, strict=True):
        y = torch.where(side.view(column), value, y) if mode == "zeros" else y
    return y


def pad_axis_adjoint(y: Tensor, axis: int, amounts: tuple[int, int], modes: Sides) -> Tensor:
    """The adjoint of ``pad_axis``. Pieces are copied: views would make torch ask for their strides, sizes in hand."""
    before, after = amounts
    size = y.shape[axis] - before - after
    place = torch.arange(-before, size + after, device=y.device)
    index, turned = _source(place, size, modes, amounts)
    column = [-1 if other == axis else 1 for other in range(y.ndim)]
    core = y.index_select(axis, torch.arange(before, before + size, device=y.device))
    for start, stop, mode in ((0, before, modes[0]), (before + size, before + size + after, modes[1])):
        if mode == "zeros":
            continue
        own = torch.arange(start, stop, device=y.device)
        strip = y.index_select(axis, own)
        if mode == "pole":
            strip = torch.where(turned.index_select(0, own).view(column), roll_half_width(strip, back=True), strip)
        core = core.index_add(axis, index.index_select(0, own), strip)
    return core


def roll_half_width(strip: Tensor, back: bool = False) -> Tensor:
    """A strip past a pole: turned by half of the last axis."""
    size = strip.shape[-1]
    half = size // 2
    if not is_symbolic(size):
        return strip.roll(-half if back else half, -1)
    place = torch.arange(size, device=strip.device) + (half if back else size - half)
    return strip.index_select(-1, torch.where(place < size, place, place - size))


def _source(place: Tensor, size: int, modes: Sides, amounts: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Where the samples of a padded axis come from, and which of them are turned."""
    before, after = place < 0, place >= size
    (first, turned_first), (last, turned_last) = (
        _one_side(place, size, mode, amount) for mode, amount in zip(modes, amounts, strict=True)
    )
    index = torch.where(before, first, torch.where(after, last, place))
    return index, (before & turned_first) | (after & turned_last)


def _one_side(place: Tensor, size: int, mode: Mode, amount: int) -> tuple[Tensor, Tensor]:
    """The same, as if the one mode were on both sides."""
    never = torch.zeros_like(place, dtype=torch.bool)
    if mode == "circular":
        return place % torch.full_like(place[:1], size), never
    if mode == "pole":
        folded = place % torch.full_like(place[:1], 2 * size)
        return torch.where(folded >= size, 2 * size - 1 - folded, folded), folded >= size
    if mode == "reflect":
        torch._check(amount < size)  # as where sizes are known: no reflection of a reflection
        return (size - 1 - (place.abs() - (size - 1)).abs()), never
    return place.clamp(0, size - 1), never

"""Padding of one axis by index, and its adjoint, for sizes that are symbolic under ``torch.export``.

Slower than the copies of strips in ``padding``, but right for all sizes: there is no branch on sizes or amounts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from omniconv.nn.symbolic import is_symbolic, statically_true, to_int_if_static
from omniconv.surfaces.neighbours.border import Mode, Sides


def needs_symbolic_padding(size: int, amounts: tuple[int, int], modes: Sides) -> bool:
    """Return True if an amount is symbolic, or a circular or pole strip might be longer than the axis."""
    if isinstance(size, int):
        return False
    if is_symbolic(*map(to_int_if_static, amounts)):
        return True
    return any(
        mode in ("circular", "pole") and not statically_true(amount <= size)
        for amount, mode in zip(amounts, modes, strict=True)
    )


def pad_axis(x: Tensor, axis: int, amounts: tuple[int, int], modes: Sides, value: float) -> Tensor:
    """Pad one axis of ``x``."""
    if modes == ("zeros", "zeros"):
        return F.pad(x, [0, 0] * (x.ndim - 1 - axis) + list(amounts), value=value)
    (before, after), size = amounts, x.shape[axis]
    positions = torch.arange(-before, size + after, device=x.device)
    index, is_rolled = _source_index_of_sides(positions, size, modes, amounts)
    y = x.index_select(axis, index)
    if "pole" in modes:
        y = torch.where(along_axis(is_rolled, axis, x.ndim), roll_half_width(y), y)
    for is_beyond, mode in zip((positions < 0, positions >= size), modes, strict=True):
        y = torch.where(along_axis(is_beyond, axis, x.ndim), value, y) if mode == "zeros" else y
    return y


def pad_axis_adjoint(y: Tensor, axis: int, amounts: tuple[int, int], modes: Sides) -> Tensor:
    """Apply the adjoint of ``pad_axis``."""
    before, after = amounts
    size = y.shape[axis] - before - after
    positions = torch.arange(-before, size + after, device=y.device)
    index, is_rolled = _source_index_of_sides(positions, size, modes, amounts)
    core = y.narrow(axis, before, size)
    for start, amount, mode in ((0, before, modes[0]), (before + size, after, modes[1])):
        if mode == "zeros":
            continue
        strip = y.narrow(axis, start, amount)
        if mode == "pole":
            flags = along_axis(is_rolled.narrow(0, start, amount), axis, y.ndim)
            strip = torch.where(flags, roll_half_width(strip, back=True), strip)
        core = core.index_add(axis, index.narrow(0, start, amount), strip)
    return core


def along_axis(vector: Tensor, axis: int, ndim: int) -> Tensor:
    """Return a view of a vector that broadcasts along one axis of a tensor with ``ndim`` axes."""
    return vector.view([-1 if other == axis else 1 for other in range(ndim)])


def roll_half_width(strip: Tensor, back: bool = False) -> Tensor:
    """Roll a strip beyond a pole by half of the last axis (⌊width / 2⌋), to the meridian opposite each column."""
    size = strip.shape[-1]
    half = size // 2
    if not is_symbolic(size):
        return strip.roll(-half if back else half, -1)
    source = torch.arange(size, device=strip.device) + (half if back else size - half)
    return strip.index_select(-1, torch.where(source < size, source, source - size))


def source_index(positions: Tensor, size: int, mode: Mode) -> tuple[Tensor, Tensor]:
    """Compute ``border_index`` of ``surfaces.neighbours.border`` in torch: source samples, and which are rolled.

    ``reflect`` is right up to one reflection, that is, for fewer than ``size`` padded samples.
    """
    never = torch.zeros_like(positions, dtype=torch.bool)
    if mode == "circular":
        return positions % torch.full_like(
            positions[:1], size
        ), never  # by a tensor: the ONNX exporter fails at ``%`` by a SymInt (torch 2.13)
    if mode == "pole":
        folded = positions % torch.full_like(positions[:1], 2 * size)
        is_beyond = folded >= size
        return torch.where(is_beyond, 2 * size - 1 - folded, folded), is_beyond
    if mode == "reflect":
        return size - 1 - (positions.abs() - (size - 1)).abs(), never
    return positions.clamp(0, size - 1), never


def _source_index_of_sides(
    positions: Tensor, size: int, modes: Sides, amounts: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    before, after = positions < 0, positions >= size
    for mode, amount in zip(modes, amounts, strict=True):
        if mode == "reflect":
            torch._check(amount < size)  # exported programs check it when they run
    (first, first_rolled), (last, last_rolled) = (source_index(positions, size, mode) for mode in modes)
    index = torch.where(before, first, torch.where(after, last, positions))
    return index, (before & first_rolled) | (after & last_rolled)

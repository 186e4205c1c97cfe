"""Padding of a grid signal by its border, and the adjoint, which adds each padded sample back to its source.

``border_index`` of ``surfaces.neighbours.border`` defines where padded samples come from. The functions here copy
strips instead of single samples where the padding is not longer than the axis; ``tests/nn/grid/test_border_law.py``
compares them with the definition.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from omniconv.arithmetic import check_reflection
from omniconv.errors import InputError
from omniconv.nn.grid.cube_padding import pad_cube, pad_cube_adjoint
from omniconv.nn.grid.symbolic_padding import (
    along_axis,
    needs_symbolic_padding,
    pad_axis,
    pad_axis_adjoint,
    roll_half_width,
    source_index,
)
from omniconv.nn.symbolic import statically_true
from omniconv.surfaces.neighbours.border import Border, CubeBorder, Mode

Amounts = Sequence[tuple[int, int]]


def pad(x: Tensor, amounts: Amounts, border: Border) -> Tensor:
    """Pad a signal ``(batch, channels, *grid)`` by the samples before and after each grid axis, as its border says.

    Raises:
        InputError: ``reflect`` by as many samples as the axis has, or more.

    Example:
        >>> pad(torch.tensor([[[1., 2, 3, 4]]]), [(2, 2)], Border.of("circular", 1)).tolist()
        [[[3.0, 4.0, 1.0, 2.0, 3.0, 4.0, 1.0, 2.0]]]
    """
    if isinstance(border, CubeBorder):
        return pad_cube(x, *amounts[1:]) if any(map(any, amounts)) else x
    first = x.ndim - border.ndim
    for axis, (sides, modes) in enumerate(zip(amounts, border.modes, strict=True), start=first):
        if needs_symbolic_padding(x.shape[axis], sides, modes):
            x = pad_axis(x, axis, sides, modes, border.value)
            continue
        strips = [x]
        if sides[0] > 0:
            strips.insert(0, border_strip(x, axis, sides[0], modes[0], border.value, before=True))
        if sides[1] > 0:
            strips.append(border_strip(x, axis, sides[1], modes[1], border.value, before=False))
        if len(strips) > 1:
            x = torch.cat(strips, axis)
    return x


def pad_adjoint(y: Tensor, amounts: Amounts, border: Border) -> Tensor:
    """Apply the adjoint of ``pad``: add each padded sample to the sample it was copied from, drop constants.

    The padded signal ``y`` may be changed.
    """
    if isinstance(border, CubeBorder):
        return pad_cube_adjoint(y, *amounts[1:]) if any(map(any, amounts)) else y
    first = y.ndim - border.ndim
    for axis in range(y.ndim - 1, first - 1, -1):
        (before, after), modes = amounts[axis - first], border.modes[axis - first]
        size = y.shape[axis] - before - after
        if needs_symbolic_padding(size, (before, after), modes):
            y = pad_axis_adjoint(y, axis, (before, after), modes)
            continue
        if not before and not after:
            continue
        core = y.narrow(axis, before, size)
        for start, amount, mode in ((0, before, modes[0]), (before + size, after, modes[1])):
            if amount > 0 and mode != "zeros":
                core = border_strip_adjoint_(core, y.narrow(axis, start, amount), axis, mode, before=start == 0)
        y = core
    return y


def border_strip(x: Tensor, axis: int, amount: int, mode: Mode, value: float, before: bool) -> Tensor:
    """Return the ``amount`` samples before or after one axis."""
    size = x.shape[axis]
    if mode == "zeros":
        shape = list(x.shape)
        shape[axis] = amount
        return x.new_full(shape, value)
    if statically_true(size == 0):
        raise InputError("input", tuple(x.shape), f"has no samples for {mode!r} to continue", "pad with 'zeros'")
    if mode == "replicate":
        shape = list(x.shape)
        shape[axis] = amount
        return x.narrow(axis, 0 if before else size - 1, 1).expand(shape)
    if _exceeds_axis(size, amount, mode):
        index, is_rolled = _indices(size, amount, mode, before, x)
        strip = x.index_select(axis, index)
        if mode != "pole":
            return strip
        return torch.where(along_axis(is_rolled, axis, x.ndim), roll_half_width(strip), strip)
    strip = x.narrow(axis, _strip_start(size, amount, mode, before), amount)
    if mode == "circular":
        return strip
    strip = strip.flip(axis)
    return strip if mode == "reflect" else roll_half_width(strip)


def border_strip_adjoint_(core: Tensor, strip: Tensor, axis: int, mode: Mode, before: bool) -> Tensor:
    """Apply the adjoint of ``border_strip`` (modes that copy): add ``strip`` to its sources in ``core``, in place."""
    size, amount = core.shape[axis], strip.shape[axis]
    if mode == "replicate":
        core.narrow(axis, 0 if before else size - 1, 1).add_(strip.sum(axis, keepdim=True))
        return core
    if _exceeds_axis(size, amount, mode):
        index, is_rolled = _indices(size, amount, mode, before, core)
        if mode == "pole":
            strip = torch.where(along_axis(is_rolled, axis, core.ndim), roll_half_width(strip, back=True), strip)
        return core.index_add_(axis, index, strip.clone())  # autograd keeps the strip, which may be a view of the core
    if mode != "circular":
        strip = strip.flip(axis)
    if mode == "pole":
        strip = roll_half_width(strip, back=True)
    core.narrow(axis, _strip_start(size, amount, mode, before), amount).add_(strip)
    return core


def _exceeds_axis(size: int, amount: int, mode: Mode) -> bool:
    """Return True if the strip is longer than the (mirrored) part of the axis that it copies."""
    return amount > size - (mode == "reflect")


def _strip_start(size: int, amount: int, mode: Mode, before: bool) -> int:
    """Return the first sample of the part of the axis that a strip copies."""
    if mode == "circular":
        return size - amount if before else 0
    edge = int(mode == "reflect")  # reflect leaves out the edge sample, pole repeats it
    return edge if before else size - amount - edge


def _indices(size: int, amount: int, mode: Mode, before: bool, like: Tensor) -> tuple[Tensor, Tensor]:
    if mode == "reflect":
        check_reflection(amount, size, "pad less, or use 'replicate' or 'circular'")
    start = -amount if before else size
    return source_index(torch.arange(start, start + amount, device=like.device), size, mode)

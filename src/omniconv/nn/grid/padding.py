"""Samples past the edges of a grid, put there by its border, and their adjoint: sent back to where they came from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from omniconv.arithmetic import check_reflection
from omniconv.errors import InputError
from omniconv.nn.grid.cube_padding import pad_cube, pad_cube_adjoint
from omniconv.nn.grid.symbolic_padding import needs_symbolic_padding, pad_axis, pad_axis_adjoint, roll_half_width
from omniconv.nn.symbolic import statically_true
from omniconv.surfaces.neighbours.border import Border, CubeBorder, Mode

Amounts = Sequence[tuple[int, int]]


def pad(x: Tensor, amounts: Amounts, border: Border) -> Tensor:
    """A grid signal with ``amounts`` more samples before and after each axis, as the border says.

    Args:
        x: ``(batch, channels, *grid)``.
        amounts: one ``(before, after)`` pair for each grid axis.
        border: the continuation of the grid.

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
    """The adjoint of ``pad``: each padded sample is added to the sample it was copied from, constants are dropped.

    Args:
        y: ``(batch, channels, *padded grid)``; it may be changed.
        amounts: what ``pad`` was given.
        border: what ``pad`` was given.
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


def pad_adjoint_symbolic(
    y: Tensor, rest: Sequence[int], amounts: Amounts, border: Border, bias: Tensor | None
) -> Tensor:
    """``pad_adjoint`` of a signal that lacks ``rest`` samples, open numbers of zeros, at the ends; and a bias added."""
    y = F.pad(y, [side for axis in reversed(rest) for side in (0, axis)])
    y = pad_adjoint(y, amounts, border)
    return y if bias is None else y + bias.to(y.dtype).view(-1, *[1] * border.ndim)


def border_strip(x: Tensor, axis: int, amount: int, mode: Mode, value: float, before: bool) -> Tensor:
    """The ``amount`` samples before or after one axis."""
    size = x.shape[axis]
    if mode == "zeros":
        shape = list(x.shape)
        shape[axis] = amount
        return x.new_full(shape, value)
    if statically_true(size == 0):
        raise InputError("input", tuple(x.shape), f"has no samples for {mode!r} to go on from", "pad with 'zeros'")
    if mode == "replicate":
        shape = list(x.shape)
        shape[axis] = amount
        return x.narrow(axis, 0 if before else size - 1, 1).expand(shape)
    if amount > size - (mode == "reflect"):
        return _far_strip(x, axis, amount, mode, before)
    return _near_strip(x, axis, amount, mode, before)


def _near_strip(x: Tensor, axis: int, amount: int, mode: Mode, before: bool) -> Tensor:
    """Copied in one piece, mirrored and turned as the mode asks."""
    strip = x.narrow(axis, _source(x.shape[axis], amount, mode, before), amount)
    if mode == "circular":
        return strip
    strip = strip.flip(axis)
    return strip if mode == "reflect" else roll_half_width(strip)


def _source(size: int, amount: int, mode: Mode, before: bool) -> int:
    """First of the samples that a strip is copied from."""
    if mode == "circular":
        return size - amount if before else 0
    edge = int(mode == "reflect")
    return edge if before else size - amount - edge


def _far_strip(x: Tensor, axis: int, amount: int, mode: Mode, before: bool) -> Tensor:
    """Copied sample by sample: a strip longer than the axis goes round it more than once."""
    size = x.shape[axis]
    index, turned = _far_index(size, amount, mode, before, x.device)
    strip = x.index_select(axis, index)
    if mode == "pole":
        shape = [1] * x.ndim
        shape[axis] = amount
        strip = torch.where(turned.view(shape), roll_half_width(strip), strip)
    return strip


def _far_index(size: int, amount: int, mode: Mode, before: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    if mode == "reflect":
        check_reflection(amount, size, "pad less, or use 'replicate' or 'circular'")
    index = torch.arange(-amount, 0, device=device) if before else torch.arange(size, size + amount, device=device)
    if mode == "circular":
        return index % size, torch.zeros_like(index, dtype=torch.bool)
    folded = index % (2 * size)
    turned = folded >= size
    return torch.where(turned, 2 * size - 1 - folded, folded), turned


def border_strip_adjoint_(core: Tensor, strip: Tensor, axis: int, mode: Mode, before: bool) -> Tensor:
    """The adjoint of ``border_strip`` for a mode that copies: ``strip`` is added, in place, to where it came from."""
    size, amount = core.shape[axis], strip.shape[axis]
    if mode == "replicate":
        core.narrow(axis, 0 if before else size - 1, 1).add_(strip.sum(axis, keepdim=True))
        return core
    if amount > size - (mode == "reflect"):
        return _add_far_strip(core, strip, axis, mode, before)
    if mode != "circular":
        strip = strip.flip(axis)
    if mode == "pole":
        strip = roll_half_width(strip, back=True)
    core.narrow(axis, _source(size, amount, mode, before), amount).add_(strip)
    return core


def _add_far_strip(core: Tensor, strip: Tensor, axis: int, mode: Mode, before: bool) -> Tensor:
    index, turned = _far_index(core.shape[axis], strip.shape[axis], mode, before, core.device)
    if mode == "pole":
        shape = [1] * core.ndim
        shape[axis] = strip.shape[axis]
        strip = torch.where(turned.view(shape), roll_half_width(strip, back=True), strip)
    return core.index_add_(axis, index, strip.clone())  # autograd keeps the strip, which may be a view of the core

"""Overrides of padding and of the slices that undo it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from omniconv.convert.overrides.column_tracking import with_index, with_slice
from omniconv.convert.overrides.mode import PanoramaFunctionMode
from omniconv.convert.overrides.pad_tracking import (
    NO_OFFSET,
    PadOffset,
    Sides,
    add_sides,
    crop,
    non_negative,
    offset_of,
    propagate_offset,
    with_offset,
)
from omniconv.nn.grid.padding import pad as pad_on_border
from omniconv.nn.symbolic import to_int_if_static
from omniconv.nn.torch_private import C_PAD
from omniconv.surfaces.neighbours.border import Border, Mode


def pad(
    context: PanoramaFunctionMode, input: Tensor, pad: Sequence[int], mode: str = "constant",
    value: float | None = None,
) -> Tensor:  # fmt: skip
    """Override ``F.pad``: pad images by the panorama's border, whatever ``mode`` is; negative numbers crop.

    Unlike torch, which pads the axes that ``pad`` counts, only tensors that must be images are padded by the border:
    those with four axes, and those with three axes of which both height and width are padded. Other tensors with three
    axes are sequences of signals or tokens, and padding of further axes concerns channels; torch pads these.
    """
    amounts = _axis_amounts(pad)
    is_padded = [any(sides) for sides in amounts]
    if len(pad) > 4 or not (any(is_padded) if input.ndim == 4 else all(is_padded) and input.ndim == 3):
        return propagate_offset(F.pad(input, pad, mode, value), (input,))
    growth = [(max(before, 0), max(after, 0)) for before, after in amounts]
    if any(map(any, growth)):
        context.report_change("pad", f"mode {mode!r} replaced by the border of the panorama")
    border = replace(context.border, value=float(value or 0))
    if context.overrides.pads_rows_as_flat and mode != "constant":
        border = Border.of([cast(Mode, mode), border.modes[1]], ndim=2)
    # Samples padded before are padded again from the panorama itself: reflecting or repeating padded samples would not
    # continue the panorama.
    panorama, around = crop(input, offset_of(input)), add_sides(offset_of(input), growth)
    x = pad_on_border(panorama, around, border)
    above_below, left_right = ((max(-before, 0), max(-after, 0)) for before, after in amounts)
    x = crop(x, (above_below, left_right))
    rows, columns = add_sides(offset_of(input), amounts)
    if sum(columns) < 0:
        context.report_seam("pad", "removes columns of the panorama, so that the rest is not a full circle")
    if context.overrides.pads_rows_as_flat:  # rows that are padded as in the flat network need not be followed
        rows = (0, 0)
    return with_offset(x, (non_negative(rows), non_negative(columns)))


def constant_pad_nd(context: PanoramaFunctionMode, input: Tensor, pad: Sequence[int], value: float = 0) -> Tensor:
    """Override ``torch.constant_pad_nd``."""
    return _pad(context, input, pad, "constant", value)


def getitem(context: PanoramaFunctionMode, input: Tensor, index: Any) -> Any:
    """Override ``x[index]``: reduce the pad offset by the samples that slices remove; recognise columns of x."""
    result = input[index]
    if not isinstance(result, Tensor) or result.ndim != input.ndim or input.ndim not in (3, 4):
        return result
    parts = _all_axes(index, input.ndim)
    if parts is None:
        return result
    *others, columns = parts
    if offset_of(input) != NO_OFFSET:
        with_offset(result, _offset_after_slices(input, parts) or NO_OFFSET)
    if not all(isinstance(part, slice) for part in others) or not result.is_floating_point():
        return result
    if isinstance(columns, slice) and columns.step in (None, 1):
        # a negative start is kept: with symbolic sizes it shows how many columns lie before the panorama
        start = columns.start or 0
        return with_slice(input, result, start) if columns != slice(None) else result
    return with_index(input, result, columns) if isinstance(columns, list | Tensor) else result


def _axis_amounts(pad: Sequence[int]) -> PadOffset:
    """Return the amounts for rows and columns from torch's flat list, whose last axis comes first."""
    left, right, above, below = (*pad[:4], *[0] * (4 - len(pad[:4])))
    return (above, below), (left, right)


def _all_axes(index: Any, ndim: int) -> tuple[Any, ...] | None:
    """Return an index with a part for each axis; ``None`` for masks and for indices of more than one list or tensor."""
    parts = index if isinstance(index, tuple) else (index,)
    lists = sum(isinstance(part, list | Tensor) for part in parts)
    if lists > 1 or any(part is None or (isinstance(part, Tensor) and part.dtype == torch.bool) for part in parts):
        return None
    ellipsis = next((position for position, part in enumerate(parts) if part is ...), len(parts))
    omitted = (slice(None),) * (ndim - len(parts) + (ellipsis < len(parts)))
    return parts[:ellipsis] + omitted + parts[ellipsis + 1 :]


def _offset_after_slices(x: Tensor, parts: Sequence[Any]) -> PadOffset | None:
    """Return the offset after slices of step 1; ``None`` if they do anything but remove padded samples."""
    if not all(isinstance(part, slice) and part.step in (None, 1) for part in parts):
        return None
    bounds = [part.indices(size) for part, size in zip(parts[-2:], x.shape[-2:], strict=True)]
    cut: list[Sides] = [
        (to_int_if_static(-start), to_int_if_static(stop - size))
        for (start, stop, _), size in zip(bounds, x.shape[-2:], strict=True)
    ]
    rows, columns = (sides if min(sides) >= 0 else (0, 0) for sides in add_sides(offset_of(x), cut))
    return rows, columns


_pad = pad  # `constant_pad_nd` has an argument of this name
PAD_CROP_OVERRIDES: dict[Callable[..., Any], Callable[..., Any]] = {
    F.pad: pad,
    C_PAD: pad,
    torch.constant_pad_nd: constant_pad_nd,
    torch.Tensor.__getitem__: getitem,
    operator.getitem: getitem,  # a strict torch.export calls it in place of __getitem__
}

"""Pad offset: the padded samples around the panorama in a tensor, carried from the padding to the next window.

Networks often pad in one call (``F.pad``) and convolve in the next. Between the two, the panorama is only a part of the
tensor, and an override that pads again must know which part. The offset is an attribute of the tensor, which functions
that keep height and width pass on to their results.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor

Sides = tuple[int, int]
"""Samples before and after one axis."""
PadOffset = tuple[Sides, Sides]
"""Padded samples before and after the rows, and before and after the columns."""
NO_OFFSET: PadOffset = ((0, 0), (0, 0))
_ATTRIBUTE = "_omniconv_pad_offset"


def offset_of(x: Tensor) -> PadOffset:
    """Return the pad offset of a tensor."""
    return getattr(x, _ATTRIBUTE, NO_OFFSET)


def with_offset(x: Tensor, offset: PadOffset) -> Tensor:
    """Attach a pad offset to a tensor."""
    if offset != NO_OFFSET:
        setattr(x, _ATTRIBUTE, offset)
    return x


def propagate_offset(result: Any, arguments: Iterable[Any]) -> Any:
    """Attach the offset of a function's arguments to those of its results that have their height and width."""
    for argument in arguments:
        for x in argument if isinstance(argument, list | tuple) else (argument,):
            if isinstance(x, Tensor) and offset_of(x) != NO_OFFSET:
                if not isinstance(result, list | tuple):
                    return _with_offset_of(x, result)
                # torch.compile (2.13) cannot set attributes on the parts of a chunk or split, but can on new views
                parts = [_with_offset_of(x, y.view(y.shape)) if isinstance(y, Tensor) else y for y in result]
                return type(result)(parts)
    return result


def _with_offset_of(x: Tensor, y: Any) -> Any:
    has_same_size = isinstance(y, Tensor) and y.ndim > 1 and y.shape[-2:] == x.shape[-2:]
    return with_offset(y, offset_of(x)) if has_same_size else y


def crop(x: Tensor, amounts: PadOffset) -> Tensor:
    """Remove rows and columns from the sides of a tensor."""
    for axis, (before, after) in zip((-2, -1), amounts, strict=True):
        if before or after:
            x = x.narrow(axis, before, x.shape[axis] - before - after)
    return x


def add_sides(offset: PadOffset, amounts: Sequence[Sides]) -> PadOffset:
    """Return an offset enlarged by ``amounts`` on each side."""
    rows, columns = (
        (before + more_before, after + more_after)
        for (before, after), (more_before, more_after) in zip(offset, amounts, strict=True)
    )
    return rows, columns


def non_negative(sides: Sides) -> Sides:
    """Return sides without negative numbers.

    An axis that lacks samples on one side and has more on the other is taken for a rolled panorama: the surplus makes
    up for the lack. One that lacks samples altogether is taken for the panorama itself.
    """
    if min(sides) >= 0:
        return sides
    surplus = max(sum(sides), 0)
    return (0, surplus) if sides[0] < 0 else (surplus, 0)

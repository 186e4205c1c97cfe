"""How much wider and higher than its panorama a padded signal is, from the padding to the window that uses it up.

Networks often pad in one call and convolve in the next. Between the two a signal is no ring: what pads it again has to
know where the ring lies in it. A frame says so, and travels with the tensor that has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor

from omniconv.arithmetic import span

Sides = tuple[int, int]
Frame = tuple[Sides, Sides]
"""Samples before and after the rows, and before and after the columns."""
NONE: Frame = ((0, 0), (0, 0))
_NAME = "_omniconv_frame"


def frame_of(x: Tensor) -> Frame:
    """The frame around a signal; of most there is none."""
    return getattr(x, _NAME, NONE)


def framed(x: Tensor, frame: Frame) -> Tensor:
    """A signal that remembers its frame."""
    if frame != NONE:
        setattr(x, _NAME, frame)
    return x


def carried(result: Any, arguments: Iterable[Any]) -> Any:
    """What a function made of its arguments, sample by sample: it has the frame that they have."""
    for given in arguments:
        for x in given if isinstance(given, list | tuple) else (given,):
            if isinstance(x, Tensor) and frame_of(x) != NONE:
                if not isinstance(result, list | tuple):
                    return _alike(result, x)
                return type(result)([_alike(y.view(y.shape), x) if isinstance(y, Tensor) else y for y in result])
    return result


def _alike(y: Any, x: Tensor) -> Any:
    is_alike = isinstance(y, Tensor) and y.ndim > 1 and y.shape[-2:] == x.shape[-2:]
    return framed(y, frame_of(x)) if is_alike else y


def core(x: Tensor, frame: Frame) -> Tensor:
    """A signal without its frame."""
    for axis, (before, after) in zip((-2, -1), frame, strict=True):
        if before or after:
            x = x.narrow(axis, before, x.shape[axis] - before - after)
    return x


def added(frame: Frame, amounts: Sequence[Sides]) -> Frame:
    """A frame with more samples on each side."""
    rows, columns = (
        (before + more_before, after + more_after)
        for (before, after), (more_before, more_after) in zip(frame, amounts, strict=True)
    )
    return rows, columns


def total(sides: Sides) -> int:
    """Samples on both sides together."""
    return sides[0] + sides[1]


def settled(sides: Sides) -> Sides:
    """Samples more on one side and fewer on the other: the ring is turned; fewer altogether: what is left is taken
    for one.
    """
    if min(sides) >= 0:
        return sides
    more = max(total(sides), 0)
    return (0, more) if sides[0] < 0 else (more, 0)


def after_window(sides: Sides, kernel_size: int, stride: int, dilation: int = 1) -> Sides:
    """The frame that windows leave of one axis, whose ring their stride divides; too few outputs are negative.

    Example:
        >>> after_window((1, 1), kernel_size=3, stride=1), after_window((0, 1), kernel_size=3, stride=2)
        ((0, 0), (0, 0))
        >>> after_window((3, 3), kernel_size=3, stride=1), after_window((0, 0), kernel_size=3, stride=1)
        ((2, 2), (0, -2))
    """
    reach = span(kernel_size, dilation)
    extra = (total(sides) - reach) // stride + 1
    if extra <= 0:
        return 0, extra
    before = min(max((2 * sides[0] - reach + 1) // (2 * stride), 0), extra)
    return before, extra - before

"""What windows of a pooling have to hold: checks, once when it is built and once for each signal."""

from __future__ import annotations

from collections.abc import Sequence

from omniconv.arithmetic import padding_amounts, span
from omniconv.errors import InputError
from omniconv.nn.arguments import GridPadding
from omniconv.nn.symbolic import is_open, surely
from omniconv.surfaces.neighbours.border import Border, Sides


def check_padding(padding: GridPadding, border: Border) -> None:
    """Numbers of zeros as large as a window would make windows that hold nothing.

    Raises:
        InputError: as many zeros past an edge as a window spans, or more.
    """
    for (rule, kernel, _, dilation), modes in zip(padding.rules, border.modes, strict=True):
        for amount, mode in zip(padding_amounts(rule, 1, kernel), modes, strict=True):
            if mode == "zeros" and amount >= span(kernel, dilation):
                raise InputError(
                    "padding",
                    amount,
                    f"must be smaller than the window, which spans {span(kernel, dilation)}",
                    "pad less",
                )


def check_room(sizes: Sequence[int], padded: Sequence[int], padding: GridPadding) -> None:
    """A window fits into each padded axis.

    Raises:
        InputError: an axis that is too small.
    """
    for size, (_, kernel, _, dilation) in zip(padded, padding.rules, strict=True):
        if surely(size < span(kernel, dilation)):
            raise InputError(
                "input",
                tuple(sizes),
                f"is smaller than the pooling window {tuple(kernel for _, kernel, *_ in padding.rules)}",
                "pad with 'same_upper' or use a smaller window",
            )


def check_samples(
    sizes: Sequence[int],
    amounts: Sequence[tuple[int, int]],
    rests: Sequence[int],
    padding: GridPadding,
    border: Border,
) -> None:
    """Every window holds a sample of the signal, or one that continues it.

    Args:
        sizes: of the grid.
        amounts: samples put before and after each axis.
        rests: samples by which the last window of each axis hangs over.
        padding: rules of the axes.
        border: what lies past the edges.

    Raises:
        InputError: an axis shorter than the gaps of a window, which may then step over it from zeros to zeros.
    """
    for size, sides, rest, (_, kernel, stride, dilation), modes in zip(
        sizes, amounts, rests, padding.rules, border.modes, strict=True
    ):
        if is_open(size) or size >= dilation or ("zeros" not in modes and not rest):
            continue
        starts = range(-sides[0], size + sides[1] + rest - span(kernel, dilation) + 1, stride)
        if any(_misses([start + tap * dilation for tap in range(kernel)], size, sides, modes) for start in starts):
            raise InputError(
                "input",
                tuple(sizes),
                f"is so small that a window of dilation {dilation} holds none of its samples",
                "pad less or use a smaller dilation",
            )


def _misses(taps: Sequence[int], size: int, sides: tuple[int, int], modes: Sides) -> bool:
    """Whether all taps lie in zeros around an axis, or where a last window hangs over."""
    least = 0 if modes[0] == "zeros" else -sides[0]
    most = size - 1 if modes[1] == "zeros" else size + sides[1] - 1
    return not any(least <= tap <= most for tap in taps)

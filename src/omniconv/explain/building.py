"""The windows of a layer from its arguments, and what is refused before any of them is computed."""

from __future__ import annotations

from math import prod

from omniconv.arithmetic import output_size, overhang
from omniconv.errors import InputError
from omniconv.explain.geometry import Arguments, Geometry

MOST_CELLS = 48  # of an axis with its padding
MOST_WINDOWS = 256


def convolution_geometry(sizes: tuple[int, ...], arguments: Arguments) -> Geometry:
    """The windows of a convolution.

    Raises:
        InputError: nothing would be left of an axis, or more is reflected than is there.
    """
    return Geometry(arguments, sizes, _outputs(sizes, arguments), (0,) * len(sizes))


def transposed_geometry(sizes: tuple[int, ...], arguments: Arguments, output_padding: tuple[int, ...]) -> Geometry:
    """The windows, one for each *input* sample, on the output of a transposed convolution.

    Raises:
        InputError: an ``output_padding`` without a meaning, nothing left of an axis, more reflected than is there.
    """
    named = isinstance(arguments.padding[0], str) and arguments.padding[0] != "valid"
    if any(output_padding) and named:
        rule = f"has no meaning with padding={arguments.padding[0]}, which gives size · stride"
        raise InputError("output_padding", _shown(output_padding), rule, "leave it out, or give --padding in numbers")
    for extra, stride, dilation in zip(output_padding, arguments.stride, arguments.dilation, strict=True):
        if extra >= max(stride, dilation):
            rule = f"must be smaller than stride={stride} or dilation={dilation}"
            raise InputError("output_padding", extra, rule, f"use at most {max(stride, dilation) - 1}")
    return Geometry(arguments, _outputs(sizes, arguments, True, output_padding), sizes, (0,) * len(sizes))


def pooling_geometry(sizes: tuple[int, ...], arguments: Arguments, ceil_mode: bool) -> Geometry:
    """The windows of a pooling; where sizes are rounded up the last ones may hang over.

    Raises:
        InputError: as many zeros past an edge as a window spans, nothing left, more reflected than is there.
    """
    _check_zeros(arguments)
    spans, amounts = arguments.spans, arguments.amounts(sizes)
    axes = list(zip(sizes, arguments.kernel, arguments.stride, amounts, arguments.dilation, strict=True))
    overhangs = tuple(overhang(*axis) if ceil_mode else 0 for axis in axes)
    outputs = []
    for (size, _, stride, sides, _), over, reach in zip(axes, overhangs, spans, strict=True):
        outputs.append((size + sum(sides) + over - reach) // stride + 1)
        if outputs[-1] < 1:
            rule = f"is smaller than the window, which spans {reach}"
            raise InputError("input", _shown(sizes), rule, "pad with --padding same_upper, or use a smaller window")
    return Geometry(arguments, sizes, tuple(outputs), overhangs)


def require_drawable(geometry: Geometry) -> None:
    """Refuse what would be too much to look at, before any of it is computed.

    Raises:
        InputError: more cells on an axis or more windows than can be shown.
    """
    cells = max(len(positions) for positions in geometry.positions)
    if cells > MOST_CELLS:
        cure = "explain a smaller one, such as --input 7 or 8x8"
        rule = f"is too large to be drawn: {cells} cells on an axis, more than {MOST_CELLS}"
        raise InputError("input", _shown(geometry.sizes), rule, cure)
    if prod(geometry.outputs) > MOST_WINDOWS:
        rule = f"has {prod(geometry.outputs)} windows, more than the {MOST_WINDOWS} that can be shown"
        raise InputError("input", _shown(geometry.sizes), rule, "explain a smaller input or a larger stride")


def require_samples(geometry: Geometry) -> None:
    """Refuse windows that lie past the edges with all their taps.

    Raises:
        InputError: there is one.
    """
    for place in geometry.places:
        if all(tap.source is None for tap in geometry.window(place)):
            rule = f"is so small that window {', '.join(map(str, place))} holds none of its samples"
            raise InputError("input", _shown(geometry.sizes), rule, "pad less or use a smaller --dilation")


def _outputs(
    sizes: tuple[int, ...], arguments: Arguments, transposed: bool = False, extra: tuple[int, ...] = (0, 0)
) -> tuple[int, ...]:
    """Samples that come out, axis by axis."""
    axes = zip(sizes, arguments.kernel, arguments.stride, arguments.padding, arguments.dilation, strict=True)
    try:
        return tuple(output_size(*axis, transposed, more) for axis, more in zip(axes, extra, strict=False))
    except InputError as error:
        rule = f"leaves no output under a kernel that spans {_shown(arguments.spans)}"
        cure = "pad less" if transposed else "pad more, or use a smaller --kernel or --dilation"
        raise InputError("input", _shown(sizes), rule, cure) from error


def _check_zeros(arguments: Arguments) -> None:
    """Numbers of zeros as large as a window would make windows that hold nothing."""
    for rule, reach, modes in zip(arguments.padding, arguments.spans, arguments.border.modes, strict=True):
        for amount, mode in zip((0, 0) if isinstance(rule, str) else rule, modes, strict=True):
            if mode == "zeros" and amount >= reach:
                raise InputError("padding", amount, f"must be smaller than the window, which spans {reach}", "pad less")


def _shown(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))

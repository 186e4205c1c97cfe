"""Slow, readable reference of the grid operators, and hypothesis strategies for borders and paddings."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import strategies as st

from omniconv.arithmetic import padding_amounts, span
from omniconv.surfaces import Border
from omniconv.surfaces.neighbours.border import border_index

PLAIN_MODES = ("zeros", "reflect", "replicate", "circular")
PADDING_NAMES = ("valid", "same", "same_upper", "same_lower")


def reference_pad(x, amounts, border):
    """Pad axis by axis, sample by sample, by ``border_index``."""
    first = x.ndim - border.ndim
    for axis, ((before, after), modes) in enumerate(zip(amounts, border.modes, strict=True), start=first):
        size = x.shape[axis]
        slices = []
        for index in range(-before, size + after):
            mode = modes[0] if index < 0 else modes[1]
            position, is_rolled, is_constant = border_index(np.array(index), size, mode)
            piece = np.take(x, position, axis)
            if is_rolled:
                piece = np.roll(piece, x.shape[-1] // 2, -1)
            slices.append(np.full_like(piece, border.value) if is_constant else piece)
        x = np.stack(slices, axis)
    return x


def reference_convolution(x, weight, bias, stride, padding, dilation, groups, border):
    """Convolve ``(B, in, *grid)`` with ``(out, in / groups, *kernel)`` in loops over outputs."""
    kernel, ndim = weight.shape[2:], border.ndim
    rules = [padding] * ndim if isinstance(padding, str) else padding
    amounts = [
        padding_amounts(rules[axis], x.shape[2 + axis], kernel[axis], stride[axis], dilation[axis])
        for axis in range(ndim)
    ]
    padded = reference_pad(x, amounts, border)
    sizes = [(padded.shape[2 + axis] - span(kernel[axis], dilation[axis])) // stride[axis] + 1 for axis in range(ndim)]
    result = np.zeros((x.shape[0], weight.shape[0], *sizes))
    inputs, outputs = weight.shape[1], weight.shape[0] // groups
    for out in range(weight.shape[0]):
        channels = slice(out // outputs * inputs, (out // outputs + 1) * inputs)
        for position in product(*map(range, sizes)):
            window = tuple(
                slice(p * s, p * s + span(k, d), d)
                for p, s, k, d in zip(position, stride, kernel, dilation, strict=True)
            )
            seen = padded[(slice(None), channels, *window)]
            result[(slice(None), out, *position)] = (seen * weight[out]).sum(axis=tuple(range(1, seen.ndim)))
    return result + (0 if bias is None else bias.reshape(-1, *[1] * ndim))


@st.composite
def borders(draw, ndim, value=0.0, modes=PLAIN_MODES):
    """Draw a border with a mode for each side of each axis; in two dimensions sometimes one with poles."""
    if ndim == 2 and modes == PLAIN_MODES and draw(st.booleans()):
        rows = st.sampled_from(("pole", *modes))
        return Border.of(((draw(rows), draw(rows)), "circular"), 2, value)
    side = st.sampled_from(modes)
    return Border.of([(draw(side), draw(side)) for _ in range(ndim)], ndim, value)


@st.composite
def amounts_for(draw, border, shape, most=3):
    """Draw padding that a border allows on a grid: reflection must be shorter than the axis."""
    amounts = []
    for size, sides in zip(shape, border.modes, strict=True):
        limits = [min(most, size - 1) if mode == "reflect" else most for mode in sides]
        amounts.append(tuple(draw(st.integers(0, limit)) for limit in limits))
    return tuple(amounts)

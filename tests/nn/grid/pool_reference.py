"""Reference poolings as loops over windows and taps, and a hypothesis strategy for their arguments."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np
from grid_reference import amounts_for, borders, reference_pad
from hypothesis import strategies as st

from omniconv.arithmetic import PADDING_NAMES, padding_amounts
from omniconv.surfaces import Border

BEYOND = -1  # index of padded constants


class Pooling(NamedTuple):
    """Arguments of a pooling and the grid it is used on."""

    border: Border
    shape: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: str | tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    ceil_mode: bool

    @property
    def amounts(self):
        """``(before, after)`` of every axis."""
        rules = [self.padding] * len(self.shape) if isinstance(self.padding, str) else self.padding
        axes = zip(rules, self.shape, self.kernel, self.stride, self.dilation, strict=True)
        return [padding_amounts(*axis) for axis in axes]

    def windows(self):
        """Yield the output position of each window and the flat indices of its samples inside the padding."""
        places = np.arange(prod(self.shape)).reshape(self.shape)
        padded = reference_pad(places, self.amounts, replace(self.border, value=BEYOND))
        for position in product(*map(range, self.outputs)):
            axes = zip(position, self.kernel, self.stride, self.dilation, strict=True)
            taps = product(*([place * step + tap * gap for tap in range(taps)] for place, taps, step, gap in axes))
            inside = (tap for tap in taps if all(at < size for at, size in zip(tap, padded.shape, strict=True)))
            yield position, [int(padded[tap]) for tap in inside]

    @property
    def outputs(self):
        """Number of windows on each axis."""
        axes = zip(self.shape, self.amounts, self.kernel, self.stride, self.dilation, strict=True)
        return tuple(count_windows(*axis, self.ceil_mode) for axis in axes)


def count_windows(size, amounts, kernel, stride, dilation, ceil_mode):
    """Count the windows that fit, with ``ceil_mode`` also one past the end that starts before the end padding."""
    padded, reach, count = size + sum(amounts), dilation * (kernel - 1) + 1, 0
    while count * stride + reach <= padded:
        count += 1
    left_over = count == 0 or (count - 1) * stride + reach < padded
    return count + (ceil_mode and left_over and count * stride < size + amounts[0])


def reference_max_pool(x, pooling):
    """Return maxima, and the first index of each in its window."""
    values, switches = np.empty((*x.shape[:2], *pooling.outputs)), np.empty((*x.shape[:2], *pooling.outputs), int)
    flat = x.reshape(*x.shape[:2], -1)
    for position, seen in pooling.windows():
        places = np.array([place for place in seen if place != BEYOND])
        best = places[flat[..., places].argmax(-1)]
        switches[(..., *position)] = best
        values[(..., *position)] = np.take_along_axis(flat, best[..., None], -1)[..., 0]
    return values, switches


def reference_avg_pool(x, pooling, count_include_pad):
    """Return sums divided by the number of samples in the window; padded zeros count with ``count_include_pad``."""
    result, flat = np.empty((*x.shape[:2], *pooling.outputs)), x.reshape(*x.shape[:2], -1)
    for position, seen in pooling.windows():
        places = [place for place in seen if place != BEYOND]
        result[(..., *position)] = flat[..., places].sum(-1) / len(seen if count_include_pad else places)
    return result


def reference_lp_pool(x, pooling, p):
    """Compute (Σ |x|^p)^(1/p)."""
    result, flat = np.empty((*x.shape[:2], *pooling.outputs)), x.reshape(*x.shape[:2], -1)
    for position, seen in pooling.windows():
        places = [place for place in seen if place != BEYOND]
        result[(..., *position)] = (np.abs(flat[..., places]) ** p).sum(-1) ** (1 / p)
    return result


def reference_unpool(values, switches, size):
    """Write each value to its index: means where several have the same index, zeros elsewhere."""
    sums, counts = np.zeros((*values.shape[:2], prod(size))), np.zeros((*values.shape[:2], prod(size)))
    for index in np.ndindex(values.shape):
        place = (*index[:2], switches[index])
        sums[place] += values[index]
        counts[place] += 1
    return (sums / np.maximum(counts, 1)).reshape(*values.shape[:2], *size)


def all_windows_hold_samples(pooling):
    """Return True if there are outputs and every window holds a sample."""
    return prod(pooling.outputs) > 0 and all(max(seen) != BEYOND for _, seen in pooling.windows())


@st.composite
def poolings(draw):
    """Draw a pooling with a border mode for each side of each axis."""
    ndim = draw(st.integers(1, 3))
    border = draw(borders(ndim))
    shape, kernel, stride, dilation = (
        tuple(draw(st.integers(1, most)) for _ in range(ndim)) for most in ((6, 3, 3, 2) if ndim < 3 else (4, 2, 2, 2))
    )
    padding = draw(st.sampled_from([*PADDING_NAMES, None])) or draw(amounts_for(border, shape))
    return Pooling(border, shape, kernel, stride, padding, dilation, draw(st.booleans()))

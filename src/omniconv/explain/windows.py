"""Windows of a layer on a padded grid, and their results: a slow reference for every layer, without torch.

A position counts from the first sample of each axis: it is negative before the axis, and at least its size after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import inf, prod
from operator import add

import numpy as np

from omniconv.arithmetic import (
    PaddingRule,
    check_output_padding,
    check_pool_padding,
    check_reflection,
    output_size,
    overhang,
    padding_amounts,
    span,
    window_too_large,
)
from omniconv.errors import InputError
from omniconv.surfaces.neighbours.border import Border, border_index

MAX_CELLS = 48  # of an axis with its padding: at 900 pixels a cell then has the 18 pixels that a number needs
MAX_WINDOWS = 256  # steps; a page of 256 steps has a few megabytes

Index = tuple[int, ...]
Number = int | float


@dataclass(frozen=True)
class Arguments:
    """Arguments of a layer, one entry for each axis; ``border`` defines the content of the padding."""

    kernel: Index
    stride: Index
    padding: tuple[PaddingRule, ...]
    dilation: Index
    border: Border

    @property
    def spans(self) -> Index:
        """Samples that the dilated kernel covers on each axis."""
        return tuple(map(span, self.kernel, self.dilation))

    def amounts(self, sizes: Index) -> tuple[tuple[int, int], ...]:
        """Samples before and after each axis of these sizes."""
        axes = zip(self.padding, sizes, self.kernel, self.stride, self.dilation, strict=True)
        return tuple(padding_amounts(*axis) for axis in axes)


@dataclass(frozen=True)
class Tap:
    """One tap of a window."""

    position: Index  # on the grid, perhaps past an edge
    source: int | None  # flat index of the sample that it reads; None for a constant
    inside: bool  # the position is a sample of the grid itself
    overhang: bool  # the position is past the padding too, as can happen in the last pooling window with ceil_mode


@dataclass(frozen=True)
class Geometry:
    """Windows of a layer on a grid."""

    arguments: Arguments
    sizes: Index  # samples of the grid
    outputs: Index  # number of windows on each axis
    overhangs: Index  # samples by which the last window of each axis exceeds the padded axis

    def __post_init__(self) -> None:
        for size, sides, modes in zip(self.sizes, self.amounts, self.arguments.border.modes, strict=True):
            for amount, mode in zip(sides, modes, strict=True):
                if mode == "reflect":
                    check_reflection(amount, size, "pad less, or use --mode replicate or circular")

    @cached_property
    def amounts(self) -> tuple[tuple[int, int], ...]:
        """Samples of padding before and after each axis."""
        return self.arguments.amounts(self.sizes)

    @property
    def indices(self) -> list[Index]:
        """Indices of all windows, in reading order."""
        return list(product(*map(range, self.outputs)))

    @cached_property
    def positions(self) -> list[range]:
        """Positions that windows may reach, for each axis: padding, samples, padding, overhang."""
        axes = zip(self.sizes, self.amounts, self.overhangs, strict=True)
        return [range(-before, size + after + over) for size, (before, after), over in axes]

    def taps(self, index: Index) -> list[Tap]:
        """Return the taps of a window in reading order; tap t of window o is at o·s − p + t·d on each axis."""
        starts = [o * s - before for o, s, (before, _) in zip(index, self.arguments.stride, self.amounts, strict=True)]
        ends = map(add, starts, self.arguments.spans)
        axes = map(range, starts, ends, self.arguments.dilation)
        return [Tap(at, self.sources[at], self.inside(at), self.in_overhang(at)) for at in product(*axes)]

    def inside(self, position: Index) -> bool:
        """Return whether a position is a sample of the grid."""
        return all(0 <= index < size for index, size in zip(position, self.sizes, strict=True))

    def in_overhang(self, position: Index) -> bool:
        """Return whether a position is past the padding at the end of an axis."""
        axes = zip(position, self.sizes, self.amounts, strict=True)
        return any(index >= size + after for index, size, (_, after) in axes)

    def coordinates(self, source: int) -> Index:
        """Return the position of a sample from its flat index."""
        return tuple(map(int, np.unravel_index(source, self.sizes)))

    @cached_property
    def sources(self) -> dict[Index, int | None]:
        """Flat index of the sample that each position shows, ``None`` where it shows a constant."""
        return {position: self._source(position) for position in product(*self.positions)}

    def _source(self, position: Index) -> int | None:
        if self.in_overhang(position):
            return None
        indices, is_rolled = [], False
        for index, size, modes in zip(position, self.sizes, self.arguments.border.modes, strict=True):
            sample, rolled, constant = border_index(np.array(index), size, modes[0] if index < 0 else modes[1])
            if constant:
                return None
            indices.append(int(sample))
            is_rolled |= bool(rolled)
        if is_rolled:  # past a pole
            indices[-1] = (indices[-1] - self.sizes[-1] // 2) % self.sizes[-1]
        return int(np.ravel_multi_index(indices, self.sizes))


def conv_geometry(sizes: Index, arguments: Arguments) -> Geometry:
    """Return the windows of a convolution."""
    return Geometry(arguments, sizes, _output_sizes(sizes, arguments), (0,) * len(sizes))


def transposed_geometry(sizes: Index, arguments: Arguments, output_padding: Index) -> Geometry:
    """Return the windows, one for each *input* sample, on the output grid of a transposed convolution."""
    cure = "leave it out, or give --padding in numbers"
    check_output_padding(output_padding, arguments.padding, arguments.stride, arguments.dilation, cure)
    outputs = _output_sizes(sizes, arguments, transposed=True, output_padding=output_padding)
    return Geometry(arguments, outputs, sizes, (0,) * len(sizes))


def pool_geometry(sizes: Index, arguments: Arguments, ceil_mode: bool) -> Geometry:
    """Return the windows of a pooling; with ``ceil_mode`` the last ones may exceed the padded axes."""
    check_pool_padding(arguments.padding, arguments.spans, arguments.border.modes)
    amounts = arguments.amounts(sizes)
    axes = list(zip(sizes, arguments.kernel, arguments.stride, amounts, arguments.dilation, strict=True))
    overhangs = tuple(overhang(*axis) if ceil_mode else 0 for axis in axes)
    outputs = []
    for (size, _, stride, sides, _), over, reach in zip(axes, overhangs, arguments.spans, strict=True):
        outputs.append((size + sum(sides) + over - reach) // stride + 1)
        if outputs[-1] < 1:
            raise window_too_large(_joined(sizes), reach, "pad with --padding same_upper, or use a smaller window")
    return Geometry(arguments, sizes, tuple(outputs), overhangs)


def require_drawable(geometry: Geometry) -> Geometry:
    """Return the geometry if it is small enough to be drawn; nothing has been computed on it yet."""
    cells, windows = max(map(len, geometry.positions)), prod(geometry.outputs)
    if cells > MAX_CELLS:
        raise too_large(geometry.sizes, f"{cells} cells on an axis, more than {MAX_CELLS}")
    if windows > MAX_WINDOWS:
        rule = f"has {windows} windows, more than the {MAX_WINDOWS} that can be shown"
        raise InputError("input", _joined(geometry.sizes), rule, "explain a smaller input or a larger stride")
    return geometry


def too_large(sizes: Index, reason: str) -> InputError:
    """Return the error for a grid whose cells would be too small to be read."""
    rule = f"is too large to be drawn: {reason}"
    return InputError("input", _joined(sizes), rule, "explain a smaller one, such as --input 7 or 8x8")


@dataclass(frozen=True)
class Window:
    """Result of one window; for a transposed convolution ``index`` and ``result`` are those of its input sample."""

    index: Index
    taps: tuple[Tap, ...]  # in reading order
    values: tuple[Number, ...]  # number that each tap reads, or for a transposed convolution adds
    result: Number
    switch: int = 0  # flat index of the largest sample, for max pooling
    counted: int = 0  # number of taps that a mean counts


def convolve(geometry: Geometry, samples: Sequence[Number], weights: Sequence[Number]) -> list[Window]:
    """Return each window's sum of samples times weights; samples and weights are flat."""
    constant = geometry.arguments.border.value
    return _reduced(geometry, samples, constant, lambda reads: sum(r * w for r, w in zip(reads, weights, strict=True)))


def scatter(geometry: Geometry, samples: Sequence[Number], weights: Sequence[Number]) -> list[Window]:
    """Return each input sample times the weights, which a transposed convolution adds at the positions of the taps.

    Past an edge they are added to the sample that the convolution reads there; on constants they are dropped.
    """
    return [
        Window(index, tuple(geometry.taps(index)), tuple(sample * weight for weight in weights), sample)
        for index, sample in zip(geometry.indices, samples, strict=True)
    ]


def max_pool(geometry: Geometry, samples: Sequence[Number]) -> list[Window]:
    """Return each window's largest sample and its switch, the first of equal samples; constants never count."""
    windows = []
    for index in geometry.indices:
        taps = _require_samples(geometry, index, geometry.taps(index))
        reads = tuple(-inf if tap.source is None else samples[tap.source] for tap in taps)
        switch = taps[reads.index(max(reads))].source or 0
        windows.append(Window(index, tuple(taps), reads, max(reads), switch))
    return windows


def average_pool(geometry: Geometry, samples: Sequence[Number], count_include_pad: bool) -> list[Window]:
    """Return each window's mean; zeros of the padding count if asked for, the overhang never does."""
    windows = []
    for index in geometry.indices:
        taps = geometry.taps(index)
        if not count_include_pad:
            _require_samples(geometry, index, taps)
        reads = tuple(0 if tap.source is None else samples[tap.source] for tap in taps)
        counted = sum(counts_in_mean(tap, count_include_pad) for tap in taps)
        windows.append(Window(index, tuple(taps), reads, sum(reads) / counted, counted=counted))
    return windows


def lp_pool(geometry: Geometry, samples: Sequence[Number], p: float) -> list[Window]:
    """Return each window's p-norm, (Σ |x|^p)^(1/p)."""
    return _reduced(geometry, samples, 0, lambda reads: sum(abs(read) ** p for read in reads) ** (1 / p))


def counts_in_mean(tap: Tap, count_include_pad: bool) -> bool:
    """Return True for a tap that an average pooling counts."""
    return not tap.overhang and (tap.source is not None or count_include_pad)


def _reduced(
    geometry: Geometry, samples: Sequence[Number], constant: Number, reduce: Callable[[tuple[Number, ...]], Number]
) -> list[Window]:
    windows = []
    for index in geometry.indices:
        taps = tuple(geometry.taps(index))
        reads = tuple((0 if t.overhang else constant) if t.source is None else samples[t.source] for t in taps)
        windows.append(Window(index, taps, reads, reduce(reads)))
    return windows


def _require_samples(geometry: Geometry, index: Index, taps: list[Tap]) -> list[Tap]:
    if all(tap.source is None for tap in taps):
        rule = f"is so small that window {', '.join(map(str, index))} holds none of its samples"
        raise InputError("input", _joined(geometry.sizes), rule, "pad less or use a smaller --dilation")
    return taps


def _output_sizes(
    sizes: Index, arguments: Arguments, transposed: bool = False, output_padding: Index = (0, 0)
) -> Index:
    axes = zip(sizes, arguments.kernel, arguments.stride, arguments.padding, arguments.dilation, strict=True)
    try:
        return tuple(output_size(*axis, transposed, extra) for axis, extra in zip(axes, output_padding, strict=False))
    except InputError as error:
        rule = f"leaves no output under a kernel that spans {_joined(arguments.spans)}"
        cure = "pad less" if transposed else "pad more, or use a smaller --kernel or --dilation"
        raise InputError("input", _joined(sizes), rule, cure) from error


def _joined(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))

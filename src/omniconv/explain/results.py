"""What each window gives: sums, maxima, means, norms, scattered and put-back values, one small loop each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from omniconv.explain.geometry import Geometry, Place, Tap

Number = int | float


@dataclass(frozen=True)
class Window:
    """A window that has been computed.

    Args:
        place: which one; of the output, or of the input of a transposed convolution.
        taps: in reading order.
        reads: for each tap what it read or wrote.
        result: what comes out, or for a transposed convolution goes in.
        switch: flat index of the winner of a max pooling.
        counted: taps that a mean counts.
    """

    place: Place
    taps: tuple[Tap, ...]
    reads: tuple[Number, ...]
    result: Number
    switch: int = 0
    counted: int = 0


def convolve(geometry: Geometry, values: Sequence[Number], weights: Sequence[Number]) -> list[Window]:
    """Each window's sum of samples times weights.

    Args:
        geometry: of the convolution.
        values: the samples, flat.
        weights: the kernel, flat.
    """
    windows = []
    for place in geometry.places:
        taps = geometry.window(place)
        reads = [_read(tap, values, geometry.arguments.border.value) for tap in taps]
        result = sum(read * weight for read, weight in zip(reads, weights, strict=True))
        windows.append(Window(place, tuple(taps), tuple(reads), result))
    return windows


def scatter(geometry: Geometry, values: Sequence[Number], weights: Sequence[Number]) -> list[Window]:
    """Each input sample times the weights: what a transposed convolution adds where the taps point.

    What falls past an edge is folded back to the sample that the convolution would read there; past zeros it is lost.
    """
    windows = []
    for place, value in zip(geometry.places, values, strict=True):
        writes = tuple(value * weight for weight in weights)
        windows.append(Window(place, tuple(geometry.window(place)), writes, value))
    return windows


def maxima(geometry: Geometry, values: Sequence[Number]) -> list[Window]:
    """Each window's largest sample and its switch; constants past an edge never win, the first of equals does."""
    windows = []
    for place in geometry.places:
        taps = geometry.window(place)
        reads = tuple(-inf if tap.source is None else values[tap.source] for tap in taps)
        switch = taps[reads.index(max(reads))].source or 0
        windows.append(Window(place, tuple(taps), reads, max(reads), switch))
    return windows


def means(geometry: Geometry, values: Sequence[Number], count_include_pad: bool) -> list[Window]:
    """Each window's mean; zeros past an edge count where asked for, what hangs over never does."""
    windows = []
    for place in geometry.places:
        taps = geometry.window(place)
        reads = tuple(_read(tap, values, 0) for tap in taps)
        counted = sum(counts(tap, count_include_pad) for tap in taps)
        result = sum(reads) / counted
        windows.append(Window(place, tuple(taps), reads, result, counted=counted))
    return windows


def norms(geometry: Geometry, values: Sequence[Number], p: float) -> list[Window]:
    """Each window's p-norm, (Σ |x|^p)^(1/p)."""
    windows = []
    for place in geometry.places:
        taps = geometry.window(place)
        reads = tuple(_read(tap, values, 0) for tap in taps)
        result = sum(abs(read) ** p for read in reads) ** (1 / p)
        windows.append(Window(place, tuple(taps), reads, result))
    return windows


def counts(tap: Tap, count_include_pad: bool) -> bool:
    """Whether a mean counts what a tap reads."""
    return not tap.beyond and (tap.source is not None or count_include_pad)


def _read(tap: Tap, values: Sequence[Number], constant: Number) -> Number:
    if tap.beyond:
        return 0
    return constant if tap.source is None else values[tap.source]

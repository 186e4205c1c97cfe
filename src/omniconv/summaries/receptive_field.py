"""Receptive fields along one axis: exact through strides, upsampling and skip connections.

The (size, stride) pair of the usual formulas cannot say how two signals that meet in a skip connection are aligned, nor
that outputs of an upsampling have fields of different sizes. ``AxisField`` therefore has the first and the last input
sample of every output of one period. Borders are ignored: the axis is treated as infinite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import gcd, inf, lcm

import numpy as np

Index = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class AxisMap:
    """Dependence of a layer's outputs on its inputs along an axis: output ``j`` reads ``first(j)`` to ``last(j)``.

    Outputs ``outputs`` apart read inputs ``inputs`` apart.
    """

    first: Index
    last: Index
    outputs: int = 1
    inputs: int = 1


@dataclass(frozen=True, eq=False)
class AxisField:
    """First and last input sample of each of ``period`` outputs; outputs ``period`` apart have fields ``step`` apart.

    Example:
        >>> AxisField.identity().through(window_map(3, stride=2, before=1)).through(window_map(3, 1, 1)).size
        7
    """

    first: np.ndarray
    last: np.ndarray
    step: int

    @classmethod
    def identity(cls) -> AxisField:
        """Return the field of the network's input: every sample depends on itself."""
        return cls(np.zeros(1), np.zeros(1), 1)

    @classmethod
    def infinite(cls) -> AxisField:
        """Return the field of outputs that depend on all samples of the axis and have no position on it (step 0)."""
        return cls(np.full(1, -inf), np.full(1, inf), 0)

    @property
    def period(self) -> int:
        """Number of outputs after which the fields repeat."""
        return len(self.first)

    @property
    def stride(self) -> Fraction:
        """Input samples per output sample; 0 for a signal without position on the axis."""
        return Fraction(self.step, self.period)

    @property
    def size(self) -> int | float:
        """Input samples in the largest field; ``inf`` for all samples of the axis."""
        size = float((self.last - self.first).max()) + 1
        return size if size == inf else int(size)

    def through(self, axis_map: AxisMap) -> AxisField:
        """Return the field after one more layer."""
        repeats = self.period // gcd(self.period, axis_map.inputs)
        outputs = np.arange(axis_map.outputs * repeats)
        first, last = self._at(self.first, axis_map.first(outputs)), self._at(self.last, axis_map.last(outputs))
        return AxisField(first, last, self.step * axis_map.inputs * repeats // self.period)

    def _at(self, samples: np.ndarray, index: np.ndarray) -> np.ndarray:
        return samples[index % self.period] + self.step * (index // self.period)

    def _union(self, other: AxisField) -> AxisField:
        if self.stride != other.stride:
            # Without a common grid the union is taken as the larger field. A global field gets the other one's stride,
            # so that a squeeze-and-excitation block, say, does not hide the stride of the signal that it scales.
            size, stride = max(self.size, other.size), max(self.stride, other.stride)
            if size == inf:
                period = stride.denominator
                return AxisField(np.full(period, -inf), np.full(period, inf), stride.numerator)
            return max(self, other, key=lambda field: field.size)
        outputs = np.arange(lcm(self.period, other.period))
        first = np.minimum(self._at(self.first, outputs), other._at(other.first, outputs))
        last = np.maximum(self._at(self.last, outputs), other._at(other.last, outputs))
        return AxisField(first, last, self.step * len(outputs) // self.period)


def union(fields: Iterable[AxisField]) -> AxisField:
    """Return the field of a sum, a concatenation or any other pointwise function of several signals."""
    return reduce(AxisField._union, fields)


def window_map(span: int, stride: int = 1, before: int = 0) -> AxisMap:
    """Return the map of a convolution or pooling: output j reads ``span`` inputs from j · stride − before."""
    return AxisMap(lambda j: j * stride - before, lambda j: j * stride - before + span - 1, 1, stride)


def transposed_map(span: int, stride: int = 1, before: int = 0) -> AxisMap:
    """Return the map of a transposed convolution: output j reads the inputs whose ``window_map`` windows contain it.

    These are ⌈(j + before − span + 1) / stride⌉ to ⌊(j + before) / stride⌋: at most ⌈span / stride⌉ of them. With a
    dilation that shares no factor with the stride some of them meet no tap: then this is an upper bound.
    """
    return AxisMap(lambda j: -((span - 1 - before - j) // stride), lambda j: (j + before) // stride, stride, 1)


def slice_map(start: int, step: int = 1) -> AxisMap:
    """Return the map of a slice from ``start`` by ``step``; padding is a slice from ``-before``."""
    return AxisMap(lambda j: j * step + start, lambda j: j * step + start, 1, step)


def interpolation_map(old: int, new: int, reach: int = 1, antialias: bool = False) -> AxisMap:
    """Return the map of an interpolation between sample centres; ``reach`` is 0 for nearest, 1 linear, 2 cubic.

    A size that differs from an integer multiple by rounding (45 from 23) counts as that multiple (2). ``antialias``
    averages over the shrinking factor.
    """
    outputs, inputs = _ratio(old, new)
    wide = 2 * outputs  # the centre of output j is at (2j + 1) · inputs / wide − 1/2
    if reach == 0:
        return AxisMap(*(lambda j: (2 * j + 1) * inputs // wide,) * 2, outputs, inputs)
    support = 2 * reach * (inputs if antialias and inputs > outputs else outputs)
    return AxisMap(
        lambda j: ((2 * j + 1) * inputs + outputs - support) // wide,
        lambda j: -((outputs - (2 * j + 1) * inputs - support) // wide) - 1,
        outputs,
        inputs,
    )


def adaptive_pool_map(old: int, new: int) -> AxisMap:
    """Return the map of an adaptive pooling: output j reads ⌊j · old / new⌋ to ⌈(j + 1) · old / new⌉ − 1."""
    outputs, inputs = new // gcd(old, new), old // gcd(old, new)
    return AxisMap(lambda j: j * inputs // outputs, lambda j: -(-(j + 1) * inputs // outputs) - 1, outputs, inputs)


def regrid_map(old: int, new: int) -> AxisMap:
    """Return the map of pixel (un)shuffle and ``interpolate(mode="nearest")``: output j reads ⌊j · old / new⌋."""
    outputs, inputs = _ratio(old, new)
    return AxisMap(*(lambda j: j * inputs // outputs,) * 2, outputs, inputs)


def _ratio(old: int, new: int) -> tuple[int, int]:
    """Return outputs per inputs in lowest terms; a ratio that differs from an integer by rounding is that integer."""
    up, down = round(new / old), round(old / new)
    if up >= 1 and abs(new - up * old) < up:
        return up, 1
    if down >= 1 and abs(old - down * new) < down:
        return 1, down
    return new // gcd(old, new), old // gcd(old, new)

"""How far an output sees, along one axis: exactly, through strides, steps up and connections that skip them.

The (field, step) pair of the usual formulas cannot say how two signals that meet again lie to one another, nor that
outputs of a step up see unequally far. So a ``Reach`` holds the first and the last input sample of every output. Both
repeat themselves: outputs ``period`` apart see samples ``step`` apart. Edges are left out: the axis goes on for ever.
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
class Move:
    """What a layer does along an axis: output ``j`` sees its inputs ``first(j)`` to ``last(j)``.

    Outputs that lie ``outputs`` apart see inputs that lie ``inputs`` apart.
    """

    first: Index
    last: Index
    outputs: int = 1
    inputs: int = 1


@dataclass(frozen=True, eq=False)
class Reach:
    """The first and the last input sample that each of ``period`` outputs sees; the next ones lie ``step`` further.

    Example:
        >>> Reach.start().through(window(3, stride=2, before=1)).through(window(3, stride=1, before=1)).field
        7
    """

    first: np.ndarray
    last: np.ndarray
    step: int

    @classmethod
    def start(cls) -> Reach:
        """The input itself: every sample sees itself."""
        return cls(np.zeros(1), np.zeros(1), 1)

    @classmethod
    def whole(cls) -> Reach:
        """Every output sees the whole axis."""
        return cls(np.full(1, -inf), np.full(1, inf), 1)

    @property
    def period(self) -> int:
        """Outputs after which all repeats itself."""
        return len(self.first)

    @property
    def field(self) -> int | float:
        """Input samples that the output sees that sees most; ``inf`` for the whole axis."""
        field = float((self.last - self.first).max()) + 1
        return field if field == inf else int(field)

    def through(self, move: Move) -> Reach:
        """After one more layer."""
        turns = self.period // gcd(self.period, move.inputs)
        outputs = np.arange(move.outputs * turns)
        first, last = self._at(self.first, move.first(outputs)), self._at(self.last, move.last(outputs))
        return Reach(first, last, self.step * move.inputs * turns // self.period)

    def _at(self, samples: np.ndarray, index: np.ndarray) -> np.ndarray:
        return samples[index % self.period] + self.step * (index // self.period)

    def _beside(self, other: Reach) -> Reach:
        if Fraction(self.step, self.period) != Fraction(other.step, other.period):
            return max(self, other, key=lambda reach: reach.field)  # they slide along one another: no common grid
        outputs = np.arange(lcm(self.period, other.period))
        first = np.minimum(self._at(self.first, outputs), other._at(other.first, outputs))
        last = np.maximum(self._at(self.last, outputs), other._at(other.last, outputs))
        return Reach(first, last, self.step * len(outputs) // self.period)


def together(reaches: Iterable[Reach]) -> Reach:
    """What is seen by a sum, a concatenation or any other function of several signals."""
    return reduce(Reach._beside, reaches)


def window(span: int, stride: int = 1, before: int = 0) -> Move:
    """A convolution or pooling: output j sees ``span`` inputs from j · stride − before."""
    return Move(lambda j: j * stride - before, lambda j: j * stride - before + span - 1, 1, stride)


def transposed(span: int, stride: int = 1, before: int = 0) -> Move:
    """A transposed convolution: output j sees the inputs whose windows (of ``window``'s arguments) hold it.

    These are ⌈(j + before − span + 1) / stride⌉ to ⌊(j + before) / stride⌋: at most ⌈span / stride⌉ of them. With a
    dilation that shares no factor with the stride some of them meet no tap: then this is an upper bound.
    """
    return Move(lambda j: -((span - 1 - before - j) // stride), lambda j: (j + before) // stride, stride, 1)


def moved(by: int, step: int = 1) -> Move:
    """Padding by ``−by`` samples, or a slice that starts at ``by`` and takes every ``step``-th."""
    return Move(lambda j: j * step + by, lambda j: j * step + by, 1, step)


def resized(old: int, new: int, reach: int = 1, antialias: bool = False) -> Move:
    """Interpolation between sample centres: ``reach`` 1 is linear (two neighbours), 2 cubic, 0 the nearest.

    A size next to a whole multiple (45 from 23) counts as that multiple (2), as its network is meant. ``antialias``
    averages over what an axis shrinks by.
    """
    outputs, inputs = _ratio(old, new)
    if antialias and inputs > outputs:
        wide = 2 * outputs
        return Move(
            lambda j: ((2 * j + 1 - 2 * reach) * inputs + outputs) // wide,
            lambda j: -((outputs - (2 * j + 1 + 2 * reach) * inputs) // wide) - 1,
            outputs,
            inputs,
        )
    if reach == 0:
        return Move(*(lambda j: (2 * j + 1) * inputs // (2 * outputs),) * 2, outputs, inputs)
    return Move(
        lambda j: ((2 * j + 1) * inputs - outputs) // (2 * outputs) - (reach - 1),
        lambda j: -((outputs - (2 * j + 1) * inputs) // (2 * outputs)) + (reach - 1),
        outputs,
        inputs,
    )


def shared_out(old: int, new: int) -> Move:
    """Adaptive pooling: the axis shared out among ``new`` windows."""
    outputs, inputs = new // gcd(old, new), old // gcd(old, new)
    return Move(lambda j: j * inputs // outputs, lambda j: -(-(j + 1) * inputs // outputs) - 1, outputs, inputs)


def regridded(old: int, new: int) -> Move:
    """Pixels that become channels, or channels that become pixels."""
    outputs, inputs = _ratio(old, new)
    return Move(*(lambda j: j * inputs // outputs,) * 2, outputs, inputs)


def _ratio(old: int, new: int) -> tuple[int, int]:
    """Outputs per inputs in lowest terms, or the whole multiple that was meant."""
    up, down = round(new / old), round(old / new)
    if up >= 1 and abs(new - up * old) < up:
        return up, 1
    if down >= 1 and abs(old - down * new) < down:
        return 1, down
    return new // gcd(old, new), old // gcd(old, new)

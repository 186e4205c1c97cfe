"""Where the taps of a kernel or window fall, and which sample each of them reads: the slow definition of every layer.

A position counts from the first sample of each axis; it is negative before an axis, and not below its size after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from omniconv.arithmetic import padding_amounts, span
from omniconv.errors import InputError
from omniconv.explain.words import Rule
from omniconv.surfaces.neighbours.border import Border, border_index

Place = tuple[int, ...]
Amounts = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Arguments:
    """What a layer is told, one entry for each axis.

    Args:
        kernel: taps.
        stride: step from one window to the next.
        padding: a name, or samples before and after.
        dilation: step between taps.
        border: what the padded samples hold.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[Rule, ...]
    dilation: tuple[int, ...]
    border: Border

    @property
    def spans(self) -> tuple[int, ...]:
        """Samples that the kernel covers."""
        return tuple(map(span, self.kernel, self.dilation))

    def amounts(self, sizes: tuple[int, ...]) -> Amounts:
        """Samples before and after each axis of these sizes."""
        axes = zip(self.padding, sizes, self.kernel, self.stride, self.dilation, strict=True)
        return tuple(padding_amounts(*axis) for axis in axes)


@dataclass(frozen=True)
class Tap:
    """One tap of a window.

    Args:
        offset: which tap of the kernel.
        position: where it falls; past an edge where the grid is padded.
        source: flat index of the sample that it reads, ``None`` for a constant.
        inside: whether it falls on the grid itself.
        beyond: whether it falls past the padding too, where a last window hangs over.
    """

    offset: Place
    position: Place
    source: int | None
    inside: bool
    beyond: bool


@dataclass(frozen=True)
class Geometry:
    """Windows on a grid.

    Args:
        arguments: of the layer.
        sizes: samples of the grid that the windows lie on.
        outputs: windows on each axis.
        overhangs: samples by which the last windows hang over the padded end.
    """

    arguments: Arguments
    sizes: tuple[int, ...]
    outputs: tuple[int, ...]
    overhangs: tuple[int, ...]

    def __post_init__(self) -> None:
        for size, sides, modes in zip(self.sizes, self.amounts, self.arguments.border.modes, strict=True):
            for amount, mode in zip(sides, modes, strict=True):
                if mode == "reflect" and amount >= size:
                    rule = f"must be smaller than the axis ({size} samples) to be reflected"
                    raise InputError("padding", amount, rule, "pad less, or use --mode replicate or circular")

    @cached_property
    def amounts(self) -> Amounts:
        """Samples before and after each axis."""
        return self.arguments.amounts(self.sizes)

    @property
    def places(self) -> list[Place]:
        """Every window, in reading order."""
        return list(product(*map(range, self.outputs)))

    @cached_property
    def positions(self) -> list[range]:
        """For each axis, all that windows may reach: padding, samples, padding, overhang."""
        axes = zip(self.sizes, self.amounts, self.overhangs, strict=True)
        return [range(-before, size + after + over) for size, (before, after), over in axes]

    def window(self, place: Place) -> list[Tap]:
        """The taps of a window, in reading order."""
        return [self.tap(place, offset) for offset in product(*map(range, self.arguments.kernel))]

    def tap(self, place: Place, offset: Place) -> Tap:
        """One tap: o·s − p + t·d on each axis."""
        arguments = self.arguments
        steps = zip(place, arguments.stride, offset, arguments.dilation, self.amounts, strict=True)
        position = tuple(o * s + t * d - before for o, s, t, d, (before, _) in steps)
        return Tap(offset, position, self.source(position), self.inside(position), self.beyond(position))

    def inside(self, position: Place) -> bool:
        """Whether a position is a sample of the grid."""
        return all(0 <= index < size for index, size in zip(position, self.sizes, strict=True))

    def beyond(self, position: Place) -> bool:
        """Whether a position lies behind the padding."""
        axes = zip(position, self.sizes, self.amounts, strict=True)
        return any(index >= size + after for index, size, (_, after) in axes)

    def source(self, position: Place) -> int | None:
        """Flat index of the sample that a position shows, ``None`` where it shows a constant."""
        return self.sources[position]

    @cached_property
    def sources(self) -> dict[Place, int | None]:
        """The same for all positions that windows may reach."""
        return {position: self._source(position) for position in product(*self.positions)}

    def _source(self, position: Place) -> int | None:
        """Axis by axis; past a pole the columns are turned by half of the last axis."""
        if self.beyond(position):
            return None
        found, is_rolled = [], False
        for index, size, modes in zip(position, self.sizes, self.arguments.border.modes, strict=True):
            sample, rolled, constant = border_index(np.array(index), size, modes[0] if index < 0 else modes[1])
            if constant:
                return None
            found.append(int(sample))
            is_rolled |= bool(rolled)
        if is_rolled:
            found[-1] = (found[-1] - self.sizes[-1] // 2) % self.sizes[-1]
        return int(np.ravel_multi_index(found, self.sizes))

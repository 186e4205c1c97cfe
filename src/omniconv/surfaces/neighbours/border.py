"""Values beyond the edges of a regular grid, for each axis and side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar, Literal, NamedTuple, get_args

import numpy as np

from omniconv.checks import did_you_mean
from omniconv.errors import InputError

Mode = Literal["zeros", "reflect", "replicate", "circular", "pole", "cube"]
PaddingMode = Mode | Sequence[Mode | tuple[Mode, Mode]]
Sides = tuple[Mode, Mode]


@dataclass(frozen=True)
class Border:
    """The continuation of a grid beyond its edges: one pair of modes ``(before, after)`` for each axis.

    On the axis ``1234``, two samples to each side:

    ==============  ====================  ====================================================
    ``zeros``       ``00 1234 00``        ``value`` instead of 0 makes it another constant
    ``reflect``     ``32 1234 32``        mirrored at the edge sample
    ``replicate``   ``11 1234 44``        the edge sample repeated
    ``circular``    ``34 1234 12``        periodic, any number of times
    ``pole``        ``21 1234 43``        mirrored at the edge, and rolled by half of the last axis: the continuation of
                                          an equirectangular image over a pole (rows only)
    ==============  ====================  ====================================================

    Args:
        modes: one pair of modes for each axis of the grid.
        value: the constant of ``zeros``.

    Raises:
        InputError: an unknown mode, or ``pole`` on an axis other than the one before a circular last axis.

    Example:
        >>> Border.of("circular", ndim=2).modes
        (('circular', 'circular'), ('circular', 'circular'))
        >>> Border.of(["zeros", ("reflect", "circular")], ndim=2).modes
        (('zeros', 'zeros'), ('reflect', 'circular'))
    """

    modes: tuple[Sides, ...]
    value: float = 0.0
    allowed: ClassVar[tuple[str, ...]] = tuple(mode for mode in get_args(Mode) if mode != "cube")

    def __post_init__(self) -> None:
        if not isinstance(self.value, Real) or (isinstance(self.value, int) and abs(self.value) >= 2**63):
            raise InputError("padding_value", self.value, "must be a number that fits 64 bits", "use padding_value=0.0")
        if not isinstance(self.modes, tuple):
            raise InputError("modes", self.modes, "must be a pair (before, after) for each axis", "use oc.Border.of")
        for sides in self.modes:
            if not isinstance(sides, tuple) or len(sides) != 2:
                raise InputError("padding_mode", sides, "must be a pair (before, after)", "give both sides")
            for mode in sides:
                if mode not in self.allowed:
                    raise InputError("padding_mode", mode, f"must be one of {', '.join(self.allowed)}",
                                     did_you_mean(mode, self.allowed, "use padding_mode='zeros'"))  # fmt: skip
        for axis, sides in enumerate(self.modes):
            if "pole" in sides and (axis != len(self.modes) - 2 or set(self.modes[-1]) != {"circular"}):
                rule = "must be on the axis before a circular last axis"
                cure = "use oc.Equirectangular() or padding_mode=('pole', 'circular')"
                raise InputError("padding_mode", "pole", rule, cure)

    @classmethod
    def of(cls, mode: PaddingMode, ndim: int, value: float = 0.0) -> Border:
        """Return a border of one mode for all axes, one for each, or one pair ``(before, after)`` for each."""
        axes: Sequence = [mode] * ndim if isinstance(mode, str) else mode
        if not isinstance(axes, Sequence) or not all(isinstance(axis, str | Sequence) for axis in axes):
            raise InputError("padding_mode", mode, "must be one mode or one for each axis", "use 'zeros'")
        if len(axes) != ndim:
            raise InputError("padding_mode", mode, f"must be one mode or {ndim}, one for each axis", "count the axes")
        return cls(tuple((axis, axis) if isinstance(axis, str) else tuple(axis) for axis in axes), value)

    @property
    def ndim(self) -> int:
        """Number of grid axes."""
        return len(self.modes)

    @property
    def kernel_ndim(self) -> int:
        """Number of grid axes along which a kernel extends: the last ones."""
        return self.ndim

    @property
    def wraps(self) -> tuple[bool, ...]:
        """For each axis, True if it continues with samples of the grid beyond both edges."""
        return tuple(set(sides) <= {"circular", "pole", "cube"} for sides in self.modes)

    @property
    def adjoint(self) -> Border:
        """The border itself: the transposed convolution applies the adjoint of its padding."""
        return self


@dataclass(frozen=True)
class CubeBorder(Border):
    """Six square faces ``(6, rows, columns)``, each continued over the edges of the cube by its neighbours."""

    modes: tuple[Sides, ...] = (("zeros", "zeros"), ("cube", "cube"), ("cube", "cube"))
    allowed: ClassVar[tuple[str, ...]] = get_args(Mode)

    @property
    def kernel_ndim(self) -> int:
        """2: kernels extend along rows and columns, not across faces."""
        return 2


class BorderIndex(NamedTuple):
    """Source samples of positions on one axis, as ``border_index`` returns them; arrays of one shape.

    Attributes:
        source: position on the axis, 0 … size − 1.
        is_rolled: the position is beyond a pole: its values are the source row rolled by half of the last axis
            (column j is column j − ⌊width / 2⌋, modulo the width).
        is_constant: the position has the border's constant instead of a sample; ``source`` is then the nearest sample.
    """

    source: np.ndarray
    is_rolled: np.ndarray
    is_constant: np.ndarray


def border_index(positions: np.ndarray, size: int, mode: Mode) -> BorderIndex:
    """Map positions on an axis, also beyond its edges, to the samples that they show.

    This is the definition of every border mode but ``cube``. The fast and symbolic paddings of ``nn.grid`` and the row
    kernels of ``nn.rows`` compute the same indices in other ways and are tested against this function.

    Args:
        positions: integers of any range and shape; 0 … size − 1 are the samples themselves.
        size: number of samples on the axis, at least 1.
        mode: border mode. ``reflect`` on an axis of one sample repeats it.

    Example:
        >>> border_index(np.arange(-2, 5), 3, "pole")[:2]
        (array([1, 0, 0, 1, 2, 2, 1]), array([ True,  True, False, False, False,  True,  True]))
    """
    never = np.zeros(np.shape(positions), dtype=bool)
    if mode == "circular":
        return BorderIndex(positions % size, never, never)
    if mode == "pole":  # a meridian is a great circle of 2 · size samples: down on this side, up on the other
        folded = positions % (2 * size)
        is_beyond = folded >= size
        return BorderIndex(np.where(is_beyond, 2 * size - 1 - folded, folded), is_beyond, never)
    if mode == "reflect" and size > 1:
        folded = positions % (2 * size - 2)
        return BorderIndex(np.where(folded >= size, 2 * size - 2 - folded, folded), never, never)
    is_constant = (positions < 0) | (positions >= size) if mode == "zeros" else never
    return BorderIndex(np.clip(positions, 0, size - 1), never, is_constant)

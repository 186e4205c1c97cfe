"""What a turn of the panorama about its axis changes, by the distance from where the picture is cut.

A panorama has no beginning: turned by some columns it is the same one, cut elsewhere. What a network answers to it,
turned back, differs from its answer to the panorama as it was for two reasons. Near both cuts its borders differ. And a
network with a total stride of s steps over the columns: a turn by other than a multiple of s moves samples between its
steps, which changes the answer all over, also of a network without any border. So turns by multiples of s, which show
border effects alone, are told from others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import lcm
from typing import Any

import numpy as np

from omniconv.audit.curves import Curve, curve
from omniconv.audit.difference import Tally, are_classes, change
from omniconv.audit.model_adapter import Answer, Output, answering, check_panoramas, name_of
from omniconv.audit.total_stride import total_stride
from omniconv.errors import InputError
from omniconv.surfaces import panorama

PARTS = 8
"""Turns by default: an eighth of the circle, two eighths, … seven."""
NEAR = 32
"""Within this part of the width (11.25°) of a cut is at the seam, and within the total stride in any case."""


@dataclass(frozen=True)
class Turns:
    """What some turns change.

    Attributes:
        shifts: columns of the panorama by which it was turned.
        changed: share of the area whose class changes; ``None`` where answers are no classes.
        difference: root mean square of the change, as a share of the answer's own spread.
    """

    shifts: tuple[int, ...]
    changed: Curve | None
    difference: Curve

    @property
    def measure(self) -> Curve:
        """``changed``, or ``difference`` without classes."""
        return self.changed or self.difference


@dataclass(frozen=True)
class ShiftError:
    """What turns about the axis change.

    Attributes:
        width: columns of the panoramas.
        stride: total stride in columns; ``None`` on a surface whose samples are no columns.
        near: columns from a cut that count as at the seam.
        degrees: distances from the cut, for ``by_distance``; none where one answer is for the whole.
        exact: turns by multiples of the stride: border effects alone; ``None`` where there are none.
        between: other turns: also what lies between the network's steps; ``None`` where there are none.
    """

    width: int
    stride: int | None
    near: int
    degrees: tuple[float, ...]
    exact: Turns | None
    between: Turns | None

    @property
    def named(self) -> dict[str, Turns]:
        """The turns that were tried, by how far they go."""
        any_number = self.stride in (1, None)
        first = "by any number of columns" if any_number else f"by multiples of {self.stride} columns"
        names = {first: self.exact or self.between} if any_number else {first: self.exact, "by others": self.between}
        return {name: turns for name, turns in names.items() if turns is not None}

    @property
    def seam(self) -> Turns:
        """The turns that show the seam best."""
        found = self.exact or self.between
        if found is None:  # shift_error tries at least one
            raise LookupError("no turn")
        return found


def shift_error(
    model: Any,
    panoramas: Any,
    shifts: Sequence[int] | None = None,
    stride: int | None = None,
    classes: bool | None = None,
    output: Output = None,
) -> ShiftError:
    """What a network's answer loses when the panorama is cut elsewhere.

    Args:
        model: a module that takes ``(B, C, H, W)`` and gives maps ``(B, K, H', W')`` or vectors ``(B, K)``; a network
            of ``oc.models`` on any surface; a ``Predictor``.
        panoramas: ``(B, C, H, W)`` or ``(C, H, W)``, as the network takes them: rows from pole to pole, columns all
            around. They need not be twice as wide as high.
        shifts: columns to turn by; by default seven multiples of the stride all around, and seven other turns.
        stride: total stride; by default what ``total_stride`` finds.
        classes: whether channels are scores of classes, so that classes are compared too; by default where there are
            several. One channel is a score against 0.
        output: which of several outputs: a key or a place; by default the first tensor.

    Raises:
        InputError: a network or panoramas that cannot be used, or turns that do not fit the answer's columns.

    Example:
        >>> import torch, omniconv as oc
        >>> network = oc.models.UNet(3, 2, surface=oc.Equirectangular(), width=2, depth=1)
        >>> found = shift_error(network, torch.rand(1, 3, 8, 16))
        >>> found.stride, found.exact.difference.everywhere < 1e-4
        (2, True)
    """
    images = check_panoramas(panoramas)
    width = images.shape[-1]
    stride = total_stride(model, images[0], output) if stride is None else stride
    if stride is not None and not (isinstance(stride, int) and 1 <= stride <= width):
        raise InputError("stride", stride, f"must be a whole number from 1 to the width, {width}", "leave it out")
    near = max(stride or 1, width // NEAR)
    with answering(model, output) as answer:
        trial = _Trial.of(answer, images, classes, name_of(model))
        exact, between = _groups(shifts, width, stride, trial.step)
        found = [trial.turns(group, near) if group else None for group in (exact, between)]
    return ShiftError(width, stride, near, tuple(trial.degrees.tolist()), *found)


@dataclass(frozen=True, eq=False)
class _Trial:
    """A network's answers to some panoramas, for comparison with those to turned ones."""

    answer: Answer
    images: np.ndarray
    upright: list[np.ndarray]
    classes: bool

    @classmethod
    def of(cls, answer: Answer, images: np.ndarray, classes: bool | None, name: str) -> _Trial:
        """Checked: columns of the answer fit those of the panorama."""
        upright = [answer(image) for image in images]
        width, given = upright[0].shape[-1], images.shape[-1]
        if given % width and width % given:
            rule = f"gives {width} columns for a panorama of {given}: one must be a multiple of the other"
            raise InputError("model", name, rule, "give panoramas whose width its total stride divides")
        return cls(answer, images, upright, are_classes(upright[0], classes))

    @property
    def width(self) -> int:
        """Columns of an answer."""
        return self.upright[0].shape[-1]

    @property
    def step(self) -> int:
        """Columns of the panorama for one of the answer, so that turns move whole columns of both."""
        return max(1, self.images.shape[-1] // self.width) if self.width > 1 else 1

    @property
    def degrees(self) -> np.ndarray:
        """Distance of columns from a cut; none where one answer is for the whole."""
        return (np.arange((self.width + 1) // 2 if self.width > 1 else 0) + 0.5) * 360 / self.width

    def turns(self, shifts: Sequence[int], near: int) -> Turns:
        """What these turns change."""
        areas = panorama.pixel_areas(*self.upright[0].shape[1:])
        tally = Tally()
        for shift in shifts:
            moved = shift * self.width // self.images.shape[-1] if self.width > 1 else 0
            by_distance = partial(_sums_by_distance, _distances(self.width, moved), areas)
            for image, upright in zip(self.images, self.upright, strict=True):
                back = np.roll(self.answer(np.roll(image, shift, -1)), -moved, -1)
                tally.add(change(upright, back, areas, self.classes), by_distance)
        summed = partial(curve, areas=tally.weights, near=self._near(near), degrees=self.degrees)
        changed = None if tally.changed is None else summed(tally.changed)
        return Turns(tuple(shifts), changed, summed(tally.squared, root=True))

    def _near(self, near: int) -> int:
        """Columns of the answer for columns of the panorama."""
        return max(1, near * self.width // self.images.shape[-1])


def _sums_by_distance(distances: np.ndarray, areas: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.bincount(distances, (values * areas).sum(axis=0), max(1, (len(distances) + 1) // 2))


def _distances(width: int, moved: int) -> np.ndarray:
    """Columns from the nearest cut: that of the panorama, and that of the one turned by so many columns."""
    column = np.arange(width)
    after, before = column, (column + moved) % width
    return np.minimum(np.minimum(after, width - 1 - after), np.minimum(before, width - 1 - before))


def _groups(shifts: Sequence[int] | None, width: int, stride: int | None, step: int) -> tuple[list[int], list[int]]:
    """Turns by multiples of the stride, and others."""
    wanted = (
        _default_shifts(width, stride, step) if shifts is None else [_checked(shift, width, step) for shift in shifts]
    )
    if not wanted:
        raise InputError("shifts", shifts, f"leave no turn for {width} columns and a stride of {stride}",
                         "give wider panoramas, or the columns to turn by")  # fmt: skip
    exact = [shift for shift in wanted if stride is not None and shift % stride == 0]
    return exact, [shift for shift in wanted if shift not in exact]


def _default_shifts(width: int, stride: int | None, step: int) -> list[int]:
    """Seven turns all around by multiples of the stride, and as many that fall between its steps."""
    whole = lcm(stride or 1, step)
    around = [round(part * width / PARTS / whole) * whole for part in range(1, PARTS)]
    exact = sorted({shift for shift in around if 0 < shift < width})
    off = whole // step - 1
    between = {shift + step * (1 + place % off) for place, shift in enumerate(exact)} if off else set()
    return exact + sorted(shift for shift in between if shift < width)


def _checked(shift: Any, width: int, step: int) -> int:
    if not isinstance(shift, int | np.integer) or shift % width == 0 or shift % step:
        multiple = f", a multiple of {step} as the answer's columns are" if step > 1 else ""
        raise InputError("shifts", shift, f"must be whole numbers of columns{multiple}, none a full turn of {width}",
                         "leave them out")  # fmt: skip
    return int(shift) % width

"""What an audit found, in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omniconv.audit.bands import LatitudeBands
from omniconv.audit.position import POLE, BorderEffects
from omniconv.audit.rotation import RotationConsistency
from omniconv.audit.shift import ShiftError

LEVELS = ("none", "slight", "clear", "strong")
"""Words for what is lost."""
LIMITS = {True: (0.002, 0.01, 0.05), False: (0.01, 0.05, 0.2)}
"""Where the words begin, of classes and of values: a share of the area that changes class, or a difference as a share
of the answer's spread.

What is judged is an excess: at the seam over elsewhere; far from any cut of turns between the network's steps over
turns by its steps; near a pole over what two views of the same place in the middle of the picture differ by; under
rotation over what resampling alone changes.
"""
ROUNDING = 1e-4
"""A difference below it is that of sums in another order."""


@dataclass(frozen=True)
class Finding:
    """A sentence on one subject.

    Attributes:
        subject: ``seam``, ``steps``, ``poles``, ``rotation`` or ``latitude``.
        level: one of ``LEVELS``; ``None`` where there is nothing to judge by.
        text: the sentence.
    """

    subject: str
    level: str | None
    text: str

    def __str__(self) -> str:
        """Subject, level and sentence."""
        return f"{self.subject.capitalize()}: {self.level + '. ' if self.level else ''}{self.text}"


def verdict(
    shift: ShiftError, rotation: RotationConsistency, borders: BorderEffects | None, quality: LatitudeBands | None
) -> tuple[Finding, ...]:
    """What was found on the seam, the network's steps, poles, rotations and quality by latitude."""
    found = _seam(shift), _steps(shift), _poles(borders), _rotation(rotation), _latitude(quality)
    return tuple(finding for finding in found if finding is not None)


def level(excess: float, classes: bool) -> str:
    """The word for an excess.

    Example:
        >>> level(0.03, classes=True), level(0.03, classes=False)
        ('clear', 'slight')
    """
    return LEVELS[int(np.searchsorted(LIMITS[classes], excess, side="right"))]


def percent(share: float) -> str:
    """A share in percent.

    Example:
        >>> percent(0.0731), percent(0.0001), percent(0.0)
        ('7.3 %', 'under 0.1 %', '0 %')
    """
    if np.isnan(share):
        return "–"
    if 0 < share < 0.0005:
        return "under 0.1 %"
    return "0 %" if share == 0 else f"{100 * share:.1f} %"


def _seam(shift: ShiftError) -> Finding:
    turns = shift.seam
    found, classes = turns.measure, turns.changed is not None
    if turns is shift.exact and turns.difference.everywhere < ROUNDING:
        by = f"multiples of {shift.stride} columns" if shift.stride != 1 else "any number of columns"
        return Finding("seam", LEVELS[0], f"Wherever the panorama is cut, by {by}, the answer stays the same.")
    if found.at_seam is None or found.elsewhere is None or np.isnan(found.elsewhere):
        text = (
            f"When the panorama is cut elsewhere, {_of_whole(found.everywhere, turns.difference.everywhere, classes)}."
        )
        return Finding("seam", level(found.everywhere, classes), text)
    word = level(found.at_seam - found.elsewhere, classes)
    near = f"within {shift.near} columns ({360 * shift.near / shift.width:.0f}°) of the cut"
    reach = f"nine tenths of all that changes lies within {found.reach:.0f}° of the cut"
    rest = "no more than elsewhere" if word == LEVELS[0] else reach
    text = (
        f"When the panorama is cut elsewhere, {_change(found.at_seam, classes)} {near}, {percent(found.elsewhere)} "
        f"farther away: {rest}."
    )
    return Finding("seam", word, text)


def _steps(shift: ShiftError) -> Finding | None:
    if shift.exact is None or shift.between is None:
        return None
    between, exact, classes = shift.between, shift.exact, shift.between.changed is not None
    turned = f"Turned by a number of columns that its total stride, {shift.stride}, does not divide"
    now, then = between.measure.elsewhere, exact.measure.elsewhere
    if now is None or then is None:
        now, then = between.measure.everywhere, exact.measure.everywhere
        text = (
            f"{turned}, {_of_whole(now, between.difference.everywhere, classes)}; by multiples of it {percent(then)}."
        )
    else:
        text = f"{turned}, {_change(now, classes)} far from any cut; by multiples of it {percent(then)}."
    return Finding("steps", level(now - then, classes), text)


def _poles(borders: BorderEffects | None) -> Finding | None:
    if borders is None or np.isnan([borders.poles.measure, borders.control.measure]).any():
        return None
    classes = borders.poles.changed is not None
    text = (
        f"Within {POLE:.0f}° of a pole {_change(borders.poles.measure, classes)} when the same place is shown in the "
        f"middle of the picture; between two such views {percent(borders.control.measure)}."
    )
    return Finding("poles", level(borders.poles.measure - borders.control.measure, classes), text)


def _rotation(rotation: RotationConsistency) -> Finding:
    turned, floor = rotation.turned, rotation.floor
    classes = turned.changed is not None
    change = (
        _change(turned.measure, classes) if rotation.is_map else _of_whole(turned.measure, turned.difference, classes)
    )
    text = f"When the sphere is turned at random, {change}; resampling alone changes {percent(floor.measure)}."
    return Finding("rotation", level(turned.measure - floor.measure, classes), text)


def _latitude(quality: LatitudeBands | None) -> Finding | None:
    if quality is None or np.isnan(quality.measures[quality.main]).all():
        return None
    values = np.array(quality.measures[quality.main])
    low, high = int(np.nanargmin(values)), int(np.nanargmax(values))
    worst, best = (low, high) if quality.main == "iou" else (high, low)
    name = {"iou": "Mean IoU", "rmse": "RMSE"}[quality.main]
    at = [f"{values[band]:.3g} at {quality.names[band]}" for band in (worst, best)]
    return Finding(
        "latitude", None, f"{name} by area is worst with {at[0]}, best with {at[1]}; what is to be seen differs too."
    )


def _change(share: float, classes: bool) -> str:
    """What changes of a map."""
    if classes:
        return f"{percent(share)} of the area changes class"
    return f"the answer changes by {percent(share)} of its spread"


def _of_whole(share: float, difference: float, classes: bool) -> str:
    """What changes where one answer is for the whole."""
    if classes:
        return f"{percent(share)} of the panoramas change class, and scores by {percent(difference)} of their spread"
    return f"the answer changes by {percent(difference)}"

"""What an audit found, in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omniconv.audit.bands import LatitudeBands
from omniconv.audit.borders import POLE, BorderEffects
from omniconv.audit.rotation import RotationConsistency
from omniconv.audit.shift import ShiftError

LEVELS = ("none", "slight", "clear", "strong")
"""Words for what is lost."""
LIMITS = {True: (0.002, 0.01, 0.05), False: (0.01, 0.05, 0.2)}
"""Where the words begin, of classes and of values: a share of the area that changes class, or a difference as a share
of the answer's spread.

What is judged is an excess: at the seam over elsewhere; far from any cut of turns between the network's steps over
turns by its steps; at the poles over the middle of the picture; and of all under rotation over what resampling changes.
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
        text = f"When the panorama is cut elsewhere, {_change(found.everywhere, classes, 'panoramas')}."
        return Finding("seam", level(found.everywhere, classes), text)
    near = f"within {shift.near} columns ({360 * shift.near / shift.width:.0f}°) of the cut"
    text = (
        f"When the panorama is cut elsewhere, {_change(found.at_seam, classes)} {near}, {percent(found.elsewhere)} "
        f"farther away; nine tenths of all that changes lies within {found.reach:.0f}° of the cut."
    )
    return Finding("seam", level(found.at_seam - found.elsewhere, classes), text)


def _steps(shift: ShiftError) -> Finding | None:
    if shift.exact is None or shift.between is None:
        return None
    classes = shift.between.changed is not None
    whole = shift.between.measure.elsewhere is None
    between, exact = (
        turns.measure.everywhere if whole or turns.measure.elsewhere is None else turns.measure.elsewhere
        for turns in (shift.between, shift.exact)
    )
    where = "" if whole else " far from any cut"
    text = (
        f"Turned by columns between the multiples of its total stride of {shift.stride}, "
        f"{_change(between, classes, 'panoramas' if whole else 'area')}{where}; by multiples {percent(exact)}."
    )
    return Finding("steps", level(between - exact, classes), text)


def _poles(borders: BorderEffects | None) -> Finding | None:
    if borders is None or np.isnan([borders.poles.measure, borders.middle.measure]).any():
        return None
    classes = borders.poles.changed is not None
    at_poles = borders.poles.measure - borders.floor_poles.measure
    text = (
        f"When the same place is shown in the middle of the picture, {_change(borders.poles.measure, classes)} within "
        f"{POLE:.0f}° of a pole, {percent(borders.middle.measure)} in the middle itself; of these resampling alone "
        f"changes {percent(borders.floor_poles.measure)} and {percent(borders.floor_middle.measure)}."
    )
    return Finding("poles", level(at_poles - (borders.middle.measure - borders.floor_middle.measure), classes), text)


def _rotation(rotation: RotationConsistency) -> Finding:
    turned, floor = rotation.turned, rotation.floor
    classes, whole = turned.changed is not None, not rotation.is_map
    text = (
        f"When the sphere is turned at random, {_change(turned.measure, classes, 'panoramas' if whole else 'area')}; "
        f"resampling alone changes {percent(floor.measure)}."
    )
    return Finding("rotation", level(turned.measure - floor.measure, classes), text)


def _latitude(quality: LatitudeBands | None) -> Finding | None:
    if quality is None or np.isnan(quality.measures[quality.main]).all():
        return None
    values = np.array(quality.measures[quality.main])
    low, high = int(np.nanargmin(values)), int(np.nanargmax(values))
    worst, best = (low, high) if quality.main == "iou" else (high, low)
    name = {"iou": "Mean IoU", "rmse": "RMSE"}[quality.main]
    at = [f"{values[band]:.3g} at {quality.names[band]}" for band in (worst, best)]
    return Finding("latitude", None, f"{name} by area is worst with {at[0]}, best with {at[1]}.")


def _change(share: float, classes: bool, of: str = "area") -> str:
    if classes:
        return f"{percent(share)} of the {of} {'change' if of == 'panoramas' else 'changes'} class"
    return f"the answer changes by {percent(share)} of its spread"

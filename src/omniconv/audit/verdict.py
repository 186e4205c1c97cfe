"""Grades and sentences that summarise an audit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omniconv.audit.latitude import LatitudeBands
from omniconv.audit.position import POLE_RADIUS, BorderEffects
from omniconv.audit.rotation import RotationConsistency
from omniconv.audit.shift import ShiftError

LEVELS = ("none", "slight", "clear", "strong")
THRESHOLDS = {True: (0.002, 0.01, 0.05), False: (0.01, 0.05, 0.2)}
"""Lower limits of slight, clear and strong with and without class scores: a share of the area that changes class, or a
difference relative to the output's standard deviation.

They are round numbers chosen by judgement, not calibrated. For scale: the flat network of the demonstration changes
0.7 % of the area at the seam against 0.1 % elsewhere ("slight"), the equirectangular one 0.

The graded value is always an excess: at the seam over elsewhere; of rolls by no multiples of the stride over multiples,
far from any cut; near a pole over two central views of the same place; under rotation over resampling alone.
"""
ROUNDING_ERROR = 1e-4
"""Smaller relative differences are rounding: float32 sums in another order; equivariant U-Nets stay below 1e-5."""


@dataclass(frozen=True)
class Grade:
    """Result of an audit on one subject.

    Attributes:
        subject: ``seam``, ``stride``, ``poles``, ``rotation`` or ``latitude``.
        level: one of ``LEVELS``; ``None`` for a statement without a grade.
        text: the sentence.
    """

    subject: str
    level: str | None
    text: str

    def __str__(self) -> str:
        """Subject, level and sentence."""
        return f"{self.subject.capitalize()}: {self.level + '. ' if self.level else ''}{self.text}"


def verdict(
    shift: ShiftError, rotation: RotationConsistency, position: BorderEffects | None, quality: LatitudeBands | None
) -> tuple[Grade, ...]:
    """Return the grades of the seam, the stride, the poles, rotations and quality by latitude, where measured."""
    grades = _seam(shift), _stride(shift), _poles(position), _rotation(rotation), _latitude(quality)
    return tuple(grade for grade in grades if grade is not None)


def level(excess: float, classes: bool) -> str:
    """Return the level of an excess.

    Example:
        >>> level(0.03, classes=True), level(0.03, classes=False)
        ('clear', 'slight')
    """
    return LEVELS[int(np.searchsorted(THRESHOLDS[classes], excess, side="right"))]


def percent(share: float) -> str:
    """Format a share in percent.

    Example:
        >>> percent(0.0731), percent(0.0001), percent(0.0)
        ('7.3 %', 'under 0.1 %', '0 %')
    """
    if np.isnan(share):
        return "–"
    if 0 < share < 0.0005:
        return "under 0.1 %"
    return "0 %" if share == 0 else f"{100 * share:.1f} %"


def _seam(shift: ShiftError) -> Grade:
    errors = shift.seam
    measure, classes = errors.measure, errors.changed is not None
    if errors is shift.exact and errors.difference.everywhere < ROUNDING_ERROR:
        by = f"multiples of {shift.stride} columns" if shift.stride != 1 else "any number of columns"
        return Grade("seam", LEVELS[0], f"Rolling the panorama by {by} does not change the output.")
    intro = "When the panorama is cut elsewhere"
    if measure.at_seam is None or measure.elsewhere is None or np.isnan(measure.elsewhere):
        change = _global_change(measure.everywhere, errors.difference.everywhere, classes)
        return Grade("seam", level(measure.everywhere, classes), f"{intro}, {change}.")
    word = level(measure.at_seam - measure.elsewhere, classes)
    near = f"within {shift.near} column{'s' * (shift.near > 1)} ({360 * shift.near / shift.width:.0f}°) of the cut"
    reach = f"90 % of all changes lie within {measure.reach:.0f}° of the cut"
    end = "no more than elsewhere" if word == LEVELS[0] else reach
    change = _dense_change(measure.at_seam, classes)
    return Grade("seam", word, f"{intro}, {change} {near}, {percent(measure.elsewhere)} farther away: {end}.")


def _stride(shift: ShiftError) -> Grade | None:
    if shift.exact is None or shift.between is None:
        return None
    other, exact, classes = shift.between.measure, shift.exact.measure, shift.between.changed is not None
    intro = f"When the panorama is rolled by other than multiples of the total stride, {shift.stride} columns"
    if other.elsewhere is None or exact.elsewhere is None:
        excess = other.everywhere - exact.everywhere
        change = _global_change(other.everywhere, shift.between.difference.everywhere, classes)
        multiples = percent(exact.everywhere)
    else:
        excess = other.elsewhere - exact.elsewhere
        change = f"{_dense_change(other.elsewhere, classes)} far from any cut"
        multiples = percent(exact.elsewhere)
    return Grade("stride", level(excess, classes), f"{intro}, {change}; by multiples of it {multiples}.")


def _poles(position: BorderEffects | None) -> Grade | None:
    if position is None or np.isnan([position.poles.measure, position.control.measure]).any():
        return None
    change, control, classes = position.poles.measure, position.control.measure, position.poles.changed is not None
    text = (
        f"Within {POLE_RADIUS:.0f}° of a pole {_dense_change(change, classes)} when the same place is rotated to the "
        f"image centre; between two such views {percent(control)}."
    )
    return Grade("poles", level(change - control, classes), text)


def _rotation(rotation: RotationConsistency) -> Grade:
    rotated, baseline = rotation.rotated, rotation.resampling_baseline
    classes = rotated.changed is not None
    if rotation.is_map:
        change = _dense_change(rotated.measure, classes)
    else:
        change = _global_change(rotated.measure, rotated.difference, classes)
    text = f"Under random rotations of the sphere {change}; resampling alone changes {percent(baseline.measure)}."
    return Grade("rotation", level(rotated.measure - baseline.measure, classes), text)


def _latitude(quality: LatitudeBands | None) -> Grade | None:
    if quality is None or np.isnan(quality.measures[quality.main]).all():
        return None
    values = np.array(quality.measures[quality.main])
    low, high = int(np.nanargmin(values)), int(np.nanargmax(values))
    worst, best = (low, high) if quality.main == "iou" else (high, low)
    name = {"iou": "Mean IoU", "rmse": "RMSE"}[quality.main]
    at = [f"{values[band]:.3g} at {quality.names[band]}" for band in (worst, best)]
    text = f"{name} by area is worst with {at[0]} and best with {at[1]}; image content varies with latitude too."
    return Grade("latitude", None, text)


def _dense_change(share: float, classes: bool) -> str:
    if classes:
        return f"{percent(share)} of the area changes class"
    return f"the output changes by {percent(share)} of its standard deviation"


def _global_change(share: float, difference: float, classes: bool) -> str:
    if classes:
        scores = f"scores change by {percent(difference)} of their standard deviation"
        return f"{percent(share)} of the panoramas change class, and {scores}"
    return f"the output changes by {percent(difference)}"

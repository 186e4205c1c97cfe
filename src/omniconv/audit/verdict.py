"""Grades and sentences that summarise an audit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omniconv.audit.latitude import LatitudeBands
from omniconv.audit.position import POLE_RADIUS, BorderEffects
from omniconv.audit.rotation import RotationConsistency
from omniconv.audit.shift import ShiftError
from omniconv.errors import pluralize

LEVELS = ("none", "slight", "clear", "strong")
CLASS_THRESHOLDS = 0.002, 0.01, 0.05
VALUE_THRESHOLDS = 0.01, 0.05, 0.2
"""Lower limits of slight, clear and strong: for class scores the share of the area that changes class, for values the
change relative to the output's standard deviation.

They are round numbers chosen by judgement, not calibrated. For scale: the flat network of the demonstration changes
0.7 % of the area at the seam against 0.1 % elsewhere ("slight"), the equirectangular one 0.

The grade is a difference. seam: change near the seam minus change elsewhere. stride: change for rolls that are not
multiples of the stride minus change for multiples, away from the seam. poles: change near a pole minus change between
two central views. rotation: change minus that of resampling alone.
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


def level(excess: float, has_class_scores: bool) -> str:
    """Return the level of a difference between two changes.

    Args:
        excess: the difference.
        has_class_scores: it is a share of the area that changes class, not a change of values.

    Example:
        >>> level(0.03, has_class_scores=True), level(0.03, has_class_scores=False)
        ('clear', 'slight')
    """
    thresholds = CLASS_THRESHOLDS if has_class_scores else VALUE_THRESHOLDS
    return LEVELS[int(np.searchsorted(thresholds, excess, side="right"))]


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
    # Only rolls by multiples of the stride show border effects alone; other rolls change the output everywhere.
    if errors is shift.exact and errors.difference.everywhere < ROUNDING_ERROR:
        by = f"multiples of {shift.stride} columns" if shift.stride != 1 else "any number of columns"
        return Grade("seam", LEVELS[0], f"Rolling the panorama by {by} does not change the output.")
    intro = "When the seam is moved"
    if measure.at_seam is None and shift.exact is None:
        change = _global_change(measure.everywhere, errors.difference.everywhere, classes)
        text = f"Rolling the panorama also moves it between the network's samples, by which alone {change}"
        return Grade("seam", None, f"{text}: a seam cannot be told from that with one output per image.")
    if measure.at_seam is None or measure.elsewhere is None or np.isnan(measure.elsewhere):
        change = _global_change(measure.everywhere, errors.difference.everywhere, classes)
        return Grade("seam", level(measure.everywhere, classes), f"{intro}, {change}.")
    word, noise = level(measure.at_seam - measure.elsewhere, classes), measure.noise or 0.0
    if errors is not shift.exact:  # sampling changes the output everywhere: a seam has to exceed that by as much again
        noise = max(noise, measure.elsewhere)
    is_noise = word != LEVELS[0] and measure.at_seam - measure.elsewhere <= noise
    word = LEVELS[0] if is_noise else word
    near = f"within {pluralize(shift.near, 'column')} ({360 * shift.near / shift.width:.0f}°) of the seam"
    reach = f"90 % of all changes lie within {measure.reach:.0f}° of the seam"
    end = "no more than elsewhere" if word == LEVELS[0] else reach
    if is_noise:
        end = f"no more apart than columns elsewhere may be by chance ({percent(noise)})"
    change = _dense_change(measure.at_seam, classes)
    return Grade("seam", word, f"{intro}, {change} {near}, {percent(measure.elsewhere)} farther away: {end}.")


def _stride(shift: ShiftError) -> Grade | None:
    if shift.exact is None or shift.between is None:
        return None
    other, exact, classes = shift.between.measure, shift.exact.measure, shift.between.changed is not None
    rolled = f"a number of columns that is not a multiple of the total stride ({shift.stride})"
    if other.elsewhere is None or exact.elsewhere is None:
        excess = other.everywhere - exact.everywhere
        change = _global_change(other.everywhere, shift.between.difference.everywhere, classes)
        multiples = percent(exact.everywhere)
    else:
        excess = other.elsewhere - exact.elsewhere
        change = f"{_dense_change(other.elsewhere, classes)} far from any seam"
        multiples = percent(exact.elsewhere)
    text = f"When the panorama is rolled by {rolled}, {change}; for multiples: {multiples}."
    return Grade("stride", level(excess, classes), text)


def _poles(position: BorderEffects | None) -> Grade | None:
    if position is None or np.isnan([position.poles.measure, position.control.measure]).any():
        return None
    change, control, classes = position.poles.measure, position.control.measure, position.poles.changed is not None
    text = (
        f"Within {POLE_RADIUS:.0f}° of a pole {_dense_change(change, classes)} when the same place is rotated to the "
        f"image centre; between two such views {percent(control)}"
    )
    return Grade("poles", *_beyond_noise(change - control, position.noise, classes, text))


def _rotation(rotation: RotationConsistency) -> Grade:
    rotated, baseline = rotation.rotated, rotation.resampling_baseline
    classes = rotated.changed is not None
    if rotation.is_map:
        change = _dense_change(rotated.measure, classes)
    else:
        change = _global_change(rotated.measure, rotated.difference, classes)
    text = f"Under random rotations of the sphere {change}; resampling alone changes {percent(baseline.measure)}"
    excess = rotated.measure - baseline.measure
    return Grade("rotation", *_beyond_noise(excess, rotation.noise, classes, text))


def _beyond_noise(excess: float, noise: float, classes: bool, text: str) -> tuple[str, str]:
    """Return the level and sentence of an excess: none within its confidence interval."""
    word = level(excess, classes)
    if word != LEVELS[0] and excess <= noise:
        return LEVELS[0], f"{text}: a difference within its 95 % confidence interval, ± {percent(noise)}."
    return word, f"{text}."


def _latitude(quality: LatitudeBands | None) -> Grade | None:
    if quality is None or np.isnan(quality.measures[quality.main]).all():
        return None
    values = np.array(quality.measures[quality.main])
    low, high = int(np.nanargmin(values)), int(np.nanargmax(values))
    name = {"iou": "mean IoU", "rmse": "RMSE"}[quality.main]
    lowest, highest = (f"{values[band]:.3g} at {quality.names[band]}" for band in (low, high))
    text = f"Area-weighted {name} is lowest: {lowest}, and highest: {highest}; image content varies with latitude too."
    return Grade("latitude", None, text)


def _dense_change(share: float, classes: bool) -> str:
    if classes:
        return f"{percent(share)} of the area changes class"
    return f"the output changes by {percent(share)} of its standard deviation"


def _global_change(share: float, difference: float, classes: bool) -> str:
    if classes:
        scores = f"scores change by {percent(difference)} of their standard deviation"
        return f"{percent(share)} of the panoramas change class, and {scores}"
    return f"the output changes by {percent(difference)} of its standard deviation"

"""Dependence of the output at a point of the sphere on the position of that point in the panorama.

The output at a place is compared with that for rotated copies of the panorama which show the same place at the image
centre: within 45° of the equator and 135° of the central meridian, far from poles and seam. The outputs for such
copies also differ from one another, by resampling, by the network's stride and by the orientation. The control
therefore compares consecutive pairs of copies at the same place. The excess of the upright panorama over the control is
due to the position in the image: to borders and distortion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from omniconv.audit.difference import ChangeRate, DifferenceAccumulator, confidence, difference, divide, measure_of
from omniconv.audit.rotation import DEFAULT_ROTATIONS, Rotations, RotationTrial, run_rotation_trials
from omniconv.convert.network_output import OutputKey
from omniconv.surfaces import panorama

CENTRE_LATITUDE, CENTRE_LONGITUDE = 45.0, 135.0
"""Largest latitude and longitude of the image centre in degrees. A smaller centre is less distorted but needs more
rotations; this one covers sin(45°) · 135/180 = 53 % of the sphere."""
POLE_RADIUS = 15.0  # degrees; the two caps cover 3.4 % of the sphere


@dataclass(frozen=True, eq=False)
class BorderEffects:
    """Change of the output at each point of the sphere with the point's position in the panorama.

    Attributes:
        map: mean change at each output pixel ``(H, W)`` between the upright panorama and the random rotations that move
            the point to the image centre: share of these rotations with another class, or the difference relative to
            the output's standard deviation; NaN where fewer than two of the random rotations do so.
        control_map: mean change between two such rotations.
        poles: ``map`` within 15° of a pole.
        control: ``control_map`` within 15° of a pole.
        noise: half the width of the 95 % confidence interval of the excess of ``poles`` over ``control``, from its
            spread over panoramas and rotations.
    """

    map: np.ndarray
    control_map: np.ndarray
    poles: ChangeRate
    control: ChangeRate
    noise: float = 0.0

    @property
    def excess(self) -> np.ndarray:
        """Excess of ``map`` over ``control_map``; noise can make it negative."""
        return self.map - self.control_map

    @property
    def columns(self) -> np.ndarray:
        """Area-weighted mean excess of each column, from longitude −180°: the seam is at both ends."""
        return _mean(self.excess, panorama.pixel_areas(*self.map.shape), axis=0)

    @property
    def rows(self) -> np.ndarray:
        """Mean excess of each row, from latitude 90°: the poles are at both ends."""
        return _mean(self.excess, np.ones_like(self.map), axis=1)


def border_effects(
    model: Any,
    panoramas: Any,
    rotations: Rotations = DEFAULT_ROTATIONS,
    seed: int = 0,
    classes: bool | None = None,
    output: OutputKey = None,
) -> BorderEffects | None:
    """Map how much a network's output at a place of the sphere depends on its position in the panorama.

    Args:
        model, panoramas, classes, output: as in ``shift_error``.
        rotations: as in ``rotation_consistency``; about half of them move a given point to the image centre.
        seed: seed of the random rotations.

    Returns:
        The map; ``None`` for a network with one output per image.

    Raises:
        InputError: an unusable network, panoramas, rotations or seed.

    Example:
        >>> import torch
        >>> border_effects(torch.nn.Identity(), torch.rand(1, 1, 8, 16)).map.shape
        (8, 16)
    """
    effect = PositionEffect()
    run_rotation_trials(model, panoramas, rotations, seed, classes, output, [effect.add])
    return effect.result()


class PositionEffect:
    """Accumulate trials, grouped by panorama, into ``BorderEffects``."""

    def __init__(self) -> None:
        self._maps = DifferenceAccumulator(), DifferenceAccumulator()
        self._poles = DifferenceAccumulator(), DifferenceAccumulator()
        self._upright = self._last_central = np.zeros((0, 0, 0))
        self._seen = np.zeros((0, 0), bool)
        self._excesses: list[float] = []

    def add(self, trial: RotationTrial) -> None:
        """Add the places that this rotation and an earlier one of the same panorama show at the image centre."""
        if trial.upright is not self._upright:  # the next panorama
            self._upright, self._last_central, self._seen = trial.upright, trial.restored, np.zeros(trial.shape, bool)
        directions = panorama.pixel_directions(trial.shape[0], trial.shape[1])
        central = _is_central(directions @ trial.matrix.T)
        areas = trial.areas * (central & self._seen)
        polar = areas * (np.abs(directions[..., 2]) > np.sin(np.radians(90 - POLE_RADIUS)))
        pair = difference(self._last_central, trial.restored, trial.areas, trial.class_scores)
        control = replace(pair, variance=trial.rotated.variance)  # both on the scale of the upright output
        for change, by_pixel, at_poles in zip((trial.rotated, control), self._maps, self._poles, strict=True):
            by_pixel.add(change, lambda values: values * areas)
            at_poles.add(change, lambda values: (values * polar).sum())
        if polar.any():
            self._excesses.append(measure_of(trial.rotated, polar) - measure_of(control, polar))
        self._last_central = np.where(central, trial.restored, self._last_central)
        self._seen = self._seen | central

    def result(self) -> BorderEffects | None:
        """Return the measures over all trials; ``None`` for one output per image."""
        if self._seen.shape == (1, 1):
            return None
        change, control = (part.difference if part.changed is None else part.changed for part in self._maps)
        poles, poles_control = (part.total() for part in self._poles)
        return BorderEffects(change, control, poles, poles_control, confidence(self._excesses))


def _is_central(directions: np.ndarray) -> np.ndarray:
    x, y, z = np.moveaxis(directions, -1, 0)
    near_equator = np.abs(z) <= np.sin(np.radians(CENTRE_LATITUDE))
    return near_equator & (np.abs(np.arctan2(y, x)) <= np.radians(CENTRE_LONGITUDE))


def _mean(values: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
    weights = weights * np.isfinite(values)
    return divide(np.nansum(values * weights, axis=axis), weights.sum(axis=axis))

"""Where in the panorama a network's answer depends on the place's position in the picture.

A place's answer is compared with those to copies in which the same place lies in the middle of the picture: within 45°
of the equator and 135° of the central meridian, far from poles and seam. Such copies differ from one another too, by
resampling, by the network's steps, and where it answers differently to what is turned. So each pair of them that follow
one another is compared at the same place: what the upright panorama changes more is owed to the place's position in it,
to borders and distortion, and to nothing that happens in the middle as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from omniconv.audit.difference import Tally, change
from omniconv.audit.model_adapter import Output
from omniconv.audit.rotation import Loss, loss_of
from omniconv.audit.rotation_trials import ROTATIONS, Rotations, Trial, measure_turned
from omniconv.surfaces import panorama

MIDDLE_LATITUDE, MIDDLE_LONGITUDE = 45.0, 135.0
"""Degrees from the equator, and from the central meridian, within which a picture has its middle."""
POLE = 15.0
"""Degrees from a pole that count as at it."""


@dataclass(frozen=True, eq=False)
class BorderEffects:
    """What a place's answer owes to where it lies in the panorama.

    Attributes:
        map: mean change at each pixel of the answer between the upright panorama and copies that show the place in the
            middle, ``(H, W)``: share of the copies with another class, or the difference as a share of the answer's own
            spread; not-a-number where fewer than two copies do.
        control_map: the same between two such copies.
        poles: within 15° of a pole, of ``map``.
        control: within 15° of a pole, of ``control_map``.
    """

    map: np.ndarray
    control_map: np.ndarray
    poles: Loss
    control: Loss

    @property
    def excess(self) -> np.ndarray:
        """What the map has over its control: a place's own share, which noise can make negative."""
        return self.map - self.control_map

    @property
    def columns(self) -> np.ndarray:
        """Mean excess of each column by area, from longitude −180°: the seam stands at both ends."""
        return _mean(self.excess, panorama.pixel_areas(*self.map.shape), axis=0)

    @property
    def rows(self) -> np.ndarray:
        """Mean excess of each row, from latitude 90°: the poles stand at both ends."""
        return _mean(self.excess, np.ones_like(self.map), axis=1)


def border_effects(
    model: Any,
    panoramas: Any,
    rotations: Rotations = ROTATIONS,
    seed: int = 0,
    classes: bool | None = None,
    output: Output = None,
) -> BorderEffects | None:
    """A map of what a network's answer owes to the borders of the panorama and to its distortion.

    Args:
        model: as ``shift_error`` takes.
        panoramas: as ``shift_error`` takes.
        rotations: how many, uniformly drawn; or their matrices ``(n, 3, 3)``. About half of them show a place in the
            middle of the picture.
        seed: of the draw.
        classes: as ``shift_error`` takes.
        output: as ``shift_error`` takes.

    Returns:
        The map; ``None`` where the network gives one answer for the whole.

    Raises:
        InputError: a network, panoramas or rotations that cannot be used.

    Example:
        >>> import torch
        >>> border_effects(torch.nn.Identity(), torch.rand(1, 1, 8, 16)).map.shape
        (8, 16)
    """
    borders = Borders()
    measure_turned(model, panoramas, rotations, seed, classes, output, [borders])
    return borders.result()


class Borders:
    """Takes trials, one panorama after the other, and gives ``BorderEffects``."""

    def __init__(self) -> None:
        self._maps, self._poles = (Tally(), Tally()), (Tally(), Tally())
        self._upright = self._last = np.zeros((0, 0, 0))
        self._seen = np.zeros((0, 0), bool)

    def add(self, trial: Trial) -> None:
        """Compare the places that its rotation and an earlier one bring to the middle."""
        if trial.upright is not self._upright:
            self._upright, self._last, self._seen = trial.upright, trial.back, np.zeros(trial.shape, bool)
        directions = panorama.pixel_directions(trial.shape[0], trial.shape[1])
        middle = _is_middle(directions @ trial.rotation.T)
        areas = trial.areas * (middle & self._seen)
        polar = areas * (np.abs(directions[..., 2]) > np.sin(np.radians(90 - POLE)))
        pair = replace(change(self._last, trial.back, trial.areas, trial.classes), spread=trial.turned.spread)
        for found, over_map, over_poles in zip((trial.turned, pair), self._maps, self._poles, strict=True):
            over_map.add(found, lambda values: values * areas)
            over_poles.add(found, lambda values: (values * polar).sum())
        self._last = np.where(middle, trial.back, self._last)
        self._seen = self._seen | middle

    def result(self) -> BorderEffects | None:
        """What was found."""
        if self._seen.shape == (1, 1):
            return None
        maps = (tally.difference if tally.changed is None else tally.changed for tally in self._maps)
        found, control = maps
        return BorderEffects(found, control, *map(loss_of, self._poles))


def _is_middle(directions: np.ndarray) -> np.ndarray:
    x, y, z = np.moveaxis(directions, -1, 0)
    near_equator = np.abs(z) <= np.sin(np.radians(MIDDLE_LATITUDE))
    return near_equator & (np.abs(np.arctan2(y, x)) <= np.radians(MIDDLE_LONGITUDE))


def _mean(values: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
    weights = weights * np.isfinite(values)
    sums = np.nansum(values * weights, axis=axis)
    return np.divide(sums, weights.sum(axis=axis), out=np.full(sums.shape, np.nan), where=weights.sum(axis=axis) > 0)

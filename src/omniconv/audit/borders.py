"""Where in the panorama a network's answer depends on how the sphere was turned.

A place's answer is compared with those to copies in which the same place lies in the middle of the picture: within 45°
of the equator and 135° of the central meridian, far from poles and seam. So what differs is owed to where it lies in
the upright panorama. In the middle itself there is a change too, by resampling and by the network's own steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from omniconv.audit.answers import Output
from omniconv.audit.changes import Change, Tally
from omniconv.audit.rotation import Loss, loss_of
from omniconv.audit.turned import Rotations, Trial, measure_turned
from omniconv.surfaces import panorama

MIDDLE_LATITUDE, MIDDLE_LONGITUDE = 45.0, 135.0
"""Degrees from the equator, and from the central meridian, within which a picture has its middle."""
POLE = 15.0
"""Degrees from a pole that count as at it."""


@dataclass(frozen=True, eq=False)
class BorderEffects:
    """What a place's answer owes to where it lies in the panorama.

    Attributes:
        map: mean change at each pixel of the answer, ``(H, W)``: share of the copies with another class, or the
            difference as a share of the answer's own spread; not-a-number where no copy showed the place in the middle.
        floor_map: the same of the control: what resampling alone changes.
        poles: within 15° of a pole.
        middle: in the middle of the picture.
        floor_poles: what resampling alone changes within 15° of a pole.
        floor_middle: in the middle.
    """

    map: np.ndarray
    floor_map: np.ndarray
    poles: Loss
    middle: Loss
    floor_poles: Loss
    floor_middle: Loss

    @property
    def losses(self) -> dict[str, Loss]:
        """Those above, by name."""
        return {name: getattr(self, name) for name in ("poles", "middle", "floor_poles", "floor_middle")}

    @property
    def columns(self) -> np.ndarray:
        """Mean of each column by area, from longitude −180°: the seam stands at both ends."""
        return _mean(self.map, panorama.pixel_areas(*self.map.shape), axis=0)

    @property
    def rows(self) -> np.ndarray:
        """Mean of each row, from latitude 90°: the poles stand at both ends."""
        return _mean(self.map, np.ones_like(self.map), axis=1)


def border_effects(
    model: Any,
    panoramas: Any,
    rotations: Rotations = 8,
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
    """Takes trials and gives ``BorderEffects``."""

    def __init__(self) -> None:
        self._maps = {"turned": Tally(), "control": Tally()}
        self._regions = {(region, kind): Tally() for region in ("poles", "middle") for kind in self._maps}

    def add(self, trial: Trial) -> None:
        """Count a trial at the places that its rotation brings to the middle."""
        directions = panorama.pixel_directions(trial.shape[0], trial.shape[1])
        areas = trial.areas * _is_middle(directions @ trial.rotation.T)
        inside = {"poles": np.abs(directions[..., 2]) > np.sin(np.radians(90 - POLE)), "middle": _is_middle(directions)}
        for kind, tally in self._maps.items():
            found: Change = getattr(trial, kind)
            tally.add(found, lambda values: values * areas)
            for region, places in inside.items():
                self._regions[region, kind].add(found, partial(_sum_over, areas * places))

    def result(self) -> BorderEffects | None:
        """What was found."""
        maps = [tally.difference if tally.changed is None else tally.changed for tally in self._maps.values()]
        if maps[0].shape == (1, 1):
            return None
        losses = {key: loss_of(tally) for key, tally in self._regions.items()}
        return BorderEffects(
            maps[0], maps[1], losses["poles", "turned"], losses["middle", "turned"], losses["poles", "control"],
            losses["middle", "control"],
        )  # fmt: skip


def _sum_over(areas: np.ndarray, values: np.ndarray) -> np.ndarray:
    return (values * areas).sum()


def _is_middle(directions: np.ndarray) -> np.ndarray:
    x, y, z = np.moveaxis(directions, -1, 0)
    near_equator = np.abs(z) <= np.sin(np.radians(MIDDLE_LATITUDE))
    return near_equator & (np.abs(np.arctan2(y, x)) <= np.radians(MIDDLE_LONGITUDE))


def _mean(values: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
    weights = weights * np.isfinite(values)
    sums = np.nansum(values * weights, axis=axis)
    return np.divide(sums, weights.sum(axis=axis), out=np.full(sums.shape, np.nan), where=weights.sum(axis=axis) > 0)

"""Whether a network gives the same answer to the same sphere, however it is turned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from omniconv.audit.difference import Tally
from omniconv.audit.model_adapter import Output
from omniconv.audit.rotation_trials import ROTATIONS, Rotations, Trial, measure_turned


@dataclass(frozen=True)
class Loss:
    """What something changes in a network's answers.

    Attributes:
        changed: share of the area whose class changes (of one answer for the whole: of the panoramas); ``None`` where
            answers are no classes.
        difference: root mean square of the change, as a share of the answer's own spread.
    """

    changed: float | None
    difference: float

    @property
    def measure(self) -> float:
        """``changed``, or ``difference`` without classes."""
        return self.difference if self.changed is None else self.changed

    @property
    def agreement(self) -> float | None:
        """Share of the area whose class stays."""
        return None if self.changed is None else 1 - self.changed


@dataclass(frozen=True)
class RotationConsistency:
    """What rotations of the sphere change.

    Attributes:
        turned: between the answer to the turned panorama, turned back, and that to the upright one.
        floor: what resampling alone changes: between the answer to the panorama turned there and back, and that to it
            as it was. A network that turns with the sphere comes close to it; one that copies its input meets it.
        by_rotation: the first of these for each rotation: the share of classes that change, else the difference.
        degrees: angle of each rotation.
        is_map: the network answers place by place; else once for the whole.
    """

    turned: Loss
    floor: Loss
    by_rotation: tuple[float, ...]
    degrees: tuple[float, ...]
    is_map: bool


def rotation_consistency(
    model: Any,
    panoramas: Any,
    rotations: Rotations = ROTATIONS,
    seed: int = 0,
    classes: bool | None = None,
    output: Output = None,
) -> RotationConsistency:
    """What a network's answer loses under rotations of the sphere.

    Args:
        model: as ``shift_error`` takes.
        panoramas: as ``shift_error`` takes.
        rotations: how many, uniformly drawn from all rotations; or their matrices ``(n, 3, 3)``.
        seed: of the draw.
        classes: as ``shift_error`` takes.
        output: as ``shift_error`` takes.

    Raises:
        InputError: a network, panoramas or rotations that cannot be used.

    Example:
        >>> import torch
        >>> found = rotation_consistency(torch.nn.Identity(), torch.rand(1, 1, 8, 16), rotations=2)
        >>> abs(found.turned.difference - found.floor.difference) < 1e-6
        True
    """
    consistency = Consistency()
    measure_turned(model, panoramas, rotations, seed, classes, output, [consistency])
    return consistency.result()


class Consistency:
    """Takes trials and gives a ``RotationConsistency``."""

    def __init__(self) -> None:
        self._turned, self._floor = Tally(), Tally()
        self._by_rotation: dict[bytes, tuple[np.ndarray, Tally]] = {}

    def add(self, trial: Trial) -> None:
        """Count a trial."""
        self._is_map = trial.shape != (1, 1)
        single = self._by_rotation.setdefault(trial.rotation.tobytes(), (trial.rotation, Tally()))[1]
        for tally, found in ((self._turned, trial.turned), (self._floor, trial.control), (single, trial.turned)):
            tally.add(found, lambda values: (values * trial.areas).sum())

    def result(self) -> RotationConsistency:
        """What was found."""
        each = [(_degrees(rotation), loss_of(tally).measure) for rotation, tally in self._by_rotation.values()]
        degrees, measures = zip(*each, strict=True)
        return RotationConsistency(loss_of(self._turned), loss_of(self._floor), measures, degrees, self._is_map)


def loss_of(tally: Tally) -> Loss:
    """All bins of a tally together, or its one."""
    return Loss(None if tally.changed is None else float(tally.changed), float(tally.difference))


def _degrees(rotation: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))

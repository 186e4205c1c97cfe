"""A network's answers to panoramas whose sphere was turned, turned back: what every measure of rotation looks at.

Turning resamples, once the panorama and once the answer, and that changes answers too. So each answer has a control:
the network's answer to the panorama turned there and back, resampled as often and yet upright. What the turned one
changes more than the control is the network's doing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.spatial.transform import Rotation

from omniconv.audit.difference import Change, are_classes, change
from omniconv.audit.model_adapter import Output, answering, check_panoramas
from omniconv.errors import InputError
from omniconv.surfaces import Equirectangular, panorama, rotate

Rotations = int | np.ndarray
ROTATIONS = 12
"""By default: so that all but about 0.2 % of the places come to the middle of the picture at least twice."""
GRID = Equirectangular()


@dataclass(frozen=True, eq=False)
class Trial:
    """One panorama under one rotation.

    Attributes:
        rotation: matrix of the rotation.
        upright: the answer to the upright panorama, ``(K, H, W)``.
        back: the answer to the turned one, turned back.
        classes: whether channels are scores of classes.
        turned: how the answer to the turned panorama, turned back, differs from the answer to the upright one.
        control: how the answer to the panorama turned there and back does.
    """

    rotation: np.ndarray
    upright: np.ndarray
    back: np.ndarray
    classes: bool
    turned: Change
    control: Change

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns of the answer; 1 × 1 where one answer is for the whole."""
        return self.turned.squares.shape

    @property
    def areas(self) -> np.ndarray:
        """Of the answer's pixels."""
        return panorama.pixel_areas(self.shape[0], self.shape[1])


class Measure(Protocol):
    """What takes one trial after the other."""

    def add(self, trial: Trial) -> None:
        """Count a trial."""


def random_rotations(rotations: Rotations, seed: int) -> np.ndarray:
    """Rotation matrices ``(n, 3, 3)``: so many of the sphere, uniformly drawn, or those that were given.

    Raises:
        InputError: no number from 1 and no matrices of rotations, or a seed below 0.
    """
    if isinstance(rotations, int) and not isinstance(rotations, bool) and rotations >= 1:
        if not isinstance(seed, int) or seed < 0:
            raise InputError("seed", seed, "must be a whole number from 0", "use seed=0")
        return Rotation.random(rotations, rng=np.random.default_rng(seed)).as_matrix()
    matrices = np.asarray(rotations, dtype=np.float64)
    if matrices.ndim not in (2, 3) or matrices.shape[-2:] != (3, 3) or matrices.size == 0:
        rule = "must be a number from 1, or matrices (n, 3, 3)"
        raise InputError("rotations", rotations, rule, "use rotations=8")
    return np.stack([panorama.check_rotation(matrix) for matrix in matrices.reshape(-1, 3, 3)])


def measure_turned(
    model: Any,
    panoramas: Any,
    rotations: Rotations,
    seed: int,
    classes: bool | None,
    output: Output,
    measures: Sequence[Measure],
    step: Callable[[], None] = lambda: None,
) -> None:
    """Show a network every panorama under every rotation, and each trial to all measures; ``step`` after each."""
    images, matrices = check_panoramas(panoramas), random_rotations(rotations, seed)
    with answering(model, output) as answer:
        for image in images:
            upright = answer(image)
            known = are_classes(upright, classes)
            areas = panorama.pixel_areas(*upright.shape[1:])
            for matrix in matrices:
                seen = rotate(image, GRID, matrix)
                back = _back(answer(seen), matrix)
                control = answer(rotate(seen, GRID, matrix.T))
                changes = (change(upright, found, areas, known) for found in (back, control))
                trial = Trial(matrix, upright, back, known, *changes)
                for measure in measures:
                    measure.add(trial)
                step()


def _back(found: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """A map turned back; what is for the whole stays."""
    return found if found.shape[1:] == (1, 1) else rotate(found, GRID, matrix.T)

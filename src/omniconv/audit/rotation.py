"""Change of a network's output under rotations of the sphere.

The output for a rotated panorama is rotated back and compared with the output for the upright one. Rotating resamples
the panorama and the output, which changes outputs too. Each comparison therefore has a baseline: the output for the
panorama rotated there and back, resampled as often and yet upright. Only the excess over it is due to the network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from omniconv.audit.difference import (
    ChangeRate,
    Difference,
    DifferenceAccumulator,
    confidence,
    difference,
    measure_of,
)
from omniconv.audit.model_adapter import panorama_function, scores_classes
from omniconv.convert.network_output import OutputKey, check_panoramas
from omniconv.errors import InputError
from omniconv.surfaces import Equirectangular, panorama, rotate

Rotations = int | np.ndarray
DEFAULT_ROTATIONS = 12
"""Default number of rotations: all but about 0.2 % of the places reach the image centre (53 % of the sphere, see
``position``) at least twice, 1 - P(binomial(12, 0.53) >= 2)."""
GRID = Equirectangular()


@dataclass(frozen=True)
class RotationConsistency:
    """Change of the output under rotations of the sphere.

    Attributes:
        rotated: change between the output for the rotated panorama, rotated back, and that for the upright one.
        resampling_baseline: change by resampling alone, between the output for the panorama rotated there and back
            and that for the original. A rotation-equivariant network comes close to it.
        by_rotation: ``rotated.measure`` of each rotation.
        degrees: angle of each rotation.
        is_map: True for a dense output, False for one output per image.
        noise: half the width of the 95 % confidence interval of the excess of ``rotated`` over ``resampling_baseline``,
            from its spread over panoramas and rotations; 0 for a single one.
    """

    rotated: ChangeRate
    resampling_baseline: ChangeRate
    by_rotation: tuple[float, ...]
    degrees: tuple[float, ...]
    is_map: bool
    noise: float = 0.0


def rotation_consistency(
    model: Any,
    panoramas: Any,
    rotations: Rotations = DEFAULT_ROTATIONS,
    seed: int = 0,
    classes: bool | None = None,
    output: OutputKey = None,
) -> RotationConsistency:
    """Measure how much a network's output changes under rotations of the sphere.

    Args:
        model, panoramas, classes, output: as in ``shift_error``.
        rotations: number of uniformly drawn rotations, or rotation matrices ``(n, 3, 3)``.
        seed: seed of the draw.

    Raises:
        InputError: an unusable network, panoramas, rotations or seed.

    Example:
        >>> import torch
        >>> change = rotation_consistency(torch.nn.Identity(), torch.rand(1, 1, 8, 16), rotations=2)
        >>> abs(change.rotated.difference - change.resampling_baseline.difference) < 1e-6
        True
    """
    errors = RotationErrors()
    run_rotation_trials(model, panoramas, rotations, seed, classes, output, [errors.add])
    return errors.result()


@dataclass(frozen=True, eq=False)
class RotationTrial:
    """Outputs of a network for one panorama under one rotation."""

    matrix: np.ndarray  # rotation matrix
    upright: np.ndarray  # output for the upright panorama, (K, H, W)
    restored: np.ndarray  # output for the rotated panorama, rotated back
    class_scores: bool  # channels are class scores
    rotated: Difference  # of restored from upright
    baseline: Difference  # of the output for the panorama rotated there and back from upright

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns of the output; ``(1, 1)`` for one output per image."""
        return self.rotated.squared.shape

    @property
    def areas(self) -> np.ndarray:
        """Pixel areas of the output."""
        return panorama.pixel_areas(self.shape[0], self.shape[1])


class RotationErrors:
    """Accumulate trials into ``RotationConsistency``."""

    def __init__(self) -> None:
        self._rotated, self._baseline = DifferenceAccumulator(), DifferenceAccumulator()
        self._excesses: list[float] = []
        self._by_rotation: dict[bytes, tuple[np.ndarray, DifferenceAccumulator]] = {}

    def add(self, trial: RotationTrial) -> None:
        """Add one trial."""
        self._is_map = trial.shape != (1, 1)
        _, single = self._by_rotation.setdefault(trial.matrix.tobytes(), (trial.matrix, DifferenceAccumulator()))
        parts = (self._rotated, trial.rotated), (self._baseline, trial.baseline), (single, trial.rotated)
        for accumulator, change in parts:
            accumulator.add(change, lambda values: (values * trial.areas).sum())
        rotated, baseline = (measure_of(change, trial.areas) for change in (trial.rotated, trial.baseline))
        self._excesses.append(rotated - baseline)

    def result(self) -> RotationConsistency:
        """Return the measures over all trials."""
        matrices, singles = zip(*self._by_rotation.values(), strict=True)
        degrees = tuple(np.degrees(Rotation.from_matrix(np.stack(matrices)).magnitude()).tolist())
        measures = tuple(single.total().measure for single in singles)
        noise, changes = confidence(self._excesses), (self._rotated.total(), self._baseline.total())
        return RotationConsistency(*changes, measures, degrees, self._is_map, noise)


def rotation_matrices(rotations: Rotations, seed: int) -> np.ndarray:
    """Return rotation matrices ``(n, 3, 3)``: n uniformly drawn ones, or the given ones after a check."""
    if isinstance(rotations, int) and not isinstance(rotations, bool) and rotations >= 1:
        if not isinstance(seed, int) or seed < 0:
            raise InputError("seed", seed, "must be a whole number from 0", "use seed=0")
        return Rotation.random(rotations, rng=np.random.default_rng(seed)).as_matrix()
    matrices = np.asarray(rotations, dtype=np.float64)
    if matrices.ndim not in (2, 3) or matrices.shape[-2:] != (3, 3) or matrices.size == 0:
        rule = "must be a number from 1, or matrices (n, 3, 3)"
        raise InputError("rotations", rotations, rule, "use rotations=8")
    return np.stack([panorama.check_rotation(matrix) for matrix in matrices.reshape(-1, 3, 3)])


def run_rotation_trials(
    model: Any,
    panoramas: Any,
    rotations: Rotations,
    seed: int,
    classes: bool | None,
    output: OutputKey,
    consumers: Sequence[Callable[[RotationTrial], None]],
    step: Callable[[], None] = lambda: None,
) -> None:
    """Run a network on every panorama under every rotation and pass each trial to all consumers.

    All measures under rotation share these runs, which take most of an audit's time. ``step`` is called after each.
    """
    images, matrices = check_panoramas(panoramas), rotation_matrices(rotations, seed)
    with panorama_function(model, output) as function:
        for image in images:
            upright = function(image)
            class_scores = scores_classes(model, upright, classes)
            areas = panorama.pixel_areas(*upright.shape[1:])
            for matrix in matrices:
                rotated_image = rotate(image, GRID, matrix)
                restored = _rotate_back(function(rotated_image), matrix)
                resampled = function(rotate(rotated_image, GRID, matrix.T))
                differences = (difference(upright, other, areas, class_scores) for other in (restored, resampled))
                trial = RotationTrial(matrix, upright, restored, class_scores, *differences)
                for consume in consumers:
                    consume(trial)
                step()


def _rotate_back(output: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return output if output.shape[1:] == (1, 1) else rotate(output, GRID, matrix.T)

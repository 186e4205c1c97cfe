"""Audit of a network: all measures in one call, sharing the runs on rotated panoramas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from omniconv.audit.latitude import (
    DEFAULT_BANDS,
    Bands,
    LatitudeBands,
    RotationErrorByLatitude,
    band_edges,
    quality_bands,
)
from omniconv.audit.model_adapter import model_name, panorama_function
from omniconv.audit.position import BorderEffects, PositionEffect
from omniconv.audit.rotation import (
    DEFAULT_ROTATIONS,
    RotationConsistency,
    RotationErrors,
    Rotations,
    run_rotation_trials,
)
from omniconv.audit.shift import ShiftError, shift_error
from omniconv.audit.verdict import Grade, verdict
from omniconv.convert.network_output import OutputKey, check_panoramas
from omniconv.inference.predictor import Predictor
from omniconv.models import Model
from omniconv.run_folder import finite

ASPECT_TOLERANCE = 0.02  # of width / height = 2: one row more or less in a hundred still counts as a full sphere
REPEAT_TOLERANCE = 1e-3
"""A larger difference between two runs on one panorama is noted: far above nondeterministic sums in float32, far below
the effect of dropout or other noise."""

CONSTANT_TOLERANCE = 1e-6  # of the largest output: rounding of float32


@dataclass(frozen=True, eq=False)
class Audit:
    """Errors of a network at the seam, at the poles and under rotation.

    Attributes:
        network: name of the network and its surface.
        panoramas: number of panoramas.
        size: rows and columns of the panoramas.
        shift: change when the seam is moved.
        rotation: change under rotations of the sphere.
        rotation_by_latitude: the same by latitude; ``None`` for one output per image.
        quality: quality by latitude; ``None`` without truth.
        position: change with the position in the image; ``None`` for one output per image.
        repeat_error: largest difference between two outputs for the same panorama, relative to their standard
            deviation.
        is_constant: a dense output is the same at every place, up to rounding.
        trained_on: number of panoramas with truth that the network was trained on; 0 also if that is not known.
    """

    network: str
    panoramas: int
    size: tuple[int, int]
    shift: ShiftError
    rotation: RotationConsistency
    rotation_by_latitude: LatitudeBands | None
    quality: LatitudeBands | None
    position: BorderEffects | None
    repeat_error: float = 0.0
    is_constant: bool = False
    trained_on: int = 0

    @property
    def verdict(self) -> tuple[Grade, ...]:
        """Grades with a sentence on each subject."""
        return verdict(self.shift, self.rotation, self.position, self.quality)

    @property
    def notes(self) -> list[str]:
        """Assumptions, and limits of what the panoramas can show."""
        height, width = self.size
        stride = self.shift.stride
        notes = []
        if self.is_constant:
            notes.append("The output is the same everywhere: an audit of it shows nothing. Check that the network is "
                         "trained and that its input is scaled as in training.")  # fmt: skip
        if self.trained_on:
            notes.append(f"{self.trained_on} of {self.panoramas} panoramas were trained on (recognised by their "
                         "content): the quality by latitude is better than on other panoramas.")  # fmt: skip
        if abs(width / height - 2) > ASPECT_TOLERANCE:
            notes.append(f"The panoramas, {height} × {width}, are not twice as wide as high: they are treated as "
                         "full spheres, with rows from pole to pole and columns all around.")  # fmt: skip
        if stride and width % stride:
            notes.append(f"The network's total stride of {stride} columns does not divide the width of {width}: no "
                         "roll is a multiple of it all around, and effects of the stride count as border "
                         "effects.")  # fmt: skip
        if stride and not self.shift.exact:
            notes.append(f"No roll was a multiple of the total stride of {stride} columns.")
        if self.repeat_error > REPEAT_TOLERANCE:
            notes.append(f"Two runs on the same panorama differ by up to {self.repeat_error:.2g} of the output's "
                         "standard deviation: the network draws random numbers, which count as changes "
                         "here, or keeps a state from call to call.")  # fmt: skip
        return notes

    def as_dict(self) -> dict[str, Any]:
        """Return the audit as JSON-serialisable data; the map of ``position`` as means of its columns and rows."""
        data = asdict(replace(self, position=None))
        if self.position is not None:
            rates = {"poles": asdict(self.position.poles), "control": asdict(self.position.control)}
            profiles = {"columns": self.position.columns.tolist(), "rows": self.position.rows.tolist()}
            data["position"] = rates | profiles
        return finite({**data, "verdict": [asdict(grade) for grade in self.verdict], "notes": self.notes})


def audit(
    model: Any,
    panoramas: Any,
    truth: Any = None,
    rotations: Rotations = DEFAULT_ROTATIONS,
    seed: int = 0,
    stride: int | None = None,
    bands: Bands = DEFAULT_BANDS,
    classes: bool | None = None,
    output: OutputKey = None,
    step: Callable[[], None] = lambda: None,
) -> Audit:
    """Take all measures of a network; they share its runs on rotated panoramas.

    Args:
        model, panoramas, stride, classes, output: as in ``shift_error``.
        truth, bands: as in ``by_latitude``; without truth quality is not measured.
        rotations, seed: as in ``rotation_consistency``.
        step: called after each panorama under each rotation, which take most of the time.

    Raises:
        InputError: as these functions.

    Example:
        >>> import torch, omniconv as oc
        >>> network = oc.models.UNet(3, 2, surface=oc.Equirectangular(), width=2, depth=1)
        >>> print(audit(network, torch.rand(1, 3, 8, 16), rotations=2).verdict[0])
        Seam: none. Rolling the panorama by multiples of 2 columns does not change the output.
    """
    images, edges = check_panoramas(panoramas), band_edges(bands)
    quality = None
    if truth is not None:
        with panorama_function(model, output) as function:
            predictions = np.stack([function(image) for image in images])
        quality = quality_bands(predictions, np.asarray(truth), edges)
    shift = shift_error(model, images, None, stride, classes, output)
    errors, by_latitude, effect = RotationErrors(), RotationErrorByLatitude(edges), PositionEffect()
    consumers = [errors.add, by_latitude.add, effect.add]
    run_rotation_trials(model, images, rotations, seed, classes, output, consumers, step)
    return Audit(
        _title(model), len(images), (images.shape[-2], images.shape[-1]), shift, errors.result(), by_latitude.result(),
        quality, effect.result(), *_repeat_error(model, images[0], output),
    )  # fmt: skip


def _repeat_error(model: Any, image: np.ndarray, output: OutputKey) -> tuple[float, bool]:
    """Return the largest difference between two runs, and whether a dense output is the same at every place."""
    with panorama_function(model, output) as function:
        one, other = function(image), function(image)
    largest = float(np.abs(one).max())
    is_constant = one[0].size > 1 and float(np.ptp(one, axis=(1, 2)).max()) <= CONSTANT_TOLERANCE * largest
    return float(np.abs(one - other).max() / max(one.std(), other.std(), np.finfo(float).tiny)), is_constant


def _title(model: Any) -> str:
    inner = model.model if isinstance(model, Predictor) else model
    return f"{model_name(model)} on {inner.surface}" if isinstance(inner, Model) else model_name(model)

"""Every measure of a network at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from omniconv.audit.bands import BANDS, Bands, LatitudeBands, band_edges
from omniconv.audit.latitude import Steadiness
from omniconv.audit.model_adapter import Output, answering, check_panoramas, name_of
from omniconv.audit.position import BorderEffects, Borders
from omniconv.audit.quality import quality
from omniconv.audit.rotation import Consistency, RotationConsistency
from omniconv.audit.rotation_trials import ROTATIONS, Measure, Rotations, measure_turned
from omniconv.audit.shift import ShiftError, shift_error
from omniconv.audit.verdict import Finding, verdict
from omniconv.inference.predictor import Predictor
from omniconv.models import Model
from omniconv.run_folder import finite

WHOLE = 0.02
"""Panoramas whose sides stand in another ratio than 1 : 2 by more than this are mentioned."""
STEADY = 1e-3
"""Networks whose answers to one question differ by more than this are mentioned."""


@dataclass(frozen=True, eq=False)
class Audit:
    """What a network loses at the seam, at the poles and under rotation.

    Attributes:
        network: its name, and the surface where it has one.
        panoramas: how many there were.
        size: rows and columns of them.
        shift: what turns about the axis change.
        rotation: what rotations of the sphere change.
        steadiness: the same by latitude; ``None`` where the network gives one answer for the whole.
        quality: quality by latitude; ``None`` without truth.
        borders: where it changes; ``None`` as above.
        repeated: how far two answers to the same panorama lie apart, as a share of their spread.
    """

    network: str
    panoramas: int
    size: tuple[int, int]
    shift: ShiftError
    rotation: RotationConsistency
    steadiness: LatitudeBands | None
    quality: LatitudeBands | None
    borders: BorderEffects | None
    repeated: float = 0.0

    @property
    def verdict(self) -> tuple[Finding, ...]:
        """What was found, in words."""
        return verdict(self.shift, self.rotation, self.borders, self.quality)

    @property
    def notes(self) -> list[str]:
        """What was assumed, and what the panoramas do not allow to tell apart."""
        height, width = self.size
        notes = []
        if abs(width / height - 2) > WHOLE:
            notes.append(f"The panoramas, {height} × {width}, are not twice as wide as high: they are taken for whole "
                         "spheres, rows from pole to pole, columns all around.")  # fmt: skip
        if self.shift.stride and width % self.shift.stride:
            notes.append(f"The network's total stride of {self.shift.stride} columns does not divide the width of "
                         f"{width}: no turn is by a multiple of it all around, and what lies between its steps counts "
                         "as a border effect.")  # fmt: skip
        if self.shift.stride and not self.shift.exact:
            notes.append(f"No turn was by a multiple of the total stride of {self.shift.stride} columns.")
        if self.repeated > STEADY:
            notes.append(f"Asked twice about the same panorama, the network answers differently, by up to "
                         f"{self.repeated:.2g} of the spread of its answers: it draws random numbers, and nothing here "
                         "tells their effect from that of the panorama.")  # fmt: skip
        return notes

    def plain(self) -> dict[str, Any]:
        """Numbers, texts, lists and mappings only, as JSON takes them; of the map its columns and rows."""
        parts = asdict(replace(self, borders=None))
        if self.borders is not None:
            losses = {"poles": asdict(self.borders.poles), "control": asdict(self.borders.control)}
            profiles = {"columns": self.borders.columns.tolist(), "rows": self.borders.rows.tolist()}
            parts["borders"] = losses | profiles
        return finite({**parts, "verdict": [asdict(found) for found in self.verdict], "notes": self.notes})


def audit(
    model: Any,
    panoramas: Any,
    truth: Any = None,
    rotations: Rotations = ROTATIONS,
    seed: int = 0,
    stride: int | None = None,
    bands: Bands = BANDS,
    classes: bool | None = None,
    output: Output = None,
    step: Callable[[], None] = lambda: None,
) -> Audit:
    """Every measure of a network at once; each rotated panorama is shown to it once.

    Args:
        model: as ``shift_error`` takes.
        panoramas: as ``shift_error`` takes.
        truth: as ``by_latitude`` takes; without it quality is not measured.
        rotations: as ``rotation_consistency`` takes.
        seed: of their draw.
        stride: as ``shift_error`` takes.
        bands: as ``by_latitude`` takes.
        classes: as ``shift_error`` takes.
        output: as ``shift_error`` takes.
        step: called after each panorama under each rotation, which take most of the time.

    Raises:
        InputError: as these functions.

    Example:
        >>> import torch, omniconv as oc
        >>> network = oc.models.UNet(3, 2, surface=oc.Equirectangular(), width=2, depth=1)
        >>> print(audit(network, torch.rand(1, 3, 8, 16), rotations=2).verdict[0])
        Seam: none. Wherever the panorama is cut, by multiples of 2 columns, the answer stays the same.
    """
    images, edges = check_panoramas(panoramas), band_edges(bands)
    quality_found = None
    if truth is not None:
        with answering(model, output) as answer:
            quality_found = quality(np.stack([answer(image) for image in images]), np.asarray(truth), edges)
    shift = shift_error(model, images, None, stride, classes, output)
    consistency, steadiness, borders = Consistency(), Steadiness(edges), Borders()
    measures: list[Measure] = [consistency, steadiness, borders]
    measure_turned(model, images, rotations, seed, classes, output, measures, step)
    return Audit(
        _title(model), len(images), (images.shape[-2], images.shape[-1]), shift, consistency.result(),
        steadiness.result(), quality_found, borders.result(), _repeated(model, images[0], output),
    )  # fmt: skip


def _repeated(model: Any, image: np.ndarray, output: Output) -> float:
    """How far two answers to one panorama lie apart, as a share of their spread."""
    with answering(model, output) as answer:
        one, other = answer(image), answer(image)
    return float(np.abs(one - other).max() / max(one.std(), other.std(), np.finfo(float).tiny))


def _title(model: Any) -> str:
    inner = model.model if isinstance(model, Predictor) else model
    return f"{name_of(model)} on {inner.surface}" if isinstance(inner, Model) else name_of(model)

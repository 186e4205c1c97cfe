"""Measures by latitude: quality where the truth is known, steadiness under rotation where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from omniconv.audit.bands import BANDS, Bands, LatitudeBands, band_edges, overlaps
from omniconv.audit.difference import Tally
from omniconv.audit.model_adapter import Output, answering, check_panoramas
from omniconv.audit.quality import quality
from omniconv.audit.rotation_trials import ROTATIONS, Rotations, Trial, measure_turned
from omniconv.errors import InputError


def by_latitude(
    prediction: Any,
    truth: Any = None,
    panoramas: Any = None,
    bands: Bands = BANDS,
    classes: bool | None = None,
    rotations: Rotations = ROTATIONS,
    seed: int = 0,
    output: Output = None,
) -> LatitudeBands | None:
    """How good predictions are by latitude; without truth, how steady a network is under rotation by latitude.

    Args:
        prediction: classes ``(B, H, W)`` as whole numbers, or scores or values ``(B, K, H, W)`` as floating-point
            ones; or a network as ``shift_error`` takes, with ``panoramas``.
        truth: classes ``(B, H, W)`` as whole numbers, 255 left out; or values like those predicted, not-a-number left
            out. Predictions are brought to its size. Without it ``prediction`` must be a network.
        panoramas: as ``shift_error`` takes.
        bands: how many of one height; or their edges in degrees, at least two.
        classes: without truth, as ``shift_error`` takes.
        rotations: without truth, as ``rotation_consistency`` takes.
        seed: of their draw.
        output: as ``shift_error`` takes.

    Returns:
        The bands; ``None`` without truth where the network gives one answer for the whole.

    Raises:
        InputError: what does not go together, or cannot be used.

    Example:
        >>> truth = np.zeros((1, 4, 8), int)
        >>> predicted = truth.copy()
        >>> predicted[:, 0] = 1
        >>> by_latitude(predicted, truth, bands=[90, 45, -90]).measures["accuracy"]
        (0.0, 1.0)
    """
    edges = band_edges(bands)
    if truth is None and panoramas is None:
        raise InputError("truth", None, "is needed to measure predictions", "give truth, or a network and panoramas")
    if truth is None:
        steadiness = Steadiness(edges)
        measure_turned(prediction, panoramas, rotations, seed, classes, output, [steadiness])
        return steadiness.result()
    if panoramas is not None:
        with answering(prediction, output) as answer:
            prediction = np.stack([answer(image) for image in check_panoramas(panoramas)])
    return quality(np.asarray(prediction), np.asarray(truth), edges)


class Steadiness:
    """Takes trials and gives what rotations change in bands of the upright panorama.

    Args:
        edges: from north to south.
    """

    def __init__(self, edges: Sequence[float]) -> None:
        self._edges = tuple(edges)
        self._tallies = {"": Tally(), "floor_": Tally()}

    def add(self, trial: Trial) -> None:
        """Count a trial."""
        shares = overlaps(trial.shape[0], self._edges) / trial.shape[1]
        for tally, found in zip(self._tallies.values(), (trial.turned, trial.control), strict=True):
            tally.add(found, lambda values: values.sum(axis=1) @ shares)
        self._is_map = trial.shape != (1, 1)

    def result(self) -> LatitudeBands | None:
        """What was found."""
        if not self._is_map:
            return None
        measures = {}
        for name, tally in self._tallies.items():
            if tally.changed is not None:
                measures[f"{name}changed"] = tuple(tally.changed.tolist())
            measures[f"{name}difference"] = tuple(tally.difference.tolist())
        return LatitudeBands(self._edges, (1.0,) * (len(self._edges) - 1), measures)

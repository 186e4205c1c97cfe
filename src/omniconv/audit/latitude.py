"""Measures by latitude: quality against the truth, or the change under rotation without it.

Every row of a panorama counts with exactly the area that it has in a band; a row cut by an edge counts in both bands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from omniconv.audit.difference import DifferenceAccumulator, divide
from omniconv.audit.model_adapter import panorama_function
from omniconv.audit.rotation import DEFAULT_ROTATIONS, Rotations, RotationTrial, run_rotation_trials
from omniconv.convert.network_output import OutputKey, check_panoramas, predicted_class
from omniconv.data.masks import IGNORE_INDEX
from omniconv.errors import InputError
from omniconv.surfaces import panorama
from omniconv.tasks.metrics import Confusion

Bands = int | Sequence[float]
DEFAULT_BANDS = 12  # of 15° each
ROW_ROUNDING = 1e-9  # a smaller share of a row in a band comes from the rounding of sines
MAIN_MEASURES = ("iou", "rmse", "changed", "difference")  # in order of preference


@dataclass(frozen=True)
class LatitudeBands:
    """Measures by latitude.

    Attributes:
        edges: latitudes in degrees from north to south, one more than bands.
        areas: measured share of each band: with truth the labelled share, else 1.
        measures: by name, a number for each band, NaN where nothing was measured. With truth ``accuracy`` and ``iou``
            (mean over the classes of the band) of classes, ``rmse`` of values. Without truth the change under
            rotation, ``changed`` and ``difference``, and that by resampling alone, ``baseline_changed`` and
            ``baseline_difference``.
    """

    edges: tuple[float, ...]
    areas: tuple[float, ...]
    measures: dict[str, tuple[float, ...]]

    @property
    def names(self) -> list[str]:
        """Names of the bands such as ``90° to 75° N`` or ``15° N to 15° S``."""
        return [_band_name(*pair) for pair in zip(self.edges[:-1], self.edges[1:], strict=True)]

    @property
    def main(self) -> str:
        """Name of the most informative measure."""
        return next(name for name in MAIN_MEASURES if name in self.measures)


def by_latitude(
    prediction: Any,
    truth: Any = None,
    panoramas: Any = None,
    bands: Bands = DEFAULT_BANDS,
    classes: bool | None = None,
    rotations: Rotations = DEFAULT_ROTATIONS,
    seed: int = 0,
    output: OutputKey = None,
) -> LatitudeBands | None:
    """Measure predictions by latitude, or without truth the change of a network's output under rotation.

    Args:
        prediction: integer classes ``(B, H, W)``, or floating-point scores or values ``(B, K, H, W)``; or a network
            as in ``shift_error``, together with ``panoramas``.
        truth: integer classes ``(B, H, W)``, where 255 is ignored; or values of the predictions' shape, where NaN is
            ignored. Predictions are resized to it. Without it ``prediction`` must be a network.
        panoramas: as in ``shift_error``.
        bands: number of bands of equal height, or two or more edges in degrees.
        classes, output: as in ``shift_error``.
        rotations, seed: without truth, as in ``rotation_consistency``.

    Returns:
        The bands; ``None`` without truth for a network with one output per image.

    Raises:
        InputError: arguments that are unusable or do not match.

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
        errors = RotationErrorByLatitude(edges)
        run_rotation_trials(prediction, panoramas, rotations, seed, classes, output, [errors.add])
        return errors.result()
    if panoramas is not None:
        with panorama_function(prediction, output) as function:
            prediction = np.stack([function(image) for image in check_panoramas(panoramas)])
    return quality_bands(np.asarray(prediction), np.asarray(truth), edges)


def band_edges(bands: Bands) -> tuple[float, ...]:
    """Return the edges of bands in degrees, from north to south; given edges may be in any order.

    Example:
        >>> band_edges(3), band_edges([-30, 30])
        ((90.0, 30.0, -30.0, -90.0), (30.0, -30.0))
    """
    if isinstance(bands, int) and not isinstance(bands, bool) and bands >= 1:
        return tuple((90 - 180 * np.arange(bands + 1) / bands).tolist())
    is_sequence = isinstance(bands, list | tuple | np.ndarray)
    edges = sorted(map(float, bands), reverse=True) if is_sequence else []  # type: ignore[arg-type]
    if len(edges) < 2 or len(set(edges)) < len(edges) or not -90 <= min(edges) <= max(edges) <= 90:
        rule = "must be a number from 1, or two or more different latitudes from -90 to 90"
        raise InputError("bands", bands, rule, "use bands=12")
    return tuple(edges)


def row_areas(height: int, edges: Sequence[float]) -> np.ndarray:
    """Return the area of each row within each band as a share of the sphere, ``(height, bands)``.

    Example:
        >>> row_areas(2, [90, -90]).ravel().tolist()
        [0.5, 0.5]
    """
    row_edges = np.sin(np.pi / 2 - np.arange(height + 1) * np.pi / height)
    limits = np.sin(np.radians(np.asarray(edges, dtype=np.float64)))
    top = np.minimum(row_edges[:-1, None], limits[None, :-1])
    bottom = np.maximum(row_edges[1:, None], limits[None, 1:])
    areas = np.clip(top - bottom, 0, None) / 2
    areas[areas < ROW_ROUNDING * (row_edges[:-1, None] - row_edges[1:, None])] = 0
    return areas


class RotationErrorByLatitude:
    """Accumulate rotation trials into bands of the upright panorama, whose ``edges`` go from north to south."""

    def __init__(self, edges: Sequence[float]) -> None:
        self._edges = tuple(edges)
        self._accumulators = {"": DifferenceAccumulator(), "baseline_": DifferenceAccumulator()}

    def add(self, trial: RotationTrial) -> None:
        """Add one trial."""
        self._is_map = trial.shape != (1, 1)
        areas = row_areas(trial.shape[0], self._edges) / trial.shape[1]
        for accumulator, change in zip(self._accumulators.values(), (trial.rotated, trial.baseline), strict=True):
            accumulator.add(change, lambda values: values.sum(axis=1) @ areas)

    def result(self) -> LatitudeBands | None:
        """Return the measures over all trials; ``None`` for one output per image."""
        if not self._is_map:
            return None
        measures = {}
        for prefix, accumulator in self._accumulators.items():
            if accumulator.changed is not None:
                measures[f"{prefix}changed"] = tuple(accumulator.changed.tolist())
            measures[f"{prefix}difference"] = tuple(accumulator.difference.tolist())
        return LatitudeBands(self._edges, (1.0,) * (len(self._edges) - 1), measures)


def quality_bands(predictions: np.ndarray, truth: np.ndarray, edges: Sequence[float]) -> LatitudeBands:
    """Measure predictions against the truth in bands; arguments as in ``by_latitude``."""
    are_classes = truth.dtype.kind in "iub"
    truth = truth if are_classes or truth.ndim != 3 else truth[:, None]
    measure = _class_quality if are_classes else _value_quality
    return measure(_resized_to(truth, predictions), truth, edges)


def _resized_to(truth: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Return checked predictions at the size of the truth; scores as classes if the truth has classes."""
    classes = truth.dtype.kind in "iub"
    if truth.ndim != (3 if classes else 4) or (not classes and truth.dtype.kind != "f"):
        rule = "must be integer classes (B, H, W), or floating-point values (B, K, H, W) or (B, H, W)"
        raise InputError("truth", f"{truth.dtype} {truth.shape}", rule, "give one label map for each panorama")
    if predictions.ndim == 3 and not classes and predictions.dtype.kind == "f":
        predictions = predictions[:, None]
    scores = predictions.ndim == 4 and predictions.dtype.kind == "f"
    if not scores and not (classes and predictions.ndim == 3 and predictions.dtype.kind in "iub"):
        rule = "must be scores or values (B, K, H, W), or classes (B, H, W) if the truth has classes"
        raise InputError("prediction", f"{predictions.dtype} {predictions.shape}", rule, "give maps, not vectors")
    if len(predictions) != len(truth) or predictions.shape[-2:] == (1, 1) != truth.shape[-2:]:
        rule = f"must be as many maps as the truth has, {len(truth)}"
        raise InputError("prediction", predictions.shape, rule, "give one for each panorama, and maps, not vectors")
    if scores and classes:
        _check_channels(truth, max(2, predictions.shape[1]))
    height, width = truth.shape[-2:]
    predictions = panorama.resize(predictions, height, width, "linear" if scores else "nearest")
    if classes:
        return predicted_class(predictions) if scores else predictions
    if predictions.shape != truth.shape:
        rule = f"must have the channels of the truth, {truth.shape[1]}"
        raise InputError("prediction", predictions.shape, rule, "select the channels that the truth has")
    return predictions


def _check_channels(truth: np.ndarray, classes: int) -> None:
    largest = int(truth[truth != IGNORE_INDEX].max(initial=0))
    if largest >= classes:
        rule = f"must be a class of the predictions, 0 to {classes - 1}"
        raise InputError("truth", largest, rule, f"set it to {IGNORE_INDEX} to ignore it, or number classes from 0")


def _class_quality(predicted: np.ndarray, truth: np.ndarray, edges: Sequence[float]) -> LatitudeBands:
    areas = row_areas(truth.shape[1], edges)
    known = truth != IGNORE_INDEX
    lowest, highest = min(predicted.min(), truth.min()), truth[known].max(initial=0)
    if lowest < 0 or predicted.max() >= IGNORE_INDEX or highest > IGNORE_INDEX:
        rule = f"and predictions must be classes from 0 to {IGNORE_INDEX - 1}, and 255 where the truth is unknown"
        raise InputError("truth", int(truth.min()), rule, "number the classes from 0")
    count = int(max(predicted.max(), highest)) + 1
    by_band = []
    for band in areas.T:
        rows, confusion = band > 0, Confusion(count)
        labels, true = (torch.from_numpy(part[:, rows].astype(np.int64)) for part in (predicted, truth))
        confusion.update(labels, true, torch.from_numpy(band[rows])[:, None])
        by_band.append(confusion.compute())
    measures = {name: tuple(_or_nan(band[name]) for band in by_band) for name in ("iou", "accuracy")}
    return LatitudeBands(tuple(edges), _labelled_share(known, areas), measures)


def _or_nan(measure: float | None) -> float:
    return math.nan if measure is None else measure


def _value_quality(predicted: np.ndarray, truth: np.ndarray, edges: Sequence[float]) -> LatitudeBands:
    areas = row_areas(truth.shape[2], edges)
    known = np.isfinite(truth)
    squares = np.where(known, (predicted - truth).astype(np.float64) ** 2, 0).sum(axis=(0, 1, 3)) @ areas
    rmse = np.sqrt(divide(squares, known.sum(axis=(0, 1, 3)) @ areas))
    return LatitudeBands(tuple(edges), _labelled_share(known.all(axis=1), areas), {"rmse": tuple(rmse.tolist())})


def _labelled_share(known: np.ndarray, areas: np.ndarray) -> tuple[float, ...]:
    """Share of the area of each band whose truth is known, from ``known`` ``(B, H, W)``."""
    by_row = known.mean(axis=(0, 2))
    return tuple(divide(by_row @ areas, areas.sum(axis=0)).tolist())


def _band_name(north: float, south: float) -> str:
    if north * south < 0:
        return f"{abs(north):g}° N to {abs(south):g}° S"
    return f"{abs(north):g}° to {abs(south):g}° {'N' if north + south > 0 else 'S'}"

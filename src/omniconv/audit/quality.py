"""How good predictions are by latitude, held against the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from omniconv.audit.bands import LatitudeBands, overlaps
from omniconv.audit.difference import best
from omniconv.data.masks import IGNORE_INDEX
from omniconv.errors import InputError
from omniconv.surfaces import panorama
from omniconv.training.metrics import Confusion


def quality(predictions: np.ndarray, truth: np.ndarray, edges: Sequence[float]) -> LatitudeBands:
    """Measures of predictions in bands.

    Args:
        predictions: classes ``(B, H, W)``, whole numbers, or scores or values ``(B, K, H, W)``, floating point.
        truth: classes ``(B, H, W)``, whole numbers, or values ``(B, K, H, W)`` or ``(B, H, W)``, floating point.
        edges: from north to south.

    Raises:
        InputError: shapes or kinds that do not go together.
    """
    are_classes = truth.dtype.kind in "iub"
    truth = truth if are_classes or truth.ndim != 3 else truth[:, None]
    predictions = _at_size_of(truth, predictions)
    return _of_classes(predictions, truth, edges) if are_classes else _of_values(predictions, truth, edges)


def _at_size_of(truth: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Predictions checked, and as large as the truth; scores as classes where the truth has classes."""
    classes = truth.dtype.kind in "iub"
    if truth.ndim != (3 if classes else 4) or (not classes and truth.dtype.kind != "f"):
        rule = "must be classes (B, H, W) as whole numbers, or floating-point values (B, K, H, W) or (B, H, W)"
        raise InputError("truth", f"{truth.dtype} {truth.shape}", rule, "give one label map for each panorama")
    if predictions.ndim == 3 and not classes and predictions.dtype.kind == "f":
        predictions = predictions[:, None]
    scores = predictions.ndim == 4 and predictions.dtype.kind == "f"
    if not scores and not (classes and predictions.ndim == 3 and predictions.dtype.kind in "iub"):
        rule = "must be scores or values (B, K, H, W), or where the truth has classes also classes (B, H, W)"
        raise InputError("prediction", f"{predictions.dtype} {predictions.shape}", rule, "give maps, not vectors")
    if len(predictions) != len(truth) or predictions.shape[-2:] == (1, 1) != truth.shape[-2:]:
        rule = f"must be as many maps as there are of the truth, {len(truth)}"
        raise InputError("prediction", predictions.shape, rule, "give one for each panorama, and maps, not vectors")
    if scores and classes:
        _check_channels(truth, max(2, predictions.shape[1]))
    size = (truth.shape[-2], truth.shape[-1])
    predictions = panorama.resize(predictions, *size, "linear" if scores else "nearest")
    if classes:
        return best(predictions) if scores else predictions
    if predictions.shape != truth.shape:
        rule = f"must have the channels of the truth, {truth.shape[1]}"
        raise InputError("prediction", predictions.shape, rule, "choose the channels that the truth has")
    return predictions


def _check_channels(truth: np.ndarray, classes: int) -> None:
    largest = int(truth[truth != IGNORE_INDEX].max(initial=0))
    if largest >= classes:
        rule = f"is a class, but the predictions know {classes} (0 to {classes - 1})"
        raise InputError("truth", largest, rule, f"set it to {IGNORE_INDEX} to leave it out, or number classes from 0")


def _of_classes(predicted: np.ndarray, truth: np.ndarray, edges: Sequence[float]) -> LatitudeBands:
    shares = overlaps(truth.shape[1], edges)
    known = truth != IGNORE_INDEX
    if min(predicted.min(), truth.min()) < 0 or max(predicted.max(), truth[known].max(initial=0)) >= IGNORE_INDEX:
        rule = f"and predictions must be classes from 0 to {IGNORE_INDEX - 1}, {IGNORE_INDEX} where unknown"
        raise InputError("truth", int(truth.min()), rule, "number the classes from 0")
    count = int(max(predicted.max(), truth[known].max(initial=0))) + 1
    found = []
    for share in shares.T:
        rows, confusion = share > 0, Confusion(count)
        labels, true = (torch.from_numpy(part[:, rows].astype(np.int64)) for part in (predicted, truth))
        confusion.update(labels, true, torch.from_numpy(share[rows])[:, None])
        found.append(confusion.compute())
    areas = _labelled(known, shares)
    measures = {name: tuple(float(band[name]) for band in found) for name in ("iou", "accuracy")}
    return LatitudeBands(tuple(edges), areas, measures)


def _of_values(predicted: np.ndarray, truth: np.ndarray, edges: Sequence[float]) -> LatitudeBands:
    shares = overlaps(truth.shape[2], edges)
    known = np.isfinite(truth)
    squares = np.where(known, (predicted - truth).astype(np.float64) ** 2, 0).sum(axis=(0, 1, 3)) @ shares
    counts = known.sum(axis=(0, 1, 3)) @ shares
    rmse = tuple(math.sqrt(a / b) if b > 0 else math.nan for a, b in zip(squares, counts, strict=True))
    return LatitudeBands(tuple(edges), _labelled(known.all(axis=1), shares), {"rmse": rmse})


def _labelled(known: np.ndarray, shares: np.ndarray) -> tuple[float, ...]:
    """Share of each band whose truth is known."""
    by_row = known.mean(axis=(0, 2))
    return tuple(((by_row @ shares) / shares.sum(axis=0)).tolist())

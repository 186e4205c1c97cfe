"""Metrics of predicted labels, from one confusion matrix of counts or of areas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from omniconv.data.masks import IGNORE_INDEX

BLOCK = 2**22
"""Largest number of samples counted at once: bincount takes 8 bytes a sample for the pairs and 8 for the weights."""
CLASS_MEASURES = ("iou", "dice", "precision", "recall", "specificity")
"""Measures of each class against the rest, see ``label_measures``."""


class Confusion(Metric):
    """Confusion matrix: number, or area, of the samples of every pair of true and predicted class.

    Args:
        classes: number of classes.
        ignore_index: true label that does not count; ``None`` where every label is a class.

    Example:
        >>> confusion = Confusion(2)
        >>> confusion.update(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]))
        >>> confusion.compute()["iou"]
        0.5
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, classes: int, ignore_index: int | None = IGNORE_INDEX) -> None:
        super().__init__()
        self.classes, self.ignore_index = classes, ignore_index
        self.add_state("counts", torch.zeros(classes, classes, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, true: Tensor, areas: Tensor | None = None) -> None:
        """Add labels of one shape; ``areas`` weight them and broadcast to their shape."""
        weights = torch.ones((), device=true.device) if areas is None else areas
        parts = [torch.atleast_1d(part) for part in (predicted, true, weights.expand_as(true))]
        # Split along the first axis: areas of rows, flattened, would take the memory of the whole image.
        step = max(1, BLOCK * len(parts[1]) // max(1, parts[1].numel()))
        for block in zip(*(part.split(step) for part in parts), strict=True):
            labels, truth, weight = (part.flatten() for part in block)
            kept = truth != self.ignore_index if self.ignore_index is not None else slice(None)
            pairs = truth[kept].long() * self.classes + labels[kept].long()
            counts = torch.bincount(pairs, weight[kept].double(), minlength=self.classes**2)
            self.counts += counts.view(self.classes, self.classes)

    def compute(self) -> dict[str, Any]:
        """Return the measures of the matrix, as ``label_measures``."""
        return label_measures(self.counts)


def label_measures(counts: Tensor) -> dict[str, Any]:
    """Return the measures of a confusion matrix of true (rows) and predicted (columns) classes.

    With the samples TP, FP, FN and TN of a class against the rest, its measures are ``iou`` TP / (TP + FP + FN),
    ``dice`` (the F1 score) 2 TP / (2 TP + FP + FN), ``precision`` TP / (TP + FP), ``recall`` TP / (TP + FN) and
    ``specificity`` TN / (TN + FP). These are the definitions of torchmetrics, which gives 0 for a quotient of nothing;
    here it is ``None`` and does not count in the mean: the precision of a class that is never predicted, the recall of
    one that does not occur, the specificity of one that all samples have, and all measures of one that neither occurs
    nor is predicted. IoU and Dice of a class that is only predicted, or never predicted, are 0, and count.

    Args:
        counts: number or area of the samples of each pair, ``(classes, classes)``.

    Returns:
        ``accuracy``; for each name in ``CLASS_MEASURES`` the mean over the classes that have the measure, and
        ``NAME_by_class`` with all classes.

    Example:
        >>> found = label_measures(torch.tensor([[3.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
        >>> found["accuracy"], found["iou"], found["iou_by_class"]
        (0.75, 0.375, [0.75, 0.0, None])
        >>> found["recall_by_class"], found["precision_by_class"]
        ([0.75, None, None], [1.0, 0.0, None])
        >>> label_measures(torch.zeros(2, 2))["dice"] is None
        True
    """
    counts = counts.double()
    correct, true, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
    # Sums over the other classes, not differences of sums: with areas, these would leave rounding errors for 0.
    others = 1 - torch.eye(len(counts), dtype=counts.dtype, device=counts.device)
    false_positive, negative = (counts * others).sum(0), others @ true
    occurs = true + predicted > 0
    quotients = {
        "iou": (correct, true + false_positive),
        "dice": (2 * correct, true + predicted),
        "precision": (correct, predicted),
        "recall": (correct, true),
        "specificity": ((negative - false_positive).clamp(min=0), negative * occurs),
    }
    total = float(counts.sum())
    measures: dict[str, Any] = {"accuracy": float(correct.sum()) / total if total > 0 else None}
    for name, (parts, wholes) in quotients.items():
        pairs = zip(parts.tolist(), wholes.tolist(), strict=True)
        values = [part / whole if whole > 0 else None for part, whole in pairs]
        measures[name] = mean_measure(values)
        measures[f"{name}_by_class"] = [None if value is None else round(value, 6) for value in values]
    return measures


def mean_measure(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are not ``None``; ``None`` if all are.

    Example:
        >>> mean_measure([0.5, None, 1.0])
        0.75
    """
    present = [value for value in values if value is not None]
    return math.fsum(present) / len(present) if present else None

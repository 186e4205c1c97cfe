"""Metrics of predicted labels, from one confusion matrix of counts or of areas."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from omniconv.data.masks import IGNORE_INDEX

BLOCK = 2**22
"""Largest number of samples counted at once: bincount takes 8 bytes a sample for the pairs and 8 for the weights."""


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

    The IoU of a class is the intersection over the union of its true and its predicted samples. A class that neither
    occurs nor is predicted has none, and does not count in the mean; one that is only predicted, or never predicted,
    has 0, and does. This is the definition of torchmetrics' ``JaccardIndex``.

    Returns:
        ``accuracy``, ``iou`` (mean over the classes that occur or are predicted) and ``iou_by_class``; ``None`` for
        what is measured over nothing.

    Example:
        >>> label_measures(torch.tensor([[3.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
        {'accuracy': 0.75, 'iou': 0.375, 'iou_by_class': [0.75, 0.0, None]}
        >>> label_measures(torch.zeros(2, 2))
        {'accuracy': None, 'iou': None, 'iou_by_class': [None, None]}
    """
    correct = counts.diagonal()
    union = counts.sum(0) + counts.sum(1) - correct
    pairs = zip(correct.tolist(), union.tolist(), strict=True)
    iou = [part / whole if whole > 0 else None for part, whole in pairs]
    present = [value for value in iou if value is not None]
    total = float(counts.sum())
    return {
        "accuracy": float(correct.sum()) / total if total > 0 else None,
        "iou": math.fsum(present) / len(present) if present else None,
        "iou_by_class": [None if value is None else round(value, 6) for value in iou],
    }

"""How good labels are: one table of counts, or of areas, and what follows from it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from omniconv.data.masks import IGNORE_INDEX

BLOCK = 2**22
"""Samples counted at once: what a huge picture takes beside itself stays small."""


class Confusion(Metric):
    """Counts, or areas, of every pair of true and predicted class.

    Args:
        classes: number of classes.

    Example:
        >>> confusion = Confusion(2)
        >>> confusion.update(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]))
        >>> confusion.compute()["iou"]
        0.5
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.add_state("counts", torch.zeros(classes, classes, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, true: Tensor, areas: Tensor | None = None) -> None:
        """Add labels of one shape; ``true`` 255 is left out; ``areas`` weigh them and broadcast to their shape."""
        weights = torch.ones((), device=true.device) if areas is None else areas
        parts = (part.flatten().split(BLOCK) for part in (predicted, true, weights.expand_as(true)))
        for labels, truth, weight in zip(*parts, strict=True):
            kept = truth != IGNORE_INDEX
            pairs = truth[kept].long() * self.classes + labels[kept].long()
            counts = torch.bincount(pairs, weight[kept].double(), minlength=self.classes**2)
            self.counts += counts.view(self.classes, self.classes)

    def compute(self) -> dict[str, Any]:
        """``accuracy``, ``iou`` (mean over the classes that occur), ``iou_by_class`` (``None`` where one does not)."""
        return measures(self.counts)


def measures(counts: Tensor) -> dict[str, Any]:
    """Measures of a table of true (rows) and predicted (columns) classes."""
    right = counts.diagonal()
    union = counts.sum(0) + counts.sum(1) - right
    by_class = right / union  # nan where a class neither occurs nor is predicted
    total = counts.sum()
    return {
        "accuracy": float(right.sum() / total),
        "iou": float(by_class.nanmean()),
        "iou_by_class": [None if math.isnan(value) else round(value, 6) for value in by_class.tolist()],
    }

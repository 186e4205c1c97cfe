"""How good labels are: one table of counts, or of areas, and what follows from it."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from omniconv.data.masks import IGNORED


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
        kept = true != IGNORED
        pairs = true[kept].long() * self.classes + predicted[kept].long()
        weights = torch.ones_like(pairs, dtype=torch.float64)
        if areas is not None:
            weights = areas.expand_as(true)[kept].double()
        counts = torch.bincount(pairs, weights, minlength=self.classes**2)
        self.counts += counts.view(self.classes, self.classes)

    def compute(self) -> dict[str, float | list[float]]:
        """``accuracy``, ``iou`` (mean over the classes that occur), ``iou_by_class`` (nan where none occurs)."""
        return measures(self.counts)


def measures(counts: Tensor) -> dict[str, float | list[float]]:
    """Measures of a table of true (rows) and predicted (columns) classes."""
    right = counts.diagonal()
    union = counts.sum(0) + counts.sum(1) - right
    by_class = right / union  # nan where a class neither occurs nor is predicted
    total = counts.sum()
    return {
        "accuracy": float(right.sum() / total),
        "iou": float(by_class.nanmean()),
        "iou_by_class": [round(value, 6) for value in by_class.tolist()],
    }

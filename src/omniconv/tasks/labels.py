"""Shared parts of the tasks whose targets are class labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn
from torchmetrics import Metric

from omniconv.report.charts import confusion
from omniconv.report.page import Page
from omniconv.tasks.base import Facts, Task
from omniconv.tasks.losses import NO_INDEX, CrossEntropy, balancing_weights
from omniconv.tasks.metrics import Confusion

RARE = 0.03
"""Relative frequency of a class below which a network trained without ``balance`` often never predicts it."""


class LabelTask(Task):
    """A task with one class label for each sample or image: cross entropy, and measures of the confusion matrix.

    Attributes:
        ignore_index: label that the loss and the metrics ignore; ``None`` if every label is a class.
    """

    ignore_index: int | None = None
    validation_metrics = ("accuracy", "iou")

    def class_frequencies(self, classes: tuple[str, ...], counts: Counter[int]) -> tuple[float, ...]:
        by_class = np.array([counts[index] for index in range(len(classes))])
        return tuple((by_class / by_class.sum()).round(6).tolist())

    def describe_targets(self, classes: tuple[str, ...], counts: Counter[int], balance: bool) -> tuple[Facts, Facts]:
        frequencies = self.class_frequencies(classes, counts)
        shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in zip(classes, frequencies, strict=True))
        facts = {"classes": ", ".join(classes), "class shares": shares}
        ignored = 0 if self.ignore_index is None else counts[self.ignore_index]
        if ignored:
            facts["ignored pixels"] = f"{100 * ignored / counts.total():.1f} %"
        if min(frequencies) < RARE and not balance:
            return facts, {"rare classes": "may never be predicted; --balance gives them more weight in the loss"}
        return facts, {}

    def criterion(self, areas: Tensor | None, class_frequencies: Sequence[float] | None) -> nn.Module:
        weights = balancing_weights(class_frequencies) if class_frequencies else None
        return CrossEntropy(areas, weights, NO_INDEX if self.ignore_index is None else self.ignore_index)

    def metric(self, classes: int) -> Metric:
        return Confusion(classes, self.ignore_index)

    def decide(self, output: Tensor) -> Tensor:
        return output.argmax(1)

    def evaluation(self, metric: Metric) -> dict[str, Any]:
        """Return the measures, and the confusion matrix with a row for each true class."""
        return metric.compute() | {"confusion": metric.counts.tolist()}  # type: ignore[operator]

    def draw_quality(self, page: Page, evaluation: Mapping[str, Any]) -> None:
        matrix = np.array(evaluation["confusion"])
        page.svg(confusion(matrix, evaluation["classes"]), caption="Share of each true class (rows).")

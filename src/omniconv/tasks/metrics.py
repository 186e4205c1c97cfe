"""Metrics of predicted labels, from one confusion matrix of counts or of areas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAUROC
from torchmetrics.functional.classification import binary_auroc, binary_average_precision
from torchmetrics.utilities import dim_zero_cat

from omniconv.data.masks import IGNORE_INDEX

BLOCK = 2**22
"""Largest number of samples counted at once: bincount takes 8 bytes a sample for the pairs and 8 for the weights."""
CLASS_MEASURES = ("iou", "dice", "precision", "recall", "specificity")
"""Measures of each class against the rest, see ``label_measures``."""
CALIBRATION_BINS = 15
"""Bins of equal width of the confidence, as in Guo et al., "On Calibration of Modern Neural Networks" (2017)."""
AUROC_THRESHOLDS = 201
"""Thresholds of the binned ROC curve, see ``auroc_thresholds``."""
MULTILABEL_MEASURES = ("average_precision", "f1", "precision", "recall", "auroc")
"""Measures of each class of several labels, see ``MultiLabelMeasures``."""
THRESHOLD = 0.5
"""Probability from which an image is said to have a label."""


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


class ProbabilityMeasures(Confusion):
    """Measures of the probabilities of the classes of images, in memory that does not grow with their number.

    Beside the confusion matrix of the most probable classes: the accuracy of the ``top_k`` most probable ones, the area
    under the ROC curve (AUROC) of each class against the rest, binned by the thresholds of ``auroc_thresholds`` (pairs
    of images in one bin count as ties), and the expected calibration error: the mean difference of the accuracy and the
    mean confidence in each of ``CALIBRATION_BINS`` bins of the confidence, weighted by their numbers of images. All are
    as in torchmetrics, except that a confidence of 1 belongs to the last bin.

    Args:
        classes: number of classes.

    Example:
        >>> measures = ProbabilityMeasures(3)
        >>> measures.update(torch.tensor([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1]]), torch.tensor([0, 1]))
        >>> found = measures.compute()
        >>> found["accuracy"], found["top_k"], found["top_k_accuracy"], found["auroc_by_class"]
        (0.5, 2, 1.0, [1.0, 1.0, None])
        >>> round(found["calibration_error"], 4)  # |1 - 0.6| / 2 + |0 - 0.5| / 2
        0.45
    """

    hits: Tensor
    bins: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__(classes, None)
        self.top_k = 5 if classes > 5 else 2 if classes > 2 else None
        # validate_args: one of the thresholds is above 1
        self.auroc = MulticlassAUROC(classes, None, auroc_thresholds(), validate_args=False)
        self.add_state("hits", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("bins", torch.zeros(3, CALIBRATION_BINS, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, true: Tensor, areas: Tensor | None = None) -> None:
        """Add probabilities ``(images, classes)`` and classes ``(images,)``; images have one weight, ``areas`` none."""
        confidence, labels = predicted.max(1)
        super().update(labels, true)
        self.auroc.update(predicted, true)
        if self.top_k:
            self.hits += (predicted.topk(self.top_k).indices == true[:, None]).sum()
        bounds = torch.linspace(0, 1, CALIBRATION_BINS + 1, dtype=confidence.dtype, device=confidence.device)
        index = (torch.bucketize(confidence, bounds, right=True) - 1).clamp(max=CALIBRATION_BINS - 1)
        parts = torch.stack([torch.ones_like(confidence), confidence, (labels == true).to(confidence.dtype)])
        self.bins.index_add_(1, index, parts.double())

    def reset(self) -> None:
        """Forget all images."""
        super().reset()
        self.auroc.reset()

    def compute(self) -> dict[str, Any]:
        """Return the measures.

        Returns:
            The measures of ``label_measures``; ``top_k`` (5 with more than 5 classes, 2 with 3 to 5, else both are
            missing) and ``top_k_accuracy``; ``auroc``, the mean over the classes that some images have and others do
            not, and ``auroc_by_class``; ``calibration_error``; ``reliability``, for each bin of the confidence the
            number of ``images``, their mean ``confidence`` and their ``accuracy``.
        """
        measures = super().compute()
        counts, total = self.counts.sum(1).tolist(), float(self.counts.sum())
        if self.top_k:
            measures |= {"top_k": self.top_k, "top_k_accuracy": float(self.hits) / total if total else None}
        by_class = self.auroc.compute().tolist() if total else counts
        auroc = [area if 0 < count < total else None for area, count in zip(by_class, counts, strict=True)]
        images, confidence, correct = self.bins.tolist()
        gap = math.fsum(abs(right - sure) for right, sure in zip(correct, confidence, strict=True))
        return measures | {
            "auroc": mean_measure(auroc),
            "auroc_by_class": [None if area is None else round(area, 6) for area in auroc],
            "calibration_error": gap / total if total else None,
            "reliability": {
                "images": images,
                "confidence": [part / n if n else None for part, n in zip(confidence, images, strict=True)],
                "accuracy": [part / n if n else None for part, n in zip(correct, images, strict=True)],
            },
        }


class MultiLabelMeasures(Metric):
    """Measures of the probabilities of several labels for each image; labels that are not known do not count.

    Average precision and AUROC are exact, from the probabilities of all images, as in torchmetrics and scikit-learn.

    Args:
        classes: number of classes.

    Example:
        >>> measures = MultiLabelMeasures(2)
        >>> measures.update(torch.tensor([[0.9, 0.4], [0.2, 0.8]]), torch.tensor([[1, 0], [1, 1]]))
        >>> found = measures.compute()
        >>> found["average_precision"], found["f1_by_class"], found["exact_match"], found["hamming_loss"]
        (1.0, [0.666667, 1.0], 0.5, 0.25)
    """

    full_state_update = False
    probabilities: list[Tensor]
    labels: list[Tensor]

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.add_state("probabilities", [], dist_reduce_fx="cat")
        self.add_state("labels", [], dist_reduce_fx="cat")

    def update(self, predicted: Tensor, true: Tensor, areas: Tensor | None = None) -> None:
        """Add probabilities and labels ``(images, classes)``; negative labels are not known, ``areas`` is not used."""
        self.probabilities.append(predicted.float())
        self.labels.append(true.to(torch.int8))

    def compute(self) -> dict[str, Any]:
        """Return the measures; ``None`` over nothing.

        Returns:
            ``average_precision`` (its mean over the classes that some images have), ``auroc`` (over those that also
            some images lack), ``f1``, ``precision`` and ``recall`` of the probabilities of at least ``THRESHOLD``
            (``None`` for a quotient of nothing), each with its ``NAME_by_class``; ``exact_match``, the share of the
            images whose known labels are all right; ``hamming_loss``, the share of the labels that are wrong;
            ``counts``, true positives, false positives, false negatives and true negatives of each class.
        """
        probabilities, labels = self._all(self.probabilities), self._all(self.labels)
        known, positive, chosen = labels >= 0, labels == 1, probabilities >= THRESHOLD
        wrong, some_known = known & (positive != chosen), known.any(1)
        parts = (positive & chosen, known & ~positive & chosen, positive & ~chosen, known & ~positive & ~chosen)
        counts = torch.stack([part.sum(0) for part in parts], 1).tolist()
        by_class: dict[str, list[float | None]] = {name: [] for name in MULTILABEL_MEASURES}
        for index, (hits, extra, missed, rest) in enumerate(counts):
            scores, truth = (part[known[:, index], index] for part in (probabilities, labels.int()))
            has_both = hits + missed > 0 and extra + rest > 0
            by_class["average_precision"].append(
                float(binary_average_precision(scores, truth)) if hits + missed else None
            )
            by_class["auroc"].append(float(binary_auroc(scores, truth)) if has_both else None)
            quotients = {
                "f1": (2 * hits, 2 * hits + extra + missed),
                "precision": (hits, hits + extra),
                "recall": (hits, hits + missed),
            }
            for name, (part, whole) in quotients.items():
                by_class[name].append(part / whole if whole else None)
        measures: dict[str, Any] = {}
        for name, values in by_class.items():
            measures[name] = mean_measure(values)
            measures[f"{name}_by_class"] = [None if value is None else round(value, 6) for value in values]
        right = some_known & ~wrong.any(1)
        return measures | {
            "exact_match": float(right.sum() / some_known.sum()) if some_known.any() else None,
            "hamming_loss": float(wrong.sum() / known.sum()) if known.any() else None,
            "counts": counts,
        }

    def _all(self, batches: list[Tensor] | Tensor) -> Tensor:
        """Return one tensor of all batches; after they were gathered from several processes they are one already."""
        return dim_zero_cat(batches) if len(batches) else torch.zeros(0, self.classes)


def auroc_thresholds() -> Tensor:
    """Return the thresholds of the binned ROC curve, increasing, evenly spaced in the logit of the probability.

    Those of trained networks crowd at 0 and 1, where thresholds of equal distances would not tell them apart.
    """
    logits = torch.linspace(-12, 12, AUROC_THRESHOLDS - 2)
    # 2, above every probability: the curve must begin at (0, 0) also where probabilities are rounded to 1.
    return torch.cat([torch.zeros(1), logits.sigmoid(), torch.full((1,), 2.0)])


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

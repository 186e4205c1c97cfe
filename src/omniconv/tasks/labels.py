"""Shared parts of the tasks whose targets are class labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn
from torchmetrics import Metric

from omniconv.data.layouts.dataset_folder import DatasetFolder
from omniconv.errors import FileError, InputError, validation_reason
from omniconv.models import Model
from omniconv.report.charts import confusion
from omniconv.report.page import Page
from omniconv.report.tables import MISSING
from omniconv.tasks.base import Facts, Task
from omniconv.tasks.losses import LOSSES, NO_INDEX, SAMPLE_LOSSES, LabelLoss, balancing_weights, parse_losses
from omniconv.tasks.metrics import Confusion, label_measures

RARE = 0.03
"""Relative frequency of a class below which a network trained without ``balance`` often never predicts it."""


Share = Annotated[float, Field(ge=0, le=1 + 1e-6)]  # 1e-6: quotients of rounded sums of areas


class LabelMeasures(BaseModel):
    """Measures of labels in ``evaluation.json``; ``None`` for one over nothing.

    Those with a default are missing in files of earlier versions.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False)
    accuracy: Share | None
    iou: Share | None
    iou_by_class: list[Share | None]
    dice: Share | None = None
    dice_by_class: list[Share | None] = []
    precision: Share | None = None
    precision_by_class: list[Share | None] = []
    recall: Share | None = None
    recall_by_class: list[Share | None] = []
    specificity: Share | None = None
    specificity_by_class: list[Share | None] = []

    @property
    def class_counts(self) -> set[int]:
        """Numbers of values of the measures by class that the file has."""
        return {len(getattr(self, name)) for name in self.model_fields_set if name.endswith("_by_class")}


class LabelEvaluation(LabelMeasures):
    """Measures of labels with their confusion matrix; ``by_area`` if pixels are also weighted by their area."""

    confusion: list[list[Annotated[float, Field(ge=0)]]]
    by_area: LabelMeasures = None  # type: ignore[assignment]  # may be missing, but not null


class LabelTask(Task):
    """A task with one class label for each sample or image: a ``LabelLoss``, and measures of the confusion matrix.

    Attributes:
        unit: plural noun of what has a label.
        evaluation_schema: entries of ``evaluation.json`` that ``evaluation`` returns.
        losses: names of the losses that have a meaning for the task.
    """

    settings: tuple[str, ...] = ("balance", "oversample", "loss", "label_smoothing")
    unit: str = "samples"
    evaluation_schema: type[LabelEvaluation] = LabelEvaluation
    losses: tuple[str, ...] = tuple(LOSSES)
    validation_metrics: tuple[str, ...] = ("accuracy", "iou", "dice", "precision", "recall")

    def check_trainable(self, training: DatasetFolder) -> None:
        """Check that there are two classes, if they are named already."""
        if len(training.classes) == 1:
            rule = f"has one class, {training.classes[0]!r}: there must be at least 2"
            raise FileError(training.root, rule, self.expected)

    def class_frequencies(self, classes: tuple[str, ...], counts: Counter[int]) -> tuple[float, ...]:
        by_class = np.array([counts[index] for index in range(len(classes))])
        return tuple((by_class / by_class.sum()).round(6).tolist())

    def relabel(self, target: np.ndarray, indices: Sequence[int]) -> np.ndarray:
        largest = max(len(indices), int(target.max(initial=0)) + 1)
        table = np.arange(largest)  # labels without a class, such as the ignored one, stay as they are
        table[: len(indices)] = indices
        return np.asarray(table[target], target.dtype)

    def is_measurable(self, counts: Counter[int]) -> bool:
        return any(count for label, count in counts.items() if label != self.ignore_index)

    def describe_targets(
        self, classes: tuple[str, ...], training: Counter[int], validation: Counter[int] | None, balance: bool
    ) -> tuple[Facts, Facts]:
        counts = training + (validation or Counter())
        frequencies = self.class_frequencies(classes, counts)
        shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in zip(classes, frequencies, strict=True))
        facts = {"classes": ", ".join(classes), "class shares": shares}
        ignored = 0 if self.ignore_index is None else counts[self.ignore_index]
        if ignored:
            facts["ignored pixels"] = f"{100 * ignored / counts.total():.1f} %"
        advice = {}
        unseen = [name for index, name in enumerate(classes) if not training[index]]
        if unseen:
            reason = "the network cannot learn to predict them; add images of them, or remove them from the classes"
            advice["classes without training data"] = f"{', '.join(unseen)}: {reason}"
        if validation is not None and self.is_measurable(validation):
            missing = [name for index, name in enumerate(classes) if training[index] and not validation[index]]
            if missing:
                reason = "the validation images do not show how well they are predicted"
                advice["classes without validation data"] = f"{', '.join(missing)}: {reason}"
        if 0 < min((share for share in frequencies if share), default=0) < RARE and not balance:
            advice["rare classes"] = "may never be predicted; the setting balance gives them more weight in the loss"
        return facts, advice

    def criterion(
        self,
        areas: Tensor | None,
        class_frequencies: Sequence[float] | None,
        *,
        loss: str = "ce",
        label_smoothing: float = 0.0,
    ) -> nn.Module:
        """Return a ``LabelLoss``; ``loss`` and ``label_smoothing`` are its arguments.

        Raises:
            InputError: a loss is unknown or has no meaning for the task, or a label smoothing is not used.
        """
        parse_losses(loss, self.losses, f"for the task {self.name}")
        weights = balancing_weights(class_frequencies) if class_frequencies else None
        ignored = NO_INDEX if self.ignore_index is None else self.ignore_index
        return LabelLoss(loss, areas, weights, ignored, label_smoothing)

    def check_mixing(self, names: Sequence[str], *, loss: str = "ce", **loss_settings: Any) -> None:
        """Check that ``mixup`` has a loss that is a mean over samples, of which a weighted mean of two has a meaning.

        Raises:
            InputError: a loss measures regions.
        """
        for name in parse_losses(loss):
            if name not in SAMPLE_LOSSES and "mixup" in names:
                rule = f"has no meaning for the loss {name}, which measures regions"
                raise InputError("augment", "mixup", rule, "use augment='cutmix' or loss='ce'")

    def metric(self, classes: int) -> Metric:
        return Confusion(classes, self.ignore_index)

    def decide(self, output: Tensor) -> Tensor:
        return output.argmax(1)

    def to_probabilities(self, output: Tensor) -> Tensor:
        return output.softmax(0)

    def from_probabilities(self, probabilities: Tensor) -> Tensor:
        return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()

    def validation_loss(
        self, network: Model, criterion: nn.Module, batch: Sequence[Tensor], metric: Metric, areas: Tensor | None
    ) -> Tensor | None:
        """Return the loss as ``Task.validation_loss``, ``None`` for a batch in which every label is ignored."""
        loss = super().validation_loss(network, criterion, batch, metric, areas)
        is_labelled = self.ignore_index is None or bool((batch[1] != self.ignore_index).any())
        return loss if is_labelled else None

    def evaluation(self, metric: Metric) -> dict[str, Any]:
        """Return the measures, and the confusion matrix with a row for each true class."""
        return metric.compute() | {"confusion": cast(Confusion, metric).counts.tolist()}

    def check_evaluation(self, evaluation: Mapping[str, Any], classes: int) -> None:
        try:
            measures = self.evaluation_schema.model_validate(evaluation)
        except ValidationError as error:
            raise ValueError(validation_reason(error)) from error
        lengths = {len(measures.confusion), *map(len, measures.confusion), *measures.class_counts}
        lengths |= measures.by_area.class_counts if measures.by_area else set()
        if lengths != {classes}:
            raise ValueError(f"its measures are not those of {classes} classes")

    def quality_notes(self, evaluation: Mapping[str, Any], balance: bool = False) -> list[str]:
        """Name the classes that occur but are never predicted, or never where they are, and say what to try."""
        matrix = np.array(evaluation["confusion"])
        true, predicted, names = matrix.sum(1), matrix.sum(0), evaluation["classes"]
        if not true.any():
            return [f"No {self.unit} with a label: nothing was measured."]
        never = [index for index in range(len(names)) if true[index] and not predicted[index]]
        wrong = [i for i in range(len(names)) if true[i] and predicted[i] and not matrix[i, i]]
        notes = []
        if never:
            shares = (f"{names[index]} ({100 * true[index] / true.sum():.3g} %)" for index in never)
            notes.append(f"Never predicted (with their shares of the {self.unit}): {', '.join(shares)}.")
        if wrong:
            notes.append(f"Predicted, but nowhere right: {', '.join(names[index] for index in wrong)}.")
        if notes:
            rare = min(true[index] for index in never + wrong) < true.sum() / np.count_nonzero(true)
            tries = "more epochs, a larger width or more images of these classes"
            notes.append(f"Try {'the setting balance, ' if rare and not balance else ''}{tries}.")
        return notes

    def draw_quality(self, page: Page, evaluation: Mapping[str, Any]) -> None:
        matrix = np.array(evaluation["confusion"])
        page.svg(confusion(matrix, evaluation["classes"]), caption="Share of each true class (rows).")


def complete_measures(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return an evaluation with all measures of ``label_measures``.

    Files of earlier versions lack some: they follow from the confusion matrix, which is not stored by area, so that
    those in ``by_area`` are ``None``.
    """
    counts = torch.tensor(evaluation["confusion"], dtype=torch.float64)
    complete = {**label_measures(counts), **evaluation}
    if "by_area" in evaluation:
        complete["by_area"] = {**label_measures(torch.zeros_like(counts)), **evaluation["by_area"]}
    return complete


def measure_text(value: float | None) -> str:
    """Return a measure with four decimals; a dash for one over nothing.

    Example:
        >>> measure_text(0.5), measure_text(None)
        ('0.5000', '–')
    """
    return MISSING if value is None or math.isnan(value) else f"{value:.4f}"

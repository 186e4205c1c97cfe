"""Multi-label classification: any number of classes for each image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn
from torchmetrics import Metric

from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample, pick_evenly
from omniconv.data.layouts.image_labels import EXPECTED, LABELS_FILE, UNKNOWN, has_image_labels, scan_image_labels
from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import FileError, validation_reason
from omniconv.models import Model
from omniconv.report.charts import bars
from omniconv.report.page import Page
from omniconv.surfaces import Surface
from omniconv.tasks.base import Facts, Prediction, Table, Task, Tile, TrainedNetwork
from omniconv.tasks.classify import OVERVIEW_IMAGES, REPORT_IMAGES, picture_tile, table_files, thumbnail, write_table
from omniconv.tasks.labels import RARE, Share, measure_text
from omniconv.tasks.losses import MULTILABEL_LOSSES, MultiLabelLoss, parse_losses
from omniconv.tasks.metrics import MULTILABEL_MEASURES, THRESHOLD, MultiLabelMeasures

NONE = "none"
"""Text for an image without any class."""
MAX_BARS = 20
"""Number of classes above which their names would overlap in a chart."""
Number = Annotated[int, Field(ge=0)]


class MultiLabelEvaluation(BaseModel):
    """Measures in ``evaluation.json``, see ``MultiLabelMeasures.compute``."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)
    average_precision: Share | None
    average_precision_by_class: list[Share | None]
    f1: Share | None
    f1_by_class: list[Share | None]
    precision: Share | None
    precision_by_class: list[Share | None]
    recall: Share | None
    recall_by_class: list[Share | None]
    auroc: Share | None
    auroc_by_class: list[Share | None]
    exact_match: Share | None
    hamming_loss: Share | None
    counts: list[Annotated[list[Number], Field(min_length=4, max_length=4)]]


class MultiLabel(Task):
    """Several labels for each image, from ``labels.csv``.

    Counts of targets, see ``count_target``, have the number of images with class c by ``c``, and of those that lack it
    by ``-1 - c``; unknown labels are in neither.
    """

    name = "multilabel"
    output = "global"
    default_model = "classifier"
    expected = EXPECTED
    searched_files = (LABELS_FILE,)
    settings = ("balance", "oversample", "loss")
    defaults = MappingProxyType({"loss": "bce"})
    validation_metrics = ("average_precision", "f1", "exact_match")
    best_metric = "average_precision"

    def scan(self, root: Path, classes: tuple[str, ...]) -> DatasetFolder:
        return scan_image_labels(root, classes)

    def recognizes(self, root: Path) -> bool:
        """Return True for a ``labels.csv`` that begins with the column ``image``."""
        return has_image_labels(root)

    def split_groups(self, samples: Sequence[Sample]) -> dict[Sample, Hashable]:
        """Return the rarest class of each sample, so that some images of each class are held out."""
        present = {sample: np.flatnonzero(np.asarray(sample.target) == 1).tolist() for sample in samples}
        images = Counter(index for indices in present.values() for index in indices)
        return {sample: min(indices, key=lambda i: images[i], default=None) for sample, indices in present.items()}

    def load_target(self, sample: Sample, preprocessing: Preprocessing) -> np.ndarray:
        """Return 1, 0 or ``UNKNOWN`` for each class, int64 ``(classes,)``."""
        return np.asarray(sample.target, np.int64)

    def count_target(self, sample: Sample, target: np.ndarray, classes: tuple[str, ...]) -> Counter[int]:
        if target.shape != (len(classes),) or not np.isin(target, (0, 1, UNKNOWN)).all():
            rule = f"has the labels {sample.target!r}, but there are {len(classes)} classes, each 0, 1 or unknown"
            raise FileError(sample.image, rule, "start a new run")
        known = (int(index) if target[index] else -1 - int(index) for index in (target != UNKNOWN).nonzero()[0])
        return Counter(known)

    def is_measurable(self, counts: Counter[int]) -> bool:
        return counts.total() > 0

    def relabel(self, target: np.ndarray, indices: Sequence[int]) -> np.ndarray:
        """Return the labels of the network's classes; ``compare`` adds those after the last one of the data set."""
        labels = np.full(max(indices) + 1, UNKNOWN, np.int64)
        labels[list(indices)] = target
        return labels

    def check_counts(self, training: DatasetFolder, counts: Counter[int], all_counts: Counter[int]) -> None:
        """Check that some class is known to be present in one image and absent in another."""
        indices = range(len(training.classes))
        if not counts.total():
            raise FileError(training.root / LABELS_FILE, "has no known label", "write 0 or 1 for some images")
        if not any(counts[index] and counts[-1 - index] for index in indices):
            rule = "has equal labels for all images, so that there is nothing to learn"
            raise FileError(training.root / LABELS_FILE, rule, "add images that have, or lack, a class")

    def class_frequencies(self, classes: tuple[str, ...], counts: Counter[int]) -> tuple[float, ...]:
        """Return the share of the images that have each class, of those for which it is known."""
        pairs = [(counts[index], counts[-1 - index]) for index in range(len(classes))]
        return tuple(round(present / max(1, present + absent), 6) for present, absent in pairs)

    def describe_targets(
        self, classes: tuple[str, ...], training: Counter[int], validation: Counter[int] | None, balance: bool
    ) -> tuple[Facts, Facts]:
        counts = training + (validation or Counter())
        frequencies = self.class_frequencies(classes, counts)
        shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in zip(classes, frequencies, strict=True))
        facts = {"classes": ", ".join(classes), "images with each class": shares}
        advice = {}
        for key, counted, text in (
            ("training", training, "the network cannot learn to tell them"),
            ("validation", validation, "the validation images do not show how well they are predicted"),
        ):
            if counted is None or not counted.total():
                continue
            constant = [name for i, name in enumerate(classes) if not counted[i] or not counted[-1 - i]]
            if constant:
                advice[f"classes that are the same in all {key} images"] = f"{', '.join(constant)}: {text}"
        if 0 < min((share for share in frequencies if share), default=0) < RARE and not balance:
            advice["rare classes"] = "may never be predicted; the settings balance and oversample give them more weight"
        return facts, advice

    def criterion(
        self, areas: Tensor | None, class_frequencies: Sequence[float] | None, *, loss: str = "bce"
    ) -> nn.Module:
        """Return a ``MultiLabelLoss``.

        Raises:
            InputError: a loss is unknown or has no meaning for the task.
        """
        parse_losses(loss, MULTILABEL_LOSSES, f"for the task {self.name}")
        return MultiLabelLoss(loss, class_frequencies)

    def metric(self, classes: int) -> Metric:
        return MultiLabelMeasures(classes)

    def decide(self, output: Tensor) -> Tensor:
        """Return the probability of each class, float32 ``(batch, classes)``."""
        return output.float().sigmoid()

    def validation_loss(
        self, network: Model, criterion: nn.Module, batch: Sequence[Tensor], metric: Metric, areas: Tensor | None
    ) -> Tensor | None:
        """Return the loss as ``Task.validation_loss``, ``None`` for a batch in which no label is known."""
        loss = super().validation_loss(network, criterion, batch, metric, areas)
        return loss if bool((batch[1] != UNKNOWN).any()) else None

    def predict(self, output: Tensor, size: tuple[int, int], preprocessing: Preprocessing) -> np.ndarray:
        """Return the probability of each class, independent of the others, float32 ``(classes,)``."""
        return output.sigmoid().numpy()

    def labels(self, prediction: np.ndarray) -> np.ndarray:
        """Return whether each class is predicted, boolean ``(classes,)``."""
        return prediction >= THRESHOLD

    def probabilities(self, output: Tensor, size: tuple[int, int], preprocessing: Preprocessing) -> np.ndarray:
        return self.predict(output, size, preprocessing)

    def to_probabilities(self, output: Tensor) -> Tensor:
        return output.sigmoid()

    def from_probabilities(self, probabilities: Tensor) -> Tensor:
        return probabilities.logit(torch.finfo(probabilities.dtype).eps)

    def prediction_tile(self, image: Path | Image.Image, prediction: np.ndarray, classes: tuple[str, ...]) -> Tile:
        """Return a small image and the predicted classes."""
        return thumbnail(image), _caption(classes, prediction)

    def compare(self, prediction: np.ndarray, target: np.ndarray) -> tuple[Tensor, Tensor]:
        labels = np.full(prediction.shape, UNKNOWN, np.int64)
        labels[: len(target)] = target
        return torch.from_numpy(prediction)[None], torch.from_numpy(labels)[None]

    def check_evaluation(self, evaluation: Mapping[str, Any], classes: int) -> None:
        try:
            measures = MultiLabelEvaluation.model_validate(evaluation)
        except ValidationError as error:
            raise ValueError(validation_reason(error)) from error
        by_class = (getattr(measures, f"{name}_by_class") for name in MULTILABEL_MEASURES)
        if {len(measures.counts), *map(len, by_class)} != {classes}:
            raise ValueError(f"its measures are not those of {classes} classes")

    def quality_table(self, evaluation: Mapping[str, Any]) -> Table:
        """Return the measures of each class and their means, and those of all images."""
        rows: list[list[str | float | None]] = []
        for index, name in enumerate(evaluation["classes"]):
            values = (evaluation[f"{measure}_by_class"][index] for measure in MULTILABEL_MEASURES)
            hits, extra, missed, _ = evaluation["counts"][index]
            rows.append([name, *values, hits + missed, hits + extra])
        blank = [""] * (len(MULTILABEL_MEASURES) + 1)
        rows.append(["mean", *(evaluation[name] for name in MULTILABEL_MEASURES), "", ""])
        rows.append(["all (exact match)", evaluation["exact_match"], *blank])
        rows.append(["all (Hamming loss)", evaluation["hamming_loss"], *blank])
        return ["class", "average precision", "F1", "precision", "recall", "AUROC", "images", "predicted"], rows

    def quality_line(self, evaluation: Mapping[str, Any]) -> str:
        names = {"average_precision": "mean average precision", "f1": "mean F1", "exact_match": "exact match"}
        return ", ".join(f"{text} {measure_text(evaluation[name])}" for name, text in names.items())

    def quality_notes(self, evaluation: Mapping[str, Any], balance: bool = False) -> list[str]:
        """Name the classes that images have but that are never predicted, and say what to try."""
        counts = list(zip(evaluation["classes"], evaluation["counts"], strict=True))
        if not any(map(sum, (of_class for _, of_class in counts))):
            return ["No image with a known label: nothing was measured."]
        never = [name for name, (hits, extra, missed, _) in counts if missed and not hits + extra]
        if not never:
            return []
        tries = "more epochs, a larger width or more images of these classes"
        settings = "" if balance else "the settings balance and oversample, "
        return [f"Never predicted: {', '.join(never)}.", f"Try {settings}{tries}."]

    def draw_quality(self, page: Page, evaluation: Mapping[str, Any]) -> None:
        """Add a chart of average precision and F1 by class."""
        series = {"average precision": "average_precision_by_class", "F1": "f1_by_class"}
        groups = {
            name: {label: evaluation[key][index] for label, key in series.items() if evaluation[key][index] is not None}
            for index, name in enumerate(evaluation["classes"])
        }
        if any(groups.values()) and len(groups) <= MAX_BARS:
            page.svg(bars(groups, "Quality by class", "measure"), f"F1 of probabilities of at least {THRESHOLD}.")

    def prediction_files(self, out: Path, stems: Iterable[Path]) -> list[Path]:
        return table_files(out)

    def write_predictions(
        self, predictions: Iterable[Prediction], network: TrainedNetwork, out: Path, **settings: Any
    ) -> list[Path]:
        """Write ``predictions.csv``, a row for each image, and ``overview.png`` with the first images.

        The column ``predicted`` has the classes with a probability of at least 0.5, with semicolons between them.
        """
        rows: list[list[str]] = []
        tiles: list[Tile] = []
        for file, stem, probabilities in predictions:
            chosen = [name for name, p in zip(network.classes, probabilities, strict=True) if p >= THRESHOLD]
            name = str(stem if isinstance(file, Image.Image) else file)
            rows.append([name, ";".join(chosen), *(f"{value:.6f}" for value in probabilities)])
            if len(tiles) < OVERVIEW_IMAGES:
                tiles.append(self.prediction_tile(file, probabilities, network.classes))
        return write_table(out, ["image", "predicted", *network.classes], rows, tiles)

    def tile(self, image: np.ndarray, target: np.ndarray, sample: Sample, classes: tuple[str, ...]) -> Tile:
        return image, f"{_names(classes, target)}: {sample.image.name}"

    def draw_predictions(self, page: Page, network: TrainedNetwork, samples: Sequence[Sample]) -> None:
        """Add images with their predicted classes, and the true ones if they differ."""
        tiles = []
        for sample in pick_evenly(samples, REPORT_IMAGES):
            probabilities, target = network.predict(sample.image), self.load_target(sample, network.preprocessing)
            caption = f"{sample.image.name}: {_caption(network.classes, probabilities)}"
            if ((probabilities >= THRESHOLD) != target)[target != UNKNOWN].any():
                caption += f"; true: {_names(network.classes, target)}"
            tiles.append(picture_tile(network, sample, caption))
        page.row(tiles)

    def describe_output(self, surface: Surface) -> str:
        return "logits (batch, class); the sigmoid of each gives its probability, independent of the others"


def _names(classes: Sequence[str], target: np.ndarray) -> str:
    return ", ".join(classes[index] for index in (target == 1).nonzero()[0]) or NONE


def _caption(classes: Sequence[str], probabilities: np.ndarray) -> str:
    """Return the predicted classes with their probabilities, or the most probable one as not predicted."""
    chosen = [index for index in probabilities.argsort()[::-1] if probabilities[index] >= THRESHOLD]
    if not chosen:
        best = int(probabilities.argmax())
        return f"{NONE} ({classes[best]} {100 * probabilities[best]:.0f} %)"
    return ", ".join(f"{classes[index]} {100 * probabilities[index]:.0f} %" for index in chosen)

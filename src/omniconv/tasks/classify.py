"""Classification: one class for each image."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torchmetrics import Metric

from omniconv.data.file_listing import holds_images, visible_folders
from omniconv.data.images import read_image
from omniconv.data.layouts.class_folders import EXPECTED, scan_class_folders
from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample, pick_evenly
from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import FileError
from omniconv.files import write_bytes
from omniconv.report.charts import curves
from omniconv.report.page import Page
from omniconv.report.pictures import contact_sheet, png_bytes
from omniconv.surfaces import Surface
from omniconv.tasks.base import Prediction, Table, Tile, TrainedNetwork
from omniconv.tasks.labels import LabelEvaluation, LabelTask, Share, complete_measures, measure_text
from omniconv.tasks.losses import SAMPLE_LOSSES
from omniconv.tasks.metrics import CALIBRATION_BINS, ProbabilityMeasures

TABLE, OVERVIEW = "predictions.csv", "overview.png"
OVERVIEW_IMAGES = 40
REPORT_IMAGES = 12
THUMBNAIL = 220
SMALLEST_TILE = 140
"""Width in pixels below which an image of the report is enlarged by an integer factor."""


class Reliability(BaseModel):
    """Accuracy in each bin of the confidence; ``None`` in one without images."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)
    images: list[Annotated[float, Field(ge=0)]] = Field(min_length=CALIBRATION_BINS, max_length=CALIBRATION_BINS)
    confidence: list[Share | None] = Field(min_length=CALIBRATION_BINS, max_length=CALIBRATION_BINS)
    accuracy: list[Share | None] = Field(min_length=CALIBRATION_BINS, max_length=CALIBRATION_BINS)


class ImageEvaluation(LabelEvaluation):
    """Measures of labels and of their probabilities, which are missing in files of earlier versions."""

    top_k: Annotated[int, Field(ge=2)] | None = None
    top_k_accuracy: Share | None = None
    auroc: Share | None = None
    auroc_by_class: list[Share | None] = Field(default=[])
    calibration_error: Share | None = None
    reliability: Reliability = None  # type: ignore[assignment]  # may be missing, but not null


class Classify(LabelTask):
    """Classification of images, from a folder of images for each class."""

    name = "classify"
    output = "global"
    default_model = "classifier"
    expected = EXPECTED
    unit = "images"
    evaluation_schema = ImageEvaluation
    losses = SAMPLE_LOSSES
    validation_metrics = ("accuracy",)
    best_metric = "accuracy"

    def scan(self, root: Path, classes: tuple[str, ...]) -> DatasetFolder:
        return scan_class_folders(root, classes)

    def recognizes(self, root: Path) -> bool:
        """Return True for folders with images in them, at any depth."""
        return any(holds_images(folder) for folder in visible_folders(root))

    def check_trainable(self, training: DatasetFolder) -> None:
        """Check that there are two classes, images of each, and no splits inside of the class folders."""
        root, names = training.root, training.classes
        if len(names) == 1 and len(visible_folders(root / names[0])) > 1:
            rule = f"has one class folder, {names[0]!r}: there must be at least 2"
            raise FileError(root, rule, f"if its folders are the classes, give {root / names[0]}")
        super().check_trainable(training)
        counts = Counter(sample.target for sample in training.samples)
        empty = [name for index, name in enumerate(names) if not counts[index]]
        if empty:
            cure = "put images of this class in it, or remove the folder and its name in classes.txt"
            raise FileError(root / empty[0], "contains no images", cure)
        if all((root / name / "train").is_dir() for name in names):
            rule = "has train/ inside of its class folders, so that all splits would be trained on"
            raise FileError(root, rule, "put the class folders into train/, val/ and test/")

    def split_group(self, sample: Sample) -> Hashable:
        """Return the class: each one is held out in the same share."""
        return sample.target

    def load_target(self, sample: Sample, preprocessing: Preprocessing) -> np.ndarray:
        """Return the class index as an array of one number without axes."""
        return np.asarray(sample.target, np.int64)

    def count_target(self, sample: Sample, target: np.ndarray, classes: tuple[str, ...]) -> Counter[int]:
        if type(sample.target) is not int or not 0 <= sample.target < len(classes):
            rule = f"has the class {sample.target!r}, but there are {len(classes)} (0 to {len(classes) - 1})"
            raise FileError(sample.image, rule, "start a new run")
        return Counter([int(target)])

    def predict(self, output: Tensor, size: tuple[int, int], preprocessing: Preprocessing) -> np.ndarray:
        """Return the probability of each class, float32 ``(classes,)``."""
        return output.softmax(0).numpy()

    def labels(self, prediction: np.ndarray) -> np.ndarray:
        return np.asarray(prediction.argmax())

    def probabilities(self, output: Tensor, size: tuple[int, int], preprocessing: Preprocessing) -> np.ndarray:
        return self.predict(output, size, preprocessing)

    def prediction_tile(self, image: Path | Image.Image, prediction: np.ndarray, classes: tuple[str, ...]) -> Tile:
        """Return a small image and the most probable class."""
        best = int(prediction.argmax())
        return thumbnail(image), f"{classes[best]} {100 * prediction[best]:.0f} %"

    def metric(self, classes: int) -> Metric:
        return ProbabilityMeasures(classes)

    def decide(self, output: Tensor) -> Tensor:
        """Return the probability of each class, float32 ``(batch, classes)``."""
        return output.float().softmax(1)

    def compare(self, prediction: np.ndarray, target: np.ndarray) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(prediction)[None], torch.from_numpy(target)[None]

    def quality_table(self, evaluation: Mapping[str, Any]) -> Table:
        """Return the measures of each class, their means, and those of all images."""
        complete = {
            "auroc": None,
            "auroc_by_class": [None] * len(evaluation["classes"]),
            **complete_measures(evaluation),
        }
        measures = ("recall", "precision", "dice", "specificity", "auroc")
        rows: list[list[str | float | None]] = []
        images = [f"{sum(counts):.0f}" for counts in evaluation["confusion"]]
        for index, name in enumerate(evaluation["classes"]):
            rows.append([name, *(complete[f"{measure}_by_class"][index] for measure in measures), images[index]])
        total = f"{sum(map(sum, evaluation['confusion'])):.0f}"
        rows.append(["mean", *(complete[measure] for measure in measures), total])
        of_all = {"all (accuracy)": evaluation["accuracy"]}
        if evaluation.get("top_k"):
            of_all[f"all (top-{evaluation['top_k']} accuracy)"] = evaluation["top_k_accuracy"]
        if "calibration_error" in evaluation:
            of_all[f"all (calibration error, {CALIBRATION_BINS} bins)"] = evaluation["calibration_error"]
        rows += [[name, value, *[""] * (len(measures) - 1), total] for name, value in of_all.items()]
        return ["class", "recall", "precision", "F1", "specificity", "AUROC", "images"], rows

    def quality_line(self, evaluation: Mapping[str, Any]) -> str:
        return f"accuracy {measure_text(evaluation['accuracy'])}"

    def draw_quality(self, page: Page, evaluation: Mapping[str, Any]) -> None:
        """Add the confusion matrix and a reliability diagram, the accuracy by confidence."""
        super().draw_quality(page, evaluation)
        reliability = evaluation.get("reliability")
        if reliability is None or not any(reliability["images"]):
            return
        bins = zip(reliability["confidence"], reliability["accuracy"], reliability["images"], strict=True)
        points = [(confidence, accuracy) for confidence, accuracy, images in bins if images]
        series = {"network": points, "calibrated": [(0.0, 0.0), (1.0, 1.0)]}
        caption = (
            f"Accuracy of the images in each of {CALIBRATION_BINS} bins of the confidence, the largest probability."
        )
        page.svg(curves(series, "Reliability", "confidence", "accuracy"), caption)

    def prediction_files(self, out: Path, stems: Iterable[Path]) -> list[Path]:
        return table_files(out)

    def write_predictions(
        self, predictions: Iterable[Prediction], network: TrainedNetwork, out: Path, **settings: Any
    ) -> list[Path]:
        """Write ``predictions.csv``, a row for each image, and ``overview.png`` with the first images."""
        classes, rows = network.classes, []
        tiles: list[Tile] = []
        for file, stem, probabilities in predictions:
            best = int(probabilities.argmax())
            name = str(stem if isinstance(file, Image.Image) else file)
            rows.append([name, classes[best], *(f"{value:.6f}" for value in probabilities)])
            if len(tiles) < OVERVIEW_IMAGES:
                tiles.append(self.prediction_tile(file, probabilities, classes))
        return write_table(out, ["image", "predicted", *classes], rows, tiles)

    def tile(self, image: np.ndarray, target: np.ndarray, sample: Sample, classes: tuple[str, ...]) -> Tile:
        return image, f"{classes[int(target)]}: {sample.image.name}"

    def draw_predictions(self, page: Page, network: TrainedNetwork, samples: Sequence[Sample]) -> None:
        """Add images with their predicted class, and the true class if it differs."""
        page.row([_predicted_tile(network, sample) for sample in pick_evenly(samples, REPORT_IMAGES)])

    def describe_output(self, surface: Surface) -> str:
        return "logits (batch, class); softmax over the classes gives probabilities"


def _predicted_tile(network: TrainedNetwork, sample: Sample) -> Tile:
    probabilities = network.predict(sample.image)
    best = int(probabilities.argmax())
    caption = f"{sample.image.name}: {network.classes[best]} ({100 * probabilities[best]:.0f} %)"
    if sample.target != best:
        caption += f", true class {network.classes[sample.target]}"
    return picture_tile(network, sample, caption)


def picture_tile(network: TrainedNetwork, sample: Sample, caption: str) -> Tile:
    """Return the image of a sample at the size of the training images, enlarged if it is small, with its caption."""
    picture = np.moveaxis(np.round(network.preprocessing.image(sample.image) * 255).astype(np.uint8), 0, -1)
    scale = -(-SMALLEST_TILE // picture.shape[1])
    return np.repeat(np.repeat(picture, scale, 0), scale, 1), caption


def table_files(out: Path) -> list[Path]:
    """Return the files of ``write_table``."""
    return [out / TABLE, out / OVERVIEW]


def write_table(out: Path, header: Sequence[str], rows: Sequence[Sequence[str]], tiles: Sequence[Tile]) -> list[Path]:
    """Write ``predictions.csv`` and ``overview.png``, and return them.

    Names are written as they are: a name that begins with ``=`` is a formula to a spreadsheet, but changed it would no
    longer be the name of the file or class.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    table = write_bytes(out / TABLE, text.getvalue().encode(errors="surrogateescape"))
    return [table, write_bytes(out / OVERVIEW, png_bytes(contact_sheet(tiles, columns=min(5, len(tiles)))))]


def thumbnail(file: Path | Image.Image) -> np.ndarray:
    """Return an image file at the size of the overview."""
    picture = Image.fromarray(read_image(file))
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return np.asarray(picture)

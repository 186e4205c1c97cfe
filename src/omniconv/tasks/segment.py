"""Semantic segmentation: one class for each pixel."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from omniconv.data.classes import numbered_class_names
from omniconv.data.file_listing import visible_folders
from omniconv.data.images import read_header, read_image
from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample, pick_evenly
from omniconv.data.layouts.image_masks import EXPECTED, scan_image_masks
from omniconv.data.masks import IGNORE_INDEX, check_labels, label_counts, read_mask
from omniconv.data.preprocessing import Preprocessing, resize_labels
from omniconv.errors import FileError
from omniconv.files import write_bytes
from omniconv.report.globe import globe
from omniconv.report.page import Page
from omniconv.report.pictures import error_map, legend, overlay, paint, palette, png_bytes
from omniconv.surfaces import Surface
from omniconv.tasks.base import Prediction, Table, Tile, TrainedNetwork
from omniconv.tasks.labels import LabelEvaluation, LabelTask, complete_measures, measure_text
from omniconv.tasks.metrics import CLASS_MEASURES
from omniconv.tasks.objects import CountTable, ObjectEvaluation, ObjectMeasures, object_table
from omniconv.tasks.pixels import channels_at_size, rows_at_size

LABELS, OVERLAYS, COUNTS = "labels", "overlays", "counts.csv"
LARGEST_OVERLAY = 4096
"""Pixels along the longer side of an overlay, which is only looked at; the label file has the image's own size."""
LARGE_IMAGE = 2**24
"""Pixels above which an image is predicted by blocks of rows, so that its scores are never held as a whole."""
IMAGE_FOLDERS = {"images", "image", "imgs", "img", "jpegimages"}
MASK_FOLDERS = {"masks", "mask", "labels", "annotations", "segmentations", "segmentationclass", "gt", "targets"}
"""Names of the two folders of data sets for segmentation, in small letters."""
REPORT_IMAGES = 4
REPORT_WIDTH = 480
"""Width in pixels to which smaller images of the report are enlarged."""


class PixelEvaluation(LabelEvaluation):
    """Measures of labels and of objects, which are missing in files of earlier versions."""

    objects: ObjectEvaluation = None  # type: ignore[assignment]  # may be missing, but not null

    @property
    def class_counts(self) -> set[int]:
        return super().class_counts | (self.objects.lengths if self.objects else set())


class Segment(LabelTask):
    """Semantic segmentation, from ``images/`` and ``masks/`` of the same names."""

    name = "segment"
    settings = (*LabelTask.settings, "binary", "min_object")
    # Ahead of others at equal training time: benchmarks/training.py.
    defaults = MappingProxyType({
        "depth": 4, "stem_stride": 2, "residual": True, "up": "transposed", "normalization": "group",
        "loss": "ce+dice", "learning_rate": 3e-3,
    })  # fmt: skip
    prediction_settings = ("min_object",)
    evaluation_schema = PixelEvaluation
    output = "dense"
    default_model = "unet"
    expected = EXPECTED
    searched_folders = ("images", "masks")
    target_is_file = True
    target_interpolation = "nearest"
    ignore_index = IGNORE_INDEX
    unit = "pixels"
    best_metric = "iou"

    def scan(self, root: Path, classes: tuple[str, ...]) -> DatasetFolder:
        return scan_image_masks(root, classes)

    def recognizes(self, root: Path) -> bool:
        """Return True also for other usual names of the two folders, although ``scan`` asks for these names."""
        names = {folder.name.lower() for folder in visible_folders(root)}
        return super().recognizes(root) or bool(len(names) == 2 and names & IMAGE_FOLDERS and names & MASK_FOLDERS)

    def load_target(self, sample: Sample, preprocessing: Preprocessing) -> np.ndarray:
        """Read the mask, uint8 of the size of its image."""
        return read_mask(sample.target, read_header(sample.image), preprocessing.binary)

    def count_target(self, sample: Sample, target: np.ndarray, classes: tuple[str, ...]) -> Counter[int]:
        if classes:
            check_labels(sample.target, target, len(classes))
        counts = label_counts(target)
        return Counter({int(label): int(counts[label]) for label in counts.nonzero()[0]})

    def resize_target(self, target: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        return resize_labels(target, size)

    def target_on_surface(self, target: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
        """Return the labels of the surface's samples, int64."""
        return preprocessing.labels_on_surface(target)

    def class_names(self, folder: DatasetFolder, counts: Counter[int]) -> tuple[str, ...]:
        """Return the names of ``classes.txt``, or ``class 0`` up to the largest label in any mask, at least two."""
        largest = max((label for label in counts if label != IGNORE_INDEX), default=0)
        return folder.classes or numbered_class_names(max(2, largest + 1))

    def check_counts(self, training: DatasetFolder, counts: Counter[int], all_counts: Counter[int]) -> None:
        """Check that there are labels to train on, and an object in any of the masks."""
        if IGNORE_INDEX in all_counts and not set(all_counts) - {0, IGNORE_INDEX}:
            rule = "the masks hold only the values 0 and 255, and 255 means 'ignore', so there is no object"
            cure = "add binary=True if 255 marks the object, or save the object with its class index"
            raise FileError(training.root, rule, cure)
        if not set(counts) - {IGNORE_INDEX}:
            raise FileError(training.root, "has no labelled pixel: all are 255, which is ignored", "label some of them")

    def default_augmentations(self, surface: Surface) -> tuple[str, ...]:
        return ("turn",) if surface.spherical else ("flip",)

    def predict(self, output: Tensor, size: tuple[int, int], preprocessing: Preprocessing) -> np.ndarray:
        """Return the class of the largest logit at each pixel, uint8 of ``size``.

        The logits are resampled, not the labels, so that edges are smooth in enlarged images.
        """
        labels = np.zeros(size, dtype=np.uint8)
        if size[0] * size[1] > LARGE_IMAGE:
            for rows, logits in rows_at_size(output, size, preprocessing):
                labels[rows] = logits.argmax(axis=0)
            return labels
        best = np.full(size, -np.inf, dtype=np.float32)
        for index, channel in enumerate(channels_at_size(output, size, preprocessing)):
            better = channel > best
            np.copyto(best, channel, where=better)
            labels[better] = index
        return labels

    def image_measures(self, classes: int, **settings: Any) -> ObjectMeasures:
        return ObjectMeasures(classes, **settings)

    def further_tables(self, evaluation: Mapping[str, Any]) -> list[tuple[str, Table]]:
        """Return the table of objects."""
        return object_table(evaluation)

    def labels(self, prediction: np.ndarray) -> np.ndarray:
        return prediction

    def probabilities(self, output: Tensor, size: tuple[int, int], preprocessing: Preprocessing) -> np.ndarray:
        """Return the softmax of the logits at each pixel; its largest class is that of ``predict``."""
        logits = np.stack(list(channels_at_size(output, size, preprocessing)))
        logits -= logits.max(axis=0)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=0)
        return logits

    def prediction_png(self, prediction: np.ndarray, classes: tuple[str, ...]) -> bytes:
        return index_png(prediction, len(classes))

    def prediction_tile(self, image: Path | Image.Image, prediction: np.ndarray, classes: tuple[str, ...]) -> Tile:
        return _overlay(image, prediction, len(classes)), ""

    def quality_table(self, evaluation: Mapping[str, Any]) -> Table:
        """Return the measures of each class, their means, and the accuracy; on a sphere also weighted by area."""
        complete = complete_measures(evaluation)
        rows: list[list[str | float | None]] = []
        for part, suffix in ((complete, ""), (complete.get("by_area"), ", by area")):
            if part is None:
                continue
            for index, name in enumerate(evaluation["classes"]):
                rows.append([name + suffix, *(part[f"{measure}_by_class"][index] for measure in CLASS_MEASURES)])
            rows.append([f"mean{suffix}", *(part[measure] for measure in CLASS_MEASURES)])
            rows.append([f"accuracy{suffix}", part["accuracy"], *[""] * (len(CLASS_MEASURES) - 1)])
        return ["class", "IoU", "Dice", "precision", "recall", "specificity"], rows

    def quality_line(self, evaluation: Mapping[str, Any]) -> str:
        by_class = zip(evaluation["classes"], evaluation["iou_by_class"], strict=True)
        each = ", ".join(f"{name} {measure_text(iou)}" for name, iou in by_class)
        area = f", by area {measure_text(evaluation['by_area']['iou'])}" if "by_area" in evaluation else ""
        accuracy, mean = measure_text(evaluation["accuracy"]), measure_text(evaluation["iou"])
        return f"accuracy {accuracy}, mean IoU {mean}{area} ({each})"

    def prediction_files(self, out: Path, stems: Iterable[Path]) -> list[Path]:
        stems = list(stems)
        return [out / folder / f"{stem}.png" for folder in (LABELS, OVERLAYS) for stem in stems] + [out / COUNTS]

    def write_predictions(
        self, predictions: Iterable[Prediction], network: TrainedNetwork, out: Path, **settings: Any
    ) -> list[Path]:
        """Write ``labels/STEM.png``, the class index of each pixel shown in colours, and ``overlays/STEM.png``.

        At the end ``counts.csv``, the objects of each class in each image.
        """
        written, classes, table = [], len(network.classes), CountTable(network.classes, **settings)
        for file, stem, labels in predictions:
            written.append(write_bytes(out / LABELS / f"{stem}.png", index_png(labels, classes)))
            write_bytes(out / OVERLAYS / f"{stem}.png", png_bytes(_overlay(file, labels, classes)))
            table.add(stem if isinstance(file, Image.Image) else file, labels, read_header(file), network.preprocessing)
        write_bytes(out / COUNTS, table.content())
        return written

    def tile(self, image: np.ndarray, target: np.ndarray, sample: Sample, classes: tuple[str, ...]) -> Tile:
        return overlay(image, target, len(classes)), sample.image.name

    def draw_predictions(self, page: Page, network: TrainedNetwork, samples: Sequence[Sample]) -> None:
        """Add image, true and predicted labels and errors, on a sphere also as globes."""
        page.legend(legend(network.classes))
        for sample in pick_evenly(samples, REPORT_IMAGES):
            page.row(self._row(network, sample))

    def _row(self, network: TrainedNetwork, sample: Sample) -> list[Tile]:
        preprocessing, classes = network.preprocessing, len(network.classes)
        height, width = preprocessing.size
        scale = max(1.0, REPORT_WIDTH / width)
        size = (round(height * scale), round(width * scale))
        image = preprocessing.image(sample.image)
        predicted = self.predict(network.run_network(image), size, preprocessing)
        true = self.resize_with_image(sample, self.load_target(sample, preprocessing), preprocessing)
        true = _enlarge(true, size)
        picture = np.moveaxis(np.round(image * 255).astype(np.uint8), 0, -1)
        row = [
            (_enlarge(picture, size), sample.image.name),
            (paint(true, classes), "truth"),
            (paint(predicted, classes), "prediction"),
            (error_map(true, predicted), "errors"),
        ]
        if preprocessing.surface.spherical:
            row += [(globe(shown, background=None), f"{caption}, as a globe") for shown, caption in row[:3]]
        return row

    def describe_output(self, surface: Surface) -> str:
        axes = "height, width" if surface.any_size else "samples of the surface"
        return f"logits (batch, class, {axes}); softmax over the classes gives probabilities"


def index_png(labels: np.ndarray, classes: int) -> bytes:
    """Return labels ``(H, W)`` as a PNG whose pixels are the class indices, with a palette to see them; 255 is grey."""
    colours = np.full((256, 3), 128, np.uint8)  # all 256: Pillow fits the bits of a pixel to the palette's length
    colours[:classes] = palette(classes)
    picture = Image.fromarray(labels)
    picture.putpalette(colours.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _overlay(file: Path | Image.Image, labels: np.ndarray, classes: int) -> np.ndarray:
    scale = min(1.0, LARGEST_OVERLAY / max(labels.shape))
    size = (max(1, round(labels.shape[0] * scale)), max(1, round(labels.shape[1] * scale)))
    return overlay(read_image(file, size), resize_labels(labels, size), classes)


def _enlarge(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Enlarge by nearest neighbour, so that every pixel can be seen."""
    rows = (np.arange(size[0]) * picture.shape[0] // size[0])[:, None]
    return picture[rows, np.arange(size[1]) * picture.shape[1] // size[1]]

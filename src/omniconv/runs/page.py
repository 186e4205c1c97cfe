"""The page of a run: what it learned from, how it went, how good it is, and pictures to judge by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from omniconv.data.dataset_folder import Folder, Sample
from omniconv.data.images import read_header
from omniconv.inference.predictor import Predictor
from omniconv.report.charts import confusion, curves
from omniconv.report.globe import globe
from omniconv.report.page import Page
from omniconv.report.pictures import error_map, legend, paint
from omniconv.run_folder import RunFolder, read_json, read_metrics
from omniconv.training.settings import read_config

SHOWN = 4
SHOWN_CLASSES = 12
SMALLEST_TILE = 140
"""Pixels; smaller pictures are shown with larger pixels."""
SHOWN_SIZE = 480


def write_report(run: RunFolder, predictor: Predictor, shown: Folder) -> Path:
    """Write ``report.html`` of a run.

    Args:
        run: the folder, with its settings, measures and evaluation.
        predictor: its network.
        shown: samples whose predictions are shown.
    """
    settings = read_config(run.config)
    page = Page(f"{run.path.resolve().name}: {settings['task']} on {settings['surface']}", subtitle=settings["data"])
    _quality(page, read_json(run.evaluation))
    _course(page, read_metrics(run.metrics))
    _pictures(page, predictor, shown)
    page.heading("Settings")
    page.facts({name: _text(value) for name, value in settings.items()})
    page.heading("Machine and versions")
    page.facts({name: _text(value) for name, value in (read_json(run.environment) or {}).items()})
    page.write(run.report)
    return run.report


def quality_table(found: dict[str, Any]) -> tuple[list[str], list[list[str | float]]]:
    """Measures of an evaluation as a table: a row for each class and one for all."""
    if found["task"] == "classify":
        return _recalls(found)
    by_area = found.get("by_area")
    header = ["class", "IoU", *(["IoU by area"] if by_area else [])]
    rows: list[list[str | float]] = []
    for index, name in enumerate(found["classes"]):
        rows.append([name, found["iou_by_class"][index], *([by_area["iou_by_class"][index]] if by_area else [])])
    rows.append(["mean", found["iou"], *([by_area["iou"]] if by_area else [])])
    rows.append(["accuracy", found["accuracy"], *([by_area["accuracy"]] if by_area else [])])
    return header, rows


def _recalls(found: dict[str, Any]) -> tuple[list[str], list[list[str | float]]]:
    rows: list[list[str | float]] = []
    for index, counts in enumerate(found["confusion"]):
        share = counts[index] / sum(counts) if sum(counts) else None
        rows.append([found["classes"][index], share, sum(counts)])  # type: ignore[list-item]
    rows.append(["all (accuracy)", found["accuracy"], sum(map(sum, found["confusion"]))])
    return ["class", "recognised", "images"], [[name, share, f"{count:.0f}"] for name, share, count in rows]


def _quality(page: Page, found: dict[str, Any] | None) -> None:
    page.heading("Quality")
    if found is None:
        page.text("Nothing was held out, so the quality was not measured.")
        return
    header, rows = quality_table(found)
    page.table(header, rows, caption=f"{found['images']} held-out images; the best epoch was chosen on them.")
    page.svg(confusion(np.array(found["confusion"]), found["classes"]), caption="Share of each true class (rows).")


def _course(page: Page, rows: list[dict[str, float]]) -> None:
    if not rows:
        return
    page.heading("Training")
    for names, label in ((("train_loss", "val_loss"), "loss"), (("val_accuracy", "val_iou"), "quality")):
        series = {name: [(row["epoch"] + 1, row[name]) for row in rows if name in row] for name in names}
        series = {name: points for name, points in series.items() if points}
        if series:
            page.svg(curves(series, label, "epoch", label))
    page.text(f"{len(rows)} epochs, {sum(row['seconds'] for row in rows):.0f} s.")


def _pictures(page: Page, predictor: Predictor, shown: Folder) -> None:
    page.heading("Predictions")
    if predictor.task == "classify":
        page.row([_class_tile(predictor, sample) for sample in _spread(shown, SHOWN_CLASSES)])
        return
    page.legend(legend(predictor.classes))
    for sample in _spread(shown, SHOWN):
        page.row(_labels_row(predictor, sample))


def _spread(shown: Folder, count: int) -> list[Sample]:
    """At most ``count`` samples, evenly from the first to the last, so that every class has its turn."""
    places = np.linspace(0, len(shown.samples) - 1, min(count, len(shown.samples))).astype(int)
    return [shown.samples[place] for place in places]


def _class_tile(predictor: Predictor, sample: Sample) -> tuple[np.ndarray, str]:
    probabilities = predictor.probabilities(sample.image)
    best = int(probabilities.argmax())
    caption = f"{sample.image.name}: {predictor.classes[best]} ({100 * probabilities[best]:.0f} %)"
    if isinstance(sample.target, int) and sample.target != best:
        caption += f", truly {predictor.classes[sample.target]}"
    picture = _bytes(predictor.preprocessing.image(sample.image))
    scale = -(-SMALLEST_TILE // picture.shape[1])
    return np.repeat(np.repeat(picture, scale, 0), scale, 1), caption


def _labels_row(predictor: Predictor, sample: Sample) -> list[tuple[np.ndarray, str]]:
    height, width = predictor.preprocessing.size
    scale = max(1.0, SHOWN_SIZE / width)
    size = (round(height * scale), round(width * scale))
    image = predictor.preprocessing.image(sample.image)
    predicted = predictor.labels_at(predictor.logits(image), size)
    true = _enlarge(predictor.preprocessing.labels(sample.target, read_header(sample.image)), size)  # type: ignore[arg-type]
    classes = len(predictor.classes)
    row = [
        (_enlarge(_bytes(image), size), sample.image.name),
        (paint(true, classes), "truth"),
        (paint(predicted, classes), "prediction"),
        (error_map(true, predicted), "errors"),
    ]
    if predictor.preprocessing.surface.spherical:
        row += [(globe(picture), f"{caption}, as a globe") for picture, caption in row[:3]]
    return row


def _enlarge(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    rows = (np.arange(size[0]) * picture.shape[0] // size[0])[:, None]
    return picture[rows, np.arange(size[1]) * picture.shape[1] // size[1]]


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.round(image * 255).astype(np.uint8), 0, -1)


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)

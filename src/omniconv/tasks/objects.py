"""Counts of objects in the label maps of segmentation: measures, table, and ``counts.csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torchmetrics import Metric

from omniconv.data.images import Header
from omniconv.data.preprocessing import Preprocessing
from omniconv.metrics.objects import MATCH_IOU, Wrapping, count_objects, match_objects
from omniconv.tasks.base import Table
from omniconv.tasks.metrics import mean_measure

Count = Annotated[float, Field(ge=0)]


class ObjectEvaluation(BaseModel):
    """Entry ``objects`` of ``evaluation.json``, see ``ObjectMeasures.compute``."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)
    min_object: Count
    true: list[Count]
    predicted: list[Count]
    matched: list[Count]
    count_error: list[Count | None]

    @property
    def lengths(self) -> set[int]:
        """Numbers of values of the lists."""
        return {len(part) for part in (self.true, self.predicted, self.matched, self.count_error)}


class ObjectMeasures(Metric):
    """Numbers of objects of each class, and of those that are found, over images at their own size.

    Args:
        classes: number of classes.
        min_object: smallest object that is counted, in pixels, on a sphere pixels at the equator.
    """

    full_state_update = False
    counts: Tensor
    count_error: Tensor
    images: Tensor

    def __init__(self, classes: int, min_object: float = 0) -> None:
        super().__init__()
        self.classes, self.min_object = classes, min_object
        self.add_state("counts", torch.zeros(3, classes, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count_error", torch.zeros(classes, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predicted: np.ndarray, true: np.ndarray, header: Header, preprocessing: Preprocessing) -> None:
        """Add the labels ``(H, W)`` of an image; ignored pixels of ``true`` count in neither."""
        grid = object_grid(header, preprocessing)
        counts = torch.from_numpy(
            np.stack(match_objects(true, predicted, self.classes, min_size=self.min_object, **grid))
        )
        self.counts += counts
        self.count_error += (counts[0] - counts[1]).abs()
        self.images += 1

    def compute(self) -> dict[str, Any]:
        """Return the measures as ``objects``.

        For each class the numbers of ``true``, ``predicted`` and ``matched`` objects of all images, and
        ``count_error``, the mean over the images of the absolute difference of the first two.
        """
        true, predicted, matched = self.counts.tolist()
        images = float(self.images)
        errors = [error / images if images else None for error in self.count_error.tolist()]
        found = {"true": true, "predicted": predicted, "matched": matched, "count_error": errors}
        return {"objects": {"min_object": self.min_object, **found}}


def object_grid(header: Header, preprocessing: Preprocessing) -> dict[str, Any]:
    """Return the arguments ``panorama`` and ``areas`` of ``count_objects`` for an image file."""
    if not preprocessing.surface.spherical:
        return {}
    areas = preprocessing.pixel_areas(header)[:, 0]
    height, width = header.panorama_size
    at_equator = 2 * np.pi**2 / (height * width)  # π / height times 2π / width
    rows, columns = header.crop.own_box(*header.size) if header.crop else (slice(0, height), slice(0, width))
    wrapping = Wrapping(columns.stop - columns.start == width, rows.start == 0, rows.stop == height)
    return {"panorama": wrapping, "areas": areas / at_equator}


def object_table(evaluation: Mapping[str, Any]) -> list[tuple[str, Table]]:
    """Return the table of ``objects`` with its caption; nothing for an evaluation without them."""
    found = evaluation.get("objects")
    if found is None:
        return []
    caption = f"Objects: connected pixels of a class; found ones have an IoU of at least {MATCH_IOU} with a true one."
    if found["min_object"]:
        caption += f" Objects below {found['min_object']:g} pixels are left out."
    rows: list[list[str | float | None]] = []
    columns = (found[name] for name in ("true", "predicted", "matched", "count_error"))
    for name, true, predicted, matched, error in zip(evaluation["classes"], *columns, strict=True):
        measures = [
            part / whole if whole else None
            for part, whole in ((matched, predicted), (matched, true), (2 * matched, predicted + true))
        ]
        rows.append([name, int(true), int(predicted), int(matched), error, *measures])
    means = [mean_measure([row[column] for row in rows]) for column in range(4, 8)]  # type: ignore[misc]  # no text
    totals = [sum(int(count) for count in found[name]) for name in ("true", "predicted", "matched")]
    rows.append(["all, mean", *totals, *means])
    header = ["class", "true", "predicted", "found", "count error per image", "precision", "recall", "F1"]
    return [(caption, (header, rows))]


class CountTable:
    """Rows of ``counts.csv``: the objects of each class in each image, and the share of its area that the class covers.

    Args:
        classes: names of the classes.
        min_object: smallest object that is counted.
    """

    def __init__(self, classes: Sequence[str], min_object: float = 0) -> None:
        self.classes, self.min_object = classes, min_object
        self._rows: list[list[str]] = []

    def add(self, file: Path, labels: np.ndarray, header: Header, preprocessing: Preprocessing) -> None:
        """Add a row for each class, also of those that the image lacks."""
        grid = object_grid(header, preprocessing)
        objects = count_objects(labels, len(self.classes), min_size=self.min_object, **grid)
        areas = grid.get("areas", np.ones(len(labels)))
        total = areas.sum() * labels.shape[1]
        for index, name in enumerate(self.classes):
            share = areas @ np.count_nonzero(labels == index, axis=1) / total
            self._rows.append([str(file), name, str(objects[index]), f"{share:.6f}"])

    def content(self) -> bytes:
        """Return the file; names are written as they are, as in ``predictions.csv``."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["image", "class", "objects", "share"])
        writer.writerows(self._rows)
        return text.getvalue().encode(errors="surrogateescape")

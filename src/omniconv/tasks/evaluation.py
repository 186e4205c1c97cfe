"""Measures of the predictions of single images, at the images' own size."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchmetrics import Metric

from omniconv.data.classes import match_classes
from omniconv.data.images import Header, read_header
from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample
from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import FileError
from omniconv.models.registry import IMAGE_OUTPUTS
from omniconv.tasks.base import Task, TrainedNetwork


def of_this_process(metric: Metric) -> Metric:
    """Return a metric after setting that its result is that of this process alone, also if there are others."""
    for part in metric.modules():
        if isinstance(part, Metric):
            part.distributed_available_fn = _never
    return metric


def _never() -> bool:
    return False


class Measurement:
    """Measures of predictions, collected image by image.

    Args:
        task: defines the metric.
        classes: number of classes or output channels.
        by_area: also measure with each pixel of a panorama weighted by its area.
        settings: values of the task's ``prediction_settings``.
    """

    def __init__(self, task: Task, classes: int, by_area: bool, settings: Mapping[str, Any]) -> None:
        self.task, self.images = task, 0
        self._metric = of_this_process(task.metric(classes))
        self._by_area = of_this_process(task.metric(classes)) if by_area else None
        self._further = task.image_measures(classes, **settings)
        if isinstance(self._further, Metric):
            of_this_process(self._further)

    def add(self, predicted: np.ndarray, true: np.ndarray, header: Header, preprocessing: Preprocessing) -> None:
        """Add the prediction and the target of one image, and the header of its file."""
        self.images += 1
        compared = self.task.compare(predicted, true)
        self._metric.update(*compared, None)
        if self._by_area is not None:
            self._by_area.update(*compared, torch.from_numpy(preprocessing.pixel_areas(header)))
        if self._further is not None:
            self._further.update(predicted, true, header, preprocessing)

    def result(self) -> dict[str, Any]:
        """Return the number of images and the measures, in types that JSON can express."""
        by_area = {} if self._by_area is None else {"by_area": self._by_area.compute()}
        further = {} if self._further is None else self._further.compute()
        return {"images": self.images, **self.task.evaluation(self._metric), **by_area, **further}


def evaluate_images(
    task: Task,
    predictor: TrainedNetwork,
    folder: DatasetFolder,
    step: Callable[[], None],
    trained_on: Container[Path] | None,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the measures of ``Task.metric`` and ``Task.image_measures`` of each image; see ``Task.evaluate``."""
    classes = predictor.classes
    indices = match_classes(folder.root, folder.classes, classes, "the network")
    weighted = task.output in IMAGE_OUTPUTS and predictor.preprocessing.surface.spherical
    of_all, of_unseen = (Measurement(task, len(classes), weighted, settings) for _ in range(2))
    for sample in folder.samples:
        target = task.load_target(sample, predictor.preprocessing)
        _check_target(task, sample, target, folder.classes, classes)
        if indices is not None:
            target = task.relabel(target, indices)
        predicted, header = predictor.predict(sample.image), read_header(sample.image)
        of_all.add(predicted, target, header, predictor.preprocessing)
        if trained_on is not None and sample.image not in trained_on:
            of_unseen.add(predicted, target, header, predictor.preprocessing)
        step()
    measures = of_all.result()
    if trained_on is not None:
        measures["trained_on"] = of_all.images - of_unseen.images
        if measures["trained_on"]:
            measures["unseen"] = of_unseen.result() if of_unseen.images else None
    return measures


def _check_target(task: Task, sample: Sample, target: np.ndarray, own: tuple[str, ...], known: tuple[str, ...]) -> None:
    """Check the target of a sample of a folder with its own class names, or else against those of the network."""
    try:
        task.count_target(sample, target, own or known)
    except FileError as error:
        if own:
            raise
        cure = f"the network knows {', '.join(known)}: set other pixels to 255 to ignore them"
        raise FileError(error.path, error.rule, cure) from error

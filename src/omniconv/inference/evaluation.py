"""Evaluation of a network on samples with known targets, at the images' own size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from omniconv.data.layouts.dataset_folder import DatasetFolder, find_splits
from omniconv.errors import FileError, InputError
from omniconv.inference.predictor import Predictor
from omniconv.run_folder import find_run
from omniconv.surfaces import panorama
from omniconv.training.dataset_splits import read_splits


def evaluate(predictor: Predictor, folder: DatasetFolder, step: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Return the task's measures over all samples of a folder, the content of ``evaluation.json``.

    For dense tasks on a sphere, ``by_area`` is the result of the task's metric with each pixel weighted by its area.

    Args:
        predictor: the network.
        folder: the samples; its classes must be the network's.
        step: called after each sample.

    Raises:
        FileError: the classes are not the network's, or a file cannot be used.
    """
    check_classes(predictor, folder)
    task, classes = predictor.task, predictor.classes
    weighted = task.output == "dense" and predictor.preprocessing.surface.spherical
    metric, by_area = task.metric(len(classes)), task.metric(len(classes))
    for sample in folder.samples:
        target = task.load_target(sample, predictor.preprocessing)
        task.count_target(sample, target, classes)
        predicted, true = task.compare(predictor.predict(sample.image), target)
        metric.update(predicted, true, None)
        if weighted:
            areas = panorama.pixel_areas(true.shape[-2], true.shape[-1])
            by_area.update(predicted, true, torch.from_numpy(np.ascontiguousarray(areas)))
        step()
    measures = task.evaluation(metric) | ({"by_area": by_area.compute()} if weighted else {})
    return {"task": task.name, "images": len(folder.samples), "classes": list(classes), **measures}


def find_samples(predictor: Predictor, run: Path, data: Path | None, split: str | None = None) -> DatasetFolder:
    """Return the samples of a data set, or without one those that a run held out.

    Args:
        predictor: the network of the run.
        run: folder of the run.
        data: folder of images with targets.
        split: ``train``, ``val`` or ``test``; by default ``test``, else ``val``, else all images, else ``train``.

    Raises:
        InputError: the data set has no such split, or the run held out nothing.
    """
    if data is None:
        held_out = read_splits(find_run(run).data).validation
        if held_out is None:
            rule = "is required, since the run held out no images"
            raise InputError("DATA", None, rule, "write: omniconv evaluate RUN DATA")
        return held_out
    splits = find_splits(predictor.task.scan, data, predictor.task.expected)
    for name in (split,) if split else ("test", "val", "all", "train"):
        if name in splits:
            return splits[name]
    raise InputError("split", split, f"must be one of {', '.join(splits)}, the splits of {data}", "choose one of them")


def check_classes(predictor: Predictor, folder: DatasetFolder) -> None:
    """Check that a folder has the classes of the network, or does not name its classes."""
    if folder.classes and folder.classes != predictor.classes:
        rule = f"has the classes {', '.join(folder.classes)}, but the network has {', '.join(predictor.classes)}"
        raise FileError(folder.root, rule, "use data of the same classes, in the same order")

"""How good a network is on images with known answers, at the images' own size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from omniconv.data.dataset_folder import Folder, Sample
from omniconv.data.images import read_header
from omniconv.data.masks import check_labels, read_mask
from omniconv.errors import FileError
from omniconv.inference.predictor import Predictor
from omniconv.surfaces import panorama
from omniconv.training.metrics import Confusion


def evaluate(predictor: Predictor, folder: Folder, step: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Measures over all samples of a folder: plain data, as ``evaluation.json`` holds it.

    ``accuracy``, ``iou`` (mean over classes) and ``iou_by_class`` count pixels or images; on a sphere ``by_area`` has
    the same with each pixel counted as large as it is there. ``confusion`` has a row for each true class.

    Args:
        predictor: the network.
        folder: the samples; its classes must be the network's.
        step: called after each sample.

    Raises:
        FileError: other classes than the network's, or a file that cannot be used.
    """
    check_classes(predictor, folder)
    plain, by_area = Confusion(len(predictor.classes)), Confusion(len(predictor.classes))
    for sample in folder.samples:
        predicted, true, areas = _answers(predictor, sample)
        plain.update(predicted, true)
        by_area.update(predicted, true, areas)
        step()
    result: dict[str, Any] = {
        "task": predictor.task,
        "images": len(folder.samples),
        "classes": list(predictor.classes),
        **plain.compute(),
    }
    result["confusion"] = plain.counts.tolist()
    if predictor.task == "segment" and predictor.preprocessing.surface.spherical:
        result["by_area"] = by_area.compute()
    return result


def check_classes(predictor: Predictor, folder: Folder) -> None:
    """The folder's classes are the network's; unnamed ones may be fewer."""
    names, known = folder.classes, predictor.classes
    unnamed = folder.task == "segment" and all(name.startswith("class ") for name in names) and len(names) <= len(known)
    if names != known and not unnamed:
        raise FileError(folder.root, f"has the classes {', '.join(names)}, but the network knows {', '.join(known)}",
                        "give data of the same classes, in the same order")  # fmt: skip


def _answers(predictor: Predictor, sample: Sample) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Predicted and true labels of a sample, and the areas of its pixels on a sphere."""
    if isinstance(sample.target, int):
        predicted = int(predictor.probabilities(sample.image).argmax())
        return torch.tensor([predicted]), torch.tensor([sample.target]), None
    header = read_header(sample.image)
    true = read_mask(sample.target, header, predictor.preprocessing.binary)
    check_labels(sample.target, true, len(predictor.classes))
    areas = None
    if predictor.preprocessing.surface.spherical:
        areas = torch.from_numpy(np.ascontiguousarray(panorama.pixel_areas(*true.shape)))
    return torch.from_numpy(predictor.labels(sample.image)), torch.from_numpy(true), areas

"""Networks of one definition on several surfaces, measured on the part of the Earth that they never saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from omniconv.demo.earth import CLASSES, Earth
from omniconv.inference.predictor import Predictor
from omniconv.run_folder import RunFolder, read_metrics
from omniconv.surfaces import panorama
from omniconv.tasks.metrics import Confusion

ROTATIONS = 8
BANDS = {"0–30°": (0, 30), "30–60°": (30, 60), "60–90°": (60, 90)}


@dataclass(frozen=True, eq=False)
class View:
    """A picture of the Earth, what is land in it, and where to measure.

    Attributes:
        image: float32 ``(3, H, W)`` in 0 … 1.
        land: uint8 ``(H, W)``.
        measured: bool ``(H, W)``.
    """

    image: np.ndarray
    land: np.ndarray
    measured: np.ndarray


@dataclass(frozen=True, eq=False)
class Result:
    """One network's measures.

    Attributes:
        name: of the network.
        upright: measures of the upright picture.
        rotated: measures over all rotated pictures together.
        seconds: median time of an epoch.
        pictures: its labels for the first view of each kind.
    """

    name: str
    upright: dict[str, float]
    rotated: dict[str, float]
    seconds: float
    pictures: tuple[np.ndarray, np.ndarray]


def views(earth: Earth, seed: int) -> tuple[View, list[View]]:
    """The Earth upright, and after random rotations of the sphere."""
    image = np.moveaxis(earth.image, -1, 0).astype(np.float32) / 255
    upright = View(image, earth.land, earth.unseen)
    turned = []
    for rotation in Rotation.random(ROTATIONS, rng=np.random.default_rng(seed)).as_matrix():
        labels = [panorama.rotate(part, rotation, "nearest") for part in (earth.land, earth.unseen)]
        turned.append(View(panorama.rotate(image, rotation), labels[0], labels[1]))
    return upright, turned


def measure(name: str, run: RunFolder, device: str, upright: View, turned: list[View]) -> Result:
    """Score a run's network on the upright and the rotated pictures."""
    predictor = Predictor.open(run.path, device)
    first, *others = (_labels(predictor, view) for view in (upright, *turned))
    seconds = float(np.median([row["seconds"] for row in read_metrics(run.metrics)]))
    scores = score([upright], [first]), score(turned, others)
    return Result(name, *scores, seconds, (first, others[0]))


def score(seen: list[View], predicted: list[np.ndarray]) -> dict[str, float]:
    """Mean IoU of land and sea: by pixels, by area, and by area in bands of the picture's latitude, north and south."""
    height, width = seen[0].land.shape
    areas = panorama.pixel_areas(height, width)
    latitude = np.abs(90 - (np.arange(height) + 0.5) * 180 / height)[:, None]
    weights = {"IoU": np.ones_like(areas), "IoU by area": areas}
    weights |= {band: areas * ((latitude >= low) & (latitude < high)) for band, (low, high) in BANDS.items()}
    return {name: _iou(seen, predicted, weight) for name, weight in weights.items()}


def _iou(seen: list[View], predicted: list[np.ndarray], weight: np.ndarray) -> float:
    confusion = Confusion(len(CLASSES))
    for view, labels in zip(seen, predicted, strict=True):
        confusion.update(*(torch.from_numpy(part) for part in (labels, view.land, weight * view.measured)))
    iou = confusion.compute()["iou"]
    return float(iou) if isinstance(iou, float) else float("nan")


def _labels(predictor: Predictor, view: View) -> np.ndarray:
    height, width = predictor.preprocessing.size
    image = panorama.resize(view.image, height, width)
    size = (view.land.shape[0], view.land.shape[1])
    return predictor.task.predict(predictor.run_network(image), size, predictor.preprocessing)

"""Quality of networks on the held-out part of the Earth, upright and after rotations of the sphere."""

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

ROTATED_VIEWS = 8
LATITUDE_RANGES = {"0–30°": (0, 30), "30–60°": (30, 60), "60–90°": (60, 90)}


@dataclass(frozen=True, eq=False)
class EarthView:
    """Image of the Earth with its labels and the part to measure on."""

    image: np.ndarray  # float32 (3, H, W) from 0 to 1
    land: np.ndarray  # uint8 (H, W), 1 on land
    measured: np.ndarray  # bool (H, W), True where predictions are measured


@dataclass(frozen=True, eq=False)
class Result:
    """Measures of one network."""

    name: str
    upright: dict[str, float]  # measures on the upright view
    rotated: dict[str, float]  # measures over all rotated views together
    seconds: float  # median time of an epoch
    predictions: tuple[np.ndarray, np.ndarray]  # labels of the upright and of the first rotated view


def views(earth: Earth, seed: int) -> tuple[EarthView, list[EarthView]]:
    """Return the upright view, and views after random rotations of the sphere."""
    image = np.moveaxis(earth.image, -1, 0).astype(np.float32) / 255
    upright = EarthView(image, earth.land, earth.unseen)
    rotated = []
    for rotation in Rotation.random(ROTATED_VIEWS, rng=np.random.default_rng(seed)).as_matrix():
        labels = [panorama.rotate(part, rotation, "nearest") for part in (earth.land, earth.unseen)]
        rotated.append(EarthView(panorama.rotate(image, rotation), labels[0], labels[1]))
    return upright, rotated


def measure(name: str, run: RunFolder, device: str, upright: EarthView, rotated: list[EarthView]) -> Result:
    """Measure a run's network on the upright and the rotated views."""
    predictor = Predictor.open(run.path, device)
    first, *others = (_labels(predictor, view) for view in (upright, *rotated))
    seconds = float(np.median([row["seconds"] for row in read_metrics(run.metrics)]))
    scores = score([upright], [first]), score(rotated, others)
    return Result(name, *scores, seconds, (first, others[0]))


def score(views: list[EarthView], predicted: list[np.ndarray]) -> dict[str, float]:
    """Return the mean IoU of land and sea: by pixels, by area, and by area in bands of the view's absolute latitude."""
    height, width = views[0].land.shape
    areas = panorama.pixel_areas(height, width)
    latitude = np.abs(90 - (np.arange(height) + 0.5) * 180 / height)[:, None]
    weights = {"IoU": np.ones_like(areas), "IoU by area": areas}
    weights |= {band: areas * ((latitude >= low) & (latitude < high)) for band, (low, high) in LATITUDE_RANGES.items()}
    return {name: _iou(views, predicted, weight) for name, weight in weights.items()}


def _iou(views: list[EarthView], predicted: list[np.ndarray], weight: np.ndarray) -> float:
    confusion = Confusion(len(CLASSES))
    for view, labels in zip(views, predicted, strict=True):
        confusion.update(*(torch.from_numpy(part) for part in (labels, view.land, weight * view.measured)))
    iou = confusion.compute()["iou"]
    return float(iou) if isinstance(iou, float) else float("nan")


def _labels(predictor: Predictor, view: EarthView) -> np.ndarray:
    height, width = predictor.preprocessing.size
    image = panorama.resize(view.image, height, width)
    size = (view.land.shape[0], view.land.shape[1])
    return predictor.task.predict(predictor.run_network(image), size, predictor.preprocessing)

"""Sets of images in the forms that measures compare: features, small pictures, panoramas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from PIL import Image

from omniconv.data.layouts.dataset_folder import Sample, pick_evenly
from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import FileError
from omniconv.metrics.features import FeatureNetwork, train_features
from omniconv.models.levels import fixed_grid
from omniconv.surfaces import Equirectangular, Plane, Surface, panorama
from omniconv.tasks.base import TrainedNetwork
from omniconv.tasks.generate.sampling import pictures

MAX_BYTES = 2**29
"""Largest size in memory of the training images that features are trained on and samples are compared with; of more
images some are picked."""
MAX_ROWS = 32
"""Rows of the pictures in which copies of training images are looked for."""
MAX_PANORAMAS = 256
"""Number of panoramas whose seams and cube faces are compared."""
BATCH = 64
"""Images that are read at once."""
FEATURES = "features.safetensors"
"""Network of the features in the folder of a run."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images in several forms.

    Attributes:
        features: ``(n, d)``.
        classes: class of each image by the network of the features; ``None`` if that knows no classes.
        pictures: images of at most ``MAX_ROWS`` rows, ``(n, channels, rows, columns)`` in 0 … 1.
        panoramas: on a sphere at most ``MAX_PANORAMAS`` of the images at full size.
    """

    features: np.ndarray
    classes: np.ndarray | None
    pictures: np.ndarray
    panoramas: np.ndarray | None


def training_samples(samples: Sequence[Sample], preprocessing: Preprocessing) -> list[Sample]:
    """Return training samples, evenly spaced, whose images fit into ``MAX_BYTES``."""
    surface = preprocessing.surface
    grid = preprocessing.size if surface.any_size else fixed_grid(surface)
    return pick_evenly(samples, max(2, MAX_BYTES // (12 * prod(grid))))  # 12 bytes: three channels in float32


def signal_batches(samples: Sequence[Sample], preprocessing: Preprocessing) -> Iterator[np.ndarray]:
    """Read images as normalized signals ``(n, channels, *grid)``, a batch at a time."""
    for start in range(0, len(samples), BATCH):
        images = (preprocessing.image(sample.image) for sample in samples[start : start + BATCH])
        yield np.stack([preprocessing.on_surface(image) for image in images])


def compared_channels(signals: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Return signals as they are compared: of grey training images, whose channels are equal, the channels' mean."""
    return signals.mean(axis=1, keepdims=True) if preprocessing.is_grey else signals


def feature_network(
    predictor: TrainedNetwork, signals: np.ndarray, labels: Sequence[int] | None, file: str = FEATURES
) -> FeatureNetwork:
    """Return a network for features of images, from the folder of the run if an earlier call has trained it.

    Args:
        predictor: the network of the run.
        signals: training images ``(n, channels, *grid)``.
        labels: class of each.
        file: name of the file in the folder of the run.
    """
    path = None if predictor.folder is None else predictor.folder.path / file
    if path is not None and path.is_file():
        with suppress(FileError):  # damaged: trained again
            known = FeatureNetwork.load(path)
            arguments = known.network.arguments
            if known.settings.get("images") == len(signals) and arguments["in_channels"] == signals.shape[1]:
                return known
    network = train_features(signals, predictor.preprocessing.surface, labels)
    if path is not None:
        with suppress(FileError):  # the folder cannot be written: trained again the next time
            network.save(path)
    return network


def image_set(batches: Iterable[np.ndarray], network: FeatureNetwork, preprocessing: Preprocessing) -> ImageSet:
    """Return images, given as batches of normalized signals ``(n, channels, *grid)``, in the forms to compare."""
    features, classes, small = [], [], []
    whole: list[np.ndarray] = []
    for signals in batches:
        compared = compared_channels(signals, preprocessing)
        features.append(network(compared))
        if network.kind == "classifier":
            classes.append(network.classify(compared))
        images = np.moveaxis(pictures(torch.from_numpy(signals), preprocessing), -1, 1)
        images = images[:, :1] if preprocessing.is_grey else images
        small.append(shrink(images, preprocessing.surface))
        if preprocessing.surface.spherical and sum(map(len, whole)) < MAX_PANORAMAS:
            whole.append(images[: MAX_PANORAMAS - sum(map(len, whole))].astype(np.float32) / 255)
    return ImageSet(
        np.concatenate(features),
        np.concatenate(classes) if classes else None,
        np.concatenate(small),
        np.concatenate(whole) if whole else None,
    )


def shrink(images: np.ndarray, surface: Surface) -> np.ndarray:
    """Return images ``(n, channels, height, width)``, uint8, at most ``MAX_ROWS`` high and in 0 … 1."""
    height, width = images.shape[2:]
    size = min(height, MAX_ROWS), max(1, round(width * min(height, MAX_ROWS) / height))
    if size == (height, width):
        return images.astype(np.float32) / 255
    if surface.spherical:
        return panorama.resize(images.astype(np.float32) / 255, *size)
    planes = (Image.fromarray(plane) for plane in images.reshape(-1, height, width))
    resized = np.stack([np.asarray(plane.resize(size[::-1], Image.Resampling.BOX)) for plane in planes])
    return resized.reshape(*images.shape[:2], *size).astype(np.float32) / 255


def picture_surface(surface: Surface) -> Surface:
    """Return the surface of pictures: panoramas or planes."""
    return Equirectangular() if surface.spherical else Plane()

"""What is done to an image before a network sees it: the same in training, evaluation and prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from omniconv.data.dataset_folder import Sample
from omniconv.data.images import Header, read_header, read_image
from omniconv.data.masks import read_mask
from omniconv.surfaces import Surface, panorama, surface

Channels = tuple[float, ...]

BIGGEST_SAMPLE = 200
"""Images from which the mean and spread of the channels are taken."""


@dataclass(frozen=True)
class Preparation:
    """From a file to a network's input.

    An image is brought to ``size``, put onto the surface, and standardised channel by channel.

    Args:
        surface: short name of the surface.
        size: rows and columns that images are brought to before they go onto the surface.
        mean: mean of each channel, in 0 … 1.
        spread: standard deviation of each channel.
        binary: masks are 0 and 255, and 255 is class 1.
    """

    surface: str
    size: tuple[int, int]
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    spread: tuple[float, ...] = (0.25, 0.25, 0.25)
    binary: bool = False

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Preparation:
        """From what ``plain`` gave."""
        tuples: Any = {key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}
        return cls(**tuples)

    def plain(self) -> dict[str, Any]:
        """Numbers, texts and lists only."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @property
    def where(self) -> Surface:
        """The surface itself."""
        return surface(self.surface)

    def image(self, path: str | Path) -> np.ndarray:
        """An image file at ``size``, float32 ``(3, *size)`` in 0 … 1."""
        height, width = self.size
        if not self.where.spherical:
            return _channels_first(read_image(path, self.size))
        header = read_header(path)
        near = (min(header.height, 4 * height), min(header.width, 4 * width))  # the rest without a seam
        return panorama.resize(_channels_first(read_image(path, near)), height, width)

    def labels(self, path: str | Path, image_header: Header | None = None) -> np.ndarray:
        """A mask file at ``size``, uint8 ``size``, each pixel with the label at its centre."""
        return nearest(read_mask(path, image_header, self.binary), self.size)

    def on_surface(self, image: np.ndarray) -> np.ndarray:
        """An image ``(3, *size)`` on the surface, standardised: what the network sees."""
        signal = image if self.where.is_open else self.where.from_equirectangular(image)
        shape = (-1, *[1] * (signal.ndim - 1))
        mean, spread = (np.reshape(values, shape) for values in (self.mean, self.spread))
        return np.ascontiguousarray((signal - mean) / spread, dtype=np.float32)

    def labels_on_surface(self, labels: np.ndarray) -> np.ndarray:
        """A mask of ``size`` on the surface, int64: what the loss sees."""
        where = self.where
        return (labels if where.is_open else where.from_equirectangular(labels, "nearest")).astype(np.int64)

    def areas(self) -> np.ndarray | None:
        """Area of each sample of the network's grid, mean 1; ``None`` on a plane, where all are alike."""
        where = self.where
        if not where.spherical:
            return None
        areas = where.areas(self.size if where.is_open else None)
        return np.asarray(areas / areas.mean(), dtype=np.float32)


def default_size(where: Surface, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The size that images are brought to where the user names none.

    A mesh asks for the panorama that it can show. Else the images' own size if they all have it and it is at most
    512 rows, otherwise 256 rows, with twice as many columns for panoramas.
    """
    height = where.panorama_height()
    if height is not None:
        return height, 2 * height
    own = set(sizes)
    if len(own) == 1 and max(next(iter(own))) <= (1024 if where.spherical else 512):
        return next(iter(own))
    return (256, 512) if where.spherical else (256, 256)


def channel_statistics(
    preparation: Preparation, samples: Sequence[Sample]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over at most ``BIGGEST_SAMPLE`` images, evenly picked."""
    places = np.linspace(0, len(samples) - 1, min(BIGGEST_SAMPLE, len(samples))).astype(int)
    picked = [samples[place] for place in places]
    sums = np.zeros((2, 3))
    for sample in picked:
        image = preparation.image(sample.image).astype(np.float64)
        sums += image.mean(axis=(1, 2)), (image**2).mean(axis=(1, 2))
    mean, square = sums / len(picked)
    spread = np.sqrt(np.maximum(square - mean**2, 1e-4))
    return tuple(np.round(mean, 6).tolist()), tuple(np.round(spread, 6).tolist())


def nearest(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Labels ``(H, W)`` at another size, each pixel with the label at its centre."""
    if labels.shape == size:
        return labels
    return np.asarray(Image.fromarray(labels).resize(size[::-1], Image.Resampling.NEAREST))


def _channels_first(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(image, -1, 0), dtype=np.float32) / 255

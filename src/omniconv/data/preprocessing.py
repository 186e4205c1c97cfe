"""Preprocessing of images and masks: the same in training, evaluation and prediction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from omniconv.checks import is_integer
from omniconv.data.hole_masks import HOLES
from omniconv.data.images import MAX_PIXELS, Header, read_header, read_image
from omniconv.data.layouts.dataset_folder import Sample, pick_evenly
from omniconv.data.masks import IGNORE_INDEX, read_mask
from omniconv.errors import FileError
from omniconv.surfaces import Surface, panorama, surface

IMAGE_CHANNELS = 3
"""Channels of the input of every network that is trained on images: files are read as RGB."""
LEAST_KNOWN = 0.5
"""Share of a sample that must be known; a smaller one is in the hole."""
STATISTICS_IMAGES = 200
"""Largest number of images read for the mean and standard deviation of the channels."""


@dataclass(frozen=True)
class Preprocessing:
    """Conversion of an image file to the input of a network.

    An image is resized to ``size``, resampled to the surface, and normalized per channel. On a sphere an image whose
    GPano metadata says that it is a part of a panorama is placed in the whole, on black.

    Args:
        surface: surface of the network's input.
        size: rows and columns that images are resized to before they are resampled to the surface.
        mean: mean of each channel, in 0 … 1.
        std: standard deviation of each channel.
        binary: masks contain 0 and 255, and 255 is class 1; a setting of segmentation, stored in every run.
        holes: style of the holes that inpainting draws, see ``omniconv.data.hole_masks``; empty for other tasks.
    """

    surface: Surface
    size: tuple[int, int]
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.25, 0.25, 0.25)
    binary: bool = False
    holes: str = ""

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Preprocessing:
        """Rebuild from the result of ``to_json``.

        Raises:
            ValueError: a value is out of range.
            KeyError, TypeError, AttributeError, OverflowError: a value is missing or of another type.
        """
        size, mean, std = (content[key] for key in ("size", "mean", "spread"))
        numbers = [*mean, *std]
        if len(size) != 2 or not all(map(is_integer, size)) or prod(size) > MAX_PIXELS:
            raise ValueError("its size is out of range")
        is_numeric = all(type(number) in (int, float) for number in numbers)
        if len(mean) != IMAGE_CHANNELS or len(std) != IMAGE_CHANNELS or not is_numeric:
            raise ValueError("its mean or standard deviation is not that of three channels")
        if not all(map(isfinite, numbers)) or min(std) <= 0:
            raise ValueError("its mean or standard deviation is out of range")
        if type(content.get("binary", False)) is not bool:
            raise ValueError("its flag for binary masks is not a boolean")
        if content.get("holes", "") not in ("", *HOLES):
            raise ValueError("its style of holes is unknown")
        tuples: Any = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
        tuples |= {"surface": surface(content["surface"]), "std": tuples.pop("spread")}
        return cls(**tuples)

    def to_json(self) -> dict[str, Any]:
        """Return the content of run and model files, in which the key of ``std`` is ``spread``."""
        return {
            "surface": str(self.surface), "size": list(self.size), "mean": list(self.mean), "spread": list(self.std),
            "binary": self.binary, **({"holes": self.holes} if self.holes else {}),
        }  # fmt: skip

    @property
    def is_grey(self) -> bool:
        """True if the training images were grey: mean and standard deviation of their three channels are equal."""
        return len(set(self.mean)) == 1 and len(set(self.std)) == 1

    def image(self, path: str | Path | Image.Image, header: Header | None = None) -> np.ndarray:
        """Read an image file, or take a Pillow image, at ``size``, float32 ``(3, *size)`` in 0 … 1.

        Args:
            path: the image.
            header: header of the file that a Pillow image was read from; by default that of ``path``.
        """
        height, width = self.size
        if not self.surface.spherical:
            return _channels_first(read_image(path, self.size))
        header = header or read_header(path)
        rows, columns = self._larger_size(header)
        if header.crop is None:
            picture = read_image(path, (rows, columns))
        else:
            check_panorama_size(path, header)
            part = header.crop.box(rows, columns)
            picture = np.zeros((rows, columns, IMAGE_CHANNELS), np.uint8)
            picture[part] = read_image(path, picture[part].shape[:2])
        return panorama.resize(_channels_first(picture), height, width)

    def masked(self, pixels: np.ndarray, hole: np.ndarray, header: Header) -> tuple[np.ndarray, np.ndarray]:
        """Convert an image with a hole to the input of a network; what the hole contains has no effect.

        A sample whose known part is at least ``LEAST_KNOWN`` has the mean of that part; the others are in the hole,
        and on a sphere those that a part of a panorama does not show.

        Args:
            pixels: uint8 (height, width, 3) of the file.
            hole: boolean (height, width), True in the hole.
            header: header of the file.

        Returns:
            The normalized image ``(3, *grid)``, with 0 in the hole, and the hole ``(*grid)``.
        """
        known = self.image(Image.fromarray((~hole).view(np.uint8) * np.uint8(255)), header)
        signal = self.image(Image.fromarray(np.where(hole[..., None], np.uint8(0), pixels)), header)
        if not self.surface.any_size:
            known, signal = self.surface.from_equirectangular(known), self.surface.from_equirectangular(signal)
        is_hole = known[0] < LEAST_KNOWN
        x = self._normalize(signal / np.maximum(known, LEAST_KNOWN))
        return np.where(is_hole, np.float32(0), x), is_hole

    def labels(self, path: str | Path, image_header: Header | None = None) -> np.ndarray:
        """Read a mask at ``size``, uint8, by nearest neighbour; 255 where its image shows no part of the panorama."""
        labels = read_mask(path, image_header, self.binary)
        return self.resize_target(labels, image_header, resize_labels, IGNORE_INDEX)

    def resize_target(
        self, target: np.ndarray, header: Header | None, resize: Callable[..., np.ndarray], fill: float
    ) -> np.ndarray:
        """Resize a target with one value per pixel of the file ``(…, H, W)`` to ``size``, as ``image`` does its image.

        Args:
            target: the target.
            header: header of the image; ``None`` for a whole panorama or a flat image.
            resize: function of a target and (height, width).
            fill: value where the image shows no part of the panorama.
        """
        if header is None or header.crop is None or not self.surface.spherical:
            return resize(target, self.size)
        rows, columns = self._larger_size(header)
        part = header.crop.box(rows, columns)
        shown = resize(target, (part[0].stop - part[0].start, part[1].stop - part[1].start))
        whole = np.full((*shown.shape[:-2], rows, columns), fill, shown.dtype)
        whole[(..., *part)] = shown
        return resize(whole, self.size)

    def _larger_size(self, header: Header) -> tuple[int, int]:
        # Pillow shrinks large images fast, but does not wrap around at longitude 180°; panorama.resize does, so it
        # does the last factor of 4.
        full, (height, width) = header.panorama_size, self.size
        return min(full[0], 4 * height), min(full[1], 4 * width)

    def on_surface(self, image: np.ndarray) -> np.ndarray:
        """Resample an image ``(3, *size)`` to the surface and normalize it."""
        return self._normalize(image if self.surface.any_size else self.surface.from_equirectangular(image))

    def _normalize(self, signal: np.ndarray) -> np.ndarray:
        shape = (-1, *[1] * (signal.ndim - 1))
        mean, std = (np.reshape(values, shape) for values in (self.mean, self.std))
        return np.ascontiguousarray((signal - mean) / std, dtype=np.float32)

    def labels_on_surface(self, labels: np.ndarray) -> np.ndarray:
        """Resample labels of ``size`` to the surface, int64."""
        labels = labels if self.surface.any_size else self.surface.from_equirectangular(labels, "nearest")
        return labels.astype(np.int64)

    def areas(self) -> np.ndarray | None:
        """Return the area of each sample of the network's input, with mean 1; ``None`` on a plane."""
        if not self.surface.spherical:
            return None
        areas = self.surface.areas(self.size if self.surface.any_size else None)
        return np.asarray(areas / areas.mean(), dtype=np.float32)

    def pixel_areas(self, header: Header) -> np.ndarray:
        """Return the area on the unit sphere of the pixels in each row of an image file, ``(height, 1)``."""
        areas = panorama.pixel_areas(header.panorama_size[0], 1) / header.panorama_size[1]
        return areas[header.crop.own_box(*header.size)[0]] if header.crop else areas


def full_size(header: Header, surface: Surface) -> tuple[int, int]:
    """Return (height, width) of an image, on a sphere of the full panorama that it is a part of."""
    return header.panorama_size if surface.spherical else header.size


def check_panorama_size(path: object, header: Header) -> None:
    """Check that the full panorama, of which an image is a part, is not larger than images may be.

    Raises:
        FileError: it is.
    """
    height, width = header.panorama_size
    if height * width > MAX_PIXELS:
        rule = f"is a part of a panorama of {height} x {width} by its GPano metadata, more than the largest image"
        raise FileError(path, f"{rule} ({MAX_PIXELS // 10**6} megapixels)", "shrink it, or remove the metadata")


def default_size(surface: Surface, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the default size that images are resized to.

    For a mesh it is the size of a panorama as fine as the mesh. Otherwise it is the images' own size if they have one
    size of at most 512 rows and columns (on a sphere 1024), else 256 × 256, or 256 × 512 on a sphere.
    """
    height = surface.panorama_height()
    if height is not None:
        return height, 2 * height
    distinct = set(sizes)
    if len(distinct) == 1 and max(next(iter(distinct))) <= (1024 if surface.spherical else 512):
        return next(iter(distinct))
    return (256, 512) if surface.spherical else (256, 256)


def channel_statistics(
    samples: Sequence[Sample], read: Callable[[Sample], np.ndarray]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel over at most ``STATISTICS_IMAGES`` images.

    Args:
        samples: the training samples.
        read: returns the image of a sample, ``(3, H, W)`` in 0 … 1.
    """
    picked = pick_evenly(samples, STATISTICS_IMAGES)
    sums = np.zeros((2, IMAGE_CHANNELS))
    for sample in picked:
        image = read(sample).astype(np.float64)
        sums += image.mean(axis=(1, 2)), (image**2).mean(axis=(1, 2))
    mean, square = sums / len(picked)
    std = np.sqrt(np.maximum(square - mean**2, 1e-4))  # at least 0.01, not to amplify noise of a constant channel
    return tuple(np.round(mean, 6).tolist()), tuple(np.round(std, 6).tolist())


def resize_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize labels ``(H, W)`` by nearest neighbour."""
    if labels.shape == size:
        return labels
    return np.asarray(Image.fromarray(labels).resize(size[::-1], Image.Resampling.NEAREST))


def _channels_first(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(image, -1, 0), dtype=np.float32) / 255

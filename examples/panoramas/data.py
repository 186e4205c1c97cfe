"""Panoramas, rotated and mirrored, at the heights of a pyramid."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from omniconv.data.images import IMAGE_SUFFIXES, read_header, read_image
from omniconv.errors import FileError
from omniconv.surfaces import panorama

LARGEST_TILT = np.radians(20)
"""Largest angle by which the horizon of a rotated panorama is tilted: beyond, ceilings would become walls."""
OVERSAMPLING = 2
"""Rows of the images that are rotated, as a multiple of the largest height, so that rotations do not blur."""


class Panoramas(NamedTuple):
    """Normalized panoramas, one set for each height, and how they were normalized."""

    names: tuple[str, ...]
    originals: list[Tensor]
    """``(panoramas, 3, height, 2 · height)`` for each height."""
    rotated: list[Tensor]
    """``(panoramas · rotations, 3, height, 2 · height)`` for each height."""
    mean: Tensor
    std: Tensor

    def to_pixels(self, images: Tensor) -> np.ndarray:
        """Return normalized images as uint8 ``(n, H, W, 3)``."""
        pixels = (images * self.std + self.mean).clamp(0, 1).permute(0, 2, 3, 1)
        return (255 * pixels).round().byte().numpy()


def load(folder: Path, heights: tuple[int, ...], rotations: int, seed: int) -> Panoramas:
    """Read the panoramas of a folder and rotate them.

    Args:
        folder: images twice as wide as high; other files than images are left out.
        heights: heights of the pyramid, increasing.
        rotations: rotated copies of each panorama. Yaw needs none: the network commutes with it. Horizons are tilted by
            up to 20° in random directions, and half of the copies are mirrored.
        seed: seed of the rotations.

    Raises:
        FileError: fewer than two panoramas, or an image that is no panorama.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if len(paths) < 2:
        raise FileError(folder, "must have at least two panoramas", "give a folder of images twice as wide as high")
    height = OVERSAMPLING * heights[-1]
    images = []
    for path in paths:
        rows, columns = read_header(path).size
        if columns != 2 * rows:
            raise FileError(
                path, f"must be twice as wide as high, and is {rows}x{columns}", "take it out of the folder"
            )
        images.append(read_image(path, (height, 2 * height)).transpose(2, 0, 1) / np.float32(255))
    random = np.random.default_rng(seed)
    rotated = [_rotated(image, random) for image in images for _ in range(rotations)]
    stack = torch.from_numpy(np.stack(images)).float()
    mean, std = stack.mean((0, 2, 3)).view(3, 1, 1), stack.std((0, 2, 3)).view(3, 1, 1)

    def pyramid(found: list[np.ndarray]) -> list[Tensor]:
        sizes = (np.stack([panorama.resize(one, rows, 2 * rows) for one in found]) for rows in heights)
        return [(torch.from_numpy(level).float() - mean) / std for level in sizes]

    return Panoramas(tuple(path.stem for path in paths), pyramid(images), pyramid(rotated), mean, std)


def _rotated(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a panorama with its horizon tilted at random, mirrored with probability ½."""
    angle, towards = LARGEST_TILT * np.sqrt(random.random()), random.uniform(0, 2 * np.pi)
    axis = np.array([np.cos(towards), np.sin(towards), 0.0])
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    rotation = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    turned = panorama.rotate(image, rotation)
    return np.ascontiguousarray(turned[..., ::-1]) if random.random() < 0.5 else turned

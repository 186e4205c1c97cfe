"""Random affine maps of flat images: crop, scale and rotation, in one resampling.

A map is a 3×3 matrix that takes the place of an output pixel to the place of the input pixel that is shown there.
Places are ``(x, y, 1)`` in pixels from the centre of the image, y downward.
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, log, pi, sin
from typing import Literal

import numpy as np
from numpy.random import Generator

SMALLEST_CROP = 0.5
"""Smallest crop, as a fraction of the height and of the width."""
SMALLEST_SCALE, LARGEST_SCALE = 0.7, 1.4
"""Limits of the scale, those of nnU-Net."""

Interpolation = Literal["nearest", "linear"]
RandomMap = Callable[[Generator, tuple[int, int]], np.ndarray]
"""Function of a generator and (height, width) that returns a random map."""


def crop(random: Generator, size: tuple[int, int]) -> np.ndarray:
    """Enlarge a random part of the image, of at least half its height and width, to the size of the image."""
    part = random.uniform(SMALLEST_CROP, 1)
    x, y = (1 - part) * (random.random(2) - 0.5) * size[::-1]
    return np.array([[part, 0, x], [0, part, y], [0, 0, 1]])


def scale(random: Generator, size: tuple[int, int]) -> np.ndarray:
    """Enlarge or shrink the image about its centre by a factor from 0.7 to 1.4."""
    factor = np.exp(random.uniform(log(SMALLEST_SCALE), log(LARGEST_SCALE)))
    return np.diag([1 / factor, 1 / factor, 1])


def tilt(random: Generator, size: tuple[int, int]) -> np.ndarray:
    """Rotate the image about its centre by any angle."""
    angle = random.uniform(0, 2 * pi)
    return np.array([[cos(angle), -sin(angle), 0], [sin(angle), cos(angle), 0], [0, 0, 1]])


RANDOM_MAPS: dict[str, RandomMap] = {"crop": crop, "scale": scale, "tilt": tilt}


def warp(values: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply a map to an image with linear interpolation; beyond its edges the image is continued by reflection.

    Args:
        values: ``(…, height, width)``, floating point.
        matrix: the map.
    """
    import torch  # late: the other functions on image files do not need it
    from torch.nn.functional import affine_grid, grid_sample

    height, width = values.shape[-2:]
    half = np.diag([width / 2, height / 2, 1])  # torch's coordinates are -1 and 1 at the edges of the image
    theta = torch.from_numpy((np.linalg.inv(half) @ matrix @ half)[None, :2]).to(torch.float32)
    planes = torch.from_numpy(np.ascontiguousarray(values, np.float32)).reshape(1, -1, height, width)
    grid = affine_grid(theta, [1, 1, height, width], align_corners=False)
    # scipy.ndimage.affine_transform takes four times as long (21 ms instead of 5 for 3 × 256 × 256).
    warped = grid_sample(planes, grid, "bilinear", "reflection", align_corners=False)
    return warped.numpy().reshape(values.shape).astype(values.dtype)


def warp_target(
    values: np.ndarray, matrix: np.ndarray, interpolation: Interpolation, ignore_index: int | None
) -> np.ndarray:
    """Apply a map to a target with one value per pixel, ``(…, height, width)``.

    Args:
        values: the target.
        matrix: the map.
        interpolation: ``nearest`` for labels, ``linear`` for real values.
        ignore_index: value beyond the edges of the image; ``None`` to continue the target by reflection, as the image.
    """
    height, width = values.shape[-2:]
    rows, columns = np.mgrid[:height, :width]
    places = np.stack([columns - (width - 1) / 2, rows - (height - 1) / 2, np.ones((height, width))])
    x, y, _ = np.einsum("ij,jhw->ihw", matrix, places)
    # Rounded, so that a rotation by 90° finds the centres of pixels and not the edges between two.
    column, row = (np.floor(np.round(p + size / 2, 6)).astype(np.int64) for p, size in ((x, width), (y, height)))
    if interpolation == "linear":
        warped = warp(values, matrix)
    else:
        warped = values[..., _reflect(row, height), _reflect(column, width)]
    if ignore_index is None:
        return warped
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return np.where(inside, warped, values.dtype.type(ignore_index))


def _reflect(index: np.ndarray, size: int) -> np.ndarray:
    """Return the index of a sample that is mirrored at the edges of the image, as torch's reflection padding."""
    index = index % (2 * size)
    return np.where(index < size, index, 2 * size - 1 - index)

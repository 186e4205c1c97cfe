"""Test-time augmentation: the mean of the predictions for an image and its transformed copies, each transformed back.

On a plane the copies are mirrored and turned by quarters. On a sphere they are mirrored and rotated about the vertical
axis, by quarters on a mesh and by parts of the network's total stride on a panorama: a convolutional network is
equivariant to the whole stride, so that larger rolls would change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import gcd

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from omniconv.surfaces import Surface
from omniconv.surfaces.resampling.rotation import rotation_of

TURNS = 4
"""Rotations of the copies; each also mirrored."""


@dataclass(frozen=True)
class Transform:
    """Transform of an image before the network, and its inverse for a dense output.

    Attributes:
        forward: of an image ``(channels, height, width)``; on a sphere it is a panorama.
        backward: of an output ``(channels, *grid)`` on the surface of the network; the inverse of ``forward``.
    """

    forward: Callable[[np.ndarray], np.ndarray]
    backward: Callable[[Tensor], Tensor]


def transforms(surface: Surface, size: tuple[int, int], total_stride: int) -> Iterator[Transform]:
    """Yield the transforms of a network's images, the identity first; they are a group.

    On a panorama they are one together with the rolls by the total stride. Meshes are interpolated linearly where a
    rotation does not map samples to samples.

    Args:
        surface: surface of the network's input.
        size: height and width of the images.
        total_stride: that of the network.

    Example:
        >>> from omniconv.surfaces import Plane
        >>> len(list(transforms(Plane(), (32, 32), 8)))
        8
    """
    for mirrored in (False, True):
        if not surface.spherical:
            for quarters in range(TURNS):
                yield _of_plane(quarters, mirrored)
        elif surface.latitude_axis is not None and (surface.any_size or surface.shape == size):
            step = max(1, total_stride // TURNS)
            for columns in range(0, total_stride, step):
                yield _of_panorama(columns, mirrored)
        else:
            turns = gcd(size[1], TURNS)  # whole columns
            for turn in range(turns):
                yield _of_mesh(surface, turn / turns, mirrored)


def _of_plane(quarters: int, mirrored: bool) -> Transform:
    def forward(image: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.rot90(image[..., ::-1] if mirrored else image, quarters, (-2, -1)))

    def backward(output: Tensor) -> Tensor:
        back = output.rot90(-quarters, (-2, -1))
        return back.flip(-1) if mirrored else back

    return Transform(forward, backward)


def _roll(columns: int, mirrored: bool) -> Callable[[np.ndarray], np.ndarray]:
    return lambda image: np.ascontiguousarray(np.roll(image[..., ::-1] if mirrored else image, columns, -1))


def _of_panorama(columns: int, mirrored: bool) -> Transform:
    def backward(output: Tensor) -> Tensor:
        back = output.roll(-columns, -1)
        return back.flip(-1) if mirrored else back

    return Transform(_roll(columns, mirrored), backward)


def _of_mesh(surface: Surface, turn: float, mirrored: bool) -> Transform:
    def forward(image: np.ndarray) -> np.ndarray:
        return _roll(round(turn * image.shape[-1]), mirrored)(image)

    def backward(output: Tensor) -> Tensor:
        matrix = _rotation_back(surface, turn, mirrored)
        flat = output.reshape(len(output), -1).T.to(torch.float64).numpy()
        return torch.from_numpy(matrix.dot(flat).T.copy()).to(output.dtype).reshape(output.shape)

    return Transform(forward, backward)


@lru_cache(maxsize=2 * TURNS)
def _rotation_back(surface: Surface, turn: float, mirrored: bool) -> sparse.csr_array:
    """Return the matrix that undoes a mirror image (of longitudes) and then a rotation by a part of the full circle."""
    cosine, sine = np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)
    rotation = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    mirror = np.diag([1, -1 if mirrored else 1, 1])
    return rotation_of(surface, (rotation @ mirror).T).operators[0]

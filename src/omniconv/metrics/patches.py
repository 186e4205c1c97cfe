"""Sliced Wasserstein distance of patches in Laplacian pyramids (Karras et al., ICLR 2018): texture at each scale.

It needs no trained network and few images, since each image has many patches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from omniconv.checks import check_integer
from omniconv.errors import InputError
from omniconv.metrics.copies import as_images
from omniconv.metrics.distances import sliced_wasserstein
from omniconv.surfaces import Plane, Surface

BINOMIAL = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
MIN_SIZE = 16
"""Rows and columns of the coarsest level, as published."""


def patch_distances(
    images_a: Any,
    images_b: Any,
    surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    patches: int = 128,
    size: int = 7,
    projections: int = 512,
    seed: int = 0,
) -> list[float]:
    """Return the sliced Wasserstein distance of patches at each level of a Laplacian pyramid, the finest first.

    Each level is the image minus its blurred version, the coarsest the blurred image itself. Patches are normalized by
    mean and standard deviation of each channel over the patches of their set.

    Args:
        images_a: ``(n, C, H, W)``.
        images_b: ``(m, C, H, W)`` of the same size.
        surface: ``Plane()``, or ``Equirectangular()``, whose columns go round; rows end by reflection on both.
        patches: number of patches of an image, at random positions.
        size: rows and columns of a patch.
        projections: number of random directions.
        seed: seed of positions and directions.

    Returns:
        A distance for each level of at least 16 rows and columns (and for the full size), 0 for equal sets. Published
        figures are multiplied by 1,000. Meaningless as a measure of global structure.

    Raises:
        InputError: images that are not flat or not panoramas, of different sizes, or smaller than a patch.

    Example:
        >>> a = np.random.default_rng(0).normal(size=(20, 1, 32, 32))
        >>> near, far = patch_distances(a, a[::-1], projections=16), patch_distances(a, a.cumsum(-1), projections=16)
        >>> len(near), near[0] < far[0]
        (2, True)
    """
    size = check_integer("size", size, 1, "use size=7")
    patches = check_integer("patches", patches, 1, "use patches=128")
    if surface.ndim != 2 or surface.kernel_ndim != 2:
        raise InputError("surface", str(surface), "must be a plane or panoramas", "convert the images to panoramas")
    a, b = (as_images(name, images, surface) for name, images in (("images_a", images_a), ("images_b", images_b)))
    if a.shape[1:] != b.shape[1:] or min(a.shape[2:]) < size:
        rule = f"must be images of {a.shape[1:]}, as the first set, with at least {size} rows and columns"
        raise InputError("images_b", b.shape, rule, "resize one set, or use smaller patches")
    modes = ["reflect", "wrap" if surface.spherical else "reflect"]
    random = np.random.default_rng(seed)
    distances = []
    for level_a, level_b in zip(laplacian_pyramid(a, modes), laplacian_pyramid(b, modes), strict=True):
        one, other = (_normalized_patches(level, patches, size, random) for level in (level_a, level_b))
        distances.append(sliced_wasserstein(one, other, projections, seed))
    return distances


def laplacian_pyramid(images: np.ndarray, modes: list[str]) -> list[np.ndarray]:
    """Return the levels of a Laplacian pyramid; ``modes`` are those of ``scipy.ndimage`` for rows and columns."""
    levels = []
    while min(images.shape[2:]) >= 2 * MIN_SIZE:
        blurred = _blur(images, modes)
        coarse = blurred[..., ::2, ::2]
        upsampled = np.zeros_like(images)
        upsampled[..., ::2, ::2] = coarse
        levels.append(images - 4 * _blur(upsampled, modes))
        images = coarse
    return [*levels, images]


def _blur(x: np.ndarray, modes: list[str]) -> np.ndarray:
    for axis, mode in zip((-2, -1), modes, strict=True):
        x = ndimage.correlate1d(x, BINOMIAL, axis, mode=mode)
    return x


def _normalized_patches(level: np.ndarray, count: int, size: int, random: np.random.Generator) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(level, (size, size), axis=(2, 3))
    images = np.repeat(np.arange(len(level)), count)
    rows, columns = (random.integers(windows.shape[axis], size=len(images)) for axis in (2, 3))
    chosen = windows[images, :, rows, columns]  # (patches, C, size, size)
    centred = chosen - chosen.mean(axis=(0, 2, 3), keepdims=True)
    std = centred.std(axis=(0, 2, 3), keepdims=True)
    return (centred / np.where(std > 0, std, 1)).reshape(len(images), -1)

"""Copies of training images among generated ones: nearest training images, and two measures by them.

Images are compared by the root of their mean squared difference, weighted by area on a sphere. On panoramas the
distance is the least over all rolls of the columns, since a rotated copy is a copy. On other spherical surfaces images
are compared as they are: convert them to panoramas, or to features, to find rotated copies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from omniconv.errors import InputError
from omniconv.metrics.manifolds import BLOCK_ELEMENTS
from omniconv.surfaces import Plane, Surface
from omniconv.surfaces.resampling.samples import to_array

CANDIDATES = 4
"""Training images whose distance is computed again without expanding the square, which loses digits for copies."""
COPY_RATIO = 1 / 3
"""A sample is called a copy if its nearest training image is three times as near as the second (Yoon et al., 2023)."""


class NearestImages(NamedTuple):
    """Nearest training images of n samples, see ``nearest_images``."""

    indices: np.ndarray
    """Index of the nearest training image, ``(n,)``."""
    distance: np.ndarray
    """Distance to it, ``(n,)``."""
    second: np.ndarray
    """Distance to the second nearest training image, ``(n,)``; infinite if there is one training image only."""
    roll: np.ndarray
    """Columns by which the nearest training image is rolled to match, ``(n,)``; 0 on other surfaces than panoramas."""

    @property
    def ratio(self) -> np.ndarray:
        """Distance to the nearest divided by that to the second nearest training image: small for copies.

        Where training images have duplicates of their own it is about 1 also for copies.
        """
        equal = self.distance == self.second
        return np.where(equal, 1.0, self.distance / np.where(equal, 1.0, self.second))


def nearest_images(
    samples: Any,
    training: Any,
    surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    rolls: bool = True,
) -> NearestImages:
    """Return the nearest training image of each sample.

    Args:
        samples: ``(n, C, *grid)``.
        training: ``(m, C, *grid)``.
        surface: surface of both.
        rolls: on panoramas, minimise over all rolls of the columns, by an FFT along each row.

    Returns:
        Indices and distances, the root mean squared difference in units of the pixels, weighted by area.

    Raises:
        InputError: images of different sizes, no images, or values that are not finite.

    Example:
        >>> from omniconv.surfaces import Equirectangular
        >>> training = np.random.default_rng(0).normal(size=(5, 3, 8, 16))
        >>> found = nearest_images(np.roll(training[[3]], 4, axis=-1), training, Equirectangular())
        >>> found.indices, found.roll, bool(found.distance < 1e-7)
        (array([3]), array([4]), True)
    """
    a, b = _prepare(samples, training, surface)
    return _search(a, b, rolls and _has_columns(surface), np.full(len(a), -1))


def authenticity(
    samples: Any,
    training: Any,
    surface: Surface = Plane(),  # noqa: B008
    rolls: bool = True,
) -> float:
    """Return the share of authentic samples, AuthPct (Alaa et al., ICML 2022).

    A sample is authentic if it is farther from its nearest training image than that image is from its own nearest other
    training image.

    Args:
        samples: ``(n, C, *grid)``, or features ``(n, d)``.
        training: ``(m, C, *grid)``, or features ``(m, d)``; at least two.
        surface: surface of the images.
        rolls: as in ``nearest_images``.

    Returns:
        0 (all are copies) … 1. Samples of the training distribution itself give about ½, and blurred samples, which lie
        near the mean of several images, less without being copies.

    Raises:
        InputError: as ``nearest_images``, or fewer than two training images.

    Example:
        >>> training = np.random.default_rng(0).normal(size=(50, 2))
        >>> authenticity(training[:10], training), authenticity(training + 100, training)
        (0.0, 1.0)
    """
    a, b = _prepare(samples, training, surface)
    if len(b) < 2:
        raise InputError("training", b.shape, "must have at least two images", "give all training images")
    by_rolls = rolls and _has_columns(surface)
    found = _search(a, b, by_rolls, np.full(len(a), -1))
    matched, inverse = np.unique(found.indices, return_inverse=True)
    spacing = _search(b[matched], b, by_rolls, matched).distance[inverse]
    return float((found.distance > spacing).mean())


def copied_share(nearest: NearestImages, ratio: float = COPY_RATIO) -> float:
    """Return the share of samples that are much nearer to one training image than to all others.

    Example:
        >>> training = np.random.default_rng(0).normal(size=(50, 1, 8, 8))
        >>> copied_share(nearest_images(training[:5] + 0.01, training))
        1.0
    """
    return float((nearest.ratio < ratio).mean())


def as_images(argument: str, images: Any, surface: Surface) -> np.ndarray:
    """Return images ``(n, C, *grid)`` as a finite floating-point array, or raise InputError."""
    values = to_array(argument, images)
    if values.ndim != surface.ndim + 2 or not values.size:
        rule = f"must be (n, channels, grid of {surface.ndim} axes) with n of at least 1"
        raise InputError(argument, values.shape, rule, "give a batch of images on the surface")
    values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
    if not np.isfinite(values).all():
        raise InputError(argument, values.shape, "has NaN or infinity", "leave out the images that have them")
    return values


def _prepare(samples: Any, training: Any, surface: Surface) -> tuple[np.ndarray, np.ndarray]:
    """Return both sets of images, scaled so that the sum of squared differences is the mean by area."""
    sets = []
    for argument, images in (("samples", samples), ("training", training)):
        values = to_array(argument, images)
        values = values[..., None, None] if values.ndim == 2 and surface.ndim == 2 else values  # features
        sets.append(as_images(argument, values, surface))
    a, b = sets
    if a.shape[1:] != b.shape[1:]:
        raise InputError("training", b.shape, f"must end in {a.shape[1:]}, the size of the samples", "resize one set")
    grid = a.shape[2:]
    areas = surface.areas(grid) if surface.spherical else np.ones(grid)
    scale = np.sqrt(areas / areas.sum() / a.shape[1])
    centre = b.mean(axis=(0, -1), keepdims=True) if _has_columns(surface) else b.mean(axis=0, keepdims=True)
    dtype = np.result_type(a.dtype, b.dtype)
    return tuple(((x - centre) * scale).astype(dtype) for x in (a, b))


def _has_columns(surface: Surface) -> bool:
    """Return True on panoramas, whose columns may be rolled."""
    return surface.spherical and surface.latitude_axis == 0 and surface.ndim == 2


def _search(a: np.ndarray, b: np.ndarray, rolls: bool, excluded: np.ndarray) -> NearestImages:
    """Find the nearest rows of ``b`` to each of ``a``, except that of index ``excluded``."""
    count = min(CANDIDATES, len(b))
    index, distance, second, roll = (np.empty(len(a), dtype) for dtype in (np.int64, float, float, np.int64))
    blocks = _rolled_distances(a, b) if rolls else _distances(a, b)
    for rows, squared, shifts in blocks:
        own = np.flatnonzero(excluded[rows] >= 0)
        squared[own, excluded[rows][own]] = np.inf
        candidates = np.argpartition(squared, count - 1, axis=1)[:, :count]
        for i, places in enumerate(candidates):
            places = places[places != excluded[rows][i]]
            moves = shifts[i, places] if shifts is not None else np.zeros(len(places), np.int64)
            exact = np.array([_exact(a[rows][i], b[j], move) for j, move in zip(places, moves, strict=True)])
            order, at = np.argsort(exact), rows.start + i
            index[at], distance[at], roll[at] = places[order[0]], exact[order[0]], moves[order[0]]
            second[at] = exact[order[1]] if len(order) > 1 else np.inf
    return NearestImages(index, distance, second, roll)


def _exact(sample: np.ndarray, image: np.ndarray, roll: int) -> float:
    other = np.roll(image, roll, axis=-1) if roll else image
    return float(np.sqrt(((sample.astype(np.float64) - other) ** 2).sum()))


def _distances(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray, None]]:
    """Yield blocks of rows of ``a`` with their squared distances to all of ``b``."""
    x, y = a.reshape(len(a), -1), b.reshape(len(b), -1)
    lengths = (y**2).sum(axis=1)
    step = max(1, BLOCK_ELEMENTS // len(y))
    for start in range(0, len(x), step):
        block = x[start : start + step]
        yield slice(start, start + step), (block**2).sum(axis=1)[:, None] + lengths - 2 * block @ y.T, None


def _rolled_distances(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield blocks of rows of ``a`` with the least squared distances to all rolls of ``b``, and these rolls.

    Σ a(c)·b(c − s) over columns c is a correlation, a product of spectra; the sum over channels and rows of the image
    is a matrix product for each frequency.
    """
    width = a.shape[-1]
    spectra = np.moveaxis(np.fft.rfft(b, axis=-1).reshape(len(b), -1, width // 2 + 1), -1, 0)  # (frequency, m, rows)
    conjugate = np.ascontiguousarray(spectra.conj().transpose(0, 2, 1))
    lengths = (b.reshape(len(b), -1) ** 2).sum(axis=1)
    step = max(1, BLOCK_ELEMENTS // (len(b) * width))
    for start in range(0, len(a), step):
        block = a[start : start + step]
        own = np.moveaxis(np.fft.rfft(block, axis=-1).reshape(len(block), -1, width // 2 + 1), -1, 0)
        correlation = np.fft.irfft(np.moveaxis(own @ conjugate, 0, -1), n=width, axis=-1)  # (block, m, roll)
        shifts = correlation.argmax(axis=-1)
        best = np.take_along_axis(correlation, shifts[..., None], axis=-1)[..., 0]
        squares = (block.reshape(len(block), -1) ** 2).sum(axis=1)[:, None]
        yield slice(start, start + step), squares + lengths - 2 * best, shifts

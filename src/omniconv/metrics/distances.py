"""Distances between two sets of feature vectors: Fréchet distance, kernel distance (KID), sliced Wasserstein distance.

Each takes features ``(n, d)``, arrays or tensors, in any two orders of their rows. The distances depend on the network
that computed the features and, except the kernel distance, on n: compare only distances of one network at one n, with
the distance between two halves of the training images (``floor_halves``) beside them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from omniconv.checks import check_integer
from omniconv.errors import InputError
from omniconv.surfaces.resampling.samples import to_array


class KernelDistance(NamedTuple):
    """Mean and standard deviation of the squared kernel distance over random subsets."""

    mean: float
    std: float


def frechet_distance(features_a: Any, features_b: Any) -> float:
    """Return the squared Fréchet distance of the normal distributions fitted to two sets of features.

    |μ₁ − μ₂|² + tr(C₁ + C₂ − 2 (C₁C₂)^½), FID's formula (Heusel et al., NIPS 2017). The trace of the root is the sum of
    the singular values of R₁R₂ᵀ, where Cᵢ = RᵢᵀRᵢ: no square root of a matrix is taken, and covariances of low rank
    lose no digits.

    Args:
        features_a: ``(n, d)``.
        features_b: ``(m, d)``.

    Returns:
        0 for equal means and covariances, unbounded above, in squared units of the features. The estimate is biased
        upwards by about d²/n: meaningless below some 10·d rows.

    Raises:
        InputError: fewer than two rows, values that are not finite, or different dimensions.

    Example:
        >>> a = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])
        >>> round(frechet_distance(a, a + [3, 4]), 12)
        25.0
    """
    a, b = check_features(features_a, features_b)
    factor_a, factor_b = (_covariance_factor(x) for x in (a, b))
    cross = np.linalg.svd(factor_a @ factor_b.T, compute_uv=False).sum()
    traces = (factor_a**2).sum() + (factor_b**2).sum()
    return max(0.0, float(((a.mean(0) - b.mean(0)) ** 2).sum() + traces - 2 * cross))


def kernel_distance(
    features_a: Any, features_b: Any, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> KernelDistance:
    """Return the squared maximum mean discrepancy of two sets of features, the kernel inception distance's formula.

    Kernel (x·y / d + 1)³, unbiased estimate, mean over random subsets of equal size (Bińkowski et al., ICLR 2018). As
    it is unbiased, it may be compared between different numbers of images, and serves from about 200.

    Args:
        features_a: ``(n, d)``.
        features_b: ``(m, d)``.
        subsets: number of pairs of random subsets.
        subset_size: rows of a subset; all of the smaller set if that has fewer.
        seed: seed of the subsets.

    Returns:
        Mean and standard deviation over the subsets. The mean is 0 in expectation for equal distributions, and then
        as often negative as positive.

    Raises:
        InputError: as ``frechet_distance``; an argument out of range.

    Example:
        >>> a = np.random.default_rng(0).normal(size=(400, 8))
        >>> kernel_distance(a, -a, subset_size=200).mean < 0.1 < kernel_distance(a, 1 - a, subset_size=200).mean
        True
    """
    a, b = check_features(features_a, features_b)
    size = min(check_integer("subset_size", subset_size, 2, "use subset_size=1000"), len(a), len(b))
    random = np.random.default_rng(seed)
    values = []
    for _ in range(check_integer("subsets", subsets, 1, "use subsets=100")):
        x, y = (z[random.choice(len(z), size, replace=False)] for z in (a, b))
        within = sum(kernel.sum() - np.trace(kernel) for kernel in (_cubic(x, x), _cubic(y, y)))
        values.append(within / (size * (size - 1)) - 2 * _cubic(x, y).mean())
    return KernelDistance(float(np.mean(values)), float(np.std(values)))


def sliced_wasserstein(features_a: Any, features_b: Any, projections: int = 512, seed: int = 0) -> float:
    """Return the mean Wasserstein-1 distance of two sets of vectors over random directions.

    In one dimension the distance is the area between the two quantile functions, exact for different numbers of rows
    (Rabin et al., SSVM 2011). ``patch_distances`` applies it to patches of images (Karras et al., ICLR 2018).

    Args:
        features_a: ``(n, d)``: features, pixels or patches.
        features_b: ``(m, d)``.
        projections: number of random unit vectors.
        seed: seed of the directions.

    Returns:
        0 for equal sets, unbounded above, in units of the vectors. A shift by s in d dimensions gives s·√(2/(πd)).

    Raises:
        InputError: as ``frechet_distance``; an argument out of range.

    Example:
        >>> x = np.arange(6.0).reshape(6, 1)
        >>> round(sliced_wasserstein(x, x + 2, projections=4), 12)
        2.0
    """
    a, b = check_features(features_a, features_b)
    count = check_integer("projections", projections, 1, "use projections=512")
    directions = np.random.default_rng(seed).normal(size=(a.shape[1], count))
    directions /= np.linalg.norm(directions, axis=0)
    sorted_a, sorted_b = np.sort(a @ directions, axis=0), np.sort(b @ directions, axis=0)
    # The quantile functions are constant between these levels, counted in integers: i/n and j/m in units of 1/(n·m).
    levels = np.union1d(np.arange(len(a) + 1) * len(b), np.arange(len(b) + 1) * len(a))
    below, widths = levels[:-1], np.diff(levels) / (len(a) * len(b))
    gaps = np.abs(sorted_a[below // len(b)] - sorted_b[below // len(a)])
    return float(widths @ gaps.mean(axis=1))


def floor_halves(features: Any, size: int | None = None, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return two disjoint random subsets of features, whose distance is the floor for generated images.

    No set of ``size`` images can be expected to be nearer to the training images than their own halves are.

    Args:
        features: ``(n, d)``, of the training images.
        size: rows of each subset, by default and at most half of all: use the number of generated images.
        seed: seed of the choice.

    Raises:
        InputError: fewer than four rows, or a size below 2.

    Example:
        >>> one, other = floor_halves(np.arange(20.0).reshape(10, 2))
        >>> one.shape, len(np.intersect1d(one, other))
        ((5, 2), 0)
    """
    values = as_features("features", features, least=4)
    half = len(values) // 2
    rows = half if size is None else min(half, check_integer("size", size, 2, "leave it out"))
    order = np.random.default_rng(seed).permutation(len(values))
    return values[order[:rows]], values[order[half : half + rows]]


def check_features(features_a: Any, features_b: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return two sets of features of one dimension as float64 arrays, or raise InputError."""
    a, b = as_features("features_a", features_a), as_features("features_b", features_b)
    if a.shape[1] != b.shape[1]:
        rule = f"must have {a.shape[1]} columns, as the other set of features"
        raise InputError("features_b", b.shape, rule, "compute both by the same network")
    return a, b


def as_features(argument: str, features: Any, least: int = 2) -> np.ndarray:
    """Return features ``(n, d)`` as a finite float64 array with at least ``least`` rows, or raise InputError."""
    values = to_array(argument, features)
    if values.ndim != 2 or values.shape[0] < least or values.shape[1] < 1:
        raise InputError(argument, values.shape, f"must be (n, d) with n of at least {least}", "give more images")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError(argument, values.shape, "has NaN or infinity", "leave out the images that have them")
    return values


def _covariance_factor(x: np.ndarray) -> np.ndarray:
    """Return R with RᵀR the covariance of the rows of x."""
    return np.linalg.qr((x - x.mean(0)) / np.sqrt(len(x) - 1), mode="r")  # type: ignore[return-value]  # not a tuple


def _cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3

"""Fidelity and diversity of generated images by nearest neighbours among feature vectors.

Each real image has a sphere that reaches to its k-th nearest other real image; together the spheres estimate the region
of real images. Distances are computed in blocks of rows, so that 10,000 images against 10,000 take 80 MB.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from omniconv.checks import check_integer
from omniconv.errors import InputError
from omniconv.metrics.distances import check_features

BLOCK_ELEMENTS = 2**22
"""Distances that are held at once: 32 MB in float64."""


class ManifoldMetrics(NamedTuple):
    """Result of ``manifold_metrics``."""

    precision: float
    recall: float
    density: float
    coverage: float


def manifold_metrics(real: Any, generated: Any, neighbours: int = 5) -> ManifoldMetrics:
    """Return precision and recall (Kynkäänniemi et al., NeurIPS 2019), density and coverage (Naeem et al., ICML 2020).

    - precision: share of generated images inside the sphere of at least one real image: realistic ones;
    - recall: share of real images inside the sphere of at least one generated image: modes that are generated;
    - density: number of real spheres that hold a generated image, divided by k, in the mean;
    - coverage: share of real images whose own sphere holds at least one generated image.

    Args:
        real: features ``(n, d)`` of real images.
        generated: features ``(m, d)`` of generated images; use as many as real ones.
        neighbours: k, the neighbour to which a sphere reaches, not counting the image itself.

    Returns:
        Precision, recall and coverage are in 0 … 1; density is 0 or more, 1 in expectation for equal distributions.
        ``expected_coverage`` has the coverage for equal distributions. Outliers have large spheres, which inflate
        precision and recall. Meaningless with few images: use at least some hundreds.

    Raises:
        InputError: not more than ``neighbours`` rows, values that are not finite, or different dimensions.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(300, 4))
        >>> manifold_metrics(x, x[:150]).precision, manifold_metrics(x, x + 100).coverage
        (1.0, 0.0)
    """
    a, b = check_features(real, generated)
    k = check_integer("neighbours", neighbours, 1, "use neighbours=5")
    if min(len(a), len(b)) <= k:
        rule = f"must be smaller than the number of images, {min(len(a), len(b))}"
        raise InputError("neighbours", k, rule, "use fewer neighbours or more images")
    centre = a.mean(axis=0)  # squared distances are differences of squares: small coordinates keep their digits
    a, b = a - centre, b - centre
    radii_a, radii_b = neighbour_distances(a, k), neighbour_distances(b, k)
    inside_real = np.zeros(len(b), dtype=np.int64)
    in_generated, nearest = np.zeros(len(a), dtype=bool), np.empty(len(a))
    for rows, squared in squared_distances(a, b):
        inside_real += (squared <= radii_a[rows, None]).sum(axis=0)
        in_generated[rows] = (squared <= radii_b).any(axis=1)
        nearest[rows] = squared.min(axis=1)
    return ManifoldMetrics(
        precision=float((inside_real > 0).mean()),
        recall=float(in_generated.mean()),
        density=float(inside_real.mean() / k),
        coverage=float((nearest <= radii_a).mean()),
    )


def expected_coverage(real: int, generated: int, neighbours: int = 5) -> float:
    """Return the coverage in expectation if real and generated images have the same distribution.

    1 − (n−1)…(n−k) / ((n+m−1)…(n+m−k)) for n real and m generated images (Naeem et al., ICML 2020), about 1 − 2⁻ᵏ for
    n = m.

    Example:
        >>> round(expected_coverage(1000, 1000), 3)
        0.969
    """
    steps = np.arange(1, neighbours + 1)
    return float(1 - np.prod((real - steps) / (real + generated - steps)))


def neighbour_distances(x: np.ndarray, neighbours: int) -> np.ndarray:
    """Return the squared distance of each row of ``(n, d)`` to its k-th nearest other row, ``(n,)``."""
    found = np.empty(len(x))
    for rows, squared in squared_distances(x, x):
        squared[np.arange(len(squared)), np.arange(len(x))[rows]] = -1.0  # the row itself, also before its duplicates
        found[rows] = np.partition(squared, neighbours, axis=1)[:, neighbours]
    return found


def squared_distances(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield blocks of rows of ``x`` with their squared distances to all rows of ``y``."""
    lengths = (y**2).sum(axis=1)
    step = max(1, BLOCK_ELEMENTS // len(y))
    for start in range(0, len(x), step):
        block = x[start : start + step]
        squared = (block**2).sum(axis=1)[:, None] + lengths - 2 * block @ y.T
        yield slice(start, start + step), np.maximum(squared, 0, out=squared)

"""Interpolation between the pixel centres of a cubemap, on the convex solid whose vertices they are.

The pixel centres of a cube are the vertices of a truncated cube: a square on each face, a strip along each edge, a
triangle at each corner. Interpolation is bilinear on each rectangle and linear on the triangles: continuous, within the
range of the pixels, and exact for functions that are linear on each of these planes.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from omniconv.surfaces.cubemap.faces import DOWN, RIGHT

FACES = ((0, 2), (1, 3), (4, 5))
"""The faces at the positive and negative end of each axis."""


def interpolation_matrix(directions: np.ndarray, size: int) -> sparse.csr_array:
    """Return interpolation of flattened faces at directions ``(n, 3)`` as a matrix (n, 6 · size²); rows sum to 1.

    Example:
        >>> interpolation_matrix(np.array([(1.0, 0, 0)]), 2).toarray()[0, :5]
        array([0.25, 0.25, 0.25, 0.25, 0.  ])
    """
    directions = np.asarray(directions, dtype=np.float64)
    reach = 1 - 1 / size  # from the centre of a face to its outermost pixel centres
    points = directions / _gauge(np.abs(directions), reach)[:, None]
    shares = np.clip((np.abs(points) - reach) * size, 0, None)  # weight of the face at the end of each axis
    shares /= shares.sum(axis=1, keepdims=True)
    rows, pixels, weights = [], [], []
    for axis, (positive, negative) in enumerate(FACES):
        some = np.flatnonzero(shares[:, axis])
        for pixel, weight in _corners(points[some], np.where(points[some, axis] < 0, negative, positive), size):
            rows.append(some)
            pixels.append(pixel)
            weights.append(weight * shares[some, axis])
    entries = np.concatenate(weights), (np.concatenate(rows), np.concatenate(pixels))
    return sparse.csr_array(entries, shape=(len(points), 6 * size**2))


def _gauge(lengths: np.ndarray, reach: float) -> np.ndarray:
    """Return the gauge of the solid at points with absolute coordinates ``lengths`` ``(n, 3)``: 1 on its surface."""
    total = lengths.sum(axis=1)
    on_strip = (total - lengths.min(axis=1)) / (1 + reach)
    return np.maximum(np.maximum(lengths.max(axis=1), on_strip), total / (1 + 2 * reach))


def _corners(points: np.ndarray, face: np.ndarray, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the four pixels of a face around each point ``(n, 3)``, and their bilinear weights."""
    indices = [(np.einsum("nx,nx->n", points, axes[face]) * size + size - 1) / 2 for axes in (DOWN, RIGHT)]
    row, column = (np.clip(index, 0, size - 1) for index in indices)
    top, left = np.floor(row).astype(np.int64), np.floor(column).astype(np.int64)
    corners = []
    for i, by_row in ((top, 1 - (row - top)), (np.minimum(top + 1, size - 1), row - top)):
        for j, by_column in ((left, 1 - (column - left)), (np.minimum(left + 1, size - 1), column - left)):
            corners.append(((face * size + i) * size + j, by_row * by_column))
    return corners

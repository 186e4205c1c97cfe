"""The six faces of a cube as square grids: directions of pixels, pixels beyond edges, and interpolation.

Faces are 0 front (longitude 0), 1 east, 2 back, 3 west, 4 up and 5 down. Seen from the centre, columns of the first
four run east and rows run down; the last row of ``up`` and the first row of ``down`` touch the front.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import sparse

from omniconv.surfaces import panorama

NORMALS = np.array([(1, 0, 0), (0, 1, 0), (-1, 0, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)])
RIGHT = np.array([(0, 1, 0), (-1, 0, 0), (0, -1, 0), (1, 0, 0), (0, 1, 0), (0, 1, 0)])
"""Direction in which the columns of each face increase."""
DOWN = np.array([(0, 0, -1)] * 4 + [(1, 0, 0), (-1, 0, 0)])
"""Direction in which the rows of each face increase."""
FACES_OF_AXES = ((0, 2), (1, 3), (4, 5))
"""The faces at the positive and negative end of each axis."""


def pixel_directions(size: int) -> np.ndarray:
    """Return the unit vectors of the pixel centres, ``(6, size, size, 3)``, equidistant on the flat faces."""
    steps = (2 * np.arange(size) + 1) / size - 1
    points = (
        NORMALS[:, None, None]
        + steps[None, :, None, None] * DOWN[:, None, None]
        + steps[None, None, :, None] * RIGHT[:, None, None]
    )
    return points / np.linalg.norm(points, axis=-1, keepdims=True)


def pixel_areas(size: int) -> np.ndarray:
    """Return the solid angles of the pixels, ``(6, size, size)``; they sum to 4π."""
    edges = 2 * np.arange(size + 1) / size - 1
    x, y = edges[None, :], edges[:, None]
    corner = np.arctan2(x * y, np.sqrt(x**2 + y**2 + 1))  # solid angle of the rectangle from the centre to (x, y)
    return np.repeat(np.diff(np.diff(corner, axis=0), axis=1)[None], 6, axis=0)


def face_coordinates(directions: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return face, row and column of directions ``(…, 3)``, in pixels from the centre of the first pixel."""
    directions = np.asarray(directions, dtype=np.float64)
    face = (directions @ NORMALS.T).argmax(axis=-1)
    height = np.einsum("...x,...x->...", directions, NORMALS[face])
    row, column = (
        np.einsum("...x,...x->...", directions, axes[face]) / height * size / 2 + (size - 1) / 2
        for axes in (DOWN, RIGHT)
    )
    return face, row, column


@lru_cache(maxsize=64)
def padded_pixels(size: int, before: tuple[int, int], after: tuple[int, int]) -> np.ndarray:
    """Return the flat pixel indices of the six faces, padded by rows and columns: two tables ``(2, 6, rows, columns)``.

    Beyond an edge a face continues on its neighbour, by at most ``size`` pixels. Beyond a corner of the cube, where
    three faces meet, no pixel exists: two replace it, one reached over the row edge first and one over the column edge
    first. The two tables differ only there; callers take their mean.
    """
    rows = np.arange(-before[0], size + after[0])[None, :, None]
    columns = np.arange(-before[1], size + after[1])[None, None, :]
    face, row, column = np.broadcast_arrays(np.arange(6)[:, None, None], rows, columns)
    tables = []
    for first in ("rows", "columns"):
        position = face, row, column
        for _ in range(2):  # beyond a corner two edges are crossed
            position = _cross_edge(*position, size, first)
        tables.append((position[0] * size + position[1]) * size + position[2])
    return np.stack(tables)


def _cross_edge(
    face: np.ndarray, row: np.ndarray, column: np.ndarray, size: int, first: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Move positions beyond an edge onto the neighbouring face; beyond two edges, over the edge of ``first``."""
    down, right = (2 * index + 1 - size for index in (row, column))  # from −size to size on the face
    beyond_rows, beyond_columns = abs(down) > size, abs(right) > size
    by_rows = beyond_rows & ~beyond_columns if first == "columns" else beyond_rows
    by_columns = beyond_columns & ~by_rows
    along, outward = np.where(by_rows, right, down), np.where(by_rows, down, right)
    axis_along = np.where(by_rows[..., None], RIGHT[face], DOWN[face])
    axis_outward = np.where(by_rows[..., None], DOWN[face], RIGHT[face]) * np.sign(outward)[..., None]
    # Fold over the edge: the outward axis becomes the normal, and the excess runs down along the old normal.
    point = axis_outward * size + (2 * size - abs(outward))[..., None] * NORMALS[face] + along[..., None] * axis_along
    neighbour = (axis_outward @ NORMALS.T).argmax(axis=-1)
    moved = by_rows | by_columns
    moved_to = []
    for axes, old in ((DOWN, row), (RIGHT, column)):
        new = (np.einsum("...x,...x->...", point, axes[neighbour]) + size - 1) // 2
        moved_to.append(np.where(moved, new, old))
    return np.where(moved, neighbour, face), moved_to[0], moved_to[1]


def interpolation_matrix(directions: np.ndarray, size: int) -> sparse.csr_array:
    """Return interpolation of flattened faces at directions ``(n, 3)`` as a matrix (n, 6 · size²); rows sum to 1.

    The pixel centres of a cube are the vertices of a truncated cube: a square on each face, a strip along each edge, a
    triangle at each corner. Interpolation is bilinear on each rectangle and linear on the triangles: continuous, within
    the range of the pixels, and exact for functions that are linear on each of these planes.

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
    for axis, (positive, negative) in enumerate(FACES_OF_AXES):
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
    rows, columns = (panorama.linear_weights(index, size) for index in indices)
    return [((face * size + i) * size + j, by_row * by_column) for i, by_row in rows for j, by_column in columns]

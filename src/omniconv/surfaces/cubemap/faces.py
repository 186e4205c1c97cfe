"""The six faces of a cube as square grids: where pixels lie, and which pixel follows past the edge of a face.

Faces are 0 front (longitude 0), 1 east, 2 back, 3 west, 4 up and 5 down. Seen from the centre, columns of the first
four run east and rows run down; the last row of ``up`` and the first row of ``down`` touch the front.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

NORMALS = np.array([(1, 0, 0), (0, 1, 0), (-1, 0, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)])
RIGHT = np.array([(0, 1, 0), (-1, 0, 0), (0, -1, 0), (1, 0, 0), (0, 1, 0), (0, 1, 0)])
"""Where the columns of each face run to."""
DOWN = np.array([(0, 0, -1)] * 4 + [(1, 0, 0), (-1, 0, 0)])
"""Where the rows of each face run to."""


def pixel_directions(size: int) -> np.ndarray:
    """Unit vectors of the pixel centres, ``(6, size, size, 3)``; pixels are even on the faces of the cube."""
    steps = (2 * np.arange(size) + 1) / size - 1
    points = (
        NORMALS[:, None, None]
        + steps[None, :, None, None] * DOWN[:, None, None]
        + steps[None, None, :, None] * RIGHT[:, None, None]
    )
    return points / np.linalg.norm(points, axis=-1, keepdims=True)


def pixel_areas(size: int) -> np.ndarray:
    """Solid angles of the pixels, ``(6, size, size)``; they sum to 4π."""
    edges = 2 * np.arange(size + 1) / size - 1
    x, y = edges[None, :], edges[:, None]
    corner = np.arctan2(x * y, np.sqrt(x**2 + y**2 + 1))  # solid angle of the rectangle from the middle to (x, y)
    return np.repeat(np.diff(np.diff(corner, axis=0), axis=1)[None], 6, axis=0)


def face_coordinates(directions: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Face, row and column of directions ``(…, 3)``; rows and columns in pixels from the first pixel's centre."""
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
    """Flat indices of the pixels that stand at each place of the six faces with a frame around them.

    Past an edge a face goes on over it, onto its neighbour. Past a corner of the cube, where three faces meet, two
    pixels stand for the one that is not there: that of the way over the one edge and then the other, and the reverse.

    Args:
        size: pixels along a face.
        before: rows and columns of the frame before the face, at most ``size`` each.
        after: rows and columns of the frame after it.

    Returns:
        ``(2, 6, rows, columns)``, twice the same but past the corners.
    """
    rows = np.arange(-before[0], size + after[0])[None, :, None]
    columns = np.arange(-before[1], size + after[1])[None, None, :]
    face, row, column = np.broadcast_arrays(np.arange(6)[:, None, None], rows, columns)
    ways = []
    for order in ("rows", "columns"):
        place = face, row, column
        for _ in range(2):
            place = _over_edge(*place, size, order)
        ways.append((place[0] * size + place[1]) * size + place[2])
    return np.stack(ways)


def _over_edge(
    face: np.ndarray, row: np.ndarray, column: np.ndarray, size: int, first: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One step over an edge, for the places that lie past one; ``first`` says which if they lie past two."""
    down, right = (2 * place + 1 - size for place in (row, column))  # from −size to size on the face
    past_rows, past_columns = abs(down) > size, abs(right) > size
    by_rows = past_rows & ~past_columns if first == "columns" else past_rows
    by_columns = past_columns & ~by_rows
    along, outward = np.where(by_rows, right, down), np.where(by_rows, down, right)
    axis_along = np.where(by_rows[..., None], RIGHT[face], DOWN[face])
    axis_outward = np.where(by_rows[..., None], DOWN[face], RIGHT[face]) * np.sign(outward)[..., None]
    # folded over the edge: outward becomes the normal, and what was too far goes down along the old normal
    point = axis_outward * size + (2 * size - abs(outward))[..., None] * NORMALS[face] + along[..., None] * axis_along
    neighbour = (axis_outward @ NORMALS.T).argmax(axis=-1)
    moved = by_rows | by_columns
    places = []
    for axes, old in ((DOWN, row), (RIGHT, column)):
        new = (np.einsum("...x,...x->...", point, axes[neighbour]) + size - 1) // 2
        places.append(np.where(moved, new, old))
    return np.where(moved, neighbour, face), places[0], places[1]

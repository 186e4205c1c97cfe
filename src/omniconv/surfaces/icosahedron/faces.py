"""The faces of a subdivided icosahedron: their corners, their adjacency, and the ten taps of SpherePHD.

Lee et al., "SpherePHD: Applying CNNs on a Spherical PolyHeDron Representation of 360° Images", CVPR 2019.

Every face has an apex, a left and a right corner (0, 1, 2), counter-clockwise seen from outside. Side 0 (right), 1
(left) or 2 (low) ends at the corner of its number and starts at the one before it. The four children of face f are 4f
(central, rotated by 180°: its apex lies on the low side), 4f + 1 (apex), 4f + 2 (left), 4f + 3 (right).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

FINEST = 8
"""The finest level whose tables were published: 1,310,720 faces."""


@lru_cache(maxsize=FINEST + 1)
def corners(level: int) -> np.ndarray:
    """Return the unit vectors of the corners of every face, float64 ``(F, 3 corners, 3)``."""
    return _vertices()[_base_faces()] if level == 0 else split(corners(level - 1))


def split(parents: np.ndarray) -> np.ndarray:
    """Return the corners ``(4F, 3, 3)`` of the children of faces ``(F, 3, 3)``, split at the midpoints of the sides."""
    a, b, c = np.moveaxis(parents, 1, 0)
    ab, bc, ca = _unit(a + b), _unit(b + c), _unit(c + a)
    children = ((bc, ca, ab), (a, ab, ca), (ab, b, bc), (ca, bc, c))
    return np.stack([np.stack(child, axis=1) for child in children], axis=1).reshape(-1, 3, 3)


def centres(corners: np.ndarray) -> np.ndarray:
    """Return the centres of faces ``(F, 3, 3)``: the unit vectors of their corners' mean, as published, ``(F, 3)``."""
    return _unit(corners.sum(axis=1))


def spherical_areas(corners: np.ndarray) -> np.ndarray:
    """Return the areas of spherical triangles ``(F, 3, 3)``, ``(F,)``; those of the children sum to their parent's."""
    a, b, c = np.moveaxis(corners, 1, 0)
    volume = (a * np.cross(b - a, c - a)).sum(-1)  # from differences, so that small triangles lose no digits
    return 2 * np.arctan2(volume, 1 + (a * b).sum(-1) + (b * c).sum(-1) + (c * a).sum(-1))


@lru_cache(maxsize=FINEST + 1)
def adjacent(level: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the face beyond the right, left and low side of every face, and its side's number, both ``(F, 3)``."""
    if level == 0:
        return _base_neighbours()
    faces, sides = adjacent(level - 1)
    beyond = np.empty((len(faces), 4, 3), dtype=np.int64)
    back = np.empty_like(beyond)
    for side in range(3):
        start, end, opposite = (side + 2) % 3, side, (side + 1) % 3
        there, its_side = faces[:, side], sides[:, side]
        beyond[:, 0, side] = 4 * np.arange(len(faces)) + 1 + opposite
        beyond[:, 1 + opposite, side] = 4 * np.arange(len(faces))
        beyond[:, 1 + start, side] = 4 * there + 1 + its_side  # where a side starts here, it ends there
        beyond[:, 1 + end, side] = 4 * there + 1 + (its_side + 2) % 3
        back[:, [0, 1 + opposite], side] = side
        back[:, [1 + start, 1 + end], side] = its_side[:, None]
    return beyond.reshape(-1, 3), back.reshape(-1, 3)


def ten_taps(level: int) -> np.ndarray:
    """Return the ten taps of every face in the published order, ``(F, 10)``.

    Self, right, left, low, right-low, right-high, left-high, left-low, low-left, low-right, for a face that points up;
    on one that points down they are rotated by 180°. The last six are the neighbours of the three, counter-clockwise.
    """
    faces, sides = adjacent(level)
    further = [faces[faces[:, side], (sides[:, side] + step) % 3] for side in range(3) for step in (1, 2)]
    return np.column_stack([np.arange(len(faces)), faces, *further])


@lru_cache(maxsize=FINEST + 1)
def vertices(level: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertex at each corner of every face, ``(F, 3)``, and the six faces around every vertex, ``(V, 6)``.

    Faces are in counter-clockwise order; at the twelve vertices where five meet, the sixth repeats the first.
    """
    faces, corner = _faces_around_corners(level)
    first = faces.argmin(axis=-1)[..., None]  # each vertex is numbered at the face with the smallest index
    owner, its_corner = (np.take_along_axis(table, first, axis=-1)[..., 0] for table in (faces, corner))
    is_owner = owner == faces[..., 0]
    numbers = np.cumsum(is_owner.ravel()).reshape(is_owner.shape) - 1
    return numbers[owner, its_corner], faces[is_owner]


def _faces_around_corners(level: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the six faces around each corner of every face, starting with it, and the corner's number in each."""
    faces, sides = adjacent(level)
    face, corner = (table.ravel() for table in np.indices(faces.shape))
    steps = [(face, corner)]
    for _ in range(5):
        face, corner = faces[face, corner], (sides[face, corner] + 2) % 3  # over the side that ends at the corner
        steps.append((face, corner))
    around, corners_there = (np.stack(table, axis=-1).reshape(*faces.shape, 6) for table in zip(*steps, strict=True))
    return around, corners_there


def _vertices() -> np.ndarray:
    """Return the twelve vertices: north pole, a ring of five from longitude 0, one from 36°, south pole."""
    longitude = np.arange(5) * 2 * np.pi / 5
    rings = []
    for height, offset in ((1, 0), (-1, np.pi / 5)):
        x, y = 2 * np.cos(longitude + offset), 2 * np.sin(longitude + offset)
        rings.append(np.stack([x, y, np.full(5, height)], axis=1) / np.sqrt(5))
    return np.concatenate([[[0, 0, 1]], *rings, [[0, 0, -1]]])


def _base_faces() -> np.ndarray:
    """Return apex, left and right vertex of the twenty faces in the published order.

    Northern cap, equatorial faces that point down, equatorial faces that point up, southern cap.
    """
    here, after = np.arange(5), (np.arange(5) + 1) % 5
    north, upper, lower, south = 0, 1, 6, 11
    blocks = (
        (np.full(5, north), upper + here, upper + after),
        (lower + here, upper + after, upper + here),
        (upper + after, lower + here, lower + after),
        (np.full(5, south), lower + after, lower + here),
    )
    return np.concatenate([np.stack(block, axis=1) for block in blocks])


def _base_neighbours() -> tuple[np.ndarray, np.ndarray]:
    by_edge = {}
    base = _base_faces().tolist()
    for face, vertex in enumerate(base):
        for side in range(3):
            by_edge[vertex[side - 1], vertex[side]] = face, side
    beyond = np.array([[by_edge[vertex[side], vertex[side - 1]] for side in range(3)] for vertex in base])
    return beyond[..., 0], beyond[..., 1]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)

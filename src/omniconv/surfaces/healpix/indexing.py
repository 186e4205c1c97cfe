"""Nested numbers, base faces and directions of HEALPix cells (Górski et al., ApJ 622, 2005).

Twelve base faces: 0 … 3 around the north pole, 4 … 7 along the equator, 8 … 11 around the south pole. On each, x runs
to the north-east and y to the north-west, both from 0 at the southern corner to 1 at the northern one. A nested number
consists of the face and the interleaved bits of the cell's column along x and row along y, so that the four children of
cell ``p`` are ``4p … 4p + 3``: south, east, west, north.
"""

from __future__ import annotations

import numpy as np


def cell_coordinates(cells: np.ndarray, nside: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return face, column along x and row along y of nested numbers."""
    face, inside = np.divmod(cells, nside * nside)
    column, row = np.zeros_like(inside), np.zeros_like(inside)
    for bit in range(nside.bit_length() - 1):
        column |= (inside >> 2 * bit & 1) << bit
        row |= (inside >> 2 * bit + 1 & 1) << bit
    return face, column, row


def cell_numbers(face: np.ndarray, column: np.ndarray, row: np.ndarray, nside: int) -> np.ndarray:
    """Return nested numbers of cells: the inverse of ``cell_coordinates``."""
    numbers = face * nside * nside
    for bit in range(nside.bit_length() - 1):
        numbers = numbers + ((column >> bit & 1) << 2 * bit) + ((row >> bit & 1) << 2 * bit + 1)
    return numbers


def cell_directions(nside: int) -> np.ndarray:
    """Return the unit vectors of the cell centres in nested order, ``(12 · nside², 3)``."""
    face, column, row = cell_coordinates(np.arange(12 * nside * nside), nside)
    return point_directions(face, (column + 0.5) / nside, (row + 0.5) / nside)


def point_directions(face: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the unit vectors ``(…, 3)`` of points on base faces, x and y from 0 to 1, except the poles.

    ``ring`` counts from the north pole (0) over the two edges of the polar caps (1 and 3) to the south pole (4): the
    paper's i / N. Eqs. 4 and 8 give z, 5 and 9 the longitude, and those of its nested scheme, up to 18, the position
    on a face; in the polar caps the number of cells in a quadrant of the ring replaces eq. 18's N.
    """
    ring = face // 4 + 2 - x - y
    quadrant = np.minimum(np.minimum(ring, 4 - ring), 1)  # share of a full ring's cells
    below_pole = quadrant**2 / 3  # 1 − |z| in the polar caps
    z = np.where(quadrant < 1, np.sign(2 - ring) * (1 - below_pole), (2 - ring) * 2 / 3)
    level = np.where(quadrant < 1, np.sqrt(below_pole * (2 - below_pole)), np.sqrt(1 - z**2))
    middle = 2 * (face % 4) + (face // 4 + 1) % 2  # in units of 45°
    longitude = (middle + (x - y) / quadrant) * np.pi / 4
    return np.stack([level * np.cos(longitude), level * np.sin(longitude), z], axis=-1)


def face_coordinates(directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return base face, x and y (0 to 1) of directions ``(…, 3)``: the inverse of ``point_directions``."""
    first, second, z = np.moveaxis(np.asarray(directions, dtype=np.float64), -1, 0)
    quadrants = np.arctan2(second, first) % (2 * np.pi) * (2 / np.pi)
    in_cap = np.abs(z) > 2 / 3
    face, x, y = _on_equator(quadrants, z)
    cap_face, cap_x, cap_y = _on_cap(quadrants, z, np.hypot(first, second))
    return np.where(in_cap, cap_face, face), np.where(in_cap, cap_x, x), np.where(in_cap, cap_y, y)


def cells_of(directions: np.ndarray, nside: int) -> np.ndarray:
    """Return the nested number of the cell that contains each direction ``(…, 3)``."""
    face, x, y = face_coordinates(directions)
    column, row = ((along * nside).astype(np.int64).clip(0, nside - 1) for along in (x, y))
    return cell_numbers(face, column, row, nside)


def _on_equator(quadrants: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return face coordinates between the polar caps, where faces are diamonds in the plane of longitude and z."""
    east, west = quadrants + 0.5 + 0.75 * z, quadrants + 0.5 - 0.75 * z  # increase to the north-east, south-east
    column, row = np.floor(east), np.floor(west)
    face = np.where(column == row, column % 4 + 4, np.where(column > row, row % 4, column % 4 + 8))
    return face.astype(np.int64), east - column, 1 - (west - row)


def _on_cap(quadrants: np.ndarray, z: np.ndarray, level: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return face coordinates in the polar caps, where each face is the quarter between two meridians."""
    quarter = np.minimum(quadrants.astype(np.int64), 3)
    ring = level * np.sqrt(3 / (1 + np.abs(z)))  # √(3 (1 − |z|)) without cancellation near the poles
    east, west = (quadrants - quarter) * ring, (1 - (quadrants - quarter)) * ring
    north = z > 0
    return np.where(north, quarter, quarter + 8), np.where(north, 1 - west, east), np.where(north, 1 - east, west)

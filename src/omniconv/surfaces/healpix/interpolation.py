"""Interpolation between the cell centres of HEALPix: bilinear on the quadrilaterals that four centres span.

Around each corner of a cell four centres span a quadrilateral (around eight corners of the sphere three, a triangle);
together they cover the sphere. Seen from a direction, projected on the plane that touches the sphere there, weights
are those of the bilinear map from the unit square to the quadrilateral (the isoparametric element of Irons, 1966):
never negative, one in sum, continuous across the edges, and exact for functions that are linear on that plane.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import sparse

from omniconv.surfaces.healpix.indexing import cell_directions, cell_numbers, face_coordinates
from omniconv.surfaces.healpix.neighbours import NORTH_EAST, NORTH_WEST, SOUTH_EAST, SOUTH_WEST, walk

NEWTON_STEPS = 6
ROUNDING = 1e-12


def bilinear_cells(directions: np.ndarray, nside: int) -> tuple[np.ndarray, np.ndarray]:
    """The cells whose centres surround each direction ``(n, 3)`` and their weights, both ``(n, 4)``."""
    face, x, y = face_coordinates(directions)
    column, row = ((along * nside).astype(np.int64).clip(0, nside - 1) for along in (x, y))
    own = cell_numbers(face, column, row, nside)
    east, north = x * nside - column >= 0.5, y * nside - row >= 0.5
    cells, weights = np.zeros((len(own), 4), dtype=np.int64), np.full((len(own), 4), -np.inf)
    for other_x, other_y in ((False, False), (True, False), (False, True), (True, True)):
        open_ones = np.flatnonzero(weights.min(axis=1) < -ROUNDING)  # a corner of the cell with another in between
        around = _around(own[open_ones], nside, east[open_ones] ^ other_x, north[open_ones] ^ other_y)
        found = _weights(directions[open_ones], cell_directions_of(nside)[around])
        better = found.min(axis=1) > weights[open_ones].min(axis=1)
        cells[open_ones[better]], weights[open_ones[better]] = around[better], found[better]
    inside = np.clip(weights, 0, None)
    return cells, inside / inside.sum(axis=1, keepdims=True)


def interpolation_matrix(directions: np.ndarray, nside: int) -> sparse.csr_array:
    """Bilinear interpolation of a signal on the cells at directions ``(n, 3)`` as a matrix (n, 12 · nside²)."""
    cells, weights = bilinear_cells(directions, nside)
    ends = np.arange(0, weights.size + 1, 4)
    matrix = sparse.csr_array((weights.ravel(), cells.ravel(), ends), shape=(len(cells), 12 * nside * nside))
    matrix.sum_duplicates()
    return matrix


@lru_cache(maxsize=8)
def cell_directions_of(nside: int) -> np.ndarray:
    """``cell_directions``, remembered."""
    return cell_directions(nside)


def _around(own: np.ndarray, nside: int, east: np.ndarray, north: np.ndarray) -> np.ndarray:
    """A cell, the next along x, the one across, and the next along y: around one corner, ``(n, 4)``."""
    start = own, np.zeros_like(own)
    along_x, along_y = np.where(east, NORTH_EAST, SOUTH_WEST), np.where(north, NORTH_WEST, SOUTH_EAST)
    beside = walk(start, nside, along_x, 1)
    return np.stack([own, beside[0], walk(beside, nside, along_y, 1)[0], walk(start, nside, along_y, 1)[0]], axis=1)


def _weights(directions: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Weights ``(n, 4)`` of the corners ``(n, 4, 3)`` of quadrilaterals around directions ``(n, 3)``."""
    seen = _on_touching_plane(directions, corners)
    first, along_u, along_v = seen[:, 0], seen[:, 1] - seen[:, 0], seen[:, 3] - seen[:, 0]
    twist = seen[:, 2] - seen[:, 1] - along_v
    u = v = np.full((len(directions), 1), 0.25)
    with np.errstate(all="ignore"):  # quadrilaterals behind the horizon or far away, which another one outdoes
        for _ in range(NEWTON_STEPS):
            by_u, by_v = along_u + v * twist, along_v + u * twist
            missed = first + u * along_u + v * by_v
            scale = _cross(by_u, by_v)
            u, v = u - _cross(missed, by_v) / scale, v - _cross(by_u, missed) / scale
    weights = np.concatenate([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], axis=1)
    return np.where(np.isfinite(weights).all(axis=1, keepdims=True), weights, -np.inf)


def _on_touching_plane(directions: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Corners ``(n, 4, 3)`` seen from the centre of the sphere on the plane that touches it at a direction."""
    axis = np.eye(3)[np.abs(directions).argmin(axis=1)]
    right = np.cross(axis, directions)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    basis = np.stack([right, np.cross(directions, right)], axis=2)
    depth = np.einsum("nkx,nx->nk", corners, directions)[..., None]
    return (corners @ basis) / np.where(depth > 0.01, depth, np.nan)  # behind the horizon nothing is seen


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, :1] * b[:, 1:] - a[:, 1:] * b[:, :1]

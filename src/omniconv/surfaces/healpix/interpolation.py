"""Interpolation between the cell centres of HEALPix, bilinear on quadrilaterals of four centres, and means of cells.

Around each corner of a cell four centres form a quadrilateral (around eight corners of the sphere three, a triangle);
together they cover the sphere. The quadrilateral around a direction is projected on the tangent plane there; weights
are those of the bilinear map from the unit square to it (the isoparametric element of Irons, 1966): non-negative, sum
1, continuous across edges, and exact for functions that are linear on that plane.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import sparse

from omniconv.surfaces.healpix.indexing import cell_directions, cell_numbers, face_coordinates
from omniconv.surfaces.healpix.neighbours import NORTH_EAST, NORTH_WEST, SOUTH_EAST, SOUTH_WEST, move
from omniconv.surfaces.neighbours.stencil import csr_from_rows

NEWTON_STEPS = 6
"""Steps of Newton's method for the inverse bilinear map; it converges quadratically from the middle."""
ROUNDING = 1e-12
"""Weights above −ROUNDING count as non-negative."""


def bilinear_cells(directions: np.ndarray, nside: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells whose centres surround each direction ``(n, 3)`` and their weights, both ``(n, 4)``."""
    face, x, y = face_coordinates(directions)
    column, row = ((along * nside).astype(np.int64).clip(0, nside - 1) for along in (x, y))
    own = cell_numbers(face, column, row, nside)
    east, north = x * nside - column >= 0.5, y * nside - row >= 0.5
    cells, weights = np.zeros((len(own), 4), dtype=np.int64), np.full((len(own), 4), -np.inf)
    # The quadrilateral around the nearest corner contains most directions; others are tried for the rest.
    for other_x, other_y in ((False, False), (True, False), (False, True), (True, True)):
        missed = np.flatnonzero(weights.min(axis=1) < -ROUNDING)
        around = _around(own[missed], nside, east[missed] ^ other_x, north[missed] ^ other_y)
        candidate = _weights(directions[missed], _cached_directions(nside)[around])
        better = candidate.min(axis=1) > weights[missed].min(axis=1)
        cells[missed[better]], weights[missed[better]] = around[better], candidate[better]
    inside = np.clip(weights, 0, None)
    return cells, inside / inside.sum(axis=1, keepdims=True)


def interpolation_matrix(directions: np.ndarray, nside: int) -> sparse.csr_array:
    """Return bilinear interpolation of a signal at directions ``(n, 3)`` as a matrix (n, 12 · nside²)."""
    return csr_from_rows(*bilinear_cells(directions, nside), 12 * nside * nside)


def mean_of_descendants(nside: int, levels: int) -> sparse.csr_array:
    """Return the mean of the cells ``levels`` finer in each cell, ``(12 · nside², 12 · nside² · 4^levels)``."""
    each = 4**levels
    descendants = np.arange(12 * nside * nside * each).reshape(-1, each)
    return csr_from_rows(descendants, 1 / each, descendants.size)


@lru_cache(maxsize=8)
def _cached_directions(nside: int) -> np.ndarray:
    return cell_directions(nside)


def _around(own: np.ndarray, nside: int, east: np.ndarray, north: np.ndarray) -> np.ndarray:
    """Return the four cells around a corner: the cell, the next along x, the diagonal, the next along y, ``(n, 4)``."""
    start = own, np.zeros_like(own)
    along_x, along_y = np.where(east, NORTH_EAST, SOUTH_WEST), np.where(north, NORTH_WEST, SOUTH_EAST)
    next_x = move(start, nside, along_x, 1)
    return np.stack([own, next_x[0], move(next_x, nside, along_y, 1)[0], move(start, nside, along_y, 1)[0]], axis=1)


def _weights(directions: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return weights ``(n, 4)`` of the corners ``(n, 4, 3)`` of quadrilaterals around directions ``(n, 3)``.

    They are −∞ where Newton's method fails: on quadrilaterals beyond the horizon or far away.
    """
    plane = _on_tangent_plane(directions, corners)
    first, along_u, along_v = plane[:, 0], plane[:, 1] - plane[:, 0], plane[:, 3] - plane[:, 0]
    twist = plane[:, 2] - plane[:, 1] - along_v
    u = v = np.full((len(directions), 1), 0.25)
    with np.errstate(all="ignore"):  # beyond the horizon coordinates are NaN
        for _ in range(NEWTON_STEPS):
            by_u, by_v = along_u + v * twist, along_v + u * twist
            residual = first + u * along_u + v * by_v
            scale = _cross(by_u, by_v)
            u, v = u - _cross(residual, by_v) / scale, v - _cross(by_u, residual) / scale
    weights = np.concatenate([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], axis=1)
    return np.where(np.isfinite(weights).all(axis=1, keepdims=True), weights, -np.inf)


def _on_tangent_plane(directions: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Project corners ``(n, 4, 3)`` from the centre of the sphere on the tangent plane at each direction."""
    axis = np.eye(3)[np.abs(directions).argmin(axis=1)]
    right = np.cross(axis, directions)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    basis = np.stack([right, np.cross(directions, right)], axis=2)
    depth = np.einsum("nkx,nx->nk", corners, directions)[..., None]
    # NaN at the horizon, where projections grow without bound, and beyond it
    return (corners @ basis) / np.where(depth > 0.01, depth, np.nan)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, :1] * b[:, 1:] - a[:, 1:] * b[:, :1]

"""Projection of digits to the sphere as in the published code: one sparse matrix from pixels to vertices.

A grid of 120×120 directions is projected from just above the north pole to the tangent plane of the south pole, where
the digit lies. The vertices interpolate the grid's values, after a rotation that moves the digit to the equator.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

import omniconv as oc

SIDE = 28  # pixels
BANDWIDTH = 60  # half the number of rows and columns of the grid
ABOVE = 1e-3  # height of the centre of projection above the north pole, in radii
HALF_WIDTH = 1.5  # of the digit on the plane, in radii
MEAN, STD = 0.1307, 0.3081  # of the pixels of MNIST, as in the published code


class Projection:
    """Projection of digits to an icosphere.

    Args:
        surface: the icosphere.

    Attributes:
        matrix: linear map from pixels to vertices, ``(N, 784)``.

    Example:
        >>> Projection(oc.Icosphere(2))(np.ones((5, 28, 28), np.uint8)).shape
        torch.Size([5, 1, 162])
    """

    def __init__(self, surface: oc.Icosphere) -> None:
        self.matrix = vertices_from_pixels(surface.directions()).astype(np.float32)

    def __call__(self, digits: np.ndarray) -> Tensor:
        """Project digits ``(batch, 28, 28)`` to ``(batch, 1, N)``, scale each to a maximum of 1 and normalise."""
        values = self.matrix @ digits.reshape(len(digits), -1).T.astype(np.float32)
        values /= np.maximum(values.max(axis=0), 1e-6)
        return torch.from_numpy(np.ascontiguousarray(values.T - MEAN) / STD)[:, None]


def vertices_from_pixels(directions: np.ndarray) -> sparse.csr_array:
    """Return the weights of the 784 pixels for each direction ``(N, 3)``, ``(N, 784)``."""
    return sparse.csr_array(_directions_from_grid(directions) @ _grid_from_pixels())


def plane_coordinates() -> np.ndarray:
    """Return the row and column of the digit to which each direction of the grid is projected, ``(120, 120, 2)``."""
    steps = np.arange(2 * BANDWIDTH)
    colatitude, azimuth = np.meshgrid(steps * np.pi / (2 * BANDWIDTH), steps * np.pi / BANDWIDTH, indexing="ij")
    across = np.stack([np.cos(azimuth), np.sin(azimuth)], axis=-1) * np.sin(colatitude)[..., None]
    on_plane = across * ((2 + ABOVE) / (1 + ABOVE - np.cos(colatitude)))[..., None]
    return (on_plane + HALF_WIDTH) / (2 * HALF_WIDTH) * SIDE


def _grid_from_pixels() -> sparse.csr_array:
    """Return the published sampling matrix ``(14400, 784)``: pixels one before and one after, weighted by distance."""
    rows, columns = np.moveaxis(plane_coordinates().reshape(-1, 2), 1, 0)
    directions = np.arange(len(rows))
    matrix = sparse.csr_array((len(rows), SIDE * SIDE))
    for row, row_weight in _around(rows):
        for column, column_weight in _around(columns):
            inside = (row >= 0) & (row < SIDE) & (column >= 0) & (column < SIDE)
            entries = (directions[inside], (row * SIDE + column)[inside])
            matrix = matrix + sparse.coo_array(((row_weight * column_weight)[inside], entries), shape=matrix.shape)
    return matrix


def _around(positions: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the pixel before and the pixel after, and their weights, which sum to 2 as in the published code."""
    floor = positions.astype(np.int64)
    return [(floor - 1, floor + 1 - positions), (floor + 1, positions - floor + 1)]


def _directions_from_grid(directions: np.ndarray) -> sparse.csr_array:
    """Return the bilinear interpolation matrix ``(N, 14400)``; its first and last row are taken for the poles."""
    side = 2 * BANDWIDTH
    x, y, z = directions.T  # the centre of the digit is at -y
    latitude, longitude = np.arctan2(-y, np.hypot(x, z)), np.arctan2(z, x)
    rows, columns = (latitude / np.pi + 0.5) * (side - 1), (longitude / (2 * np.pi) + 0.5) * side
    row, column = np.minimum(rows.astype(np.int64), side - 2), columns.astype(np.int64)
    down, right = rows - row, columns - column
    corners = [(row, column, (1 - down) * (1 - right)), (row, column + 1, (1 - down) * right)]
    corners += [(row + 1, column, down * (1 - right)), (row + 1, column + 1, down * right)]
    vertices = np.tile(np.arange(len(directions)), 4)
    pixels = np.concatenate([a * side + b % side for a, b, _ in corners])
    weights = np.concatenate([weight for *_, weight in corners])
    return sparse.csr_array(sparse.coo_array((weights, (vertices, pixels)), shape=(len(directions), side * side)))

"""A digit on the sphere, as the published code lays it there: one sparse matrix from pixels to vertices.

A grid of 120×120 directions is projected from just above the north pole to the plane that touches the south pole, where
the digit lies; the vertices then take their values between the grid's, turned so that the digit is on the equator.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

import omniconv as oc

SIDE = 28  # pixels of a digit
BANDWIDTH = 60  # the grid has twice as many rows and columns
ABOVE = 1e-3  # how far above the north pole the rays begin, where the sphere has radius 1
HALF_WIDTH = 1.5  # of the digit on the plane
MEAN, DEVIATION = 0.1307, 0.3081  # of the pixels of MNIST: the published code standardises with these


class Projection:
    """Digits as signals on an icosphere.

    Args:
        surface: where they go.

    Attributes:
        matrix: from pixels to vertices, ``(N, 784)``.

    Example:
        >>> Projection(oc.Icosphere(2))(np.ones((5, 28, 28), np.uint8)).shape
        torch.Size([5, 1, 162])
    """

    def __init__(self, surface: oc.Icosphere) -> None:
        self.matrix = vertices_from_pixels(surface.directions()).astype(np.float32)

    def __call__(self, digits: np.ndarray) -> Tensor:
        """Digits ``(batch, 28, 28)`` at the vertices, ``(batch, 1, N)``: each as bright as it can be, standardised."""
        values = self.matrix @ digits.reshape(len(digits), -1).T.astype(np.float32)
        values /= np.maximum(values.max(axis=0), 1e-6)
        return torch.from_numpy(np.ascontiguousarray(values.T - MEAN) / DEVIATION)[:, None]


def vertices_from_pixels(directions: np.ndarray) -> sparse.csr_array:
    """What each direction ``(N, 3)`` sees of the 784 pixels, ``(N, 784)``."""
    return sparse.csr_array(_directions_from_grid(directions) @ _grid_from_pixels())


def plane_places() -> np.ndarray:
    """Row and column of the digit, in pixels, that each direction of the grid is projected to, ``(120, 120, 2)``."""
    steps = np.arange(2 * BANDWIDTH)
    colatitude, azimuth = np.meshgrid(steps * np.pi / (2 * BANDWIDTH), steps * np.pi / BANDWIDTH, indexing="ij")
    across = np.stack([np.cos(azimuth), np.sin(azimuth)], axis=-1) * np.sin(colatitude)[..., None]
    on_plane = across * ((2 + ABOVE) / (1 + ABOVE - np.cos(colatitude)))[..., None]
    return (on_plane + HALF_WIDTH) / (2 * HALF_WIDTH) * SIDE


def _grid_from_pixels() -> sparse.csr_array:
    """The published sampling: the pixels one before and one after, in each axis by their distance, ``(14400, 784)``."""
    rows, columns = np.moveaxis(plane_places().reshape(-1, 2), 1, 0)
    directions = np.arange(len(rows))
    matrix = sparse.csr_array((len(rows), SIDE * SIDE))
    for row, row_weight in _around(rows):
        for column, column_weight in _around(columns):
            inside = (row >= 0) & (row < SIDE) & (column >= 0) & (column < SIDE)
            places = (directions[inside], (row * SIDE + column)[inside])
            matrix = matrix + sparse.coo_array(((row_weight * column_weight)[inside], places), shape=matrix.shape)
    return matrix


def _around(places: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The pixel before and the pixel after, and their weights, which sum to 2."""
    whole = places.astype(np.int64)
    return [(whole - 1, whole + 1 - places), (whole + 1, places - whole + 1)]


def _directions_from_grid(directions: np.ndarray) -> sparse.csr_array:
    """Linear between the four around; the grid's first and last row are taken for the poles, ``(N, 14400)``."""
    side = 2 * BANDWIDTH
    x, y, z = directions.T  # the digit's middle comes to -y
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

"""Between panoramas and the cells of HEALPix: matrices and tables, remembered."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import sparse

from omniconv.surfaces import panorama
from omniconv.surfaces.healpix.indexing import cell_directions, cells_of
from omniconv.surfaces.healpix.interpolation import bilinear_cells


@lru_cache(maxsize=8)
def from_panorama(nside: int, height: int, width: int) -> sparse.csr_array:
    """The mean of a panorama at points spread evenly over each cell, about as far apart as pixels on the equator.

    The points are the centres of the cell's descendants: itself, its four children, their sixteen, and so on.
    """
    pixel, cell = max(np.pi / height, 2 * np.pi / width), np.sqrt(np.pi / 3) / nside
    finer = max(0, round(float(np.log2(cell / pixel))))
    points = panorama.bilinear_matrix(cell_directions(nside << finer), height, width)
    return sparse.csr_array(mean_of_descendants(nside, finer) @ points)


def mean_of_descendants(nside: int, levels: int) -> sparse.csr_array:
    """The mean of the cells some levels finer that lie in each cell, ``(12 · nside², 12 · nside² · 4^levels)``."""
    cells, each = 12 * nside * nside, 4**levels
    entries = np.full(cells * each, 1 / each), np.arange(cells * each), np.arange(0, cells * each + 1, each)
    return sparse.csr_array(entries, shape=(cells, cells * each))


@lru_cache(maxsize=8)
def to_panorama(nside: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """The cells around each pixel and their weights, both ``(pixels, 4)``."""
    return bilinear_cells(panorama.pixel_directions(height, 2 * height).reshape(-1, 3), nside)


@lru_cache(maxsize=8)
def pixel_cells(nside: int, height: int) -> np.ndarray:
    """The cell that holds the centre of each pixel, ``(height, 2 · height)``."""
    return cells_of(panorama.pixel_directions(height, 2 * height), nside)

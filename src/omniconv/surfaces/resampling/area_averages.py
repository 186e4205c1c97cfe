"""Means by area around the samples of a coarse surface, over finer samples.

The weight of a fine sample is its area times its share of the coarse one: the weight that linear interpolation on the
coarse surface would give to the coarse sample there.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from omniconv.errors import InputError
from omniconv.surfaces.resampling.samples import Samples

COARSER = 1.5
"""A target whose samples lie more than so many times as far apart as the source's gets averages."""
ENOUGH = 5
"""Samples of equal weight that an average must be worth."""
MISSED = 0.01
"""How far from its sample an average may lie, in the spacing of the target."""
TILTS = 3
"""How often it is moved there: what falls below 0 leaves something to do."""
TINY = 1e-30
"""What keeps a mean of one sample from a division by zero."""
MOST_SAMPLES = 2**22
"""Samples that an average runs over on the whole sphere, at most."""
ROUNDING = 1e-9
"""Weights below it come from rounding: a direction that lies on a sample sees this sample alone."""


def is_coarser(target: Samples, source: Samples) -> bool:
    """Whether the target needs averages: interpolation would leave out samples."""
    return target.spacing > COARSER * source.spacing


def means_over(source: Samples, target: Samples) -> tuple[sparse.csr_array, Samples]:
    """Means around each of the target's samples as a matrix (target, finer samples), and those finer samples.

    They are the source's own, where each mean finds enough of them, else those of a refined target, as close together.
    """
    if source.count <= MOST_SAMPLES:
        means, serves = _averages(target, source)
        if serves:
            return means, source
    fine = _refined(target, int(np.ceil(np.log2(target.spacing / source.spacing))))
    return _averages(target, fine)[0], fine


def normalised(matrix: sparse.csr_array) -> sparse.csr_array:
    """Rows without the weights that come from rounding, summing to 1."""
    matrix.data[np.abs(matrix.data) < ROUNDING * _by_entry(matrix, _row_sums(matrix))] = 0
    matrix.eliminate_zeros()
    matrix.data /= _by_entry(matrix, _row_sums(matrix))
    return matrix


def _refined(target: Samples, levels: int) -> Samples:
    """Some levels finer, or as fine as there are tables for."""
    for _ in range(levels):
        try:
            finer = target.finer()
        except InputError:
            break
        if finer.count > MOST_SAMPLES:
            break
        target = finer
    return target


def _averages(target: Samples, fine: Samples) -> tuple[sparse.csr_array, bool]:
    """Means around each sample of the target over finer ones, (target, fine), and whether they serve.

    They do not where one has too few samples, or does not lie at its own.
    """
    shares = target.interpolation_matrix(fine.directions)
    shares.data *= _by_entry(shares, fine.areas)
    hats = normalised(sparse.csr_array(shares.T))
    enough = _worth(hats).min() >= ENOUGH
    for _ in range(TILTS):
        hats = _tilted(hats, target.directions, fine.directions)
        away = np.linalg.norm(np.cross(hats @ fine.directions, target.directions), axis=1).max() / target.spacing
        if away < MISSED:
            break
    return hats, bool(enough and away < MISSED)


def _tilted(hats: sparse.csr_array, centres: np.ndarray, places: np.ndarray) -> sparse.csr_array:
    """Weights times a plane that rises towards the row's centre until the mean place lies there, but never below 0.

    A linear function asks for it. The mean lies elsewhere where areas fall to nothing at the poles of a panorama, or
    across the kinks of HEALPix.
    """
    means, slopes = _slopes(hats, centres, places)
    factors = 1 + _by_entry(hats, np.einsum("nx,nx->n", slopes, means))
    for axis in range(3):
        factors -= _by_entry(hats, slopes[:, axis]) * places[hats.indices, axis]
    hats.data *= np.clip(factors, 0, 2)
    return normalised(hats)


def _worth(hats: sparse.csr_array) -> np.ndarray:
    """As many samples of equal weight would make a mean as steady as each row; 0 of an empty row."""
    squares = np.bincount(np.repeat(np.arange(hats.shape[0]), np.diff(hats.indptr)), hats.data**2, hats.shape[0])
    return np.divide(1, squares, out=np.zeros_like(squares), where=squares > 0)


def _slopes(hats: sparse.csr_array, centres: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean place of each row's samples ``(n, 3)``, and the slope ``(n, 3)`` that moves it onto the row's centre."""
    means = hats @ places
    products = hats @ (places[:, :, None] * places[:, None, :]).reshape(-1, 9)
    spread = products.reshape(-1, 3, 3) - means[:, :, None] * means[:, None, :]
    upright = centres[:, :, None] * centres[:, None, :]
    flat = np.eye(3) - upright  # onto the plane that touches the sphere
    size = np.trace(spread, axis1=1, axis2=2)[:, None, None] + TINY
    stable = flat @ spread @ flat + size * (upright + ROUNDING * np.eye(3))
    away = np.einsum("nxy,ny->nx", flat, means)
    return means, np.linalg.solve(stable, away[..., None])[..., 0]


def _row_sums(matrix: sparse.csr_array) -> np.ndarray:
    return np.asarray(matrix.sum(axis=1)).ravel()


def _by_entry(matrix: sparse.csr_array, rows: np.ndarray) -> np.ndarray:
    """A value a row, once for each of the row's entries."""
    return np.repeat(rows, np.diff(matrix.indptr))

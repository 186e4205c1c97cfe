"""Averages by area around the samples of a coarse surface, over the samples of a finer one.

The weight of a fine sample in the average of a coarse one is its area times the weight that linear interpolation on
the coarse surface would give the coarse sample there.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from omniconv.errors import InputError
from omniconv.surfaces.resampling.samples import Samples

MIN_RATIO = 1.5
"""A target with a larger spacing than this many spacings of the source gets averages instead of interpolation."""
MIN_SAMPLES = 5
"""Smallest effective number of samples of an average; with fewer, a refined target is averaged over."""
MAX_OFFSET = 0.01
"""Largest distance of an average's centroid from its sample, in spacings of the target."""
MAX_CORRECTIONS = 3
"""Number of corrections of the centroid; weights clipped at 0 make more than one necessary."""
TINY = 1e-30
"""Added to the trace of a covariance, which is 0 for an average of one sample."""
MAX_COUNT = 2**22
"""Largest number of samples to average over, which bounds the memory."""
ROUNDING = 1e-9
"""Smaller relative weights are rounding errors: interpolation at a sample then uses this sample alone."""


def is_coarser(target: Samples, source: Samples) -> bool:
    """Return whether the target needs averages, because interpolation would skip samples of the source."""
    return target.spacing > MIN_RATIO * source.spacing


def area_averages(source: Samples, target: Samples) -> tuple[sparse.csr_array, Samples]:
    """Return averages around the target's samples as a matrix (target, finer samples), and these finer samples.

    They are the source's own if each average has enough of them, else those of a refined target of similar spacing.
    """
    if source.count <= MAX_COUNT:
        means, is_accurate = _averages(target, source)
        if is_accurate:
            return means, source
    fine = _refined(target, int(np.ceil(np.log2(target.spacing / source.spacing))))
    return _averages(target, fine)[0], fine


def normalize_rows(matrix: sparse.csr_array) -> sparse.csr_array:
    """Remove rounding errors from a matrix and scale its rows to sum 1, in place."""
    matrix.data[np.abs(matrix.data) < ROUNDING * _by_entry(matrix, _row_sums(matrix))] = 0
    matrix.eliminate_zeros()
    matrix.data /= _by_entry(matrix, _row_sums(matrix))
    return matrix


def _refined(target: Samples, levels: int) -> Samples:
    """Return samples some levels finer, or as fine as the surface and ``MAX_COUNT`` allow."""
    for _ in range(levels):
        try:
            finer = target.finer()
        except InputError:
            break
        if finer.count > MAX_COUNT:
            break
        target = finer
    return target


def _averages(target: Samples, fine: Samples) -> tuple[sparse.csr_array, bool]:
    """Return averages around the target's samples (target, fine), and whether they are accurate.

    They are not if an average has too few samples, or its centroid is too far from its sample.
    """
    transposed = target.interpolation_matrix(fine.directions)
    transposed.data *= _by_entry(transposed, fine.areas)
    weights = normalize_rows(sparse.csr_array(transposed.T))
    has_enough = _effective_samples(weights).min() >= MIN_SAMPLES
    for _ in range(MAX_CORRECTIONS):
        weights = _centroid_corrected(weights, target.directions, fine.directions)
        offsets = np.linalg.norm(np.cross(weights @ fine.directions, target.directions), axis=1) / target.spacing
        if offsets.max() < MAX_OFFSET:
            break
    return weights, bool(has_enough and offsets.max() < MAX_OFFSET)


def _centroid_corrected(weights: sparse.csr_array, centres: np.ndarray, positions: np.ndarray) -> sparse.csr_array:
    """Multiply each row by a linear function, clipped at 0, that moves its centroid to the row's centre.

    Averages of linear functions are then exact. Centroids are off where areas vanish towards the poles of a panorama,
    or across the kinks of HEALPix.
    """
    means, slopes = _slopes(weights, centres, positions)
    factors = 1 + _by_entry(weights, np.einsum("nx,nx->n", slopes, means))
    for axis in range(3):
        factors -= _by_entry(weights, slopes[:, axis]) * positions[weights.indices, axis]
    weights.data *= np.clip(factors, 0, 2)
    return normalize_rows(weights)


def _effective_samples(weights: sparse.csr_array) -> np.ndarray:
    """Return 1 / Σw² of each row, the number of equal weights with the same variance; 0 for an empty row."""
    rows = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
    squares = np.bincount(rows, weights.data**2, weights.shape[0])
    return np.divide(1, squares, out=np.zeros_like(squares), where=squares > 0)


def _slopes(weights: sparse.csr_array, centres: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the centroid of each row ``(n, 3)``, and the slope ``(n, 3)`` that moves it to the row's centre."""
    means = weights @ positions
    products = weights @ (positions[:, :, None] * positions[:, None, :]).reshape(-1, 9)
    covariance = products.reshape(-1, 3, 3) - means[:, :, None] * means[:, None, :]
    normal = centres[:, :, None] * centres[:, None, :]
    tangent = np.eye(3) - normal  # projection onto the tangent plane
    scale = np.trace(covariance, axis1=1, axis2=2)[:, None, None] + TINY
    # The covariance in the tangent plane, made invertible along the normal and for samples on a line.
    regular = tangent @ covariance @ tangent + scale * (normal + ROUNDING * np.eye(3))
    offset = np.einsum("nxy,ny->nx", tangent, means)
    return means, np.linalg.solve(regular, offset[..., None])[..., 0]


def _row_sums(matrix: sparse.csr_array) -> np.ndarray:
    return np.asarray(matrix.sum(axis=1)).ravel()


def _by_entry(matrix: sparse.csr_array, rows: np.ndarray) -> np.ndarray:
    """Repeat one value for each row over the row's entries."""
    return np.repeat(rows, np.diff(matrix.indptr))

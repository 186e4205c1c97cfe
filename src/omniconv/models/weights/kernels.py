"""Conversion of the kernels of flat networks to the taps or operators of a mesh.

A flat kernel K has a weight at each point p of a lattice, x to the east and y to the south in units of the spacing of
the samples. A mesh has taps t instead, and K̂ is what it computes: the kernel K' = M K on the taps, which interpolate
between the points of the lattice by C. ‖K − K̂‖ is then a quadratic form of C'C and C.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from omniconv.errors import InputError
from omniconv.surfaces import Healpix, Icosphere, Stencil, Surface

LINEAR_WEIGHT = 1.0
"""Weight of the error of a kernel's response to linear fields beside that of its values.

Without it, fitted kernels respond to gradients 23 % too strongly on HEALPix (3×3, Sobel); with 1 it is 2 %, and the
error of the values rises from 0.41 to 0.44 of their norm.
"""
MIN_SAMPLES = 1000
"""Samples of the level on which the places of taps are measured: with fewer, kernels are wide on the sphere."""


@dataclass(frozen=True)
class KernelMap:
    """Linear map from flat kernels to those of a mesh.

    Attributes:
        matrix: mesh kernel of each weight of a flat one, ``(taps, rows · columns)``.
        cross: value of the flat kernel at each tap, on average over the mesh, ``(taps, rows · columns)``.
        gram: inner products of the taps as flat kernels, on average over the mesh, ``(taps, taps)``.
    """

    matrix: np.ndarray
    cross: np.ndarray
    gram: np.ndarray

    def convert(self, weight: np.ndarray) -> np.ndarray:
        """Return the mesh kernels ``(out, in, taps)`` of flat kernels ``(out, in, rows, columns)``."""
        return weight.reshape(*weight.shape[:2], -1) @ self.matrix.T

    def relative_error(self, weight: np.ndarray) -> float:
        """Return ‖K − K̂‖ / ‖K‖ over all kernels ``(out, in, rows, columns)`` of a layer; 0 for zeros."""
        flat = weight.reshape(-1, self.matrix.shape[1])
        mesh = flat @ self.matrix.T
        norm = np.sum(flat**2)
        square = norm - 2 * np.sum(mesh @ self.cross * flat) + np.sum(mesh @ self.gram * mesh)
        return float(np.sqrt(max(square, 0) / norm)) if norm else 0.0


def kernel_map(surface: Surface, shape: tuple[int, int], kernel_size: int) -> KernelMap:
    """Return the map from flat kernels to those of a convolution on a surface.

    Args:
        surface: a surface whose convolutions have a stencil.
        shape: rows and columns of the flat kernel, both odd.
        kernel_size: size of the convolution on the surface.

    Raises:
        InputError: the flat kernel has no centre, or the surface has other neighbourhoods.

    Example:
        >>> slope = np.array([[0, 0, 0], [-1, 0, 1], [0, 0, 0]]).reshape(1, 1, 3, 3) / 2
        >>> kernel_map(Icosphere(4), (3, 3), 3).convert(slope)[0, 0].round(12).tolist()  # the derivative to the east
        [0.0, 1.0, 0.0, 0.0]
    """
    if any(size % 2 == 0 for size in shape):
        rule = "must have odd sizes, so that a sample is in the middle"
        raise InputError("kernel", shape, rule, "use a grid, whose kernels have any size")
    return next((make for type_, make in _MAPS.items() if isinstance(surface, type_)), _fitted)(
        surface, shape, kernel_size
    )


def _operators(surface: Icosphere, shape: tuple[int, int], kernel_size: int) -> KernelMap:
    """Return the fit to identity, east, north and Laplacian, which are differences of second order as flat kernels.

    The Taylor projection (ΣK, ΣK·x, −ΣK·y, ¼ΣK(x² + y²)) is exact on fields 1, x, y and x² + y², but answers to detail
    with a large Laplacian: on images of spectrum 1/f² its responses are off by 0.51 of the flat ones, those of the fit
    by 0.39, and its kernels by 1.5 and 0.9 of their norm (3×3 kernels of a trained DnCNN, 17 layers).
    """
    x, y = _lattice(shape)
    # An undivided ("raw") Laplacian is about that in units of the spacing; its derivatives are per radian.
    length = surface.spacing if surface.laplacian == "raw" else 1.0
    distance = np.abs(x) + np.abs(y)
    near, centre = distance == 1, distance == 0
    operators = np.stack([centre, near * x / 2, near * -y / 2, near * 1.0 - 4 * centre]) / length
    operators[[0, 3]] *= length
    gram, moments = operators @ operators.T, operators @ np.stack([x, y], axis=1)
    matrix = _solve(gram, operators, moments @ moments.T, moments, operators.sum(1), (x, y))
    return KernelMap(matrix, operators, gram)


def _turned(surface: Healpix, shape: tuple[int, int], kernel_size: int) -> KernelMap:
    """Return the resampling to a grid turned by 45°: rows run to the south-west, columns to the south-east."""
    columns, rows = _lattice((kernel_size, kernel_size))
    places = np.stack([columns - rows, columns + rows], axis=1) / np.sqrt(2)
    return _fit(places[None], shape)


def _fitted(surface: Surface, shape: tuple[int, int], kernel_size: int) -> KernelMap:
    """Return the least squares fit over the places of the taps around every sample."""
    level = surface
    while np.prod(level.shape) < MIN_SAMPLES:  # type: ignore[arg-type]  # a mesh has one size
        level = level.finer()
    while np.prod(level.shape) > 4 * MIN_SAMPLES:  # type: ignore[arg-type]
        level = level.coarser()
    return _fit(_tap_places(level, kernel_size), shape)


@lru_cache(maxsize=8)
def _tap_places(surface: Surface, kernel_size: int) -> np.ndarray:
    """Return the places of the taps around each sample, east and south in units of the spacing, ``(n, taps, 2)``."""
    stencil = surface.conv_neighbours(kernel_size)
    if not isinstance(stencil, Stencil) or any(
        operator.nnz != operator.shape[0] or (operator.data != 1).any() for operator in stencil.operators
    ):
        rule = f"has no kernels of single samples on {surface}, which flat weights could be fitted to"
        raise InputError("kernel_size", kernel_size, rule, "train on this surface, or use another one")
    directions = surface.directions().reshape(-1, 3)
    taps = directions[np.stack([operator.indices for operator in stencil.operators], axis=1)]
    east = np.cross([0.0, 0.0, 1.0], directions)
    has_east = np.linalg.norm(east, axis=1) > 1e-6  # samples on a pole have no direction to the east
    east = east[has_east] / np.linalg.norm(east[has_east], axis=1, keepdims=True)
    south = np.cross(east, directions[has_east])
    return np.stack([np.einsum("ntx,nx->nt", taps[has_east], axis) for axis in (east, south)], axis=2) / surface.spacing


def _fit(places: np.ndarray, shape: tuple[int, int]) -> KernelMap:
    """Return the kernels on taps at ``(n, taps, 2)`` that are nearest to flat ones and have the same sum.

    The squared error is that of the values of the kernels and, by ``LINEAR_WEIGHT``, of the response to linear fields.
    """
    x, y = _lattice(shape)
    reach = [max(size // 2, int(np.ceil(np.abs(places).max()))) for size in shape]
    rows, columns = (np.arange(-size, size + 1) for size in reach)
    by_row = np.clip(1 - np.abs(places[..., 1, None] - rows), 0, None)
    by_column = np.clip(1 - np.abs(places[..., 0, None] - columns), 0, None)
    taps = np.einsum("ntr,ntc->ntrc", by_row, by_column)  # each tap as a flat kernel: bilinear interpolation
    inside = np.ix_(np.abs(rows) <= shape[0] // 2, np.abs(columns) <= shape[1] // 2)
    mean = taps.mean(0)
    cross = mean[:, inside[0], inside[1]].reshape(len(mean), -1)
    flat = taps.reshape(*taps.shape[:2], -1)
    gram = np.einsum("nti,nsi->ts", flat, flat) / len(flat)
    products = np.einsum("ntx,nsx->ts", places, places) / len(places)
    matrix = _solve(gram, cross, products, places.mean(0), np.ones(len(gram)), (x, y))
    return KernelMap(matrix, cross, gram)


def _solve(
    gram: np.ndarray, cross: np.ndarray, products: np.ndarray, places: np.ndarray, sums: np.ndarray,
    lattice: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:  # fmt: skip
    """Return the matrix of a fit: ``gram`` and ``cross`` as in ``KernelMap``, first moments and sums of the taps.

    Sums are kept, so that constants are; linear fields count by ``LINEAR_WEIGHT``.
    """
    system = gram + LINEAR_WEIGHT * products
    wanted = cross + LINEAR_WEIGHT * places @ np.stack(lattice)
    bordered = np.block([[system, sums[:, None]], [sums[None], np.zeros((1, 1))]])  # the last row keeps the sum
    return np.linalg.solve(bordered, np.vstack([wanted, np.ones((1, wanted.shape[1]))]))[:-1]


def _lattice(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return columns and rows of the weights of a flat kernel, counted from its centre."""
    rows, columns = np.indices(shape).reshape(2, -1)
    return (columns - shape[1] // 2).astype(float), (rows - shape[0] // 2).astype(float)


_MAPS: dict[type[Surface], Callable[..., KernelMap]] = {Icosphere: _operators, Healpix: _turned}
"""Maps that follow from a surface's definition; on other surfaces kernels are fitted to the places of the taps."""

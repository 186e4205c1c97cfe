"""The equal-area cells of HEALPix in nested order (Górski et al., ApJ 622, 2005)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import ClassVar

import numpy as np
from scipy import sparse

from omniconv.checks import check_integer, is_integer
from omniconv.errors import InputError
from omniconv.surfaces import panorama
from omniconv.surfaces.base import Resampling, Surface, check_halving, check_supported
from omniconv.surfaces.healpix.indexing import cell_directions, cell_numbers, cells_of
from omniconv.surfaces.healpix.interpolation import interpolation_matrix, mean_of_descendants
from omniconv.surfaces.healpix.neighbours import patch_stencil
from omniconv.surfaces.neighbours.halo_stencil import HaloStencil
from omniconv.surfaces.neighbours.stencil import LazyStencil, Stencil, identity_stencil

FINEST = 1024
"""The largest ``nside``: 12,582,912 cells."""


@dataclass(frozen=True)
class Healpix(Surface):
    """12 · nside² cells of equal area, in nested order: the children of cell ``p`` are ``4p … 4p + 3``.

    Maps in ring order have the same number of cells and cannot be told apart. Reorder them before and after, by
    ``healpy.reorder(m, r2n=True)`` and ``n2r=True``, or by ``m[astropy_healpix.nested_to_ring(cells, nside)]`` with
    ``cells = np.arange(12 * nside**2)``. Samples are cell centres, as healpy's ``pix2vec(nside, cells, nest=True)``.

    A convolution has nine taps, the cell and its eight neighbours (Krachmalnicoff and Tomasi, A&A 628, 2019); pooling
    averages the four children of a cell (DeepSphere: Perraudin et al., Astronomy and Computing 27, 2019). The taps are
    a 3×3 patch of the base face, row by row, seen from outside with the northern corner first (the face order of
    DLWP-HPX and earth2grid). ``weight.unflatten(2, (3, 3))`` is a kernel for flat images of the faces (``faces()``),
    and such a kernel, also a pretrained one, can be used here::

        N   NE   E
        NW  ·   SE
        W   SW   S

    24 cells have seven neighbours: there the missing corner tap is the mean of the two neighbours on either
    side, so that constants stay constant. Larger and dilated kernels cross the edges of faces in the same way.

    Args:
        nside: cells along the edge of each of the twelve base faces: a power of two, 1 … 1024.

    Raises:
        InputError: an ``nside`` that is not a power of two in range.

    Example:
        >>> Healpix(32).shape, Healpix(32).coarser(), Healpix(32).conv_neighbours().taps
        ((12288,), Healpix(nside=16), 9)
    """

    nside: int
    short_name: ClassVar[str] = "healpix"
    example: ClassVar[Mapping[str, int]] = {"nside": 32}
    equal_areas: ClassVar[bool] = True
    nested_children: ClassVar[int] = 4

    def __post_init__(self) -> None:
        if not is_integer(self.nside) or self.nside > FINEST or self.nside.bit_count() != 1:
            rule = f"must be a power of two from 1 to {FINEST}"
            raise InputError("nside", self.nside, rule, "use nside=32 for 12,288 samples")

    @property
    def shape(self) -> tuple[int]:
        return (12 * self.nside**2,)

    def directions(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        return cell_directions(self.nside)

    def areas(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        return np.full(self.shape, 4 * np.pi / self.shape[0])

    def interpolation_matrix(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> sparse.csr_array:
        """Return bilinear interpolation between the centres of the four cells around each direction."""
        return interpolation_matrix(directions, self.nside)

    def nearest_sample(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> np.ndarray:
        return cells_of(directions, self.nside)

    def faces(self) -> np.ndarray:
        """Return cell numbers ``(12, nside, nside)``: ``signal[…, faces]`` are flat images of the base faces.

        Rows run from the north-eastern edge to the south-western one, columns from the north-western to the
        south-eastern: the northern corner comes first. ``faces().argsort(None)`` is the inverse permutation.
        """
        face, row, column = np.indices((12, self.nside, self.nside))
        return cell_numbers(face, self.nside - 1 - row, self.nside - 1 - column, self.nside)

    def coarser(self) -> Healpix:
        if self.nside == 1:
            rule = "has no coarser level: cells of nside 2ᴸ allow L steps of stride 2"
            raise InputError("nside", 1, rule, "use a larger nside or fewer steps")
        return Healpix(self.nside // 2)

    def finer(self) -> Healpix:
        return Healpix(2 * self.nside)

    def conv_neighbours(self, kernel_size: int = 3, stride: int = 1, dilation: int = 1) -> Stencil:
        """Return the square patch of ``kernel_size²`` taps around each cell, row by row; 1 is the cell alone.

        Stride 2 keeps the outputs of northern children (``4p + 3``), as a flat convolution of stride 2 with "same"
        padding does on images of the faces: three taps cover the four children, and the row and column before them.
        """
        self._check_kernel(kernel_size, dilation)
        check_supported("stride", stride, (1, 2), "on healpix", "chain layers of stride 2")
        output, taps = self if stride == 1 else self.coarser(), (kernel_size**2,)
        if (kernel_size, stride) == (1, 1):
            return identity_stencil(self.shape)
        if (kernel_size, stride, dilation) == (3, 1, 1):
            return LazyStencil(_windows, (self,), self.shape, self.shape, taps, is_halo=True)
        patch = self.nside, kernel_size, dilation if kernel_size > 1 else 1, stride
        return LazyStencil(patch_stencil, patch, self.shape, output.shape, taps)

    def pool_neighbours(self, kernel_size: int = 2, stride: int = 2) -> Stencil:
        """Return the mean of the four children of each coarser cell: four consecutive samples in memory."""
        check_halving(kernel_size, stride, "on healpix")
        return LazyStencil(_children, (self.coarser().nside,), self.shape, self.coarser().shape)

    def resize_neighbours(self, scale_factor: int = 2, mode: Resampling = "linear") -> Stencil:
        """Return bilinear interpolation between the four cells around each finer one; ``nearest``: its parent."""
        check_supported("scale_factor", scale_factor, (2,), "on healpix", "chain steps of 2")
        return LazyStencil(_upsampling, (self.nside, mode), self.shape, self.finer().shape)

    def panorama_height(self) -> int:
        """Return 4 · nside: one row for each ring of cells (and one more), two columns for each cell of a ring."""
        return 4 * self.nside

    def from_equirectangular(self, image: np.ndarray, mode: Resampling = "linear") -> np.ndarray:
        """Resample a panorama ``(…, H, W)`` to the cells in nested order, ``(…, N)``; ``linear``: means over cells."""
        if mode == "nearest":
            return super().from_equirectangular(image, mode)
        rows = 2 * self.panorama_height()  # `_cell_means` then reads four points in each cell
        return panorama.apply_matrix(image, rows, partial(_cell_means, self.nside), self.shape)

    def _check_kernel(self, kernel_size: int, dilation: int) -> None:
        if not isinstance(kernel_size, int) or kernel_size < 1 or kernel_size % 2 == 0:
            rule = "must be odd on healpix, so that a cell is in the middle"
            raise InputError("kernel_size", kernel_size, rule, "use kernel_size=3")
        check_integer("dilation", dilation, 1, "use 1 for adjacent cells")
        reach = kernel_size // 2 * dilation
        if reach > self.nside:
            name, value = ("kernel_size", kernel_size) if dilation == 1 else ("dilation", dilation)
            rule = f"reaches {reach} cells far, beyond the next base face: {self} has {self.nside} along its edge"
            raise InputError(name, value, rule, "use a smaller one or a larger nside")


@lru_cache(maxsize=FINEST.bit_length())
def _windows(surface: Healpix) -> HaloStencil:
    return HaloStencil(patch_stencil(surface.nside, 3, 1, 1), surface.faces())


@lru_cache(maxsize=FINEST.bit_length())
def _children(nside: int) -> Stencil:
    return Stencil.of([mean_of_descendants(nside, 1)])


@lru_cache(maxsize=FINEST.bit_length())
def _upsampling(nside: int, mode: Resampling) -> Stencil:
    if mode == "linear":
        return Stencil.of([interpolation_matrix(cell_directions(2 * nside), nside)])
    return Stencil.from_table(np.arange(48 * nside**2)[:, None] // 4, 12 * nside**2)


@lru_cache(maxsize=8)
def _cell_means(nside: int, height: int, width: int) -> sparse.csr_array:
    """Return means of a panorama over the cells, at points about as far apart as its pixels at the equator.

    The points are the centres of the cell's descendants: itself, its four children, their sixteen, and so on.
    """
    pixel, cell = max(np.pi / height, 2 * np.pi / width), np.sqrt(np.pi / 3) / nside
    levels = max(0, round(float(np.log2(cell / pixel))))
    points = panorama.bilinear_matrix(cell_directions(nside << levels), height, width)
    return sparse.csr_array(mean_of_descendants(nside, levels) @ points)

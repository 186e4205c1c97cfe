"""The equal-area cells of HEALPix in nested order (Górski et al., ApJ 622, 2005)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import ClassVar

import numpy as np
from scipy import sparse

from omniconv.checks import is_integer
from omniconv.errors import InputError
from omniconv.surfaces import panorama
from omniconv.surfaces.base import Resampling, Surface
from omniconv.surfaces.healpix.indexing import cell_directions, cell_numbers, cells_of
from omniconv.surfaces.healpix.interpolation import interpolation_matrix
from omniconv.surfaces.healpix.neighbours import patch_stencil
from omniconv.surfaces.healpix.panorama_maps import from_panorama, mean_of_descendants, pixel_cells, to_panorama
from omniconv.surfaces.neighbours.halo_stencil import HaloStencil
from omniconv.surfaces.neighbours.stencil import Stencil

FINEST = 1024


@dataclass(frozen=True)
class Healpix(Surface):
    """12 · nside² cells of equal area, in nested order: the children of cell ``p`` are ``4p … 4p + 3``.

    A convolution sees the cell and its eight neighbours (Krachmalnicoff and Tomasi, A&A 628, 2019), pooling the four
    children of a cell (DeepSphere: Perraudin et al., Astronomy and Computing 27, 2019). Taps lie row by row as a 3×3
    patch of the base face, seen from outside with the northern corner first (the face order of DLWP-HPX and
    earth2grid): ``weight.unflatten(2, (3, 3))`` is a kernel for flat images of the faces (``faces()``), and such a
    kernel, also a pretrained one, fits here::

        N   NE   E
        NW  ·   SE
        W   SW   S

    24 cells have seven neighbours: there the missing corner tap is the mean of the two neighbours that it would lie
    between, and a constant stays constant. Larger kernels and dilation walk on in the same way over the edges of faces.

    Args:
        nside: cells along the edge of each of the twelve base faces: a power of two, 1 … 1024.

    Raises:
        InputError: an ``nside`` that is not a power of two in range.

    Example:
        >>> Healpix(32).shape, Healpix(32).coarser(), Healpix(32).conv_neighbours().taps
        ((12288,), Healpix(nside=16), 9)
    """

    nside: int
    ndim: ClassVar[int] = 1  # type: ignore[misc]  # a constant here, a choice on a plane

    def __post_init__(self) -> None:
        if not is_integer(self.nside) or self.nside > FINEST or self.nside.bit_count() != 1:
            raise InputError(
                "nside", self.nside, f"must be a power of two from 1 to {FINEST}", "use 32 for 12,288 samples"
            )

    def __str__(self) -> str:
        return f"healpix:{self.nside}"

    @property
    def shape(self) -> tuple[int]:
        """The number of cells."""
        return (12 * self.nside**2,)

    @property
    def level(self) -> int:
        """How many steps of stride 2 there are, down to the twelve base faces."""
        return self.nside.bit_length() - 1

    @property
    def spacing(self) -> float:
        """Side of a square as large as a cell, in radians."""
        return float(np.sqrt(np.pi / 3) / self.nside)

    def directions(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Unit vectors of the cell centres, ``(N, 3)``."""
        return cell_directions(self.nside)

    def areas(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """4π / N for each cell, ``(N,)``."""
        return np.full(self.shape, 4 * np.pi / self.shape[0])

    def interpolation_matrix(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> sparse.csr_array:
        """Bilinear between the centres of the four cells around each direction."""
        return interpolation_matrix(directions, self.nside)

    def nearest_sample(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """The cell that holds each direction."""
        return cells_of(directions, self.nside)

    def faces(self) -> np.ndarray:
        """Cell numbers ``(12, nside, nside)``: ``signal[…, faces]`` are flat images of the base faces.

        Rows run from the north-eastern edge to the south-western one, columns from the north-western to the
        south-eastern: the northern corner comes first. ``faces().argsort(None)`` leads back.
        """
        face, row, column = np.indices((12, self.nside, self.nside))
        return cell_numbers(face, self.nside - 1 - row, self.nside - 1 - column, self.nside)

    def coarser(self) -> Healpix:
        """Half the ``nside``.

        Raises:
            InputError: there is none below 1.
        """
        if self.nside == 1:
            raise InputError(
                "nside",
                1,
                "has no coarser level: cells of nside 2ᴸ allow L steps of stride 2",
                "use a larger nside or fewer steps",
            )
        return Healpix(self.nside // 2)

    def finer(self) -> Healpix:
        """Twice the ``nside``."""
        return Healpix(2 * self.nside)

    def conv_neighbours(self, kernel_size: int = 3, stride: int = 1, dilation: int = 1) -> Stencil:
        """The square patch of ``kernel_size²`` taps around each cell, row by row; 1 is the cell alone.

        Stride 2 keeps the outputs of northern children (``4p + 3``), as a flat convolution of stride 2 and padding
        "same" does on images of the faces: for three taps the four children, and the row and column before them.
        """
        self._check_kernel(kernel_size, dilation)
        if stride != 1:
            self._check_stride(stride).coarser()
        if (kernel_size, stride, dilation) == (3, 1, 1):
            return _framed(self)
        return patch_stencil(self.nside, kernel_size, dilation if kernel_size > 1 else 1, stride)

    def transposed_neighbours(self, kernel_size: int = 3, stride: int = 2, dilation: int = 1) -> Stencil:
        """The transposed operators of the convolution from the finer level to this one: its exact adjoint."""
        finer = self._check_stride(stride).finer() if stride != 1 else self
        finer.conv_neighbours(kernel_size, stride, dilation)  # refuses what has no meaning
        return _adjoint(finer.nside, kernel_size, dilation, stride)

    def pool_neighbours(self, kernel_size: int = 2, stride: int = 2) -> Stencil:
        """The four children of each coarser cell: in memory four samples in a row."""
        for name, value in (("kernel_size", kernel_size), ("stride", stride)):
            if value != 2:
                raise InputError(name, value, "must be 2: four cells pool to one", "use kernel_size=2, stride=2")
        return _children(self.coarser().nside)

    def resize_neighbours(self, scale_factor: int = 2, mode: Resampling = "linear") -> Stencil:
        """Bilinear between the centres of the four coarser cells around each finer one; ``nearest``: its parent."""
        if scale_factor != 2:
            raise InputError("scale_factor", scale_factor, "must be 2: every cell grows to four", "chain steps of 2")
        parents = np.arange(self.finer().shape[0]) // 4
        return _growth(self.nside) if mode == "linear" else Stencil.from_table(parents[:, None], self.shape[0])

    def panorama_height(self) -> int:
        """4 · nside: a row for each ring of cells (and one more), two columns for each cell of a ring."""
        return 4 * self.nside

    def from_equirectangular(self, image: np.ndarray, mode: Resampling = "linear") -> np.ndarray:
        """A panorama ``(…, H, W)`` on the cells, ``(…, N)``."""
        if mode == "nearest":
            return panorama.sample(image, self.directions(), "nearest")
        rows = 2 * self.panorama_height()
        return panorama.gathered(image, rows, partial(from_panorama, self.nside), self.shape)

    def to_equirectangular(self, signal: np.ndarray, height: int, mode: Resampling = "linear") -> np.ndarray:
        """A signal ``(…, N)`` as a panorama, bilinear between cell centres or the value of the cell around a pixel."""
        shape = (*signal.shape[:-1], height, 2 * height)
        if mode == "nearest":
            return signal[..., pixel_cells(self.nside, height)].reshape(shape)
        dtype = np.result_type(signal.dtype, np.float32)
        cells, weights = to_panorama(self.nside, height)
        result = sum(signal[..., cells[:, k]] * weights[:, k].astype(dtype) for k in range(4))
        return np.asarray(result).reshape(shape)

    def _check_kernel(self, kernel_size: int, dilation: int) -> None:
        if not isinstance(kernel_size, int) or kernel_size < 1 or kernel_size % 2 == 0:
            raise InputError(
                "kernel_size", kernel_size, "must be odd on healpix: a cell has a centre", "use kernel_size=3"
            )
        if not isinstance(dilation, int) or dilation < 1:
            raise InputError("dilation", dilation, "must be a whole number from 1", "use 1 for neighbours")
        reach = kernel_size // 2 * dilation
        if reach > self.nside:
            name, value = ("kernel_size", kernel_size) if dilation == 1 else ("dilation", dilation)
            raise InputError(
                name,
                value,
                f"reaches {reach} cells far, past the next base face: {self} has {self.nside} along its edge",
                "use a smaller one or a larger nside",
            )

    def _check_stride(self, stride: int) -> Healpix:
        if stride != 2:
            raise InputError("stride", stride, "must be 1 or 2 on healpix", "chain layers of stride 2")
        return self


@lru_cache(maxsize=FINEST.bit_length())
def _framed(surface: Healpix) -> HaloStencil:
    """The windows of the twelve base faces."""
    return HaloStencil(patch_stencil(surface.nside, 3, 1, 1), surface.faces())


@lru_cache(maxsize=16)
def _adjoint(nside: int, kernel_size: int, dilation: int, stride: int) -> Stencil:
    return Stencil.of([tap.T for tap in patch_stencil(nside, kernel_size, dilation, stride).operators])


@lru_cache(maxsize=FINEST.bit_length())
def _children(nside: int) -> Stencil:
    """The mean of the four children of each cell."""
    return Stencil.of([mean_of_descendants(nside, 1)])


@lru_cache(maxsize=FINEST.bit_length())
def _growth(nside: int) -> Stencil:
    """From the cells of a level to those of the next finer one."""
    return Stencil.of([interpolation_matrix(cell_directions(2 * nside), nside)])

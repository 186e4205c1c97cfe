"""The sphere on the six faces of a cube."""

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
from omniconv.surfaces.cubemap import faces as cube_faces
from omniconv.surfaces.cubemap.interpolation import interpolation_matrix
from omniconv.surfaces.neighbours.border import Border, CubeBorder


@dataclass(frozen=True)
class Cubemap(Surface):
    """Six square faces; a kernel goes on over all twelve edges (cube padding; Cheng et al., CVPR 2018).

    Faces are front (longitude 0), east, back, west, up and down; seen from the centre, columns of the first four run
    east and rows run down, and ``up`` and ``down`` touch the front with their last and first row. Past a corner, where
    three faces meet and a pixel is missing, the mean of the two nearest pixels stands for it. Weights are those of a
    flat convolution.

    Args:
        size: pixels along an edge of a face.

    Raises:
        InputError: a size that is not a whole number from 1.

    Example:
        >>> Cubemap(32).shape
        (6, 32, 32)
    """

    size: int
    ndim: ClassVar[int] = 3  # type: ignore[misc]  # a constant here, a choice on a plane

    def __post_init__(self) -> None:
        if not is_integer(self.size):
            raise InputError("size", self.size, "must be a whole number from 1", "use Cubemap(64)")

    def __str__(self) -> str:
        return f"cubemap:{self.size}"

    @property
    def kernel_ndim(self) -> int:
        """Rows and columns: a kernel lies on a face."""
        return 2

    @property
    def shape(self) -> tuple[int, int, int]:
        """Faces, rows and columns."""
        return (6, self.size, self.size)

    @property
    def level(self) -> int:
        """How often the size can be halved."""
        return (self.size & -self.size).bit_length() - 1

    def directions(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Unit vectors of the pixel centres, ``(6, size, size, 3)``."""
        return cube_faces.pixel_directions(self.size)

    def areas(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Solid angles of the pixels, ``(6, size, size)``."""
        return cube_faces.pixel_areas(self.size)

    def interpolation_matrix(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> sparse.csr_array:
        """Bilinear between pixel centres, on over the edges of the cube."""
        return interpolation_matrix(directions, self.size)

    def nearest_sample(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """The pixel that holds each direction."""
        face, row, column = cube_faces.face_coordinates(directions, self.size)
        row, column = (np.clip(np.rint(place).astype(np.int64), 0, self.size - 1) for place in (row, column))
        return (face * self.size + row) * self.size + column

    def coarser(self) -> Cubemap:
        """Faces of half the size.

        Raises:
            InputError: the size is odd.
        """
        if self.size % 2:
            raise InputError(
                "size", self.size, "must be even to be halved", "use a multiple of 2 for each step of stride 2"
            )
        return Cubemap(self.size // 2)

    def finer(self) -> Cubemap:
        """Faces of twice the size."""
        return Cubemap(2 * self.size)

    def conv_neighbours(self, kernel_size: int = 3, stride: int = 1, dilation: int = 1) -> Border:
        """Index shifts on the faces, and on over their edges."""
        if stride not in (1, 2):
            raise InputError("stride", stride, "must be 1 or 2 on a cubemap", "chain layers of stride 2")
        if stride == 2:
            self.coarser()
        return CubeBorder()

    def transposed_neighbours(self, kernel_size: int = 3, stride: int = 2, dilation: int = 1) -> Border:
        """As for a convolution of the finer faces."""
        return (self.finer() if stride == 2 else self).conv_neighbours(kernel_size, stride, dilation)

    def pool_neighbours(self, kernel_size: int = 2, stride: int = 2) -> Border:
        """As for a convolution."""
        return self.conv_neighbours(kernel_size, stride)

    def resize_neighbours(self, scale_factor: int = 2, mode: Resampling = "linear") -> Border:
        """As for a convolution."""
        if scale_factor != 2:
            raise InputError("scale_factor", scale_factor, "must be 2 on a cubemap", "chain steps of 2")
        return self.conv_neighbours()

    def panorama_height(self) -> int:
        """Twice the size of a face: the four faces around the equator fill the width."""
        return 2 * self.size

    def from_equirectangular(self, image: np.ndarray, mode: Resampling = "linear") -> np.ndarray:
        """A panorama ``(…, H, W)`` on the faces, ``(…, 6, size, size)``."""
        if mode == "nearest":
            return panorama.sample(image, self.directions(), "nearest")
        rows = 4 * self.panorama_height()
        return panorama.gathered(image, rows, partial(_from_panorama, self.size), self.shape)

    def to_equirectangular(self, signal: np.ndarray, height: int, mode: Resampling = "linear") -> np.ndarray:
        """A signal ``(…, 6, size, size)`` as a panorama ``(…, height, 2 · height)``."""
        flat = signal.reshape(-1, 6 * self.size**2)
        if mode == "nearest":
            result = flat[:, self.nearest_sample(panorama.pixel_directions(height, 2 * height))]
        else:
            dtype = np.result_type(signal.dtype, np.float32)
            result = _to_panorama(self.size, height).dot(flat.T).T.astype(dtype)
        return result.reshape(*signal.shape[:-3], height, 2 * height)


@lru_cache(maxsize=8)
def _from_panorama(size: int, height: int, width: int) -> sparse.csr_array:
    """Averages over the pixels of a panorama that fall on each pixel of a face, or between those around it."""
    directions = cube_faces.pixel_directions(size).reshape(-1, 3)
    finest = np.pi / 2 / size / np.sqrt(2)  # across a pixel at the corner of a face, about
    if 2 * max(np.pi / height, 2 * np.pi / width) > finest:
        return panorama.bilinear_matrix(directions, height, width)
    around = interpolation_matrix(panorama.pixel_directions(height, width).reshape(-1, 3), size).T
    around = sparse.csr_array(around * panorama.pixel_areas(height, width).reshape(1, -1))
    return sparse.csr_array(sparse.diags_array(1 / around.sum(axis=1)) @ around)


@lru_cache(maxsize=8)
def _to_panorama(size: int, height: int) -> sparse.csr_array:
    return interpolation_matrix(panorama.pixel_directions(height, 2 * height).reshape(-1, 3), size)

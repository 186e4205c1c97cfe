"""The sphere on the six faces of a cube."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse

from omniconv.checks import is_integer
from omniconv.errors import InputError
from omniconv.surfaces.base import Resampling, Surface, check_supported
from omniconv.surfaces.cubemap import faces as cube_faces
from omniconv.surfaces.neighbours.border import Border, CubeBorder

MAX_SIZE = 4096
"""Largest size of a face: 100 million pixels, for which tables of several gigabytes are computed."""


@dataclass(frozen=True)
class Cubemap(Surface):
    """Six square faces; kernels continue over all twelve edges (cube padding; Cheng et al., CVPR 2018).

    Samples are pixel centres, equidistant on the flat faces. Faces are front (longitude 0), east, back, west, up and
    down. Seen from the centre, columns of the first four run east and rows run down; ``up`` and ``down`` touch the
    front with their last and first row. Beyond a corner, where three faces meet and a pixel is missing, the mean of
    the two nearest pixels replaces it. Weights are those of a flat convolution.

    Args:
        size: pixels along an edge of a face.

    Raises:
        InputError: a size that is not a whole number from 1 to 4096.

    Example:
        >>> Cubemap(32).shape
        (6, 32, 32)
    """

    size: int
    short_name: ClassVar[str] = "cubemap"
    example: ClassVar[Mapping[str, int]] = {"size": 64}

    def __post_init__(self) -> None:
        if not is_integer(self.size) or self.size > MAX_SIZE:
            raise InputError("size", self.size, f"must be a whole number from 1 to {MAX_SIZE}", "use size=64")

    @property
    def kernel_ndim(self) -> int:
        """2: kernels extend along rows and columns, not across faces."""
        return 2

    @property
    def shape(self) -> tuple[int, int, int]:
        return (6, self.size, self.size)

    @property
    def spacing(self) -> float:
        """Distance between pixels near the corners of the faces, where they are closest, in radians."""
        return float(np.pi / 2 / self.size / np.sqrt(2))

    def directions(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        return cube_faces.pixel_directions(self.size)

    def areas(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        return cube_faces.pixel_areas(self.size)

    def interpolation_matrix(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> sparse.csr_array:
        return cube_faces.interpolation_matrix(directions, self.size)

    def nearest_sample(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> np.ndarray:
        face, row, column = cube_faces.face_coordinates(directions, self.size)
        row, column = (np.clip(np.rint(index).astype(np.int64), 0, self.size - 1) for index in (row, column))
        return (face * self.size + row) * self.size + column

    def coarser(self) -> Cubemap:
        if self.size % 2:
            cure = "use a multiple of 2 for each step of stride 2"
            raise InputError("size", self.size, "must be even to be halved", cure)
        return Cubemap(self.size // 2)

    def finer(self) -> Cubemap:
        return Cubemap(2 * self.size)

    def conv_neighbours(self, kernel_size: int = 3, stride: int = 1, dilation: int = 1) -> Border:
        """Return cube padding: the same for any kernel size and dilation that reach no farther than the next face."""
        check_supported("stride", stride, (1, 2), "on a cubemap", "chain layers of stride 2")
        _check_reach(self, kernel_size, dilation)
        if stride == 2:
            self.coarser()
        return CubeBorder()

    def pool_neighbours(self, kernel_size: int = 2, stride: int = 2) -> Border:
        return self.conv_neighbours(kernel_size, stride)

    def resize_neighbours(self, scale_factor: int = 2, mode: Resampling = "linear") -> Border:
        check_supported("scale_factor", scale_factor, (2,), "on a cubemap", "chain steps of 2")
        return self.conv_neighbours()

    def panorama_height(self) -> int:
        """Return twice the size of a face: the four faces around the equator fill the width."""
        return 2 * self.size


def _check_reach(cubemap: Cubemap, kernel_size: int | tuple[int, ...], dilation: int | tuple[int, ...]) -> None:
    """Check that a kernel, of one size or of a size per axis, reaches no farther than the next face.

    Raises:
        InputError: it reaches beyond it.
    """
    for kernel, gap in np.broadcast(kernel_size, dilation):
        reach = -(-(int(kernel) - 1) * int(gap) // 2)
        if reach > cubemap.size:
            name, value = ("kernel_size", kernel_size) if gap == 1 else ("dilation", dilation)
            rule = f"reaches {reach} pixels far, beyond the next face: {cubemap} has {cubemap.size} along its edge"
            raise InputError(name, value, rule, "use a smaller one or a larger cubemap")

"""The subdivided icosahedron with samples on its faces (SpherePHD, Lee et al., CVPR 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from scipy import sparse

from omniconv.checks import is_integer
from omniconv.errors import InputError
from omniconv.surfaces import panorama
from omniconv.surfaces.base import Resampling, Surface
from omniconv.surfaces.icosahedron import faces
from omniconv.surfaces.icosahedron import interpolation as maps
from omniconv.surfaces.icosahedron.faces import FINEST
from omniconv.surfaces.neighbours.stencil import Stencil

CHILDREN = 4


@dataclass(frozen=True)
class Icosahedron(Surface):
    """20 · 4ˡ triangular faces of nearly equal size; the four children of face f are 4f … 4f + 3, the centre first.

    A convolution has ten taps: the face, the three that share a side with it and their six further neighbours, in the
    published order: self, right, left, low, right-low, right-high, left-high, left-low, low-left, low-right. Faces that
    hang see them turned by 180°. "Low" is as in the icosahedron's face that holds them: the kernel stands upright, and
    turns by 60° where one of the five faces around a pole meets the next. A turn of the sphere by 72° about the poles
    moves signals by whole faces and leaves the kernel as it is. At the twelve vertices where five faces meet the kernel
    folds over the gap and keeps ten different taps (the paper's figure 5).

    The paper draws this kernel, and the tables of the published code hold it. The code ships two more, which the paper
    does not name: one that is not turned on hanging faces, one of seven taps; they are not here. Neither the paper nor
    the code has stride, transposed convolution or linear interpolation: those are ours, described at each method.

    Args:
        level: how often the icosahedron was subdivided, 0 … 8.

    Raises:
        InputError: a level out of range.

    Example:
        >>> Icosahedron(5).shape, Icosahedron(5).coarser().shape, Icosahedron(5).conv_neighbours().taps
        ((20480,), (5120,), 10)
    """

    level: int
    ndim: ClassVar[int] = 1  # type: ignore[misc]  # a constant here, a choice on a plane

    def __post_init__(self) -> None:
        if not is_integer(self.level, 0) or self.level > FINEST:
            raise InputError(
                "level", self.level, f"must be a whole number from 0 to {FINEST}", "use 5 for 20,480 samples"
            )

    def __str__(self) -> str:
        return f"icosahedron:{self.level}"

    @property
    def shape(self) -> tuple[int]:
        """The number of faces."""
        return (20 * 4**self.level,)

    @property
    def spacing(self) -> float:
        """Side of a square as large as a sample's mean area, in radians."""
        return float(np.sqrt(4 * np.pi / self.shape[0]))

    def directions(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Unit vectors of the means of the faces' corners, ``(N, 3)``."""
        return faces.centres(faces.corners(self.level))

    def areas(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Spherical areas of the faces, ``(N,)``; those of four children sum to their parent's."""
        return faces.spherical_areas(faces.corners(self.level))

    def interpolation_matrix(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> sparse.csr_array:
        """Linear between the middle of the face around each direction and its vertices."""
        return maps.interpolation_matrix(self.level, directions)

    def nearest_sample(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """The face that holds each direction."""
        return maps.locate(self.level, directions)

    def coarser(self) -> Icosahedron:
        """One level down.

        Raises:
            InputError: there is none below level 0.
        """
        if self.level == 0:
            raise InputError(
                "level",
                0,
                "has no coarser level: an icosahedron of level L allows L steps of stride 2",
                "use a higher level or fewer steps",
            )
        return Icosahedron(self.level - 1)

    def finer(self) -> Icosahedron:
        """One level up."""
        return Icosahedron(self.level + 1)

    def conv_neighbours(self, kernel_size: int = 3, stride: int = 1, dilation: int = 1) -> Stencil:
        """The ten taps (``kernel_size=3``) or the face alone (1); stride 2 keeps the central child of each parent.

        A central child hangs where its parent stands; its taps are those of its own level.
        """
        self._check_kernel(kernel_size, dilation)
        if stride == 1:
            return _taps(self.level, kernel_size)
        self._check_stride(stride)
        return Stencil.from_table(_table(self.level, kernel_size)[::CHILDREN], inputs=self.shape[0])

    def transposed_neighbours(self, kernel_size: int = 3, stride: int = 2, dilation: int = 1) -> Stencil:
        """The taps of the finer level on a signal that is 0 but at each parent's central child.

        Away from the caps' seams this is the adjoint of the convolution of stride 2 whose last six weights change
        places: 4 with 7, 5 with 8, 6 with 9, the taps that look back from where each of them looks.
        """
        self._check_kernel(kernel_size, dilation)
        if stride == 1:
            return _taps(self.level, kernel_size)
        self._check_stride(stride)
        finer = _taps(self.finer().level, kernel_size)
        return Stencil.of([operator[:, ::CHILDREN] for operator in finer.operators])

    def pool_neighbours(self, kernel_size: int = 2, stride: int = 2) -> Stencil:
        """The four children of each parent, weighed by area: the mean over the sphere stays as it is."""
        for name, value in (("kernel_size", kernel_size), ("stride", stride)):
            if value != 2:
                raise InputError(
                    name, value, "must be 2: an icosahedron pools four faces into one", "use kernel_size=2, stride=2"
                )
        areas, parents = self.areas().reshape(-1, CHILDREN), self.coarser().shape[0]
        weights = (areas / areas.sum(axis=1, keepdims=True)).ravel()
        pointers = np.arange(parents + 1) * CHILDREN
        entries = (weights, np.arange(self.shape[0]), pointers)
        return Stencil.of([sparse.csr_array(entries, shape=(parents, self.shape[0]))])

    def resize_neighbours(self, scale_factor: int = 2, mode: Resampling = "linear") -> Stencil:
        """Central children as their parents, the others half way to a plane through the faces around their vertex.

        ``nearest`` gives all four children their parent's value.
        """
        if scale_factor != 2:
            raise InputError(
                "scale_factor", scale_factor, "must be 2: an icosahedron grows to the next level", "chain steps of 2"
            )
        finer = self.finer()
        if mode == "linear":
            return Stencil.of([maps.growth(self.level)])
        parents = np.arange(finer.shape[0]) // CHILDREN
        return Stencil.from_table(parents[:, None], inputs=self.shape[0])

    def panorama_height(self) -> int:
        """2^(level + 3): every face holds a pixel, as the circle in the smallest is wider than a pixel's diagonal."""
        return 2 ** (self.level + 3)

    def from_equirectangular(self, image: np.ndarray, mode: Resampling = "linear") -> np.ndarray:
        """A panorama ``(…, H, W)`` on the faces, ``(…, N)``: ``linear`` is the mean over each face."""
        if mode == "nearest":
            return panorama.sample(image, self.directions(), "nearest")
        dtype = np.result_type(image.dtype, np.float32)
        splits = min(2, FINEST - self.level)
        rows = min(image.shape[-2], self.panorama_height() * 2**splits // 2)
        image = panorama.resize(image, rows, max(1, round(image.shape[-1] * rows / image.shape[-2])))
        height, width = image.shape[-2:]
        finer = np.log2(self.spacing / min(np.pi / height, 2 * np.pi / width))  # levels from faces to pixels
        matrix = maps.from_panorama(self.level, height, width, int(np.clip(round(finer), 0, splits)))
        result = matrix.dot(image.reshape(-1, height * width).T).T
        return result.reshape(*image.shape[:-2], *self.shape).astype(dtype)

    def to_equirectangular(self, signal: np.ndarray, height: int, mode: Resampling = "linear") -> np.ndarray:
        """A signal ``(…, N)`` as a panorama: the face under each pixel, or linear between middles and vertices.

        A ``linear`` panorama whose pixels are twice as wide as the faces, or more, is the mean of a finer one.
        """
        if mode == "linear" and 4 * height <= self.panorama_height():
            fine = self.to_equirectangular(signal, self.panorama_height())
            return panorama.resize(fine, height, 2 * height)
        found, weights = maps.to_panorama(self.level, height)
        if mode == "nearest":
            return signal[..., found].reshape(*signal.shape[:-1], height, 2 * height)
        dtype = np.result_type(signal.dtype, np.float32)
        at_vertices = maps.vertex_values(self.level).dot(signal.reshape(-1, *self.shape).T).T.astype(dtype)
        corner = faces.vertices(self.level)[0][found]
        weights = weights.astype(dtype)
        result = signal.reshape(-1, *self.shape)[:, found] * weights[:, 0]
        for k in range(3):
            result += at_vertices[:, corner[:, k]] * weights[:, k + 1]
        return result.reshape(*signal.shape[:-1], height, 2 * height)

    def _check_kernel(self, kernel_size: int, dilation: int) -> None:
        if kernel_size not in (1, 3):
            raise InputError(
                "kernel_size",
                kernel_size,
                "must be 3 (the ten taps) or 1 (the face alone) on an icosahedron",
                "use kernel_size=3",
            )
        if dilation != 1:
            raise InputError("dilation", dilation, "must be 1 on an icosahedron", "see further with a coarser level")

    def _check_stride(self, stride: int) -> None:
        if stride != 2:
            raise InputError("stride", stride, "must be 1 or 2 on an icosahedron", "chain layers of stride 2")


def _table(level: int, kernel_size: int) -> np.ndarray:
    table = faces.ten_taps(level) if kernel_size == 3 else np.arange(20 * 4**level)[:, None]
    return table.astype(np.int32)


@lru_cache(maxsize=2 * FINEST)
def _taps(level: int, kernel_size: int) -> Stencil:
    return Stencil.from_table(_table(level, kernel_size), inputs=20 * 4**level)

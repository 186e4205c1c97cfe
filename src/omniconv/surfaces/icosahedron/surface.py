"""The subdivided icosahedron with samples on its faces (SpherePHD, Lee et al., CVPR 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import ClassVar

import numpy as np
from scipy import sparse

from omniconv.surfaces import panorama
from omniconv.surfaces.base import Resampling, SubdividedIcosahedron, check_halving, check_supported
from omniconv.surfaces.icosahedron import faces, interpolation
from omniconv.surfaces.icosahedron.faces import FINEST
from omniconv.surfaces.neighbours.stencil import LazyStencil, Stencil, csr_from_rows, identity_stencil

CHILDREN = 4
TAPS = {1: 1, 3: 10}
"""Number of taps by ``kernel_size``."""


@dataclass(frozen=True)
class Icosahedron(SubdividedIcosahedron):
    """20 · 4ˡ triangular faces of nearly equal size; the children of face f are 4f … 4f + 3, the central one first.

    Samples are the centres of the faces; ``directions()`` has their positions and order.

    A convolution has ten taps: the face, the three that share a side with it and their six further neighbours, in the
    published order: self, right, left, low, right-low, right-high, left-high, left-low, low-left, low-right. On faces
    that point down the kernel is rotated by 180°. "Low" refers to the base face of the icosahedron: the kernel is
    upright, and rotated by 60° where one of the five faces around a pole meets the next. A rotation of the sphere by
    72° about the poles permutes the faces and keeps the kernel. At the twelve vertices where five faces meet the kernel
    folds over the gap and keeps ten different taps (the paper's figure 5).

    The paper draws this kernel, and the tables of the published code contain it. Two more kernels of that code, which
    the paper does not mention, are not implemented: one without the rotation on faces that point down, one of seven
    taps. Stride, transposed convolution and linear interpolation are not published; the methods below define them.

    Args:
        level: number of subdivisions of the icosahedron, 0 … 8.

    Raises:
        InputError: a level out of range.

    Example:
        >>> Icosahedron(5).shape, Icosahedron(5).coarser().shape, Icosahedron(5).conv_neighbours().taps
        ((20480,), (5120,), 10)
    """

    short_name: ClassVar[str] = "icosahedron"
    example: ClassVar[Mapping[str, int]] = {"level": 5}
    finest: ClassVar[int] = FINEST
    nested_children: ClassVar[int] = CHILDREN
    kernels: ClassVar[str] = "3 (the ten taps) or 1 (the face alone)"

    @property
    def shape(self) -> tuple[int]:
        return (20 * 4**self.level,)

    def directions(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Return the unit vectors of the mean of each face's corners, ``(N, 3)``."""
        return faces.centres(faces.corners(self.level))

    def areas(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Return the spherical areas of the faces, ``(N,)``; those of four children sum to their parent's."""
        return faces.spherical_areas(faces.corners(self.level))

    def interpolation_matrix(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> sparse.csr_array:
        """Return linear interpolation between the centre and the vertices of the face around each direction."""
        return interpolation.interpolation_matrix(self.level, directions)

    def nearest_sample(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> np.ndarray:
        return interpolation.locate(self.level, directions)

    def conv_neighbours(self, kernel_size: int = 3, stride: int = 1, dilation: int = 1) -> Stencil:
        """Return the ten taps (``kernel_size=3``) or the face alone (1); stride 2 keeps the central children.

        A central child points down where its parent points up; its taps are those of its own level.
        """
        self.check_conv(kernel_size, stride, dilation)
        if (kernel_size, stride) == (1, 1):
            return identity_stencil(self.shape)
        output = self if stride == 1 else self.coarser()
        return LazyStencil(_taps, (self.level, kernel_size, stride), self.shape, output.shape, (TAPS[kernel_size],))

    def transposed_neighbours(self, kernel_size: int = 3, stride: int = 2, dilation: int = 1) -> Stencil:
        """Return the taps of the finer level on a signal that is 0 except at each parent's central child.

        Away from the seams of the polar caps this is the adjoint of the convolution of stride 2 with the last six
        weights permuted (4 ↔ 7, 5 ↔ 8, 6 ↔ 9: the tap of the opposite direction).
        """
        self.check_conv(kernel_size, stride, dilation)
        if stride == 1:
            return self.conv_neighbours(kernel_size)
        finer = self.finer()
        arguments = finer.level, kernel_size
        return LazyStencil(_taps_of_central_children, arguments, self.shape, finer.shape, (TAPS[kernel_size],))

    def pool_neighbours(self, kernel_size: int = 2, stride: int = 2) -> Stencil:
        """Return the four children of each parent, weighted by area, so that the mean over the sphere is preserved."""
        check_halving(kernel_size, stride, "on an icosahedron")
        return LazyStencil(_means, (self,), self.shape, self.coarser().shape)

    def resize_neighbours(self, scale_factor: int = 2, mode: Resampling = "linear") -> Stencil:
        """Return central children as their parents, the others half way to a plane fitted around their vertex.

        ``nearest`` gives all four children their parent's value.
        """
        check_supported("scale_factor", scale_factor, (2,), "on an icosahedron", "chain steps of 2")
        return LazyStencil(_upsampling, (self.level, mode), self.shape, self.finer().shape)

    def panorama_height(self) -> int:
        """Return 2^(level + 3): every face then contains the centre of a pixel.

        The circle inscribed in the smallest face is wider than a pixel's diagonal.
        """
        return 2 ** (self.level + 3)

    def from_equirectangular(self, image: np.ndarray, mode: Resampling = "linear") -> np.ndarray:
        """Resample a panorama ``(…, H, W)`` to the faces, ``(…, N)``: ``linear`` is the mean over each face."""
        if mode == "nearest":
            return super().from_equirectangular(image, mode)
        # Means are taken over 4^splits points of a face, at most 16; more rows than points would not be seen.
        splits = min(2, FINEST - self.level)
        rows = self.panorama_height() * 2**splits // 2
        return panorama.apply_matrix(image, rows, partial(_face_means, self, splits), self.shape)

    def to_equirectangular(self, signal: np.ndarray, height: int, mode: Resampling = "linear") -> np.ndarray:
        """Resample a signal ``(…, N)`` to a panorama: the face under each pixel, or linear interpolation.

        A ``linear`` panorama whose pixels are at least twice as wide as the faces is the mean of a finer one.
        """
        if mode == "linear" and 4 * height <= self.panorama_height():
            fine = super().to_equirectangular(signal, self.panorama_height())
            return panorama.resize(fine, height, 2 * height)
        return super().to_equirectangular(signal, height, mode)


def _table(level: int, kernel_size: int) -> np.ndarray:
    table = faces.ten_taps(level) if kernel_size == 3 else np.arange(20 * 4**level)[:, None]
    return table.astype(np.int32)


@lru_cache(maxsize=2 * FINEST)
def _taps(level: int, kernel_size: int, stride: int = 1) -> Stencil:
    """Return the taps around every face or, at stride 2, around the central children."""
    step = 1 if stride == 1 else CHILDREN
    return Stencil.from_table(_table(level, kernel_size)[::step], inputs=20 * 4**level)


@lru_cache(maxsize=4)
def _taps_of_central_children(level: int, kernel_size: int) -> Stencil:
    return Stencil.of([operator[:, ::CHILDREN] for operator in _taps(level, kernel_size).operators])


@lru_cache(maxsize=4)
def _means(surface: Icosahedron) -> Stencil:
    areas = surface.areas().reshape(-1, CHILDREN)
    weights = areas / areas.sum(axis=1, keepdims=True)
    return Stencil.of([csr_from_rows(np.arange(areas.size).reshape(areas.shape), weights, areas.size)])


@lru_cache(maxsize=4)
def _upsampling(level: int, mode: Resampling) -> Stencil:
    if mode == "linear":
        return Stencil.of([interpolation.upsample_matrix(level)])
    parents = np.arange(20 * 4 ** (level + 1)) // CHILDREN
    return Stencil.from_table(parents[:, None], inputs=20 * 4**level)


def _face_means(surface: Icosahedron, splits: int, height: int, width: int) -> sparse.csr_array:
    """Return means over the faces of a panorama, with about one point for each pixel."""
    levels = np.log2(surface.spacing / min(np.pi / height, 2 * np.pi / width))  # from faces to pixels
    return interpolation.from_panorama(surface.level, height, width, int(np.clip(round(levels), 0, splits)))

"""Kernels on the tangent planes at the pixels of a panorama (SphereNet: Coors et al., ECCV 2018).

On the tangent plane at a pixel on the equator, the taps of a kernel are the projections of the surrounding pixels
(section 3.1 of the paper: x = tan jΔ, y = tan iΔ / cos jΔ, Δ = π / height); the plane is then moved to every other
pixel. Here taps are directions in the frame of a pixel (outward, east, north), which is equivalent and has no
singularity: kernels continue over the poles, and taps 90° away or more continue along the sphere, as the neighbours of
a pixel on the equator do.

All pixels of a row have the same kernel up to a rotation about the axis: it is computed once for each row, and stored
as a ``PeriodicStencil``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NamedTuple, cast

import numpy as np
from scipy import sparse

from omniconv.surfaces import panorama
from omniconv.surfaces.base import Resampling
from omniconv.surfaces.equirectangular.kernels import Pair, PanoramaKernels, check_odd, pair
from omniconv.surfaces.neighbours.periodic_stencil import PeriodicStencil
from omniconv.surfaces.neighbours.stencil import LazyStencil, Stencil, csr_from_rows, identity_stencil

MIN_WEIGHT = 1e-9
"""Smaller interpolation weights are rounding errors of taps that coincide with a pixel, row or column."""


@dataclass(frozen=True)
class TangentKernels(PanoramaKernels):
    """Stencils of tangent kernels; arguments are checked here.

    Example:
        >>> TangentKernels(8).conv_neighbours(3, 2, 1).output_shape
        (4, 8)
    """

    name: ClassVar[str] = "tangent"

    def conv_neighbours(self, kernel_size: Pair, stride: int, dilation: Pair) -> LazyStencil:
        """Return the taps around every pixel, row by row; at stride 2 around those of even rows and columns."""
        self.check_stride(stride)
        size = pair(kernel_size)
        check_odd(size)
        if (size, stride) == ((1, 1), 1):
            return identity_stencil(self._grid(), size)
        return self._taps(KernelCentres(self.height, (0.0, 0.0), stride), size, pair(dilation))

    def window_neighbours(self, kernel_size: Pair, stride: int) -> LazyStencil:
        """Return the samples of each pooling window, interpolated on its tangent plane, one operator each."""
        self.check_stride(stride)
        size = pair(kernel_size)
        if stride == 1:
            check_odd(size, " at stride 1")
        start = tuple((taps + 1) % 2 / 2 for taps in size)
        return self._taps(KernelCentres(self.height, (start[0], start[1]), stride), size, (1, 1))

    def pool_neighbours(self, kernel_size: Pair, stride: int) -> Stencil:
        """Return means of pooling windows: of 2 × 2 by pixel area, of other sizes on tangent planes."""
        self.check_stride(stride)
        if (pair(kernel_size), stride) == ((2, 2), 2):
            return LazyStencil(_means_of_four, (self.height,), self._grid(), self._grid(2))
        self.window_neighbours(kernel_size, stride)  # checks the size
        return LazyStencil(_window_means, (self, pair(kernel_size), stride), self._grid(), self._grid(stride))

    def resize_neighbours(self, scale_factor: int, mode: Resampling) -> Stencil:
        """Return interpolation between pixel centres and over the poles, or each pixel four times (``nearest``)."""
        self.check_scale_factor(scale_factor)
        output = 2 * self.height, 4 * self.height
        return LazyStencil(_upsampling, (self.height, mode), self._grid(), output)

    def _grid(self, step: int = 1) -> tuple[int, int]:
        return KernelCentres(self.height, (0.0, 0.0), step).grid

    def _taps(self, centres: KernelCentres, size: tuple[int, int], dilation: tuple[int, int]) -> LazyStencil:
        arguments = centres, size, dilation
        return LazyStencil(_stencil, arguments, self._grid(), centres.grid, size)


class KernelCentres(NamedTuple):
    """Centres of kernels: every ``step`` pixels from ``start``, along rows and along columns.

    Outputs of stride 2 are centred on even rows and columns, as in a flat convolution with "same" padding; windows of
    an even size, which have no middle pixel, are centred half a pixel further.
    """

    height: int
    start: tuple[float, float]
    step: int

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the outputs."""
        return self.height // self.step, 2 * self.height // self.step


def tap_directions(centres: KernelCentres, kernel_size: tuple[int, int], dilation: tuple[float, float]) -> np.ndarray:
    """Return the directions of the taps around the first centre of each row, ``(rows, taps, 3)``."""
    pixel = np.pi / centres.height
    down, right = (
        step * pixel * (np.arange(taps) - (taps - 1) / 2) for taps, step in zip(kernel_size, dilation, strict=True)
    )
    local = panorama.unit_vectors(-down[:, None], right[None, :]).reshape(-1, 3)  # outward, east, north
    rows = centres.start[0] + centres.step * np.arange(centres.grid[0])
    latitude, longitude = np.pi / 2 - (rows + 0.5) * pixel, (centres.start[1] + 0.5) * pixel - np.pi
    return np.einsum("tk,rkx->rtx", local, panorama.local_frames(latitude, np.asarray(longitude)))


@lru_cache(maxsize=16)
def _stencil(centres: KernelCentres, kernel_size: tuple[int, int], dilation: tuple[int, int]) -> PeriodicStencil:
    """Return the taps of the first output in each row, bilinear between four pixels, as the period of the row."""
    shape = (centres.height, 2 * centres.height)
    pixels, weights = panorama.bilinear_pixels(tap_directions(centres, kernel_size, dilation), *shape)
    weights = np.where(weights < MIN_WEIGHT, 0, weights)
    weights = weights / weights.sum(axis=-1, keepdims=True)
    ends = np.concatenate([[0], np.cumsum((weights > 0).sum(axis=-1).ravel())])
    entries = weights[weights > 0], pixels[weights > 0], ends
    pattern = sparse.csr_array(entries, (len(ends) - 1, shape[0] * shape[1]))
    return PeriodicStencil(pattern, centres.grid[1], shape, centres.grid, kernel_size)


@lru_cache(maxsize=16)
def _means_of_four(height: int) -> Stencil:
    """Return means of 2 × 2 pixels by area: such windows partition the grid, and the mean over the sphere is kept."""
    weights = panorama.pixel_areas(height, 2 * height).reshape(height // 2, 2, height, 2)
    weights = (weights / weights.sum(axis=(1, 3), keepdims=True)).swapaxes(1, 2).reshape(-1, 4)
    pixels = np.arange(2 * height * height).reshape(height // 2, 2, height, 2).swapaxes(1, 2).reshape(-1, 4)
    return _from_pixels(pixels, weights, (height, 2 * height), (height // 2, height))


@lru_cache(maxsize=16)
def _window_means(kernels: TangentKernels, kernel_size: tuple[int, int], stride: int) -> PeriodicStencil:
    window = cast(PeriodicStencil, kernels.window_neighbours(kernel_size, stride).computed)
    rows = np.arange(window.pattern.shape[0])
    means = csr_from_rows(rows.reshape(-1, window.taps), 1 / window.taps, len(rows))
    pattern = sparse.csr_array(means @ window.pattern)
    return PeriodicStencil(pattern, window.repeats, window.input_shape, window.output_shape, (1,))


@lru_cache(maxsize=16)
def _upsampling(height: int, mode: Resampling) -> Stencil:
    if mode == "nearest":
        rows, columns = np.arange(2 * height) // 2, np.arange(4 * height) // 2
        pixels = (rows[:, None] * 2 * height + columns).reshape(-1, 1)
        weights = np.ones(pixels.shape)
    else:
        directions = panorama.pixel_directions(2 * height, 4 * height).reshape(-1, 3)
        pixels, weights = panorama.bilinear_pixels(directions, height, 2 * height)
        weights = np.round(16 * weights) / 16  # exact: quarters along rows times quarters along columns
    return _from_pixels(pixels, weights, (height, 2 * height), (2 * height, 4 * height))


def _from_pixels(
    pixels: np.ndarray, weights: np.ndarray, input_shape: tuple[int, int], output_shape: tuple[int, int]
) -> Stencil:
    """Return one operator from pixels and their weights, both ``(outputs, entries)``."""
    return Stencil((csr_from_rows(pixels, weights, input_shape[0] * input_shape[1]),), input_shape, output_shape)

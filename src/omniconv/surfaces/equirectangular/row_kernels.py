"""Neighbours on a panorama whose kernels differ between rows (SphConv)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from omniconv.surfaces.base import Resampling
from omniconv.surfaces.equirectangular.kernels import Pair, PanoramaKernels, check_odd, pair
from omniconv.surfaces.equirectangular.row_shapes import MAX_TAPS, Fields, row_shapes
from omniconv.surfaces.neighbours.border import Border
from omniconv.surfaces.neighbours.row_stencil import RowStencil


@dataclass(frozen=True)
class RowKernels(PanoramaKernels):
    """Row stencils for convolution; pooling and resizing of the ordinary grid.

    Example:
        >>> RowKernels(8).conv_neighbours(3, 2, 1).output_shape
        (4, 8)
    """

    name: ClassVar[str] = "rows"

    def conv_neighbours(self, kernel_size: Pair, stride: int, dilation: Pair) -> RowStencil:
        """Return kernels that cover a flat kernel's view from each row; at stride 2 from even rows and columns."""
        self.check_stride(stride)
        size = pair(kernel_size)
        check_odd(size)
        return _stencil(self.height, size, stride, pair(dilation))

    def pool_neighbours(self, kernel_size: Pair, stride: int) -> Border:
        """Return the border of a panorama: circular in longitude, continued over the poles."""
        self.check_stride(stride)
        return Border.of(("pole", "circular"), ndim=2)

    window_neighbours = pool_neighbours

    def resize_neighbours(self, scale_factor: int, mode: Resampling) -> Border:
        """Return the border of a panorama."""
        self.check_scale_factor(scale_factor)
        return self.pool_neighbours(2, 1)


@lru_cache(maxsize=64)
def _stencil(height: int, size: tuple[int, int], stride: int, dilation: tuple[int, int]) -> RowStencil:
    pixel = np.pi / height
    fields = Fields.projected(height, size, (pixel * dilation[0], pixel * dilation[1]), stride)
    max_taps = max(size[0] * size[1], MAX_TAPS)
    shapes = row_shapes(fields, Fields.of_pixels(height), dilation, stride, max_taps)
    return RowStencil(height, tuple(shapes), stride, dilation)

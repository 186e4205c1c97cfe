"""Who is whose neighbour on a panorama whose kernels change with the row (SphConv)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

import numpy as np

from omniconv.errors import InputError
from omniconv.surfaces.base import Resampling
from omniconv.surfaces.equirectangular.kernels import Pair, PanoramaKernels, pair
from omniconv.surfaces.equirectangular.row_shapes import MOST_TAPS, Fields, row_shapes
from omniconv.surfaces.neighbours.border import Border
from omniconv.surfaces.neighbours.row_stencil import RowStencil


@dataclass(frozen=True)
class RowKernels(PanoramaKernels):
    """Row stencils on a panorama of ``height`` rows and twice as many columns; pooling and resizing as on the grid.

    Args:
        height: rows.

    Raises:
        InputError: a height that is no whole number from 1.

    Example:
        >>> RowKernels(8).convolution(3, 2, 1).output_shape
        (4, 8)
    """

    kind: ClassVar[str] = "rows"

    def convolution(self, kernel_size: Pair, stride: int, dilation: Pair) -> RowStencil:
        """Kernels as large as a flat one looks from each row; at stride 2 around pixels of even rows and columns."""
        self.check_stride(stride)
        size = pair(kernel_size)
        if any(taps % 2 == 0 for taps in size):
            raise InputError("kernel_size", size, "must be odd: a pixel is in its middle", "use kernel_size=3")
        return _stencil(self.height, size, stride, pair(dilation))

    def transposed(self, kernel_size: Pair, stride: int, dilation: Pair) -> RowStencil:
        """The exact adjoint of the convolution that leads here."""
        finer = RowKernels(stride * self.height) if stride in (1, 2) else self
        return replace(finer.convolution(kernel_size, stride, dilation), is_adjoint=True)

    def means(self, kernel_size: Pair, stride: int) -> Border:
        """Index shifts, circular in longitude and on over the poles."""
        self.check_stride(stride)
        return Border.of(("pole", "circular"), ndim=2)

    windows = means

    def growth(self, scale_factor: int, mode: Resampling) -> Border:
        """The same."""
        self.check_growth(scale_factor)
        return self.means(2, 1)


@lru_cache(maxsize=64)
def _stencil(height: int, size: tuple[int, int], stride: int, dilation: tuple[int, int]) -> RowStencil:
    pixel = np.pi / height
    wanted = Fields.projected(height, size, (pixel * dilation[0], pixel * dilation[1]), stride)
    most = max(size[0] * size[1], MOST_TAPS)
    shapes = row_shapes(wanted, Fields.of_pixels(height), dilation, stride, most)
    return RowStencil(height, tuple(shapes), stride, dilation)

"""Who is whose neighbour on a panorama whose kernels change with the row (SphConv)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from omniconv.errors import InputError
from omniconv.surfaces.border import Border
from omniconv.surfaces.row_shapes import MOST_TAPS, Fields, row_shapes
from omniconv.surfaces.row_stencil import RowStencil
from omniconv.surfaces.surface import Resampling

Pair = int | Sequence[int]


@dataclass(frozen=True)
class RowKernels:
    """Row stencils on a panorama of ``height`` rows and twice as many columns; pooling and resizing as on the grid.

    Args:
        height: rows.

    Raises:
        InputError: a height that is no whole number from 1.

    Example:
        >>> RowKernels(8).convolution(3, 2, 1).output_shape
        (4, 8)
    """

    height: int

    def __post_init__(self) -> None:
        if not isinstance(self.height, int) or self.height < 1:
            raise InputError(
                "height", self.height, "must be a whole number from 1 with kernels='rows'", "use height=64"
            )

    def convolution(self, kernel_size: Pair, stride: int, dilation: Pair) -> RowStencil:
        """Kernels as large as a flat one looks from each row; at stride 2 around pixels of even rows and columns."""
        self._check_stride(stride)
        size = _pair(kernel_size)
        if any(taps % 2 == 0 for taps in size):
            raise InputError("kernel_size", size, "must be odd: a pixel is in its middle", "use kernel_size=3")
        return _stencil(self.height, size, stride, _pair(dilation))

    def transposed(self, kernel_size: Pair, stride: int, dilation: Pair) -> RowStencil:
        """The exact adjoint of the convolution that leads here."""
        finer = RowKernels(stride * self.height) if stride in (1, 2) else self
        return replace(finer.convolution(kernel_size, stride, dilation), is_adjoint=True)

    def means(self, kernel_size: Pair, stride: int) -> Border:
        """Index shifts, circular in longitude and on over the poles."""
        self._check_stride(stride)
        return Border.of(("pole", "circular"), ndim=2)

    windows = means

    def growth(self, scale_factor: int, mode: Resampling) -> Border:
        """The same."""
        if scale_factor != 2:
            raise InputError("scale_factor", scale_factor, "must be 2 with kernels='rows'", "chain steps of 2")
        return self.means(2, 1)

    def _check_stride(self, stride: int) -> None:
        if stride not in (1, 2):
            raise InputError("stride", stride, "must be 1 or 2 with kernels='rows'", "chain layers of stride 2")
        if self.height % stride:
            raise InputError(
                "height", self.height, "must be even to be halved", "use a multiple of 2 for each step of stride 2"
            )


@lru_cache(maxsize=64)
def _stencil(height: int, size: tuple[int, int], stride: int, dilation: tuple[int, int]) -> RowStencil:
    pixel = np.pi / height
    wanted = Fields.projected(height, size, (pixel * dilation[0], pixel * dilation[1]), stride)
    most = max(size[0] * size[1], MOST_TAPS)
    shapes = row_shapes(wanted, Fields.of_pixels(height), dilation, stride, most)
    return RowStencil(height, tuple(shapes), stride, dilation)


def _pair(size: Pair) -> tuple[int, int]:
    """Rows and columns."""
    rows, columns = (size, size) if isinstance(size, int) else size
    return rows, columns

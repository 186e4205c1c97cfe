"""Who is whose neighbour on a panorama whose kernels lie on the planes that touch the sphere (SphereNet)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from omniconv.surfaces.base import Resampling
from omniconv.surfaces.equirectangular import tangent_geometry as stencils
from omniconv.surfaces.equirectangular.kernels import Pair, PanoramaKernels, pair
from omniconv.surfaces.neighbours.stencil import Stencil


@dataclass(frozen=True)
class TangentKernels(PanoramaKernels):
    """Stencils on a panorama of ``height`` rows and twice as many columns; arguments are checked here.

    Args:
        height: rows.

    Raises:
        InputError: a height that is no whole number from 1.

    Example:
        >>> TangentKernels(8).convolution(3, 2, 1).output_shape
        (4, 8)
    """

    kind: ClassVar[str] = "tangent"

    def convolution(self, kernel_size: Pair, stride: int, dilation: Pair) -> Stencil:
        """Taps on the plane at each pixel; at stride 2 at the pixels of even rows and columns."""
        self.check_stride(stride)
        return stencils.conv_stencil(self.height, pair(kernel_size), stride, pair(dilation))

    def transposed(self, kernel_size: Pair, stride: int, dilation: Pair) -> Stencil:
        """The exact adjoint of the convolution that leads here."""
        finer = TangentKernels(stride * self.height) if stride in (1, 2) else self
        finer.check_stride(stride)
        return stencils.adjoint_stencil(finer.height, pair(kernel_size), stride, pair(dilation))

    def windows(self, kernel_size: Pair, stride: int) -> Stencil:
        """The samples of each pooling window, interpolated on its touching plane, one operator each."""
        self.check_stride(stride)
        return stencils.window_stencil(self.height, pair(kernel_size), stride)

    def means(self, kernel_size: Pair, stride: int) -> Stencil:
        """Means of pooling windows: of the four pixels of 2×2 by area, else of samples on touching planes."""
        self.check_stride(stride)
        return stencils.mean_stencil(self.height, pair(kernel_size), stride)

    def growth(self, scale_factor: int, mode: Resampling) -> Stencil:
        """Between pixel centres and over the poles, or each pixel four times."""
        self.check_growth(scale_factor)
        return stencils.growth_stencil(self.height, mode)

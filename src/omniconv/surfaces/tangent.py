"""Who is whose neighbour on a panorama whose kernels lie on the planes that touch the sphere (SphereNet)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omniconv.checks import is_whole
from omniconv.errors import InputError
from omniconv.surfaces import tangent_stencils as stencils
from omniconv.surfaces.stencil import Stencil
from omniconv.surfaces.surface import Resampling

Pair = int | Sequence[int]


@dataclass(frozen=True)
class TangentKernels:
    """Stencils on a panorama of ``height`` rows and twice as many columns; arguments are checked here.

    Args:
        height: rows.

    Raises:
        InputError: a height that is no whole number from 1.

    Example:
        >>> TangentKernels(8).convolution(3, 2, 1).output_shape
        (4, 8)
    """

    height: int

    def __post_init__(self) -> None:
        if not is_whole(self.height):
            raise InputError(
                "height", self.height, "must be a whole number from 1 with kernels='tangent'", "use height=64"
            )

    def convolution(self, kernel_size: Pair, stride: int, dilation: Pair) -> Stencil:
        """Taps on the plane at each pixel; at stride 2 at the pixels of even rows and columns."""
        self._check_stride(stride)
        return stencils.conv_stencil(self.height, _pair(kernel_size), stride, _pair(dilation))

    def transposed(self, kernel_size: Pair, stride: int, dilation: Pair) -> Stencil:
        """The exact adjoint of the convolution that leads here."""
        finer = TangentKernels(stride * self.height) if stride in (1, 2) else self
        finer._check_stride(stride)
        return stencils.adjoint_stencil(finer.height, _pair(kernel_size), stride, _pair(dilation))

    def windows(self, kernel_size: Pair, stride: int) -> Stencil:
        """The samples of each pooling window, interpolated on its touching plane, one operator each."""
        self._check_stride(stride)
        return stencils.window_stencil(self.height, _pair(kernel_size), stride)

    def means(self, kernel_size: Pair, stride: int) -> Stencil:
        """Means of pooling windows: of the four pixels of 2×2 by area, else of samples on touching planes."""
        self._check_stride(stride)
        return stencils.mean_stencil(self.height, _pair(kernel_size), stride)

    def growth(self, scale_factor: int, mode: Resampling) -> Stencil:
        """Between pixel centres and over the poles, or each pixel four times."""
        if scale_factor != 2:
            raise InputError("scale_factor", scale_factor, "must be 2 with kernels='tangent'", "chain steps of 2")
        return stencils.growth_stencil(self.height, mode)

    def halved(self) -> int:
        """Half the height.

        Raises:
            InputError: it is odd.
        """
        if self.height % 2:
            raise InputError(
                "height", self.height, "must be even to be halved", "use a multiple of 2 for each step of stride 2"
            )
        return self.height // 2

    def _check_stride(self, stride: int) -> None:
        if stride not in (1, 2):
            raise InputError("stride", stride, "must be 1 or 2 with kernels='tangent'", "chain layers of stride 2")
        if stride == 2:
            self.halved()


def _pair(size: Pair) -> tuple[int, int]:
    """Rows and columns."""
    rows, columns = (size, size) if isinstance(size, int) else size
    return rows, columns

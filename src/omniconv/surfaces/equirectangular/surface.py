"""Panoramas: grids with rows of latitude and columns of longitude."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

import numpy as np
from scipy import sparse

from omniconv.checks import check_choice
from omniconv.errors import InputError
from omniconv.surfaces import panorama
from omniconv.surfaces.base import Neighbours, Resampling, Shape, Surface
from omniconv.surfaces.equirectangular.kernels import Pair, PanoramaKernels
from omniconv.surfaces.equirectangular.row_kernels import RowKernelOutline, RowKernels
from omniconv.surfaces.equirectangular.tangent import TangentKernels
from omniconv.surfaces.neighbours.border import Border, Mode
from omniconv.surfaces.neighbours.stencil import Stencil

Poles = Literal["over", "zeros", "replicate", "reflect"]
Kernels = Literal["grid", "tangent", "rows"]


@dataclass(frozen=True)
class Equirectangular(Surface):
    """Panoramas: of any size with flat kernels, or of one size with kernels on the sphere.

    Samples are cell centres: row i of H has latitude 90° − (i + ½)·180°/H, north first, so that the first and last row
    are at ±(90 − 90/H)°; column j of W has longitude −180° + (j + ½)·360°/W, running east. Grids with rows on both
    poles (ERA5's 721 × 1440) have other samples: ``(x[..., :-1, :] + x[..., 1:, :]) / 2`` are 720 rows of cell centres.
    Roll the columns of a grid that starts at longitude 0° by half the width, and flip the rows of one that runs north.
    An odd number of rows that is not half the columns is warned of, once for each size.

    ``kernels="grid"`` accepts any (height, width), circular in longitude (Schubert et al., Circular CNNs, IV 2019): the
    ordinary convolution, whose kernel shrinks towards the poles as the pixels do.

    ``kernels="tangent"`` accepts (height, 2 · height): the taps of a kernel are on the tangent plane at its pixel, and
    are interpolated between pixels (Coors et al., SphereNet, ECCV 2018). At the equator it is the ordinary kernel, and
    weights are those of a flat convolution. Outputs of stride 2 are centred on the pixels of even rows and columns, as
    in a flat convolution with "same" padding, so that a roll by an even number of columns remains a roll. A transposed
    convolution is the exact adjoint. Max and Lp pooling compare the samples of a window on its own tangent plane (of
    2×2: around the corner where its four pixels meet), and switches are the pixel with the largest weight in the
    selected sample; means over 2×2 are those of the four pixels by area, so that the mean over the sphere is preserved.

    ``kernels="rows"`` accepts (height, 2 · height): every row has its own kernel and bias, shared along longitude, and
    kernels widen towards the poles as a flat view does on the panorama (Su & Grauman, SphConv, NIPS 2017). Outputs of
    stride 2 are centred as with tangent kernels, a transposed convolution is the exact adjoint; pooling and resizing
    are those of flat kernels. ``oc.convert.to_sphconv`` fits such kernels to a trained flat network.

    Args:
        poles: values beyond the first and last row for flat kernels: ``over`` the pole (the mirrored rows rolled by
            half the width; by ⌊width/2⌋ columns where the width is odd), or ``zeros``, ``replicate``, ``reflect``.
            Kernels on the sphere always continue over the pole.
        height: number of rows, with ``kernels="tangent"`` or ``"rows"``; halved by each step of stride 2.
        kernels: ``grid``, ``tangent`` or ``rows``.

    Raises:
        InputError: an unknown ``poles`` or ``kernels``; a height that is missing or not allowed.

    Example:
        >>> Equirectangular().conv_neighbours().modes
        (('pole', 'pole'), ('circular', 'circular'))
        >>> Equirectangular(height=16, kernels="tangent").conv_neighbours(stride=2).output_shape
        (8, 16)
    """

    poles: Poles = "over"
    height: int | None = None
    kernels: Kernels = "grid"
    short_name: ClassVar[str] = "equirectangular"

    def __post_init__(self) -> None:
        check_choice("poles", self.poles, get_args(Poles), "use poles='over'")
        check_choice("kernels", self.kernels, get_args(Kernels), "use kernels='grid'")
        if self.kernels == "grid" and self.height is not None:
            rule = "must be left out with kernels='grid', which has any size"
            raise InputError("height", self.height, rule, "omit it")
        if self.kernels != "grid" and self.poles != "over":
            raise InputError("poles", self.poles, f"must be 'over' with kernels={self.kernels!r}", "omit it")
        self._neighbours  # noqa: B018  # checks the height

    def __str__(self) -> str:  # shorter than the default: only the arguments that matter for these kernels
        own = f"poles={self.poles}" if self.height is None else f"height={self.height},kernels={self.kernels}"
        return f"equirectangular:{own}"

    @property
    def shape(self) -> Shape:
        return (None, None) if self.height is None else (self.height, 2 * self.height)

    @property
    def latitude_axis(self) -> int:
        return 0

    def warn_about(self, grid: Sequence[int]) -> None:
        """Warn about a grid that looks as if its first and last row were on the poles."""
        panorama.warn_layer_of_pole_rows(*grid)

    def directions(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        return panorama.pixel_directions(*self._size(shape))

    def areas(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        return panorama.pixel_areas(*self._size(shape))

    def interpolation_matrix(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> sparse.csr_array:
        """Return bilinear interpolation between the four pixels around each direction, also over the poles."""
        return panorama.bilinear_matrix(directions, *self._size(shape))

    def nearest_sample(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> np.ndarray:
        return panorama.nearest_pixels(directions, *self._size(shape))

    def coarser(self) -> Equirectangular:
        return self if self.height is None else replace(self, height=PanoramaKernels(self.height).half_height())

    def finer(self) -> Equirectangular:
        return self if self.height is None else replace(self, height=2 * self.height)

    def outline(self) -> Equirectangular:
        """Return the panoramas with the smallest kernel on each row, in place of row kernels."""
        return _RowOutline(self.poles, self.height, self.kernels) if self.kernels == "rows" else self

    @property
    def weights_have_rows(self) -> bool:
        return self.kernels == "rows"

    def conv_neighbours(self, kernel_size: Pair = 3, stride: int = 1, dilation: Pair = 1) -> Neighbours:
        """Return the border of the grid, the taps of tangent kernels, or a kernel for each row."""
        return self._neighbours.conv_neighbours(kernel_size, stride, dilation)

    def pool_neighbours(self, kernel_size: Pair = 2, stride: int = 2) -> Border | Stencil:
        """Return the border of the grid, or with tangent kernels the means of windows."""
        return self._neighbours.pool_neighbours(kernel_size, stride)

    def window_neighbours(self, kernel_size: Pair = 2, stride: int = 2) -> Border | Stencil:
        """Return the border of the grid, or with tangent kernels the samples of each window on its tangent plane."""
        return self._neighbours.window_neighbours(kernel_size, stride)

    def resize_neighbours(self, scale_factor: int = 2, mode: Resampling = "linear") -> Border | Stencil:
        """Return the border of the grid, or with tangent kernels interpolation between pixels, also over the poles."""
        return self._neighbours.resize_neighbours(scale_factor, mode)

    def panorama_height(self) -> int | None:
        return self.height

    def from_equirectangular(self, image: np.ndarray, mode: Resampling = "linear") -> np.ndarray:
        """Return the panorama, resized where the surface has one size."""
        panorama.warn_layer_of_pole_rows(*image.shape[-2:])
        return image if self.height is None else panorama.resize(image, self.height, 2 * self.height, mode)

    def to_equirectangular(self, signal: np.ndarray, height: int, mode: Resampling = "linear") -> np.ndarray:
        return panorama.resize(signal, height, 2 * height, mode)

    @property
    def _neighbours(self) -> _GridKernels | TangentKernels | RowKernels:
        if self.kernels == "grid":
            return _GridKernels("pole" if self.poles == "over" else self.poles)
        kernels = TangentKernels if self.kernels == "tangent" else RowKernels
        return kernels(self.height)  # type: ignore[arg-type]  # None is rejected there

    def _size(self, shape: tuple[int, ...] | None) -> tuple[int, int]:
        if self.height is not None:
            return self.height, 2 * self.height
        if shape is None or len(shape) != 2:
            rule = "must be (height, width), since this surface has any size"
            raise InputError("shape", shape, rule, "give the shape of the grid")
        panorama.warn_of_pole_rows(*shape)
        return shape[0], shape[1]


class _RowOutline(Equirectangular):
    """Panoramas with the smallest kernel on each row."""

    @property
    def _neighbours(self) -> RowKernelOutline:
        return RowKernelOutline(self.height)  # type: ignore[arg-type]  # None is rejected there


@dataclass(frozen=True)
class _GridKernels:
    """The border of a grid of any size, the same for every operation."""

    rows: Mode

    def conv_neighbours(self, *arguments: object) -> Border:
        return Border.of((self.rows, "circular"), ndim=2)

    pool_neighbours = window_neighbours = resize_neighbours = conv_neighbours

"""The panorama's own grid: rows of latitude, columns of longitude."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from scipy import sparse

from omniconv.errors import InputError
from omniconv.surfaces import panorama
from omniconv.surfaces.base import Neighbours, Resampling, Shape, Surface
from omniconv.surfaces.equirectangular.kernels import Pair, PanoramaKernels
from omniconv.surfaces.equirectangular.row_kernels import RowKernels
from omniconv.surfaces.equirectangular.tangent import TangentKernels
from omniconv.surfaces.neighbours.border import Border, Mode
from omniconv.surfaces.neighbours.stencil import Stencil

Poles = Literal["over", "zeros", "replicate", "reflect"]
Kernels = Literal["grid", "tangent", "rows"]


@dataclass(frozen=True)
class Equirectangular(Surface):
    """Panoramas: of any size with flat kernels, or of one size with kernels that lie on the sphere.

    ``kernels="grid"`` takes any (height, width), circular in longitude (Schubert et al., Circular CNNs, IV 2019): the
    ordinary convolution, whose kernel shrinks towards the poles as the pixels do.

    ``kernels="tangent"`` takes (height, 2 · height): a kernel lies on the plane that touches the sphere at its pixel,
    and samples between pixels (Coors et al., SphereNet, ECCV 2018). At the equator it is the ordinary one, and its
    weights are those of a flat convolution. Outputs of stride 2 are centred on the pixels of even rows and columns, as
    a flat convolution's with padding SAME; a turn by an even number of columns stays a turn. A transposed convolution
    is the exact adjoint. Max and Lp pooling compare the samples of a window on its own touching plane (of 2×2: around
    the corner where its four pixels meet), and switches name the pixel with the largest share of the winning sample;
    means over 2×2 are those of the four pixels by area, so that the mean over the sphere stays as it is.

    ``kernels="rows"`` takes (height, 2 · height): every row has a kernel and a bias of its own, shared along longitude,
    which grows wider towards the poles as a flat view does on the panorama (Su & Grauman, SphConv, NIPS 2017). Outputs
    of stride 2 are centred as tangent kernels are, a transposed convolution is the exact adjoint; pooling and resizing
    are those of flat kernels. ``oc.convert.to_sphconv`` fits such kernels to a trained flat network.

    Args:
        poles: what a flat kernel sees past the first and last row: ``over`` the pole (the mirrored rows turned by half
            the width; by ⌊width/2⌋ columns where the width is odd), or ``zeros``, ``replicate``, ``reflect``. A
            tangent kernel and one of rows always see over the pole.
        height: rows, with ``kernels="tangent"`` or ``"rows"``; half of it for each step of stride 2.
        kernels: ``grid``, ``tangent`` or ``rows``.

    Raises:
        InputError: an unknown ``poles`` or ``kernels``; a height that is missing or has no meaning.

    Example:
        >>> Equirectangular().conv_neighbours().modes
        (('pole', 'pole'), ('circular', 'circular'))
        >>> Equirectangular(height=16, kernels="tangent").conv_neighbours(stride=2).output_shape
        (8, 16)
    """

    poles: Poles = "over"
    height: int | None = None
    kernels: Kernels = "grid"
    ndim: ClassVar[int] = 2  # type: ignore[misc]  # a constant here, a choice on a plane

    def __post_init__(self) -> None:
        for name, kind in (("poles", Poles), ("kernels", Kernels)):
            if getattr(self, name) not in get_args(kind):
                raise InputError(name, getattr(self, name), f"must be one of {', '.join(get_args(kind))}", "correct it")
        if self.kernels == "grid" and self.height is not None:
            raise InputError("height", self.height, "has no meaning with kernels='grid': any size goes", "leave it out")
        if self.kernels != "grid" and self.poles != "over":
            raise InputError("poles", self.poles, f"must be 'over' with kernels={self.kernels!r}", "leave it out")
        self._neighbours  # noqa: B018  # checks the height

    def __str__(self) -> str:
        own = f"poles={self.poles}" if self.height is None else f"height={self.height},kernels={self.kernels}"
        return f"equirectangular:{own}"

    @property
    def shape(self) -> Shape:
        """Any height and width, or the one of kernels that lie on the sphere."""
        return (None, None) if self.height is None else (self.height, 2 * self.height)

    @property
    def level(self) -> int | None:
        """How often the height can be halved; ``None`` where any size goes."""
        return None if self.height is None else (self.height & -self.height).bit_length() - 1

    @property
    def latitude_axis(self) -> int:
        """Latitude runs along the rows."""
        return 0

    def directions(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Unit vectors of the pixel centres, ``(H, W, 3)``."""
        return panorama.pixel_directions(*self._size(shape))

    def areas(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Areas of the pixels, ``(H, W)``."""
        return panorama.pixel_areas(*self._size(shape))

    def interpolation_matrix(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> sparse.csr_array:
        """Bilinear between the four pixels around each direction, over the poles too."""
        return panorama.bilinear_matrix(directions, *self._size(shape))

    def nearest_sample(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """The pixel that holds each direction."""
        return panorama.nearest_pixels(directions, *self._size(shape))

    def coarser(self) -> Equirectangular:
        """Half the height; itself where any size goes.

        Raises:
            InputError: the height is odd.
        """
        return self if self.height is None else self._of_height(PanoramaKernels(self.height).halved())

    def finer(self) -> Equirectangular:
        """Twice the height; itself where any size goes."""
        return self if self.height is None else self._of_height(2 * self.height)

    def conv_neighbours(self, kernel_size: Pair = 3, stride: int = 1, dilation: Pair = 1) -> Neighbours:
        """Index shifts, circular in longitude, ``poles`` past the first and last row; or taps on touching planes; or
        a kernel for each row.
        """
        return self._neighbours.convolution(kernel_size, stride, dilation)

    def transposed_neighbours(self, kernel_size: Pair = 3, stride: int = 2, dilation: Pair = 1) -> Neighbours:
        """The adjoint of the convolution."""
        return self._neighbours.transposed(kernel_size, stride, dilation)

    def pool_neighbours(self, kernel_size: Pair = 2, stride: int = 2) -> Border | Stencil:
        """As for a convolution; with tangent kernels means of windows."""
        return self._neighbours.means(kernel_size, stride)

    def window_neighbours(self, kernel_size: Pair = 2, stride: int = 2) -> Border | Stencil:
        """As for a convolution; with tangent kernels the samples of each window on its own touching plane."""
        return self._neighbours.windows(kernel_size, stride)

    def resize_neighbours(self, scale_factor: int = 2, mode: Resampling = "linear") -> Border | Stencil:
        """As for a convolution; with tangent kernels four pixels around each new one, over the poles."""
        return self._neighbours.growth(scale_factor, mode)

    def panorama_height(self) -> int | None:
        """The height; any goes with flat kernels."""
        return self.height

    def from_equirectangular(self, image: np.ndarray, mode: Resampling = "linear") -> np.ndarray:
        """The panorama as it is, or at the one size of tangent kernels."""
        return image if self.height is None else panorama.resize(image, self.height, 2 * self.height, mode)

    def to_equirectangular(self, signal: np.ndarray, height: int, mode: Resampling = "linear") -> np.ndarray:
        """The signal at another height, width twice the height."""
        return panorama.resize(signal, height, 2 * height, mode)

    @property
    def _neighbours(self) -> _GridKernels | TangentKernels | RowKernels:
        if self.kernels == "grid":
            return _GridKernels("pole" if self.poles == "over" else self.poles)
        kind = TangentKernels if self.kernels == "tangent" else RowKernels
        return kind(self.height)  # type: ignore[arg-type]  # checks that there is one

    def _of_height(self, height: int) -> Equirectangular:
        return Equirectangular(self.poles, height, self.kernels)

    def _size(self, shape: tuple[int, ...] | None) -> tuple[int, int]:
        if self.height is not None:
            return self.height, 2 * self.height
        if shape is None or len(shape) != 2:
            raise InputError(
                "shape", shape, "must be (height, width): this surface has any size", "give the grid's shape"
            )
        return shape[0], shape[1]


@dataclass(frozen=True)
class _GridKernels:
    """Index shifts on a grid of any size, the same for every kernel."""

    rows: Mode

    def convolution(self, *arguments: object) -> Border:
        return Border.of((self.rows, "circular"), ndim=2)

    transposed = windows = means = growth = convolution

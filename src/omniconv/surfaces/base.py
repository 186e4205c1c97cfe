"""What every surface can say of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import numpy as np
from scipy import sparse

from omniconv.surfaces.neighbours.border import Border
from omniconv.surfaces.neighbours.row_stencil import RowStencil
from omniconv.surfaces.neighbours.stencil import Stencil

Neighbours = Border | Stencil | RowStencil
Shape = tuple[int | None, ...]
Resampling = Literal["linear", "nearest"]


class Surface(ABC):
    """Where the samples of an image lie and who is whose neighbour; no layer and no tensor.

    A signal on a surface is an array ``(…, *surface.shape)``; ``None`` in the shape stands where any size goes.
    """

    spherical: ClassVar[bool] = True
    """Whether samples are directions on the unit sphere."""

    is_nested_prefix: ClassVar[bool] = False
    """Whether the next finer level has the samples of this one, in front, and then new ones."""

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """Grid dimensions of a signal; ``None`` where any size goes."""

    ndim: int
    """Number of grid dimensions."""

    @property
    def any_size(self) -> bool:
        """Whether signals of any size lie on it."""
        return None in self.shape

    @property
    def kernel_ndim(self) -> int:
        """Number of grid dimensions that a kernel extends along: the last ones."""
        return self.ndim

    @property
    def latitude_axis(self) -> int | None:
        """The grid axis along which latitude falls in equal steps, or ``None`` where there is none."""
        return None

    @abstractmethod
    def directions(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Unit vectors of the samples, float64, ``(*shape, 3)``; z is up, x is longitude 0, y is 90° east.

        ``shape`` is needed where any size goes.
        """

    @abstractmethod
    def areas(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Area of each sample, float64, ``(*shape,)``; on the sphere they sum to 4π."""

    @abstractmethod
    def interpolation_matrix(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> sparse.csr_array:
        """Linear interpolation of a flattened signal at directions ``(n, 3)``, as a matrix (n, samples).

        Rows sum to 1, and the error falls with the square of the spacing. ``shape`` is needed where any size goes.
        """

    @abstractmethod
    def nearest_sample(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Flat index of the sample whose area holds each direction ``(n, 3)``, ``(n,)``."""

    @abstractmethod
    def coarser(self) -> Surface:
        """The surface after a step of stride 2."""

    @abstractmethod
    def finer(self) -> Surface:
        """The surface before a step of stride 2."""

    @abstractmethod
    def conv_neighbours(self, kernel_size: int = 3, stride: int = 1, dilation: int = 1) -> Neighbours:
        """Which samples a convolution sees from each output."""

    @abstractmethod
    def transposed_neighbours(self, kernel_size: int = 3, stride: int = 2, dilation: int = 1) -> Neighbours:
        """Which samples a transposed convolution sees from each output; outputs lie on ``finer()`` at stride 2."""

    @abstractmethod
    def pool_neighbours(self, kernel_size: int = 2, stride: int = 2) -> Border | Stencil:
        """Which samples a pooling window holds; a stencil has one operator, whose rows are averages."""

    def window_neighbours(self, kernel_size: int = 2, stride: int = 2) -> Border | Stencil:
        """What max and Lp pooling compare: where a window's samples lie between those of the surface, a stencil has
        one operator for each of them; else it is that of the averages.
        """
        return self.pool_neighbours(kernel_size, stride)

    @abstractmethod
    def resize_neighbours(self, scale_factor: int = 2, mode: Resampling = "linear") -> Border | Stencil:
        """Which samples an upsampling sees from each output; outputs lie on ``finer()``."""

    @abstractmethod
    def panorama_height(self) -> int | None:
        """Rows of the smallest panorama that holds all this surface can show; ``None`` where any size goes."""

    @abstractmethod
    def from_equirectangular(self, image: np.ndarray, mode: Resampling = "linear") -> np.ndarray:
        """A panorama ``(…, H, W)`` as a signal ``(…, *shape)``.

        ``linear`` averages over areas where the image shrinks; ``nearest`` keeps labels.
        """

    @abstractmethod
    def to_equirectangular(self, signal: np.ndarray, height: int, mode: Resampling = "linear") -> np.ndarray:
        """A signal ``(…, *shape)`` as a panorama ``(…, height, 2 · height)``."""

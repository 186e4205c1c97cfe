"""The panorama's own grid: rows of latitude, columns of longitude."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np

from omniconv.errors import InputError
from omniconv.surfaces import panorama
from omniconv.surfaces.border import Border
from omniconv.surfaces.modes import Mode
from omniconv.surfaces.surface import Resampling, Shape, Surface

Poles = Literal["over", "zeros", "replicate", "reflect"]


@dataclass(frozen=True)
class Equirectangular(Surface):
    """Panoramas of any size (height, width): circular in longitude (Schubert et al., Circular CNNs, IV 2019).

    Args:
        poles: what a kernel sees past the first and last row: ``over`` the pole (the mirrored rows turned by half the
            width; by ⌊width/2⌋ columns where the width is odd), or ``zeros``, ``replicate``, ``reflect``.

    Raises:
        InputError: an unknown ``poles``.

    Example:
        >>> Equirectangular().conv_neighbours().modes
        (('pole', 'pole'), ('circular', 'circular'))
    """

    poles: Poles = "over"
    ndim: ClassVar[int] = 2  # type: ignore[misc]  # a constant here, a choice on a plane

    def __post_init__(self) -> None:
        if self.poles not in get_args(Poles):
            raise InputError("poles", self.poles, f"must be one of {', '.join(get_args(Poles))}", "correct it")

    def __str__(self) -> str:
        return f"equirectangular:poles={self.poles}"

    @property
    def shape(self) -> Shape:
        """Any height and width."""
        return (None, None)

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

    def coarser(self) -> Equirectangular:
        """Itself: any size goes."""
        return self

    def finer(self) -> Equirectangular:
        """Itself: any size goes."""
        return self

    def conv_neighbours(self, kernel_size: int = 3, stride: int = 1, dilation: int = 1) -> Border:
        """Index shifts, circular in longitude, ``poles`` past the first and last row."""
        rows: Mode = "pole" if self.poles == "over" else self.poles
        return Border.of((rows, "circular"), ndim=2)

    transposed_neighbours = conv_neighbours

    def pool_neighbours(self, kernel_size: int = 2, stride: int = 2) -> Border:
        """As for a convolution."""
        return self.conv_neighbours()

    def resize_neighbours(self, scale_factor: int = 2, mode: Resampling = "linear") -> Border:
        """As for a convolution."""
        return self.conv_neighbours()

    def panorama_height(self) -> None:
        """Any height goes."""

    def from_equirectangular(self, image: np.ndarray, mode: Resampling = "linear") -> np.ndarray:
        """The panorama as it is."""
        return image

    def to_equirectangular(self, signal: np.ndarray, height: int, mode: Resampling = "linear") -> np.ndarray:
        """The signal at another height, width twice the height."""
        return panorama.resize(signal, height, 2 * height, mode)

    def _size(self, shape: tuple[int, ...] | None) -> tuple[int, int]:
        if shape is None or len(shape) != 2:
            raise InputError(
                "shape", shape, "must be (height, width): this surface has any size", "give the grid's shape"
            )
        return shape[0], shape[1]

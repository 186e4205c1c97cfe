"""The flat grid: signals, images and volumes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse

from omniconv.checks import check_choice, is_integer
from omniconv.errors import InputError
from omniconv.surfaces import panorama
from omniconv.surfaces.base import Resampling, Shape, Surface
from omniconv.surfaces.neighbours.border import Border, Mode

_MODES = ("zeros", "reflect", "replicate", "circular")


@dataclass(frozen=True)
class Plane(Surface):
    """The grid of an ordinary CNN, of any size.

    Args:
        ndim: number of grid axes: 1 for signals (L), 2 for images (H, W), 3 for volumes (D, H, W).
        border: values beyond the edges: ``zeros``, ``reflect``, ``replicate`` or ``circular``, or one of them for
            each axis.

    Raises:
        InputError: another number of axes, or an unknown border.

    Example:
        >>> Plane().shape, Plane(3, border="reflect").shape
        ((None, None), (None, None, None))
    """

    ndim: int = 2
    border: Mode | tuple[Mode, ...] = "zeros"
    short_name: ClassVar[str] = "plane"
    spherical: ClassVar[bool] = False
    equal_areas: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not is_integer(self.ndim) or self.ndim > 3:
            raise InputError("ndim", self.ndim, "must be 1, 2 or 3", "use ndim=2 for images")
        if not isinstance(self.border, str | tuple) or not all(isinstance(mode, str) for mode in self.border):
            raise InputError("border", self.border, "must be one mode or one for each axis", "use border='circular'")
        modes = (self.border,) if isinstance(self.border, str) else self.border
        for mode in modes:
            check_choice("border", mode, _MODES)
        if len(modes) not in (1, self.ndim) or not modes:
            rule = f"must be one mode or {self.ndim}, one for each axis"
            raise InputError("border", self.border, rule, "use border='zeros'")
        Border.of(self.border, self.ndim)

    @property
    def shape(self) -> Shape:
        return (None,) * self.ndim

    def directions(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        raise self._not_spherical()

    def areas(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        if shape is None:
            raise InputError("shape", shape, "is required, since a plane has any size", "give the shape of the grid")
        return np.ones(shape)

    def interpolation_matrix(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> sparse.csr_array:
        raise self._not_spherical()

    def nearest_sample(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> np.ndarray:
        raise self._not_spherical()

    def coarser(self) -> Plane:
        return self

    def finer(self) -> Plane:
        return self

    def conv_neighbours(self, kernel_size: int = 3, stride: int = 1, dilation: int = 1) -> Border:
        return Border.of(self.border, self.ndim)

    def pool_neighbours(self, kernel_size: int = 2, stride: int = 2) -> Border:
        return self.conv_neighbours()

    def resize_neighbours(self, scale_factor: int = 2, mode: Resampling = "linear") -> Border:
        return self.conv_neighbours()

    def panorama_height(self) -> None:
        return None

    def from_equirectangular(self, image: np.ndarray, mode: Resampling = "linear") -> np.ndarray:
        """Return the panorama unchanged, as a flat image with a seam and distorted poles."""
        self._check_two_axes()
        return image

    def to_equirectangular(self, signal: np.ndarray, height: int, mode: Resampling = "linear") -> np.ndarray:
        """Resize the image to ``(…, height, 2 · height)``."""
        self._check_two_axes()
        return panorama.resize(signal, height, 2 * height, mode)

    def _not_spherical(self) -> InputError:
        cure = "use oc.Equirectangular() for panoramas"
        return InputError("surface", str(self), "has no directions on a sphere", cure)

    def _check_two_axes(self) -> None:
        if self.ndim != 2:
            raise InputError("surface", str(self), "must have two axes to hold a panorama", "use oc.Plane(2)")

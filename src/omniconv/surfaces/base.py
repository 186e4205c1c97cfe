"""Base class of surfaces: the members that a surface must define, and defaults that follow from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from inspect import signature
from math import prod
from typing import Any, ClassVar, Literal, Self

import numpy as np
from scipy import sparse

from omniconv.checks import is_integer
from omniconv.errors import InputError
from omniconv.surfaces import panorama
from omniconv.surfaces.neighbours.border import Border
from omniconv.surfaces.neighbours.row_stencil import RowStencil
from omniconv.surfaces.neighbours.stencil import Stencil

Neighbours = Border | Stencil | RowStencil
Shape = tuple[int | None, ...]
Resampling = Literal["linear", "nearest"]


class Surface(ABC):
    """Sample positions and neighbourhoods of images on one domain; NumPy and SciPy only, no layer and no tensor.

    A signal is an array ``(…, *surface.shape)``; ``None`` in the shape stands for an axis of any size.

    To add a surface, write a frozen dataclass that derives from this class, define the abstract members, and register
    it with ``register_surface``: it then works in every layer, model and command. ``tests/surface_contract.py`` checks
    a surface against the following contract:

    - *Value.* Surfaces are immutable, hashable, and equal if their arguments are: tables are cached by surface.
      Arguments are integers, strings or tuples of strings, checked in ``__post_init__``.
    - *Name.* ``surface(str(s)) == s``. The default ``__str__`` writes ``short_name``, the required arguments by value
      and the others by name. ``example`` has a value for each required argument, for error messages.
    - *Pyramid.* ``coarser()`` is the surface after a step of stride 2, ``finer()`` the inverse. Where there is no
      further level they raise ``InputError``. On surfaces of any size both return the surface itself.
    - *Neighbours.* The methods ``…_neighbours`` return a ``Border`` (regular grids), a ``Stencil`` (sparse operators)
      or a ``RowStencil``, or raise ``InputError`` for arguments that the surface does not support. Kernel size 3 at
      stride 1 and 2, and pooling and upsampling by 2 are always supported where the level exists. Rows of pooling and
      upsampling stencils sum to 1.
    - *Geometry* (spherical surfaces). Directions are unit vectors, areas sum to 4π, rows of ``interpolation_matrix``
      sum to 1, and each sample is the ``nearest_sample`` of its own direction.
    - *Panoramas.* ``from_equirectangular`` and ``to_equirectangular`` keep constants, and with ``nearest`` the dtype
      and set of values. The defaults serve every spherical surface of one size.
    """

    short_name: ClassVar[str] = ""
    """The name in ``surface("name:…")`` and on the command line."""

    example: ClassVar[Mapping[str, Any]] = {}
    """A value for each required argument."""

    spherical: ClassVar[bool] = True
    """Whether samples are directions on the unit sphere."""

    equal_areas: ClassVar[bool] = False
    """True if all samples have the same area; means and statistics over samples then need no weights."""

    is_nested_prefix: ClassVar[bool] = False
    """Whether the samples of ``finer()`` start with those of this surface, in the same order."""

    nested_children: ClassVar[int] = 0
    """Number n of samples of ``finer()`` that form sample p of this surface, ``n·p … n·p + n − 1``; 0 if none do."""

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """Grid dimensions of a signal; ``None`` for an axis of any size."""

    @abstractmethod
    def directions(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Return the unit vectors of the samples in their order, float64, ``(*shape, 3)``.

        The z axis points to the north pole, x to longitude 0, y to 90° east.

        ``shape`` is required on surfaces of any size, here and in the next methods.
        """

    @abstractmethod
    def areas(self, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Return the area of each sample, float64, ``(*shape,)``; on the sphere they sum to 4π."""

    @abstractmethod
    def interpolation_matrix(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> sparse.csr_array:
        """Return linear interpolation of a flattened signal at directions ``(n, 3)`` as a matrix (n, samples).

        Rows sum to 1, and the error falls with the square of the spacing.
        """

    @abstractmethod
    def nearest_sample(self, directions: np.ndarray, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Return the flat index of the sample whose cell contains each direction ``(n, 3)``, ``(n,)``."""

    @abstractmethod
    def coarser(self) -> Surface:
        """Return the surface after a step of stride 2, or raise InputError."""

    @abstractmethod
    def finer(self) -> Surface:
        """Return the surface before a step of stride 2, or raise InputError."""

    @abstractmethod
    def conv_neighbours(self, kernel_size: int = 3, stride: int = 1, dilation: int = 1) -> Neighbours:
        """Return the input samples of each output of a convolution; outputs are on ``coarser()`` at stride 2."""

    def transposed_neighbours(self, kernel_size: int = 3, stride: int = 2, dilation: int = 1) -> Neighbours:
        """Return the input samples of each output of a transposed convolution; outputs are on ``finer()`` at stride 2.

        By default the exact adjoint of the convolution from there to here.
        """
        source = self if stride == 1 else self.finer()
        return source.conv_neighbours(kernel_size, stride, dilation).adjoint

    @abstractmethod
    def pool_neighbours(self, kernel_size: int = 2, stride: int = 2) -> Border | Stencil:
        """Return the pooling windows; a stencil has one operator, whose rows are the weights of averages."""

    def window_neighbours(self, kernel_size: int = 2, stride: int = 2) -> Border | Stencil:
        """Return the samples that max and Lp pooling compare.

        A stencil has one operator, or one for each point of a window where the points are interpolated.
        """
        return self.pool_neighbours(kernel_size, stride)

    @abstractmethod
    def resize_neighbours(self, scale_factor: int = 2, mode: Resampling = "linear") -> Border | Stencil:
        """Return the input samples of each output of an upsampling; outputs are on ``finer()``."""

    @abstractmethod
    def panorama_height(self) -> int | None:
        """Return the rows of the smallest panorama that shows all detail of a signal; ``None`` for any size."""

    @property
    def any_size(self) -> bool:
        """True if signals may have any size along some axis."""
        return None in self.shape

    @property
    def ndim(self) -> int:
        """Number of grid dimensions."""
        return len(self.shape)

    @property
    def kernel_ndim(self) -> int:
        """Number of grid dimensions along which a kernel extends: the last ones."""
        return self.ndim

    @property
    def latitude_axis(self) -> int | None:
        """The grid axis along which latitude decreases in equal steps; ``None`` if there is none."""
        return None

    @property
    def max_depth(self) -> int | None:
        """Number of steps of stride 2 to the coarsest level; ``None`` for any number."""
        if self.any_size:
            return None
        try:
            coarser = self.coarser()
        except InputError:
            return 0
        return 1 + (coarser.max_depth or 0)

    def outline(self) -> Surface:
        """Return a stand-in on which the shapes of weights are known without computation; by default the surface.

        A file is compared with the network that it describes, on the outline and on the meta device, before tables are
        computed. Only surfaces with ``weights_have_rows`` need another one than themselves.
        """
        return self

    @property
    def weights_have_rows(self) -> bool:
        """True if the last axis of weights has the taps of all rows; on ``outline()`` its length is a lower bound."""
        return False

    def level_of(self, grid: tuple[int, ...]) -> Surface | None:
        """Return the coarser or finer level whose signals have this grid; ``None`` if there is none."""
        if self.any_size or self.ndim != len(grid):
            return None
        level: Any = self
        is_coarser = prod(grid) < prod(level.shape)
        try:
            while prod(level.shape) > prod(grid) if is_coarser else prod(level.shape) < prod(grid):
                level = level.coarser() if is_coarser else level.finer()
        except InputError:  # no further level
            return None
        return level if level.shape == grid else None

    def warn_about(self, grid: Sequence[int]) -> None:  # noqa: B027  # most surfaces have nothing to warn of
        """Warn about a grid that is allowed, but whose samples are probably not where the surface assumes them."""

    @property
    def spacing(self) -> float:
        """Typical distance between adjacent samples of a spherical surface of one size, in radians."""
        return float(np.sqrt(4 * np.pi / self._count))

    def from_equirectangular(self, image: np.ndarray, mode: Resampling = "linear") -> np.ndarray:
        """Resample a panorama ``(…, H, W)`` to a signal ``(…, *shape)``.

        Args:
            image: the panorama.
            mode: ``linear`` averages over areas where the image shrinks, and interpolates elsewhere (floating-point
                result); ``nearest`` takes the pixel at each sample, and keeps the dtype: use it for labels.
        """
        if mode == "nearest":
            panorama.warn_of_pole_rows(*image.shape[-2:])
            return panorama.sample(image, self.directions(), "nearest")
        # Four rows for each row of detail are enough to average over, and few enough that the matrix stays small.
        most_rows = 4 * (self.panorama_height() or image.shape[-2])
        return panorama.apply_matrix(image, most_rows, partial(_from_panorama, self), self.shape)

    def to_equirectangular(self, signal: np.ndarray, height: int, mode: Resampling = "linear") -> np.ndarray:
        """Resample a signal ``(…, *shape)`` to a panorama ``(…, height, 2 · height)``.

        Args:
            signal: the signal.
            height: rows of the panorama.
            mode: ``linear`` interpolates (floating-point result); ``nearest`` takes the nearest sample, and keeps the
                dtype.
        """
        flat = signal.reshape(-1, self._count)
        if mode == "nearest":
            result = flat[:, _panorama_samples(self, height)]
        else:
            result = _to_panorama(self, height).dot(flat.T).T.astype(np.result_type(signal.dtype, np.float32))
        return result.reshape(*signal.shape[: signal.ndim - self.ndim], height, 2 * height)

    def __str__(self) -> str:
        return self._spelled(defaults=True)

    @property
    def brief(self) -> str:
        """Name as on the command line, without the options that have their default values.

        Example:
            >>> from omniconv import Icosphere, Plane
            >>> str(Icosphere(5)), Icosphere(5).brief
            ('icosphere:5,laplacian=mass', 'icosphere:5')
            >>> Plane(border="reflect").brief
            'plane:border=reflect'
        """
        return self._spelled(defaults=False)

    def _spelled(self, defaults: bool) -> str:
        arguments = []
        for name, parameter in signature(type(self)).parameters.items():
            value = getattr(self, name)
            text = "/".join(value) if isinstance(value, tuple) else str(value)
            if parameter.default is parameter.empty:
                arguments.append(text)
            elif defaults or value != parameter.default:
                arguments.append(f"{name}={text}")
        return f"{self.short_name}:{','.join(arguments)}" if arguments else self.short_name

    @property
    def _count(self) -> int:
        return prod(size for size in self.shape if size is not None)


def check_supported(argument: str, value: object, supported: tuple[int, ...], condition: str, cure: str) -> None:
    """Raise InputError unless a surface supports the value: "must be 1 or 2 on a cubemap"."""
    if value not in supported:
        raise InputError(argument, value, f"must be {' or '.join(map(str, supported))} {condition}", cure)


def check_halving(kernel_size: object, stride: object, condition: str) -> None:
    """Raise InputError unless a pooling window is 2 at stride 2, which leads to the next coarser level."""
    for argument, value in (("kernel_size", kernel_size), ("stride", stride)):
        check_supported(argument, value, (2,), condition, "use kernel_size=2, stride=2")


@dataclass(frozen=True)
class SubdividedIcosahedron(Surface):
    """Base class of surfaces on an icosahedron with ``level`` subdivisions, whose kernels have size 3 or 1."""

    level: int
    finest: ClassVar[int]
    kernels: ClassVar[str]
    """The two kernel sizes, as error messages explain them."""

    def __post_init__(self) -> None:
        if not is_integer(self.level, 0) or self.level > self.finest:
            rule = f"must be a whole number from 0 to {self.finest}"
            raise InputError("level", self.level, rule, f"use level=5 for {type(self)(5).shape[0]:,} samples")

    def coarser(self) -> Self:
        """Return the next coarser level, or raise InputError at level 0."""
        if self.level == 0:
            rule = f"has no coarser level: an {self.short_name} of level L allows L steps of stride 2"
            raise InputError("level", 0, rule, "use a higher level or fewer steps")
        return replace(self, level=self.level - 1)

    def finer(self) -> Self:
        """Return the next finer level, or raise InputError at the finest one."""
        return replace(self, level=self.level + 1)

    def check_conv(self, kernel_size: int, stride: int, dilation: int) -> None:
        """Raise InputError for arguments of a convolution that the surface does not support."""
        condition = f"on an {self.short_name}"
        if kernel_size not in (1, 3):
            raise InputError("kernel_size", kernel_size, f"must be {self.kernels} {condition}", "use kernel_size=3")
        check_supported("dilation", dilation, (1,), condition, "use a coarser level for a larger field")
        check_supported("stride", stride, (1, 2), condition, "chain layers of stride 2")


@lru_cache(maxsize=8)
def _from_panorama(surface: Surface, height: int, width: int) -> sparse.csr_array:
    """Return averages by area around the samples where pixels are small, else interpolation between pixels.

    The weight of a pixel in an average is its area times the weight of the sample in interpolation at the pixel. That
    needs at least two pixels from one sample to the next: with fewer, some averages would have no pixel.
    """
    directions = surface.directions().reshape(-1, 3)
    if 2 * max(np.pi / height, 2 * np.pi / width) > surface.spacing:
        return panorama.bilinear_matrix(directions, height, width)
    around = surface.interpolation_matrix(panorama.pixel_directions(height, width).reshape(-1, 3)).T
    around = sparse.csr_array(around * panorama.pixel_areas(height, width).reshape(1, -1))
    return sparse.csr_array(sparse.diags_array(1 / around.sum(axis=1)) @ around)


@lru_cache(maxsize=8)
def _to_panorama(surface: Surface, height: int) -> sparse.csr_array:
    return surface.interpolation_matrix(panorama.pixel_directions(height, 2 * height).reshape(-1, 3))


@lru_cache(maxsize=8)
def _panorama_samples(surface: Surface, height: int) -> np.ndarray:
    return surface.nearest_sample(panorama.pixel_directions(height, 2 * height).reshape(-1, 3))

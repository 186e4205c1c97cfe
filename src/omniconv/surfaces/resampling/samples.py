"""Flattened samples of a spherical surface together with the shape of its signals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from scipy import sparse

from omniconv.errors import InputError, one_line
from omniconv.surfaces.base import Surface


@dataclass(frozen=True)
class Samples:
    """A spherical surface and the shape of its signals; every array is flat, with one entry for each sample.

    Example:
        >>> from omniconv.surfaces import Equirectangular
        >>> Samples.of(Equirectangular(), (8, 16)).count
        128
    """

    surface: Surface
    shape: tuple[int, ...]

    @classmethod
    def of(cls, surface: Surface, shape: tuple[int, ...] | None = None, argument: str = "shape") -> Samples:
        """Check a surface and a shape, which error messages call ``argument``, or raise InputError."""
        if not isinstance(surface, Surface):
            cure = "use oc.Icosphere(5) or oc.surface('icosphere:5')"
            raise InputError("surface", surface, "must be a surface", cure)
        if not surface.spherical:
            cure = "use oc.Equirectangular() for panoramas"
            raise InputError("surface", str(surface), "has no directions on a sphere", cure)
        if shape is None and surface.any_size:
            raise InputError(argument, None, f"is required, since {surface} has any size", "give (height, width)")
        return cls(surface, _checked(surface, surface.shape if shape is None else shape, argument))

    @classmethod
    def under(cls, signal: np.ndarray, surface: Surface) -> Samples:
        """Return the samples of a signal ``(…, *shape)``, or raise InputError if it does not fit the surface."""
        ndim = getattr(surface, "ndim", 0)
        if signal.ndim < ndim:
            rule = f"must have at least {ndim} axes on {surface}"
            raise InputError("signal", signal.shape, rule, "put the axes of the grid last")
        return cls.of(surface, signal.shape[signal.ndim - ndim :], "signal")

    def __getstate__(self) -> dict[str, Any]:
        return {"surface": self.surface, "shape": self.shape}  # without the cached directions and areas

    @property
    def count(self) -> int:
        """Number of samples."""
        return prod(self.shape)

    @cached_property
    def directions(self) -> np.ndarray:
        """Unit vectors, ``(count, 3)``."""
        return self.surface.directions(self.shape).reshape(-1, 3)

    @cached_property
    def areas(self) -> np.ndarray:
        """Areas on the unit sphere, ``(count,)``."""
        return self.surface.areas(self.shape).ravel()

    @property
    def spacing(self) -> float:
        """Side of a square as large as the largest sample, in radians."""
        return float(np.sqrt(self.areas.max()))

    def interpolation_matrix(self, directions: np.ndarray) -> sparse.csr_array:
        """Return linear interpolation at directions ``(n, 3)`` as a matrix (n, count)."""
        return self.surface.interpolation_matrix(directions, self.shape)

    def nearest_sample(self, directions: np.ndarray) -> np.ndarray:
        """Return the sample whose cell contains each direction ``(n, 3)``, ``(n,)``."""
        return self.surface.nearest_sample(directions, self.shape)

    def finer(self) -> Samples:
        """Return the samples of the next finer level, or of twice the shape; InputError if there is none."""
        finer = self.surface.finer()
        return Samples.of(finer, tuple(2 * size for size in self.shape) if finer.any_size else None)


def to_array(argument: str, signal: Any) -> np.ndarray:
    """Convert a signal, such as a tensor, to an array.

    Raises:
        InputError: it has no values that NumPy can read, or a history of gradients.
    """
    try:
        return np.asarray(signal)
    except (RuntimeError, TypeError, ValueError) as error:
        rule = f"cannot be converted to an array ({one_line(error)})"
        cure = "give an array, or of a tensor: tensor.detach().cpu()"
        raise InputError(argument, type(signal).__name__, rule, cure) from error


def _checked(surface: Surface, shape: Any, argument: str) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    are_integers = all(isinstance(size, int | np.integer) and size > 0 for size in sizes)
    if len(sizes) != len(surface.shape) or not are_integers:
        rule = f"must be {len(surface.shape)} whole numbers from 1 on {surface}"
        raise InputError(argument, shape, rule, "give the shape of the grid")
    if not surface.any_size and sizes != surface.shape:
        rule = f"must end in the shape {surface.shape} of {surface}"
        raise InputError(argument, shape, rule, "use the surface of the signal, or omit the shape")
    return tuple(int(size) for size in sizes)

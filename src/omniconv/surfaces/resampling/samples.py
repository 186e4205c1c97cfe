"""The samples of a spherical surface of one size, one after the other: what maps between surfaces ask for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from scipy import sparse

from omniconv.errors import InputError
from omniconv.surfaces.base import Surface


@dataclass(frozen=True)
class Samples:
    """A surface and the shape of its signals; every array here is flat, one entry a sample.

    Args:
        surface: a spherical one.
        shape: of its signals, without ``None``.

    Example:
        >>> from omniconv.surfaces import Equirectangular
        >>> Samples.of(Equirectangular(), (8, 16)).count
        128
    """

    surface: Surface
    shape: tuple[int, ...]

    @classmethod
    def of(cls, surface: Surface, shape: tuple[int, ...] | None = None, argument: str = "shape") -> Samples:
        """Checked: a sphere, and a shape that goes with it; ``argument`` is what errors call the shape.

        Raises:
            InputError: no spherical surface; a shape that is missing, of no meaning, or not the surface's own.
        """
        if not isinstance(surface, Surface):
            raise InputError(
                "surface", surface, "must be a surface", "use oc.Icosphere(5) or oc.surface('icosphere:5')"
            )
        if not surface.spherical:
            raise InputError(
                "surface", str(surface), "has no directions on a sphere", "use oc.Equirectangular() for panoramas"
            )
        if shape is None and surface.any_size:
            raise InputError(argument, None, f"is needed: {surface} has any size", "give (height, width)")
        return cls(surface, _checked(surface, surface.shape if shape is None else shape, argument))

    @classmethod
    def under(cls, signal: np.ndarray, surface: Surface) -> Samples:
        """The samples on which a signal ``(…, *shape)`` lies.

        Raises:
            InputError: as ``of``; a signal that does not end in the surface's shape.
        """
        ndim = getattr(surface, "ndim", 0)
        if signal.ndim < ndim:
            raise InputError(
                "signal", signal.shape, f"must have {ndim} axes at least on {surface}", "put the grid's axes last"
            )
        return cls.of(surface, signal.shape[signal.ndim - ndim :], "signal")

    @property
    def count(self) -> int:
        """How many there are."""
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
        """Linear interpolation at directions ``(n, 3)`` as a matrix (n, count)."""
        return self.surface.interpolation_matrix(directions, self.shape)

    def nearest_sample(self, directions: np.ndarray) -> np.ndarray:
        """The sample that holds each direction ``(n, 3)``, ``(n,)``."""
        return self.surface.nearest_sample(directions, self.shape)

    def finer(self) -> Samples:
        """Those of the next finer level, or of twice the shape.

        Raises:
            InputError: there is none.
        """
        finer = self.surface.finer()
        return Samples(finer, tuple(2 * size for size in self.shape) if finer.any_size else _fixed(finer.shape))


def _checked(surface: Surface, shape: Any, argument: str) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    whole = all(isinstance(size, int | np.integer) and size > 0 for size in sizes)
    if len(sizes) != len(surface.shape) or not whole:
        rule = f"must be {len(surface.shape)} whole numbers from 1, as {surface} has"
        raise InputError(argument, shape, rule, "give the grid's shape")
    if not surface.any_size and sizes != surface.shape:
        rule = f"must end in the shape {surface.shape} of {surface}"
        raise InputError(argument, shape, rule, "take the surface that the signal lies on, or leave the shape out")
    return tuple(int(size) for size in sizes)


def _fixed(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size is not None)

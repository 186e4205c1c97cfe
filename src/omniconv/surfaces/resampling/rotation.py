"""Turning the sphere under a signal, by any rotation, on any spherical surface."""

from __future__ import annotations

import numpy as np

from omniconv.surfaces.base import Resampling, Surface
from omniconv.surfaces.neighbours.stencil import Stencil
from omniconv.surfaces.panorama import check_rotation
from omniconv.surfaces.resampling.between_surfaces import apply, check_mode, interpolated
from omniconv.surfaces.resampling.samples import Samples


def rotation_of(
    surface: Surface, rotation: np.ndarray, mode: Resampling = "linear", shape: tuple[int, ...] | None = None
) -> Stencil:
    """A rotation as a stencil of one operator: what lay at ``d`` lies at ``R d``.

    A rotation that moves samples onto samples is a permutation, exactly: a step of longitude on a panorama, a quarter
    turn of a cube or of HEALPix, a fifth of a turn of an icosahedron about one of its vertices.

    Args:
        surface: a spherical one.
        rotation: an orthogonal matrix, 3×3.
        mode: ``linear`` interpolates, ``nearest`` takes the sample whose area holds the place.
        shape: (height, width) on a surface of any size.

    Raises:
        InputError: a plane, a matrix that is not orthogonal, an unknown mode, a shape of no meaning.

    Example:
        >>> from omniconv.surfaces import Healpix
        >>> rotation_of(Healpix(4), np.eye(3)).operators[0].nnz
        192
    """
    check_mode(mode)
    samples = Samples.of(surface, shape)
    matrix = interpolated(samples, samples.directions @ check_rotation(rotation), mode)
    return Stencil.of([matrix], samples.shape, samples.shape)


def rotate(signal: np.ndarray, surface: Surface, rotation: np.ndarray, mode: Resampling = "linear") -> np.ndarray:
    """A signal ``(…, *shape)`` after its sphere is turned: what lay at ``d`` lies at ``R d``.

    Args:
        signal: on the surface; numbers of any kind, with ``nearest`` anything.
        surface: a spherical one.
        rotation: an orthogonal matrix, 3×3.
        mode: as in ``rotation_of``.

    Returns:
        As the signal; floating point with ``linear``.

    Raises:
        InputError: a signal that does not lie on the surface; as ``rotation_of``.

    Example:
        >>> from omniconv.surfaces import Equirectangular
        >>> half_a_turn = np.diag([-1.0, -1.0, 1.0])
        >>> rotate(np.array([[1, 2, 3, 4]]), Equirectangular(), half_a_turn, "nearest").tolist()
        [[3, 4, 1, 2]]
    """
    signal = np.asarray(signal)
    return apply(rotation_of(surface, rotation, mode, Samples.under(signal, surface).shape), signal, mode)

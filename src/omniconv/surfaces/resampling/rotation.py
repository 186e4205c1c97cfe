"""Rotation of signals on any spherical surface."""

from __future__ import annotations

import numpy as np

from omniconv.surfaces.base import Resampling, Surface
from omniconv.surfaces.neighbours.stencil import Stencil
from omniconv.surfaces.panorama import check_rotation
from omniconv.surfaces.resampling.between_surfaces import apply, check_mode, interpolate
from omniconv.surfaces.resampling.samples import Samples, to_array


def rotation_of(
    surface: Surface, rotation: np.ndarray, mode: Resampling = "linear", shape: tuple[int, ...] | None = None
) -> Stencil:
    """Return a rotation R of signals as a stencil of one operator: the value at ``d`` moves to ``R d``.

    A rotation that maps samples to samples is an exact permutation: by a number of columns on a panorama, by 90° on a
    cube or HEALPix, by 72° about a vertex of an icosahedron.

    Args:
        surface: a spherical surface.
        rotation: an orthogonal matrix, 3×3.
        mode: ``linear`` interpolates, ``nearest`` takes the sample whose cell contains the rotated position.
        shape: (height, width) on a surface of any size.

    Raises:
        InputError: a plane, a matrix that is not orthogonal, an unknown mode, or a shape that does not fit.

    Example:
        >>> from omniconv.surfaces import Healpix
        >>> rotation_of(Healpix(4), np.eye(3)).operators[0].nnz
        192
    """
    check_mode(mode)
    samples = Samples.of(surface, shape)
    matrix = interpolate(samples, samples.directions @ check_rotation(rotation), mode)
    return Stencil.of([matrix], samples.shape, samples.shape)


def rotate(signal: np.ndarray, surface: Surface, rotation: np.ndarray, mode: Resampling = "linear") -> np.ndarray:
    """Rotate a signal ``(…, *shape)`` on a spherical surface by a matrix R: the value at ``d`` moves to ``R d``.

    Args:
        signal: numbers, with ``nearest`` any dtype.
        surface: the spherical surface of the signal.
        rotation: an orthogonal matrix, 3×3.
        mode: as in ``rotation_of``.

    Returns:
        An array of the signal's shape; floating point with ``linear``.

    Raises:
        InputError: a signal of another shape than the surface's; as ``rotation_of``.

    Example:
        >>> from omniconv.surfaces import Equirectangular
        >>> by_180_degrees = np.diag([-1.0, -1.0, 1.0])
        >>> rotate(np.array([[1, 2, 3, 4]]), Equirectangular(), by_180_degrees, "nearest").tolist()
        [[3, 4, 1, 2]]
    """
    signal = to_array("signal", signal)
    return apply(rotation_of(surface, rotation, mode, Samples.under(signal, surface).shape), signal, mode)

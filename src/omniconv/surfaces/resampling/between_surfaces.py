"""Maps between any two spherical surfaces, as one sparse operator each.

A linear map interpolates the source at the target's samples. Where the target is coarser, it averages by area: each
sample of the source is weighted by its area and by the weight of the target's sample in interpolation there (on grids
this is the triangle filter of antialiased resizing). Where such an average has too few samples (near the poles of a
panorama, where pixels are narrow), it runs over a refined target, at which the source is interpolated. The centroid of
each average is moved to its sample, so that the error of every map falls with the square of the spacing. Rows sum to 1,
so that constants are kept.
"""

from __future__ import annotations

from functools import lru_cache
from typing import get_args

import numpy as np
from scipy import sparse

from omniconv.checks import check_choice
from omniconv.errors import InputError
from omniconv.surfaces.base import Resampling, Surface
from omniconv.surfaces.neighbours.stencil import LazyStencil, Stencil, csr_from_rows
from omniconv.surfaces.resampling.area_averages import area_averages, is_coarser, normalize_rows
from omniconv.surfaces.resampling.samples import Samples, to_array


def map_between(
    source: Surface,
    target: Surface,
    mode: Resampling = "linear",
    source_shape: tuple[int, ...] | None = None,
    target_shape: tuple[int, ...] | None = None,
) -> Stencil:
    """Return the map from one spherical surface to another as a stencil of one operator; the last eight are cached.

    Args:
        source: surface of the signals.
        target: surface to which they are mapped.
        mode: ``linear`` interpolates, and averages over areas where the target is coarser; ``nearest`` takes the
            sample whose cell contains the target's, for labels.
        source_shape: (height, width) of a source of any size.
        target_shape: (height, width) of a target of any size; by default large enough for all detail of the source.

    Returns:
        A stencil from ``source_shape`` to ``target_shape``. Linear rows sum to 1 and have no negative weights, except
        a few at the vertices of an icosahedron. Means over the sphere are kept to second order in the spacing.

    Raises:
        InputError: a plane, an unknown mode, or a shape that is missing or does not fit.

    Example:
        >>> from omniconv.surfaces import Equirectangular, Icosphere
        >>> there = map_between(Equirectangular(), Icosphere(3), source_shape=(64, 128))
        >>> there.input_shape, there.output_shape
        ((64, 128), (642,))
    """
    check_mode(mode)
    before = Samples.of(source, source_shape, "source_shape")
    after = _target(before, target, target_shape)
    return LazyStencil(_stencil, (before, after, mode), before.shape, after.shape)


def resample(
    signal: np.ndarray,
    source: Surface,
    target: Surface,
    mode: Resampling = "linear",
    target_shape: tuple[int, ...] | None = None,
) -> np.ndarray:
    """Resample a signal to another spherical surface.

    Args:
        signal: ``(…, *shape of the source)``; numbers, with ``nearest`` any dtype. Samples are in the order that the
            class of the surface states: HEALPix cells nested, panorama rows from north to south.
        source: the spherical surface of the signal.
        target: the spherical surface of the result.
        mode: as in ``map_between``.
        target_shape: as in ``map_between``.

    Returns:
        ``(…, *shape of the target)``: with ``nearest`` of the signal's dtype, else floating point.

    Raises:
        InputError: a signal of another shape than the source's; as ``map_between``.

    Example:
        >>> from omniconv.surfaces import Cubemap, Healpix
        >>> resample(np.ones((3, 12)), Healpix(1), Cubemap(2)).shape
        (3, 6, 2, 2)
    """
    check_mode(mode)
    signal = to_array("signal", signal)
    before = Samples.under(signal, source)
    return apply(_stencil(before, _target(before, target, target_shape), mode), signal, mode)


def apply(stencil: Stencil, signal: np.ndarray, mode: Resampling) -> np.ndarray:
    """Apply a stencil of one operator to a signal ``(…, *input_shape)``; ``nearest`` selects without arithmetic."""
    operator = stencil.operators[0]
    before = signal.shape[: signal.ndim - len(stencil.input_shape)]
    flat = signal.reshape(-1, stencil.inputs)
    if mode == "nearest":
        return flat[:, operator.indices].reshape(*before, *stencil.output_shape)
    check_numbers(signal)
    result = operator.dot(flat.T).T.astype(np.result_type(signal.dtype, np.float32))
    return result.reshape(*before, *stencil.output_shape)


def interpolate(source: Samples, directions: np.ndarray, mode: Resampling) -> sparse.csr_array:
    """Return interpolation at directions ``(n, 3)`` as a matrix (n, samples of the source)."""
    if mode == "nearest":
        return csr_from_rows(source.nearest_sample(directions)[:, None], 1.0, source.count)
    return normalize_rows(source.interpolation_matrix(directions))


def check_mode(mode: str) -> None:
    """Raise InputError unless the mode is ``linear`` or ``nearest``."""
    check_choice("mode", mode, get_args(Resampling), "use 'nearest' for labels")


def check_numbers(signal: np.ndarray) -> None:
    """Raise InputError for a dtype that cannot be interpolated."""
    if signal.dtype.kind not in "biufc":
        rule = "must have a numeric dtype to be interpolated"
        raise InputError("signal", str(signal.dtype), rule, "use mode='nearest'")


def _target(source: Samples, target: Surface, shape: tuple[int, ...] | None) -> Samples:
    height = source.surface.panorama_height()
    if shape is None and isinstance(target, Surface) and target.spherical and target.any_size and height is not None:
        shape = (height, 2 * height)
    return Samples.of(target, shape, "target_shape")


@lru_cache(maxsize=8)
def _stencil(source: Samples, target: Samples, mode: Resampling) -> Stencil:
    # Surfaces that differ only in their kernels have the same samples.
    if source.shape == target.shape and type(source.surface) is type(target.surface):
        matrix = sparse.csr_array(sparse.eye_array(source.count))
    else:
        matrix = interpolate(source, target.directions, mode) if mode == "nearest" else _linear(source, target)
    return Stencil.of([matrix], source.shape, target.shape)


def _linear(source: Samples, target: Samples) -> sparse.csr_array:
    if not is_coarser(target, source):
        return interpolate(source, target.directions, "linear")
    means, between = area_averages(source, target)
    if between is source:
        return means
    return normalize_rows(sparse.csr_array(means @ interpolate(source, between.directions, "linear")))

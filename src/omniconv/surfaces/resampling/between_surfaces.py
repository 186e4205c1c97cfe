"""Maps between any two spherical surfaces, as one sparse operator each.

A linear map interpolates the source where the target's samples lie. Where the target is coarser, it averages by area:
each of the source's samples counts with its area, and with the weight that the target's interpolation would give to
the target's sample there: a hat as wide as the way to the next samples (on grids the triangle filter of antialiased
resizing). Where that leaves a sample with too few to average (near the poles of a panorama pixels are narrow), the
averages run over a refined target, and the source is interpolated there. Averages are tilted until each lies at its
sample: so the error of every map falls with the square of the spacing. Each row sums to 1: constants are kept.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import sparse

from omniconv.errors import InputError
from omniconv.surfaces.base import Resampling, Surface
from omniconv.surfaces.neighbours.stencil import Stencil
from omniconv.surfaces.resampling.area_averages import is_coarser, means_over, normalised
from omniconv.surfaces.resampling.samples import Samples


def map_between(
    source: Surface,
    target: Surface,
    mode: Resampling = "linear",
    source_shape: tuple[int, ...] | None = None,
    target_shape: tuple[int, ...] | None = None,
) -> Stencil:
    """The map from one spherical surface to another: a stencil of one operator, remembered for the next call.

    Args:
        source: where signals lie.
        target: where they go.
        mode: ``linear`` interpolates, and averages over areas where the target is coarser; ``nearest`` takes the
            sample whose area holds that of the target, and keeps labels.
        source_shape: (height, width) of a source of any size.
        target_shape: the same of the target; by default it is large enough for all that the source can show.

    Returns:
        A stencil from ``source_shape`` to ``target_shape``. Linear rows have no negative weights, but for the few of
        an icosahedron's vertices, and sum to 1. Means over the sphere are kept to second order in the spacing.

    Raises:
        InputError: a plane, an unknown mode, a shape that is missing or has no meaning.

    Example:
        >>> from omniconv.surfaces import Equirectangular, Icosphere
        >>> there = map_between(Equirectangular(), Icosphere(3), source_shape=(64, 128))
        >>> there.input_shape, there.output_shape
        ((64, 128), (642,))
    """
    check_mode(mode)
    before = Samples.of(source, source_shape, "source_shape")
    return _stencil(before, _target(before, target, target_shape), mode)


def resample(
    signal: np.ndarray,
    source: Surface,
    target: Surface,
    mode: Resampling = "linear",
    target_shape: tuple[int, ...] | None = None,
) -> np.ndarray:
    """A signal on another surface.

    Args:
        signal: ``(…, *shape of the source)``; numbers of any kind, with ``nearest`` anything.
        source: the spherical surface where it lies.
        target: the one where it goes.
        mode: as in ``map_between``.
        target_shape: as in ``map_between``.

    Returns:
        ``(…, *shape of the target)``: of the signal's own kind with ``nearest``, else floating point.

    Raises:
        InputError: a signal that does not lie on the source; as ``map_between``.

    Example:
        >>> from omniconv.surfaces import Cubemap, Healpix
        >>> resample(np.ones((3, 12)), Healpix(1), Cubemap(2)).shape
        (3, 6, 2, 2)
    """
    check_mode(mode)
    signal = np.asarray(signal)
    before = Samples.under(signal, source)
    return apply(_stencil(before, _target(before, target, target_shape), mode), signal, mode)


def apply(stencil: Stencil, signal: np.ndarray, mode: Resampling) -> np.ndarray:
    """A stencil of one operator on a signal ``(…, *input_shape)``; with ``nearest`` it picks."""
    operator = stencil.operators[0]
    before = signal.shape[: signal.ndim - len(stencil.input_shape)]
    flat = signal.reshape(-1, stencil.inputs)
    if mode == "nearest":
        return flat[:, operator.indices].reshape(*before, *stencil.output_shape)
    check_numbers(signal)
    result = operator.dot(flat.T).T.astype(np.result_type(signal.dtype, np.float32))
    return result.reshape(*before, *stencil.output_shape)


def interpolated(source: Samples, directions: np.ndarray, mode: Resampling) -> sparse.csr_array:
    """A signal's values at directions ``(n, 3)`` as a matrix (n, samples of the source)."""
    if mode == "nearest":
        found = source.nearest_sample(directions)
        return sparse.csr_array((np.ones(len(found)), found, np.arange(len(found) + 1)), (len(found), source.count))
    return normalised(source.interpolation_matrix(directions))


def check_mode(mode: str) -> None:
    """Refuse what is neither ``linear`` nor ``nearest``."""
    if not isinstance(mode, str) or mode not in ("linear", "nearest"):
        raise InputError("mode", mode, "must be 'linear' or 'nearest'", "use 'nearest' for labels")


def check_numbers(signal: np.ndarray) -> None:
    """Refuse what cannot be interpolated."""
    if signal.dtype.kind not in "biufc":
        raise InputError("signal", str(signal.dtype), "must hold numbers to be interpolated", "use mode='nearest'")


def _target(source: Samples, target: Surface, shape: tuple[int, ...] | None) -> Samples:
    height = source.surface.panorama_height()
    if shape is None and isinstance(target, Surface) and target.spherical and target.any_size and height is not None:
        shape = (height, 2 * height)
    return Samples.of(target, shape, "target_shape")


@lru_cache(maxsize=8)
def _stencil(source: Samples, target: Samples, mode: Resampling) -> Stencil:
    """Surfaces that differ in their kernels alone hold the same samples: between them signals stay as they are."""
    if source.shape == target.shape and type(source.surface) is type(target.surface):
        matrix = sparse.csr_array(sparse.eye_array(source.count))
    else:
        matrix = interpolated(source, target.directions, mode) if mode == "nearest" else _linear(source, target)
    return Stencil.of([matrix], source.shape, target.shape)


def _linear(source: Samples, target: Samples) -> sparse.csr_array:
    if not is_coarser(target, source):
        return interpolated(source, target.directions, "linear")
    means, between = means_over(source, target)
    if between is source:
        return means
    return normalised(sparse.csr_array(means @ interpolated(source, between.directions, "linear")))

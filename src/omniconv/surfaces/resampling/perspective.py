"""Perspective pictures cut out of a sphere, and put back on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from omniconv.errors import InputError
from omniconv.surfaces import panorama
from omniconv.surfaces.base import Resampling, Surface
from omniconv.surfaces.equirectangular.surface import Equirectangular
from omniconv.surfaces.neighbours.stencil import Stencil
from omniconv.surfaces.resampling.area_averages import COARSER
from omniconv.surfaces.resampling.between_surfaces import apply, check_mode, check_numbers, interpolated
from omniconv.surfaces.resampling.samples import Samples
from omniconv.surfaces.resampling.view import View

MOST_PLACES = 2**21
"""Places of a view that are looked at to average between them, at most."""


def view_of(
    signal: np.ndarray,
    view: View,
    surface: Surface = Equirectangular(),  # noqa: B008  # surfaces are immutable
    mode: Resampling = "linear",
) -> np.ndarray:
    """The perspective picture that a view shows of a signal on a sphere.

    Args:
        signal: ``(…, *shape)``: a panorama ``(…, H, W)``, or a signal on another ``surface``.
        view: where it looks, how wide, and how many pixels it has.
        surface: the spherical surface of the signal.
        mode: ``linear`` interpolates, and averages where the picture is coarser; ``nearest`` keeps labels.

    Returns:
        ``(…, height, width)``: of the signal's own kind with ``nearest``, else floating point.

    Raises:
        InputError: a plane, a signal that does not lie on the surface, an unknown mode.

    Example:
        >>> view_of(np.ones((3, 64, 128)), View((24, 32), field_of_view=60, latitude=90)).shape
        (3, 24, 32)
    """
    check_mode(mode)
    signal = np.asarray(signal)
    samples = Samples.under(signal, surface)
    times = 1 if mode == "nearest" else _times(view, samples.spacing)
    height, width = view.size
    fine = replace(view, size=(height * times, width * times))
    matrix = interpolated(samples, fine.directions().reshape(-1, 3), mode)
    picture = apply(Stencil.of([matrix], samples.shape, fine.size), signal, mode)
    if times == 1:
        return picture
    blocks = picture.reshape(*picture.shape[:-2], height, times, width, times)
    return blocks.mean(axis=(-3, -1))


def into_panorama(
    picture: np.ndarray, view: View, height: int, mode: Resampling = "linear"
) -> tuple[np.ndarray, np.ndarray]:
    """A perspective picture on a panorama ``(…, height, 2 · height)``, and how much of each pixel it covers.

    As ``into_surface``.

    Example:
        >>> shown, covered = into_panorama(np.ones((3, 24, 32)), View((24, 32), field_of_view=60), height=64)
        >>> shown.shape, covered.shape, round(float(covered.mean()), 3)
        ((3, 64, 128), (64, 128), 0.042)
    """
    return into_surface(picture, view, Equirectangular(), (height, 2 * height), mode)


def into_surface(
    picture: np.ndarray, view: View, surface: Surface, shape: tuple[int, ...] | None = None, mode: Resampling = "linear"
) -> tuple[np.ndarray, np.ndarray]:
    """A perspective picture on a spherical surface, and how much of each sample it covers.

    Args:
        picture: ``(…, height, width)``, of the view's size.
        view: what the picture shows.
        surface: where it goes.
        shape: (height, width) of a surface of any size.
        mode: ``linear`` interpolates, and averages where the surface is coarser; ``nearest`` keeps labels.

    Returns:
        The signal ``(…, *shape)``, 0 where nothing is covered, and what is covered ``(*shape,)``: from 0 to 1 with
        ``linear`` (``covered * signal + (1 - covered) * background`` lays it over another), true or false with
        ``nearest``.

    Raises:
        InputError: a picture of another size, a plane, an unknown mode, a shape of no meaning.

    Example:
        >>> from omniconv.surfaces import Icosphere
        >>> shown, covered = into_surface(np.ones((8, 8)), View((8, 8)), Icosphere(4))
        >>> shown.shape, covered.dtype
        ((2562,), dtype('float32'))
    """
    check_mode(mode)
    picture = np.asarray(picture)
    if picture.shape[-2:] != view.size:
        raise InputError("picture", picture.shape, f"must end in the view's size {view.size}", "give the view its size")
    samples = Samples.of(surface, shape)
    row, column = view.coordinates(samples.directions)
    pixel = 0.0 if mode == "nearest" else samples.spacing / view.spacing  # of the surface, in those of the picture
    covered = _covered(row, view.size[0], pixel) * _covered(column, view.size[1], pixel)
    seen = np.flatnonzero(covered)
    values = _picture_at(picture, row[seen], column[seen], pixel, mode)
    signal = np.zeros((*picture.shape[:-2], samples.count), values.dtype)
    signal[..., seen] = values
    kind = np.bool_ if mode == "nearest" else np.float32
    return signal.reshape(*picture.shape[:-2], *samples.shape), covered.astype(kind).reshape(samples.shape)


def _times(view: View, spacing: float) -> int:
    """Places to look at along the side of a pixel."""
    most = int(np.sqrt(MOST_PLACES / (view.size[0] * view.size[1])))
    return max(1, min(round(view.spacing / spacing), most))


def _covered(place: np.ndarray, size: int, pixel: float) -> np.ndarray:
    """The share of pixels of this width around places that lies on an axis of ``size`` samples; of none behind."""
    inside = np.minimum(place + 0.5, size - 0.5 - place)
    inside = np.where(np.isnan(inside), -np.inf, inside)
    if pixel == 0:
        return (inside >= 0).astype(np.float64)
    return np.clip(inside / pixel + 0.5, 0, min(1, size / pixel))


def _picture_at(picture: np.ndarray, row: np.ndarray, column: np.ndarray, pixel: float, mode: Resampling) -> np.ndarray:
    """Values ``(…, n)`` of a picture, averaged to pixels about as wide as the surface's where those are wider."""
    if mode == "nearest":
        row, column = (
            np.clip(np.rint(place).astype(np.int64), 0, size - 1)
            for place, size in zip((row, column), picture.shape[-2:], strict=True)
        )
        return picture[..., row, column]
    check_numbers(picture)
    size = [max(1, round(length / pixel)) if pixel > COARSER else length for length in picture.shape[-2:]]
    narrow = _shrunk(_shrunk(picture, size[0], -2), size[1], -1)
    (above, below), (left, right) = (
        _neighbours((place + 0.5) * new / old - 0.5, new)
        for place, new, old in zip((row, column), size, picture.shape[-2:], strict=True)
    )
    values = sum(narrow[..., i, j] * (a * b) for i, a in (above, below) for j, b in (left, right))
    return np.asarray(values).astype(np.result_type(picture.dtype, np.float32))


def _shrunk(picture: np.ndarray, size: int, axis: int) -> np.ndarray:
    """One axis of a picture averaged to ``size`` samples; it goes on past its edges as it ends there."""
    if size == picture.shape[axis]:
        return picture
    matrix, margin = panorama.resize_matrix(picture.shape[axis], size)
    last = np.moveaxis(picture, axis, -1)
    wide = np.pad(last, [(0, 0)] * (last.ndim - 1) + [(margin, margin)], mode="edge")
    flat = matrix.dot(wide.reshape(-1, wide.shape[-1]).T).T
    return np.moveaxis(flat.reshape(*last.shape[:-1], size), -1, axis)


def _neighbours(place: np.ndarray, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The samples before and after places on an axis, and their weights; the last one is its own neighbour."""
    place = np.clip(place, 0, size - 1)
    before = np.floor(place).astype(np.int64)
    return [(before, 1 - (place - before)), (np.minimum(before + 1, size - 1), place - before)]

"""Perspective images of a signal on a sphere, and the inverse (gnomonic projection: great circles are straight)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite

import numpy as np

from omniconv.checks import check_number
from omniconv.errors import InputError
from omniconv.surfaces import panorama
from omniconv.surfaces.base import Resampling, Surface
from omniconv.surfaces.equirectangular.surface import Equirectangular
from omniconv.surfaces.neighbours.stencil import Stencil
from omniconv.surfaces.resampling.area_averages import MIN_RATIO
from omniconv.surfaces.resampling.between_surfaces import apply, check_mode, check_numbers, interpolate
from omniconv.surfaces.resampling.samples import Samples, to_array

MAX_POINTS = 2**21
"""Largest number of points at which a view is interpolated before averaging, which bounds the memory."""


@dataclass(frozen=True)
class View:
    """A pinhole camera at the centre of the sphere: square pixels on a tangent plane.

    Columns run to the east and rows to the south, as on a panorama; ``View((s, s), 90, 0, 0)`` is the front face of
    ``Cubemap(s)``.

    Args:
        size: height and width of the image, in pixels.
        field_of_view: angle across its width, in degrees, between 0 and 180.
        longitude: longitude of its centre, in degrees east.
        latitude: latitude of its centre, in degrees north, −90 … 90.
        roll: clockwise rotation of the camera, in degrees: upright objects lean to the left.

    Raises:
        InputError: a size, field of view or angle out of range.

    Example:
        >>> View((240, 320), field_of_view=90, longitude=30, latitude=-10).directions().shape
        (240, 320, 3)
    """

    size: tuple[int, int]
    field_of_view: float = 90.0
    longitude: float = 0.0
    latitude: float = 0.0
    roll: float = 0.0

    def __post_init__(self) -> None:
        size = self.size if isinstance(self.size, tuple | list) else ()
        if len(size) != 2 or not all(isinstance(length, int | np.integer) and length > 0 for length in size):
            raise InputError("size", self.size, "must be (height, width), whole numbers from 1", "use (480, 640)")
        object.__setattr__(self, "size", (int(size[0]), int(size[1])))
        for name in ("longitude", "roll"):
            check_number(name, getattr(self, name), isfinite, "must be a number, in degrees", "use 0")
        rule = "must be a number from −90 to 90, in degrees"
        check_number("latitude", self.latitude, lambda angle: abs(angle) <= 90, rule, "use 0 for the equator")
        rule = "must be between 0 and 180 degrees"
        check_number("field_of_view", self.field_of_view, lambda angle: 0 < angle < 180, rule, "use 90 for a face")

    @property
    def axes(self) -> np.ndarray:
        """Unit vectors of the camera: forward, right (columns), down (rows), ``(3, 3)``."""
        longitude, latitude, roll = np.radians([self.longitude, self.latitude, self.roll])
        forward, east, north = panorama.local_frames(latitude, longitude)
        right, down = np.cos(roll) * east - np.sin(roll) * north, -np.cos(roll) * north - np.sin(roll) * east
        return np.stack([forward, right, down])

    @property
    def spacing(self) -> float:
        """Width of a pixel at the centre, the largest, in radians."""
        return float(2 * np.tan(np.radians(self.field_of_view) / 2) / self.size[1])

    def directions(self) -> np.ndarray:
        """Return the unit vectors of the pixel centres, ``(height, width, 3)``."""
        return self.rays(*np.indices(self.size))

    def rays(self, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        """Return the unit vectors of points of the image, ``(…, 3)``; (0, 0) is the centre of the first pixel."""
        down, right = (
            (at - (length - 1) / 2) * self.spacing for at, length in zip((row, column), self.size, strict=True)
        )
        points = np.stack(np.broadcast_arrays(1.0, right, down), axis=-1) @ self.axes
        return points / np.linalg.norm(points, axis=-1, keepdims=True)

    def coordinates(self, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return row and column of directions ``(…, 3)``, from the first pixel's centre; NaN behind the camera."""
        depth, right, down = np.moveaxis(np.asarray(directions, dtype=np.float64) @ self.axes.T, -1, 0)
        pixel = np.where(depth > 0, depth, np.nan) * self.spacing
        return down / pixel + (self.size[0] - 1) / 2, right / pixel + (self.size[1] - 1) / 2


def view_of(
    signal: np.ndarray,
    view: View,
    surface: Surface = Equirectangular(),  # noqa: B008  # surfaces are immutable
    mode: Resampling = "linear",
) -> np.ndarray:
    """Return the perspective image of a signal on a sphere.

    Args:
        signal: ``(…, *shape)``: a panorama ``(…, H, W)``, or a signal on another ``surface``.
        view: direction, field of view and size of the image.
        surface: the spherical surface of the signal.
        mode: ``linear`` interpolates, and averages where the image is coarser; ``nearest`` keeps labels.

    Returns:
        ``(…, height, width)``: with ``nearest`` of the signal's dtype, else floating point.

    Raises:
        InputError: a plane, a signal of another shape than the surface's, or an unknown mode.

    Example:
        >>> view_of(np.ones((3, 64, 128)), View((24, 32), field_of_view=60, latitude=90)).shape
        (3, 24, 32)
    """
    check_mode(mode)
    signal = to_array("signal", signal)
    samples = Samples.under(signal, surface)
    times = 1 if mode == "nearest" else _oversampling(view, samples.spacing)
    height, width = view.size
    fine = replace(view, size=(height * times, width * times))
    matrix = interpolate(samples, fine.directions().reshape(-1, 3), mode)
    image = apply(Stencil.of([matrix], samples.shape, fine.size), signal, mode)
    if times == 1:
        return image
    return image.reshape(*image.shape[:-2], height, times, width, times).mean(axis=(-3, -1))


def into_panorama(
    picture: np.ndarray, view: View, height: int, mode: Resampling = "linear"
) -> tuple[np.ndarray, np.ndarray]:
    """Project a perspective image onto a panorama ``(…, height, 2 · height)``; as ``into_surface``.

    Example:
        >>> shown, covered = into_panorama(np.ones((3, 24, 32)), View((24, 32), field_of_view=60), height=64)
        >>> shown.shape, covered.shape, round(float(covered.mean()), 3)
        ((3, 64, 128), (64, 128), 0.042)
    """
    return into_surface(picture, view, Equirectangular(), (height, 2 * height), mode)


def into_surface(
    picture: np.ndarray, view: View, surface: Surface, shape: tuple[int, ...] | None = None, mode: Resampling = "linear"
) -> tuple[np.ndarray, np.ndarray]:
    """Project a perspective image onto a spherical surface, and return how much of each sample it covers.

    Args:
        picture: ``(…, height, width)``, of the view's size.
        view: the camera of the image.
        surface: the spherical surface of the result.
        shape: (height, width) of a surface of any size.
        mode: ``linear`` interpolates, and averages where the surface is coarser; ``nearest`` keeps labels.

    Returns:
        The signal ``(…, *shape)``, 0 outside the image, and the coverage ``(*shape,)``: 0 to 1 with ``linear``
        (``covered * signal + (1 - covered) * background`` blends it with a background), boolean with ``nearest``.

    Raises:
        InputError: an image of another size than the view's, a plane, an unknown mode, or a shape that does not fit.

    Example:
        >>> from omniconv.surfaces import Icosphere
        >>> shown, covered = into_surface(np.ones((8, 8)), View((8, 8)), Icosphere(4))
        >>> shown.shape, covered.dtype
        ((2562,), dtype('float32'))
    """
    check_mode(mode)
    picture = to_array("picture", picture)
    if picture.shape[-2:] != view.size:
        raise InputError("picture", picture.shape, f"must end in the view's size {view.size}", "give the view its size")
    samples = Samples.of(surface, shape)
    row, column = view.coordinates(samples.directions)
    pixel = 0.0 if mode == "nearest" else samples.spacing / view.spacing  # a sample in pixels of the image
    covered = _covered(row, view.size[0], pixel) * _covered(column, view.size[1], pixel)
    visible = np.flatnonzero(covered)
    values = sample_image(picture, row[visible], column[visible], pixel, mode)
    signal = np.zeros((*picture.shape[:-2], samples.count), values.dtype)
    signal[..., visible] = values
    dtype = np.bool_ if mode == "nearest" else np.float32
    return signal.reshape(*picture.shape[:-2], *samples.shape), covered.astype(dtype).reshape(samples.shape)


def _oversampling(view: View, spacing: float) -> int:
    """Return the number of points along the side of a pixel: as many as samples of the surface, within memory."""
    limit = int(np.sqrt(MAX_POINTS / (view.size[0] * view.size[1])))
    return max(1, min(round(view.spacing / spacing), limit))


def _covered(position: np.ndarray, size: int, pixel: float) -> np.ndarray:
    """Return the fraction of intervals of width ``pixel`` around positions inside an axis; 0 for NaN (behind)."""
    inside = np.minimum(position + 0.5, size - 0.5 - position)
    inside = np.where(np.isnan(inside), -np.inf, inside)
    if pixel == 0:
        return (inside >= 0).astype(np.float64)
    return np.clip(inside / pixel + 0.5, 0, min(1, size / pixel))


def sample_image(image: np.ndarray, row: np.ndarray, column: np.ndarray, pixel: float, mode: Resampling) -> np.ndarray:
    """Return values ``(…, n)`` of an image, averaged to pixels about as wide as the surface's where those are wider."""
    if mode == "nearest":
        row, column = (
            np.clip(np.rint(position).astype(np.int64), 0, size - 1)
            for position, size in zip((row, column), image.shape[-2:], strict=True)
        )
        return image[..., row, column]
    check_numbers(image)
    size = [max(1, round(length / pixel)) if pixel > MIN_RATIO else length for length in image.shape[-2:]]
    small = _shrink(_shrink(image, size[0], -2), size[1], -1)
    (above, below), (left, right) = (
        panorama.linear_weights((position + 0.5) * new / old - 0.5, new)
        for position, new, old in zip((row, column), size, image.shape[-2:], strict=True)
    )
    values = sum(small[..., i, j] * (a * b) for i, a in (above, below) for j, b in (left, right))
    return np.asarray(values).astype(np.result_type(image.dtype, np.float32))


def _shrink(image: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Average one axis of an image to ``size`` samples, with replicated edges."""
    if size == image.shape[axis]:
        return image
    matrix, margin = panorama.resize_matrix(image.shape[axis], size)
    last = np.moveaxis(image, axis, -1)
    padded = np.pad(last, [(0, 0)] * (last.ndim - 1) + [(margin, margin)], mode="edge")
    flat = matrix.dot(padded.reshape(-1, padded.shape[-1]).T).T
    return np.moveaxis(flat.reshape(*last.shape[:-1], size), -1, axis)

"""Kernels that differ between the rows of a panorama (Su & Grauman, "Learning Spherical Convolution", NIPS 2017).

A square field on the tangent plane covers more and more columns of the panorama towards a pole. The kernel of a row
starts with 3 × 3 taps and grows, in height while it is not tall enough, else in width, until it reaches more than 95 %
of the pixels of the field, or has more than 49 taps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from omniconv.surfaces import panorama
from omniconv.surfaces.base import Resampling
from omniconv.surfaces.equirectangular.kernels import Pair, PanoramaKernels, check_odd, pair
from omniconv.surfaces.equirectangular.tangent import KernelCentres, tap_directions
from omniconv.surfaces.neighbours.border import Border, border_index
from omniconv.surfaces.neighbours.row_stencil import RowStencil

MIN_COVERAGE, MAX_TAPS = 0.95, 7 * 7
"""The paper's rule: a kernel grows until it covers this fraction of its field or has more taps."""
MIN_WEIGHT = 0.05
"""Pixels with a smaller interpolation weight in a sample of the field do not belong to the field."""


@dataclass(frozen=True)
class Fields:
    """Pixels of a panorama ``height × 2 · height`` in the field of each output row, symmetric in longitude.

    ``near`` ``(outputs, height)`` is the half width in each row, in columns to each side of the output's own, −1 for
    none; ``far`` is the half width around the column 180° away, which is reached over a pole.
    """

    near: np.ndarray
    far: np.ndarray

    @classmethod
    def of_pixels(cls, height: int) -> Fields:
        """Return the fields of single pixels."""
        near = np.where(np.eye(height, dtype=bool), 0, -1)
        return cls(near, np.full_like(near, -1))

    @classmethod
    def projected(cls, height: int, size: tuple[int, int], pixel: tuple[float, float], step: int = 1) -> Fields:
        """Return fields of ``size`` samples, ``pixel`` radians apart along rows and columns, of every ``step``-th row.

        Samples are those of a flat view around the row, interpolated between four pixels.
        """
        rows, columns = _samples(height, size, pixel, step)
        fields = cls(*np.full((2, len(rows), height), -1))
        top = np.floor(rows + MIN_WEIGHT).astype(np.int64)
        for row in (top, np.ceil(rows - MIN_WEIGHT).astype(np.int64)):
            fields._add(row, columns)
        return fields

    def under(self, shape: tuple[int, int], spacing: tuple[int, int] = (1, 1), step: int = 1) -> Fields:
        """Return the fields of a kernel of ``shape`` taps on inputs with these fields, at every ``step``-th row."""
        height = len(self.near)
        down = spacing[0] * (np.arange(shape[0]) - shape[0] // 2)
        row, is_rolled, _ = border_index(np.arange(0, height, step)[:, None] + down, height, "pole")
        is_rolled = is_rolled[..., None]
        reach = spacing[1] * (shape[1] // 2)
        near = np.where(is_rolled, self.far[row], self.near[row]).max(axis=1)
        far = np.where(is_rolled, self.near[row], self.far[row]).max(axis=1)
        return Fields(*(np.where(half < 0, -1, half + reach) for half in (near, far)))

    def through(self, shapes: np.ndarray, spacing: tuple[int, int] = (1, 1), step: int = 1) -> Fields:
        """Return the fields of kernels with one shape for each output row, ``(outputs, 2)``."""
        near, far = np.empty((2, len(shapes), len(self.near)), dtype=np.int64)
        for shape in {(int(rows), int(columns)) for rows, columns in shapes}:
            own = (np.asarray(shapes) == shape).all(axis=1)
            fields = self.under(shape, spacing, step)
            near[own], far[own] = fields.near[own], fields.far[own]
        return Fields(near, far)

    def coverage(self, wanted: Fields) -> np.ndarray:
        """Return the fraction of ``wanted`` pixels in these fields, by output row."""
        width = 2 * self.near.shape[1]
        both = _pixels(np.minimum(self.near, wanted.near)) + _pixels(np.minimum(self.far, wanted.far))
        total = np.minimum(_pixels(wanted.near) + _pixels(wanted.far), width)
        covers_row = _pixels(self.near) + _pixels(self.far) >= width
        return np.where(covers_row, total, np.minimum(both, total)).sum(axis=1) / total.sum(axis=1)

    def is_as_tall(self, wanted: Fields) -> np.ndarray:
        """Return whether these fields reach every row of ``wanted``, by output row."""
        reaches = ((self.near >= 0) | (wanted.near < 0)) & ((self.far >= 0) | (wanted.far < 0))
        return np.asarray(reaches.all(axis=1))

    def _add(self, rows: np.ndarray, columns: np.ndarray) -> None:
        """Add pixels around ``columns`` (relative to the output's own) of ``rows``, both ``(outputs, samples)``."""
        height = self.near.shape[1]
        row, is_rolled, _ = border_index(rows, height, "pole")
        offset = (columns + np.where(is_rolled, height, 0) + height) % (2 * height) - height
        output = np.broadcast_to(np.arange(len(rows))[:, None], rows.shape)
        is_far = np.abs(offset) > height / 2
        for half_widths, chosen, distance in (
            (self.near, ~is_far, np.abs(offset)),
            (self.far, is_far, height - np.abs(offset)),
        ):
            half = np.ceil(distance - MIN_WEIGHT).astype(np.int64).clip(0)
            np.maximum.at(half_widths, (output[chosen], row[chosen]), half[chosen])


def row_shapes(
    wanted: Fields, below: Fields, spacing: tuple[int, int] = (1, 1), step: int = 1, max_taps: int = MAX_TAPS
) -> list[tuple[int, int]]:
    """Return rows and columns of taps of the kernel of every output row, which must cover the field ``wanted``.

    ``below`` is the field of each input row: single pixels, or the fields of the layers below. ``spacing`` is the
    distance between taps, ``step`` that between output rows; a kernel with more than ``max_taps`` stops growing.

    Example:
        >>> wanted = Fields.projected(16, (3, 3), (np.pi / 16, np.pi / 16))
        >>> row_shapes(wanted, Fields.of_pixels(16))[5:8]
        [(3, 5), (3, 5), (3, 3)]
    """
    needs_neighbours = (wanted.near >= 0).sum(axis=1).max() > 1 or wanted.near.max() > 0
    shapes = np.full((len(wanted.near), 2), 3 if needs_neighbours else 1)
    covered = below.through(shapes, spacing, step)
    while True:
        grows = (covered.coverage(wanted) <= MIN_COVERAGE) & (shapes.prod(axis=1) <= max_taps)
        if not grows.any():
            return [(int(rows), int(columns)) for rows, columns in shapes]
        axis = covered.is_as_tall(wanted).astype(int)
        shapes[grows, axis[grows]] += 2
        covered = below.through(shapes, spacing, step)


def _samples(
    height: int, size: tuple[int, int], pixel: tuple[float, float], step: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows, and columns relative to the centre's, of the samples of flat views, both ``(outputs, samples)``."""
    dilation = pixel[0] * height / np.pi, pixel[1] * height / np.pi
    directions = tap_directions(KernelCentres(height, (0.0, 0.0), step), size, dilation)
    rows, columns = panorama.pixel_coordinates(directions, height, 2 * height)
    return np.round(rows, 9), np.round(columns, 9)  # rounding errors must not move a sample to another pixel


def _pixels(half: np.ndarray) -> np.ndarray:
    """Return the number of pixels of an interval of ``half`` columns to each side; 0 for −1."""
    return np.where(half < 0, 0, 2 * half + 1)


@dataclass(frozen=True)
class RowKernels(PanoramaKernels):
    """Row stencils for convolution; pooling and resizing of the ordinary grid.

    Example:
        >>> RowKernels(8).conv_neighbours(3, 2, 1).output_shape
        (4, 8)
    """

    name: ClassVar[str] = "rows"

    def conv_neighbours(self, kernel_size: Pair, stride: int, dilation: Pair) -> RowStencil:
        """Return kernels that cover a flat kernel's view from each row; at stride 2 from even rows and columns."""
        self.check_stride(stride)
        size = pair(kernel_size)
        check_odd(size)
        return _stencil(self.height, size, stride, pair(dilation))

    def pool_neighbours(self, kernel_size: Pair, stride: int) -> Border:
        """Return the border of a panorama: circular in longitude, continued over the poles."""
        self.check_stride(stride)
        return Border.of(("pole", "circular"), ndim=2)

    window_neighbours = pool_neighbours

    def resize_neighbours(self, scale_factor: int, mode: Resampling) -> Border:
        """Return the border of a panorama."""
        self.check_scale_factor(scale_factor)
        return self.pool_neighbours(2, 1)


class RowKernelOutline(RowKernels):
    """Row kernels with the fewest taps that a row can have, in place of those that cover the view from each row."""

    def conv_neighbours(self, kernel_size: Pair, stride: int, dilation: Pair) -> RowStencil:
        self.check_stride(stride)
        size = pair(kernel_size)
        check_odd(size)
        # Taps half a turn apart are one pixel, from which `row_shapes` starts.
        is_pixel = size == (1, 1) or min(pair(dilation)) >= self.height
        shape = (1, 1) if is_pixel else (3, 3)
        return RowStencil(self.height, (shape,) * (self.height // stride), stride, pair(dilation))


@lru_cache(maxsize=64)
def _stencil(height: int, size: tuple[int, int], stride: int, dilation: tuple[int, int]) -> RowStencil:
    pixel = np.pi / height
    fields = Fields.projected(height, size, (pixel * dilation[0], pixel * dilation[1]), stride)
    max_taps = max(size[0] * size[1], MAX_TAPS)
    shapes = row_shapes(fields, Fields.of_pixels(height), dilation, stride, max_taps)
    return RowStencil(height, tuple(shapes), stride, dilation)

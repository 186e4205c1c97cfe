"""Tiles of output rows, gathered so that one grouped convolution of the backend computes all rows of a tile.

Each output row of a tile is a group of channels of a small image as high as the kernels: its windows are copied to
``(batch, kernel rows, columns, rows · channels)``, and the kernel of each row is that group's kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from torch import Tensor

from omniconv.surfaces.neighbours.row_stencil import RowBand

TILE_BYTES = 15 * 2**18
"""Approximate size of the windows of a tile, 3.75 MiB: they stay in the cache together with outputs and kernels."""
MIN_OUTPUTS = 1024
"""Outputs of a row that a convolution needs to be fast: short rows take several batch elements into one tile."""


class RowPlan(NamedTuple):
    """Geometry of a row convolution; packed into a list of ints for custom ops."""

    stride: int
    dilation_h: int
    dilation_w: int
    bands: tuple[RowBand, ...]

    @classmethod
    def unpack(cls, numbers: list[int]) -> RowPlan:
        """Return the plan that ``pack`` was called on."""
        stride, dilation_h, dilation_w, *rest = numbers
        bands = (
            RowBand(first_row, rows, (height, width), first_tap)
            for first_row, rows, height, width, first_tap in zip(*(rest[start::5] for start in range(5)), strict=True)
        )
        return cls(stride, dilation_h, dilation_w, tuple(bands))

    def pack(self) -> list[int]:
        """Return stride and dilation, then five numbers for each band."""
        return [*self[:3], *(number for band in self.bands for number in (*band[:2], *band.kernel_shape, band[3]))]


@dataclass(frozen=True)
class RowTile:
    """Range of output rows of a band and of elements of the batch."""

    plan: RowPlan
    band: RowBand
    rows: range
    batch: slice
    grid: tuple[int, int]  # rows and columns of the input panorama

    @property
    def row_slice(self) -> slice:
        """Output rows as a slice."""
        return slice(self.rows.start, self.rows.stop)

    @property
    def taps(self) -> slice:
        """Taps of these rows in the weight."""
        taps = prod(self.band.kernel_shape)
        start = self.band.first_tap + (self.rows.start - self.band.first_row) * taps
        return slice(start, start + len(self.rows) * taps)

    @property
    def is_first_of_batch(self) -> bool:
        """True for the first of the tiles with these rows."""
        return self.batch.start == 0

    @property
    def end_row(self) -> int:
        """One past the last input row that is read; no earlier tile reads further."""
        return self._input_rows(self.band.kernel_shape[0] - 1)[-1] + 1

    def windows_shape(self, channels: int) -> tuple[int, ...]:
        """Return the shape of the windows: batch, kernel rows, columns, rows, channels."""
        columns = self.grid[1] + self.plan.dilation_w * (self.band.kernel_shape[1] - 1)
        return self.batch.stop - self.batch.start, self.band.kernel_shape[0], columns, len(self.rows), channels

    def kernels(self, weight: Tensor) -> Tensor:
        """Return a view ``(rows, out, kernel rows, kernel columns, in)`` of a weight ``(taps, out, in)``."""
        return weight[self.taps].unflatten(0, (len(self.rows), *self.band.kernel_shape)).permute(0, 3, 1, 2, 4)

    def outputs(self, y: Tensor) -> Tensor:
        """Return a view ``(batch, columns, rows, out)`` of ``(height, batch, width, out)``."""
        return y[self.row_slice, self.batch].permute(1, 2, 0, 3)

    def gather(self, windows: Tensor, x: Tensor) -> None:
        """Copy the windows of a panorama ``(height, batch, width, channels)`` into a tensor of ``windows_shape``."""
        first = self._input_rows(0).start
        if first < 0 or self.end_row > self.grid[0]:
            for tap, columns, rows, input_rows, input_columns in self._pieces():
                windows[:, tap, columns, rows] = x[input_rows, self.batch, input_columns].permute(1, 2, 0, 3)
            return
        span = self.plan.dilation_h * (self.band.kernel_shape[0] - 1) + 1  # away from the poles one copy has all taps
        views = x[first : self.end_row, self.batch].unfold(0, span, self.plan.stride)[..., :: self.plan.dilation_h]
        for columns, input_columns in self._column_pieces(0):
            windows[:, :, columns] = views[:, :, input_columns].permute(1, 4, 2, 0, 3)

    def scatter_add(self, windows: Tensor, x: Tensor) -> None:
        """Add windows to the panorama samples that they were copied from: the adjoint of ``gather``."""
        for tap, columns, rows, input_rows, input_columns in self._pieces():
            x[input_rows, self.batch, input_columns].add_(windows[:, tap, columns, rows].permute(2, 0, 1, 3))

    def _pieces(self) -> Iterator[tuple[int, slice, slice, slice, slice]]:
        """Yield kernel row, columns and rows of the windows, and the input rows and columns that are copied there."""
        for tap in range(self.band.kernel_shape[0]):
            for rows, input_rows, is_beyond_pole in _row_pieces(self._input_rows(tap), self.grid[0]):
                for columns, input_columns in self._column_pieces(is_beyond_pole * (self.grid[1] // 2)):
                    yield tap, columns, rows, input_rows, input_columns

    def _input_rows(self, tap: int) -> range:
        """Return the input rows, also beyond the poles, that a row of taps reads."""
        offset = self.plan.dilation_h * (tap - self.band.kernel_shape[0] // 2)
        first = self.rows.start * self.plan.stride + offset
        return range(first, first + self.plan.stride * len(self.rows), self.plan.stride)

    def _column_pieces(self, roll: int) -> Iterator[tuple[slice, slice]]:
        """Yield columns of the windows, and columns of a panorama rolled by ``roll``."""
        overlap = self.plan.dilation_w * (self.band.kernel_shape[1] - 1)
        return _ring_pieces(roll - overlap // 2, self.grid[1] + overlap, self.grid[1])


def row_tiles(plan: RowPlan, batch: int, grid: tuple[int, int], pixel_bytes: int, use_cache: bool) -> Iterator[RowTile]:
    """Yield the tiles of a row convolution on a panorama with ``grid`` rows and columns, from north to south.

    With ``use_cache`` tiles are small enough for a CPU's cache; else each band is one tile.
    """
    elements = min(batch, -(-MIN_OUTPUTS * plan.stride // grid[1])) if use_cache else batch
    for band in plan.bands:
        height, width = band.kernel_shape
        row_bytes = pixel_bytes * height * (grid[1] + (width - 1) * plan.dilation_w)
        most = max(1, TILE_BYTES // max(1, row_bytes * elements)) if use_cache else band.rows
        rows = -(-band.rows // -(-band.rows // most))  # tiles of nearly equal height
        rows = min(rows + rows % 2, most)  # even, so that two threads get equal shares
        last = band.first_row + band.rows
        for first in range(band.first_row, last, rows):
            for start in range(0, max(1, batch), max(1, elements)):
                part = slice(start, min(batch, start + elements))
                yield RowTile(plan, band, range(first, min(last, first + rows)), part, grid)


def _row_pieces(rows: range, height: int) -> Iterator[tuple[slice, slice, bool]]:
    """Yield positions in ``rows``, their input rows, and True if these are beyond a pole.

    Rows on the grid are one piece; rows beyond a pole are mirrored, so that their order is reversed and each is a piece
    of its own. The index is that of ``border_index(..., "pole")``, without NumPy's cost for a few numbers.
    """
    inside = [index for index, row in enumerate(rows) if 0 <= row < height]
    if inside:
        first, last = inside[0], inside[-1]
        yield slice(first, last + 1), slice(rows[first], rows[last] + 1, rows.step), False
    for index, row in enumerate(rows):
        if not 0 <= row < height:
            folded = row % (2 * height)
            is_beyond = folded >= height
            source = 2 * height - 1 - folded if is_beyond else folded
            yield slice(index, index + 1), slice(source, source + 1), is_beyond


def _ring_pieces(start: int, length: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Yield the slices that copy ``length`` columns of a ring from ``start`` on, and their source columns."""
    position = 0
    while position < length:
        source = (start + position) % width
        count = min(width - source, length - position)
        yield slice(position, position + count), slice(source, source + count)
        position += count

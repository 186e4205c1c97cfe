"""Blocks of a panorama's rows, laid out so that one grouped convolution of the backend works on all of them.

Each output row is a group of channels of a picture as high as the kernels, ``(pictures, rows of taps, columns, rows ·
channels)`` in memory: what its kernel sees, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from torch import Tensor

from omniconv.surfaces.neighbours.row_stencil import RowBand

BLOCK = 15 * 2**18
"""Bytes that a block sees, about: near enough to the cores beside the outputs and the kernels of its rows."""
LONG = 1024
"""Outputs of a row that make a convolution fast: as many pictures go together as it takes."""


class Plan(NamedTuple):
    """What a row product has to know: plain numbers, as operators of torch take them."""

    stride: int
    gap: int
    space: int
    runs: tuple[RowBand, ...]

    @classmethod
    def read(cls, numbers: list[int]) -> Plan:
        """From the numbers of ``written``."""
        found = [
            RowBand(first, rows, (up, across), tap)
            for first, rows, up, across, tap in zip(*(numbers[3 + place :: 5] for place in range(5)), strict=True)
        ]
        stride, gap, space = numbers[:3]
        return cls(stride, gap, space, tuple(found))

    def written(self) -> list[int]:
        """Stride, step between taps along rows and columns, then five numbers a run."""
        return [*self[:3], *(number for run in self.runs for number in (*run[:2], *run.kernel_shape, run.first_tap))]


@dataclass(frozen=True)
class RowTile:
    """Some output rows of a run and some pictures.

    Attributes:
        plan: strides and steps.
        run: whose kernels they are.
        rows: the output rows.
        pictures: which of a batch.
        grid: rows and columns of the panorama that the kernels see.
    """

    plan: Plan
    run: RowBand
    rows: range
    pictures: slice
    grid: tuple[int, int]

    @property
    def own(self) -> slice:
        """Its rows."""
        return slice(self.rows.start, self.rows.stop)

    @property
    def taps(self) -> slice:
        """Where its kernels lie in a weight."""
        taps = prod(self.run.kernel_shape)
        start = self.run.first_tap + (self.rows.start - self.run.first_row) * taps
        return slice(start, start + len(self.rows) * taps)

    @property
    def is_first(self) -> bool:
        """Whether no other block has had the same rows before."""
        return self.pictures.start == 0

    @property
    def reach(self) -> int:
        """One past the southernmost row that it sees, up to which all rows of the tiles before it lie too."""
        return self._seen(self.run.kernel_shape[0] - 1)[-1] + 1

    def size(self, channels: int) -> tuple[int, ...]:
        """Of what the outputs see: pictures, rows of taps, columns, rows, channels."""
        columns = self.grid[1] + self.plan.space * (self.run.kernel_shape[1] - 1)
        return self.pictures.stop - self.pictures.start, self.run.kernel_shape[0], columns, len(self.rows), channels

    def kernels(self, weight: Tensor) -> Tensor:
        """Those of its rows, ``(rows, out, rows of taps, columns of taps, in)``: a view of ``(taps, out, in)``."""
        return weight[self.taps].unflatten(0, (len(self.rows), *self.run.kernel_shape)).permute(0, 3, 1, 2, 4)

    def outputs(self, y: Tensor) -> Tensor:
        """Its own, ``(pictures, columns, rows, out)``: a view of ``(height, batch, width, out)``."""
        return y[self.own, self.pictures].permute(1, 2, 0, 3)

    def gather(self, seen: Tensor, x: Tensor) -> None:
        """Put what outputs see of a panorama ``(height, batch, width, channels)`` into a tensor of ``size``."""
        first = self._seen(0).start
        if first < 0 or self.reach > self.grid[0]:
            for tap, columns, own, source, origin in self._places():
                seen[:, tap, columns, own] = x[source, self.pictures, origin].permute(1, 2, 0, 3)
            return
        span = self.plan.gap * (self.run.kernel_shape[0] - 1) + 1  # no pole in sight: all rows of taps in one copy
        windows = x[first : self.reach, self.pictures].unfold(0, span, self.plan.stride)[..., :: self.plan.gap]
        for columns, origin in self._columns(0):
            seen[:, :, columns] = windows[:, :, origin].permute(1, 4, 2, 0, 3)

    def scatter(self, seen: Tensor, x: Tensor) -> None:
        """The adjoint of ``gather``: add to the panorama what lies in each place."""
        for tap, columns, own, source, origin in self._places():
            x[source, self.pictures, origin].add_(seen[:, tap, columns, own].permute(2, 0, 1, 3))

    def _places(self) -> Iterator[tuple[int, slice, slice, slice, slice]]:
        """Row of taps, columns and rows of what is seen, and the rows and columns of the panorama that lie there."""
        for tap in range(self.run.kernel_shape[0]):
            for rows, source, is_turned in _row_places(self._seen(tap), self.grid[0]):
                for columns, origin in self._columns(is_turned * (self.grid[1] // 2)):
                    yield tap, columns, rows, source, origin

    def _seen(self, tap: int) -> range:
        """The rows of the panorama, past the poles too, that the outputs see through a row of taps."""
        first = self.rows.start * self.plan.stride + self.plan.gap * (tap - self.run.kernel_shape[0] // 2)
        return range(first, first + self.plan.stride * len(self.rows), self.plan.stride)

    def _columns(self, turn: int) -> Iterator[tuple[slice, slice]]:
        """The columns that are seen, and those of a panorama turned so far that lie there."""
        across = self.plan.space * (self.run.kernel_shape[1] - 1)
        return _column_places(turn - across // 2, self.grid[1] + across, self.grid[1])


def row_tiles(plan: Plan, batch: int, grid: tuple[int, int], pixel: int, is_small: bool) -> Iterator[RowTile]:
    """The output rows and pictures of a product, block by block.

    Args:
        plan: of the product.
        batch: pictures.
        grid: rows and columns of the panorama.
        pixel: bytes of a pixel's channels.
        is_small: keep tiles small enough for a cache; else a run is one tile.
    """
    pictures = min(batch, -(-LONG * plan.stride // grid[1])) if is_small else batch
    for run in plan.runs:
        line = pixel * run.kernel_shape[0] * (grid[1] + (run.kernel_shape[1] - 1) * plan.space)
        most = max(1, BLOCK // max(1, line * pictures)) if is_small else run.rows
        rows = -(-run.rows // -(-run.rows // most))
        rows = min(rows + rows % 2, most)  # even: two cores share them
        last = run.first_row + run.rows
        for first in range(run.first_row, last, rows):
            for start in range(0, max(1, batch), max(1, pictures)):
                part = slice(start, min(batch, start + pictures))
                yield RowTile(plan, run, range(first, min(last, first + rows)), part, grid)


def _row_places(seen: range, height: int) -> Iterator[tuple[slice, slice, bool]]:
    """Where rows lie: those on the grid in one piece, those past a pole one by one, turned."""
    inside = [place for place, row in enumerate(seen) if 0 <= row < height]
    if inside:
        first, last = inside[0], inside[-1]
        yield slice(first, last + 1), slice(seen[first], seen[last] + 1, seen.step), False
    for place, row in enumerate(seen):
        if not 0 <= row < height:
            folded = row % (2 * height)
            is_turned = folded >= height
            source = 2 * height - 1 - folded if is_turned else folded
            yield slice(place, place + 1), slice(source, source + 1), is_turned


def _column_places(start: int, length: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Where ``length`` columns from ``start`` on lie on a ring: in as few pieces as can be."""
    place = 0
    while place < length:
        origin = (start + place) % width
        count = min(width - origin, length - place)
        yield slice(place, place + count), slice(origin, origin + count)
        place += count

"""Blocks of a panorama's rows, laid out so that the windows of a kernel are rows of a matrix, without a copy of each.

Channels lie last, and the pictures of a batch one after the other on a line. Windows of ``n`` neighbouring pixels that
start ``n`` pixels apart follow one another in memory: a matrix ``(windows, n · channels)`` that a product reads as it
lies. ``n`` such matrices, each a pixel further, hold all windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from omniconv.surfaces.row_stencil import Run

BLOCK = 5 * 2**18
"""Bytes of input that a block holds, about: it stays in the cache of a core beside the kernels of its rows."""


class Plan(NamedTuple):
    """What a row product has to know: plain numbers, as operators of torch take them."""

    stride: int
    gap: int
    space: int
    runs: tuple[Run, ...]

    @classmethod
    def read(cls, numbers: list[int]) -> Plan:
        """From the numbers of ``written``."""
        found = [
            Run(first, rows, (up, across), tap)
            for first, rows, up, across, tap in zip(*(numbers[3 + place :: 5] for place in range(5)), strict=True)
        ]
        stride, gap, space = numbers[:3]
        return cls(stride, gap, space, tuple(found))

    def written(self) -> list[int]:
        """Stride, step between taps along rows and columns, then five numbers a run."""
        return [*self[:3], *(number for run in self.runs for number in (*run[:2], *run.shape, run.tap))]


@dataclass(frozen=True)
class Block:
    """Some output rows of a run and some pictures.

    Attributes:
        plan: strides and steps.
        run: whose kernels they are.
        first: of the output rows.
        rows: output rows.
        pictures: first and last + 1.
        grid: rows and columns of the panorama that the kernels see.
    """

    plan: Plan
    run: Run
    first: int
    rows: int
    pictures: tuple[int, int]
    grid: tuple[int, int]

    @property
    def batch(self) -> int:
        """Pictures."""
        return self.pictures[1] - self.pictures[0]

    @property
    def piece(self) -> int:
        """Neighbouring taps that a window holds: a whole row of the kernel, or one where the kernel is dilated."""
        return self.run.shape[1] if self.plan.space == 1 else 1

    @property
    def phases(self) -> int:
        """Matrices that hold all windows."""
        return -(-self.piece // self.plan.stride)

    @cached_property
    def slots(self) -> int:
        """Windows of a picture's row: its outputs and what fills up the padded line."""
        pixels = self.grid[1] + (self.run.shape[1] - 1) * self.plan.space
        return -(-pixels // (self.plan.stride * self.phases)) * self.phases

    @property
    def input_rows(self) -> int:
        """Rows of the panorama that the block sees."""
        return self.plan.stride * (self.rows - 1) + self.plan.gap * (self.run.shape[0] - 1) + 1

    def output_room(self, like: Tensor, channels: int, used: Tensor | None) -> Tensor:
        """Room for the outputs of all phases, ``(phases, rows, windows, channels)``; ``used`` where it fits."""
        shape = self.phases, self.rows, self.batch * self.slots // self.phases, channels
        return used if used is not None and used.shape == shape else like.new_empty(shape)

    def input_room(self, like: Tensor, used: Tensor | None) -> Tensor:
        """Room on a line for the rows that the block sees, and behind them for what the last windows touch.

        ``used`` by the block before it will do where it is as large: all that windows touch and no output needs has
        to be a number, no matter which.
        """
        line = self.batch * self.slots * self.plan.stride
        pixels = self.input_rows * line + self.run.shape[1] * self.plan.space
        size = pixels * like.shape[-1]
        return used if used is not None and len(used) == size else like.new_zeros(size)

    def lines(self, room: Tensor, channels: int) -> Tensor:
        """The same as ``(rows, pictures, padded columns, channels)``."""
        shape = self.input_rows, self.batch, self.slots * self.plan.stride, channels
        return room[: shape[0] * shape[1] * shape[2] * channels].view(shape)

    def windows(self, room: Tensor, channels: int) -> list[tuple[slice, list[Tensor]]]:
        """For each row and piece of taps, the matrices ``(rows, windows, piece · channels)`` of all phases.

        The slices say where the piece lies among the taps of a kernel, ``(rows, taps · channels, out)``.
        """
        line = self.batch * self.slots * self.plan.stride * channels
        strides = self.plan.stride * line, self.plan.stride * self.phases * channels, 1
        size = self.rows, self.batch * self.slots // self.phases, self.piece * channels
        found = []
        for up in range(self.run.shape[0]):
            for across in range(0, self.run.shape[1], self.piece):
                start = up * self.plan.gap * line + across * self.plan.space * channels
                phases = (start + self.plan.stride * phase * channels for phase in range(self.phases))
                tap = up * self.run.shape[1] + across
                place = slice(tap * channels, (tap + self.piece) * channels)
                found.append((place, [room.as_strided(size, strides, first) for first in phases]))
        return found

    def kernels(self, weight: Tensor) -> Tensor:
        """Those of each row as matrices ``(rows, taps · in, out)``, from a weight ``(taps, in, out)``."""
        taps = self.run.shape[0] * self.run.shape[1]
        start = self.run.tap + (self.first - self.run.first) * taps
        return weight[start : start + self.rows * taps].view(self.rows, -1, weight.shape[2])

    def outputs(self, y: Tensor, phase: int) -> Tensor:
        """Of outputs ``(height, batch, width, channels)`` those of one phase."""
        return y[self.first : self.first + self.rows, slice(*self.pictures), phase :: self.phases]

    def by_picture(self, product: Tensor, width: int) -> Tensor:
        """Windows of a phase, ``(rows, windows, channels)``, as ``width`` outputs of each picture."""
        return product.view(self.rows, self.batch, self.slots // self.phases, product.shape[2])[:, :, :width]

    def places(self) -> Iterator[tuple[slice, slice, slice, slice]]:
        """Rows and columns of ``lines``, and those of the panorama that lie there: over the poles, round the ring."""
        height, width = self.grid
        start = self.first * self.plan.stride - self.plan.gap * (self.run.shape[0] // 2)
        left = self.plan.space * (self.run.shape[1] // 2)
        length = width + (self.run.shape[1] - 1) * self.plan.space
        for rows, source, turned in _row_places(start, self.input_rows, height):
            for columns, origin in _column_places(-left + turned * (width // 2), length, width):
                yield rows, columns, source, origin

    def fill(self, room: Tensor, x: Tensor) -> None:
        """Put a panorama ``(height, batch, width, channels)`` into its places."""
        lines, x = self.lines(room, x.shape[3]), x[:, slice(*self.pictures)]
        for rows, columns, source, origin in self.places():
            lines[rows, :, columns] = x[source, :, origin]

    def send_back(self, room: Tensor, x: Tensor) -> None:
        """The adjoint of ``fill``: add what lies in each place to the panorama."""
        lines, x = self.lines(room, x.shape[3]), x[:, slice(*self.pictures)]
        for rows, columns, source, origin in self.places():
            x[source, :, origin] += lines[rows, :, columns]


def blocks(plan: Plan, batch: int, grid: tuple[int, int], pixel: int, is_small: bool) -> Iterator[Block]:
    """The output rows and pictures of a product, block by block.

    Args:
        plan: of the product.
        batch: pictures.
        grid: rows and columns of the panorama.
        pixel: bytes of a pixel's channels.
        is_small: keep blocks small enough for a cache; else a run is one block.
    """
    for run in plan.runs:
        line = pixel * (grid[1] + (run.shape[1] - 1) * plan.space)
        around = plan.gap * (run.shape[0] - 1)
        pictures = max(1, min(batch, BLOCK // (line * (around + 1)))) if is_small else max(1, batch)
        rows = max(1, (BLOCK // (line * pictures) - around - 1) // plan.stride + 1) if is_small else run.rows
        for first in range(run.first, run.first + run.rows, rows):
            for start in range(0, batch, pictures):
                last = min(run.first + run.rows, first + rows)
                yield Block(plan, run, first, last - first, (start, min(batch, start + pictures)), grid)


def _row_places(start: int, length: int, height: int) -> Iterator[tuple[slice, slice, bool]]:
    """Where ``length`` rows from ``start`` on lie: those on the grid in one piece, those past a pole one by one."""
    inside = range(max(start, 0), min(start + length, height))
    if inside:
        yield slice(inside.start - start, inside.stop - start), slice(inside.start, inside.stop), False
    for row in range(start, start + length):
        if row not in inside:
            folded = row % (2 * height)
            turned = folded >= height
            source = 2 * height - 1 - folded if turned else folded
            yield slice(row - start, row - start + 1), slice(source, source + 1), turned


def _column_places(start: int, length: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Where ``length`` columns from ``start`` on lie on a ring: in as few pieces as can be."""
    place = 0
    while place < length:
        origin = (start + place) % width
        count = min(width - origin, length - place)
        yield slice(place, place + count), slice(origin, origin + count)
        place += count


def precise(dtype: torch.dtype) -> torch.dtype:
    """What sums run in: single precision at least."""
    return torch.promote_types(dtype, torch.float32)

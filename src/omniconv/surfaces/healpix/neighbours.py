"""Neighbours of HEALPix cells across the edges of base faces, and square patches of any size.

A cursor moves from cell to cell in a direction relative to its start. Where a polar face meets the next one around the
pole, the axes of the two faces differ by a rotation of 90°; the cursor counts these rotations, so that its path stays
straight. Around eight points (the ends of the meridians between the polar faces, at z = ±2/3) only three cells meet:
the two ways around such a point end on two cells, and a diagonal tap there is the mean of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from omniconv.surfaces.healpix.indexing import cell_coordinates, cell_numbers
from omniconv.surfaces.neighbours.stencil import Stencil, csr_from_rows

NORTH_EAST, NORTH_WEST, SOUTH_WEST, SOUTH_EAST = DIRECTIONS = range(4)
OFFSETS = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Columns along x and rows along y of a step in each direction; each is rotated by 90° from the one before."""
_RING = np.arange(4)
NEXT_FACE = np.concatenate(
    [np.stack(row, axis=1) for row in (
        ((_RING + 1) % 4, (_RING - 1) % 4, _RING + 4, (_RING + 1) % 4 + 4),
        (_RING, (_RING - 1) % 4, (_RING - 1) % 4 + 8, _RING + 8),
        ((_RING + 1) % 4 + 4, _RING + 4, (_RING - 1) % 4 + 8, (_RING + 1) % 4 + 8),
    )]
)  # fmt: skip
"""The base face beyond each edge of a base face, ``(12, 4 directions)``."""
FACE_ROTATIONS = np.repeat([(-1, 1, 0, 0), (0, 0, 0, 0), (0, 0, -1, 1)], 4, axis=0)
"""Rotation in units of 90° between the axes of the two faces at that edge, ``(12, 4 directions)``."""

Cursor = tuple[np.ndarray, np.ndarray]
"""The current cell of each cursor, and the rotation of its axes since the start in units of 90°."""


@lru_cache(maxsize=16)
def neighbour_table(nside: int) -> Cursor:
    """Return the next cell in each direction and the rotation in units of 90°, both ``(12 · nside², 4 directions)``."""
    face, column, row = cell_coordinates(np.arange(12 * nside * nside), nside)
    cells, rotations = (np.empty((len(face), 4), dtype=np.int64) for _ in range(2))
    for direction, (right, up) in zip(DIRECTIONS, OFFSETS, strict=True):
        x, y = column + right, row + up
        leaves = (x < 0) | (x == nside) | (y < 0) | (y == nside)
        rotations[:, direction] = np.where(leaves, FACE_ROTATIONS[face, direction], 0)
        x, y = _rotate_cell(x % nside, y % nside, rotations[:, direction], nside)
        cells[:, direction] = cell_numbers(np.where(leaves, NEXT_FACE[face, direction], face), x, y, nside)
    return cells, rotations


def move(cursor: Cursor, nside: int, direction: int | np.ndarray, steps: int) -> Cursor:
    """Move cursors by some steps in a direction of their start cell, the same for all or one for each."""
    next_cell, rotations = neighbour_table(nside)
    cells, rotation = cursor
    for _ in range(steps):
        local = (direction + rotation) % 4
        cells, rotation = next_cell[cells, local], rotation + rotations[cells, local]
    return cells, rotation


def patch(nside: int, cells: np.ndarray, kernel_size: int, dilation: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the cells of each tap of a square patch, reached by row first and by column first.

    Taps are in row order; rows run from north-east to south-west, columns from north-west to south-east: for a kernel
    of three N, NE, E; NW, the cell, SE; W, SW, S.
    """
    start = cells, np.zeros_like(cells)
    offsets = [dilation * (tap - kernel_size // 2) for tap in range(kernel_size)]
    for down in offsets:
        along_rows = SOUTH_WEST if down > 0 else NORTH_EAST
        by_row = move(start, nside, along_rows, abs(down))
        for right in offsets:
            along_columns = SOUTH_EAST if right > 0 else NORTH_WEST
            by_column = move(start, nside, along_columns, abs(right))
            yield (
                move(by_row, nside, along_columns, abs(right))[0],
                move(by_column, nside, along_rows, abs(down))[0],
            )


@lru_cache(maxsize=16)
def patch_stencil(nside: int, kernel_size: int, dilation: int, stride: int) -> Stencil:
    """Return the taps of a patch around every cell, or at stride 2 around the northern child of every coarser cell."""
    count = 12 * nside * nside
    cells = np.arange(3, count, 4) if stride == 2 else np.arange(count)
    pairs = (np.stack(pair, axis=1) for pair in patch(nside, cells, kernel_size, dilation))
    return Stencil.of([csr_from_rows(pair, 0.5, count) for pair in pairs])  # ½ and ½, or 1 where both are the same


def _rotate_cell(x: np.ndarray, y: np.ndarray, rotations: np.ndarray, nside: int) -> tuple[np.ndarray, np.ndarray]:
    """Rotate cells of a square: by 90° to the left for 1, to the right for −1."""
    last = nside - 1
    return np.choose(rotations % 4, (x, last - y, x, y)), np.choose(rotations % 4, (y, x, y, last - x))

"""Steps from cell to cell of HEALPix, over the edges of base faces and on: neighbours, and patches of any size.

A walker keeps its bearing: where a polar face meets the next one around the pole, the four bearings of the new face
are a quarter turn off those of the old one, and the walker turns with them. Around eight points (the ends of the
meridians between the polar faces, at z = ±2/3) only three cells meet; two ways around such a point end on two cells,
and a diagonal tap there is the mean of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from scipy import sparse

from omniconv.surfaces.healpix.indexing import cell_coordinates, cell_numbers
from omniconv.surfaces.neighbours.stencil import Stencil

NORTH_EAST, NORTH_WEST, SOUTH_WEST, SOUTH_EAST = BEARINGS = range(4)
MOVES = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Columns along x and rows along y of a step on each bearing; each bearing is the last one turned by a quarter."""
_RING = np.arange(4)
NEXT_FACE = np.concatenate(
    [np.stack(row, axis=1) for row in (
        ((_RING + 1) % 4, (_RING - 1) % 4, _RING + 4, (_RING + 1) % 4 + 4),
        (_RING, (_RING - 1) % 4, (_RING - 1) % 4 + 8, _RING + 8),
        ((_RING + 1) % 4 + 4, _RING + 4, (_RING - 1) % 4 + 8, (_RING + 1) % 4 + 8),
    )]
)  # fmt: skip
"""The base face beyond each edge of a base face, ``(12, 4 bearings)``."""
TURN = np.repeat([(-1, 1, 0, 0), (0, 0, 0, 0), (0, 0, -1, 1)], 4, axis=0)
"""By how many quarters a walker turns who crosses that edge, ``(12, 4 bearings)``."""

Walkers = tuple[np.ndarray, np.ndarray]
"""The cell on which each walker stands, and by how many quarters it has turned."""


@lru_cache(maxsize=16)
def steps(nside: int) -> Walkers:
    """The cell after a step on each bearing, and the turn on the way, both ``(12 · nside², 4 bearings)``."""
    face, column, row = cell_coordinates(np.arange(12 * nside * nside), nside)
    cells, turns = (np.empty((len(face), 4), dtype=np.int64) for _ in range(2))
    for bearing, (right, up) in zip(BEARINGS, MOVES, strict=True):
        x, y = column + right, row + up
        leaves = (x < 0) | (x == nside) | (y < 0) | (y == nside)
        turns[:, bearing] = np.where(leaves, TURN[face, bearing], 0)
        x, y = _turned(x % nside, y % nside, turns[:, bearing], nside)
        cells[:, bearing] = cell_numbers(np.where(leaves, NEXT_FACE[face, bearing], face), x, y, nside)
    return cells, turns


def walk(walkers: Walkers, nside: int, bearing: int | np.ndarray, count: int) -> Walkers:
    """Where walkers stand after some steps on a bearing of the cell where they set out, one for all or one each."""
    next_cell, turn = steps(nside)
    cells, turned = walkers
    for _ in range(count):
        local = (bearing + turned) % 4
        cells, turned = next_cell[cells, local], turned + turn[cells, local]
    return cells, turned


def patch(nside: int, cells: np.ndarray, kernel_size: int, dilation: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The cells of a square patch around each cell, tap by tap, each by two ways that mostly end on one cell.

    Taps run row by row; rows run from north-east to south-west, columns from north-west to south-east: for a kernel of
    three N, NE, E; NW, the cell, SE; W, SW, S.
    """
    start = cells, np.zeros_like(cells)
    offsets = [dilation * (place - kernel_size // 2) for place in range(kernel_size)]
    for down in offsets:
        by_row = walk(start, nside, SOUTH_WEST if down > 0 else NORTH_EAST, abs(down))
        for right in offsets:
            along = SOUTH_EAST if right > 0 else NORTH_WEST
            by_column = walk(start, nside, along, abs(right))
            yield (
                walk(by_row, nside, along, abs(right))[0],
                walk(by_column, nside, SOUTH_WEST if down > 0 else NORTH_EAST, abs(down))[0],
            )


@lru_cache(maxsize=16)
def patch_stencil(nside: int, kernel_size: int, dilation: int, stride: int) -> Stencil:
    """Taps of a patch around every cell, or at stride 2 around the northern child of every coarser cell."""
    count = 12 * nside * nside
    cells = np.arange(3, count, 4) if stride == 2 else np.arange(count)
    return Stencil.of([_mean_of(ways, count) for ways in patch(nside, cells, kernel_size, dilation)])


def _mean_of(ways: tuple[np.ndarray, np.ndarray], count: int) -> sparse.csr_array:
    """The mean of two cells, or the one on which both ways end: rows of half and half, or of 1."""
    outputs = len(ways[0])
    ends = np.arange(0, 2 * outputs + 1, 2)
    picks = sparse.csr_array((np.full(2 * outputs, 0.5), np.stack(ways, axis=1).ravel(), ends), shape=(outputs, count))
    picks.sum_duplicates()
    return picks


def _turned(x: np.ndarray, y: np.ndarray, turn: np.ndarray, nside: int) -> Walkers:
    """A cell of a square turned by a quarter to the left (1), to the right (−1) or not (0)."""
    last = nside - 1
    return np.choose(turn % 4, (x, last - y, x, y)), np.choose(turn % 4, (y, x, y, last - x))

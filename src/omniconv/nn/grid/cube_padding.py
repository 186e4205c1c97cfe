"""Frames around the six faces of a cube, filled over its edges, and their adjoint.

Past a corner of the cube, where no pixel is, stands the mean of the two nearest; of whole numbers, the first of them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from omniconv.surfaces.cubemap.faces import padded_pixels

Sides = tuple[int, int]


class CubeStrip(NamedTuple):
    """The samples past one edge of every face.

    Attributes:
        before: rows and columns of the frame before the faces.
        after: rows and columns of the frame after them.
        rows: those of the framed faces that belong to the strip, first and last + 1.
        columns: the same of the columns.
    """

    before: Sides
    after: Sides
    rows: Sides
    columns: Sides

    def gather(self, x: Tensor) -> Tensor:
        """The samples: ``(…, 6, size, size)`` to ``(…, 6, rows, columns)``."""
        one, other = self._places(x)
        flat = x.flatten(-3)
        first = flat.index_select(-1, one)
        if x.is_floating_point():
            first = torch.lerp(first, flat.index_select(-1, other), 0.5)
        return first.unflatten(-1, self._shape)

    def scatter_add_(self, y: Tensor, piece: Tensor) -> None:
        """The adjoint: each sample of ``piece`` is added to where it comes from, in halves if from two."""
        halves = piece.flatten(-3) / 2
        flat = y.flatten(-3) if y.is_contiguous() else torch.zeros_like(y.flatten(-3))
        for places in self._places(y):
            flat.index_add_(-1, places, halves)
        if not y.is_contiguous():
            y.add_(flat.unflatten(-1, y.shape[-3:]))

    @property
    def _shape(self) -> tuple[int, int, int]:
        return 6, self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]

    def _places(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            return _constant(x, *self)
        return _kept(x.device, x.shape[-1], *self)


def strips(size: int, rows: Sides, columns: Sides) -> list[CubeStrip]:
    """The strips of a frame: above and below with the corners, then left and right of the faces.

    Args:
        size: pixels along a face.
        rows: of the frame before and after the faces.
        columns: of the frame before and after the faces.
    """
    frame = (rows[0], columns[0]), (rows[1], columns[1])
    wide, own = (0, columns[0] + size + columns[1]), (rows[0], rows[0] + size)
    return [
        CubeStrip(*frame, (0, rows[0]), wide),
        CubeStrip(*frame, (own[1], own[1] + rows[1]), wide),
        CubeStrip(*frame, own, (0, columns[0])),
        CubeStrip(*frame, own, (columns[0] + size, wide[1])),
    ]


def pad_cube(x: Tensor, rows: Sides, columns: Sides) -> Tensor:
    """``(…, 6, size, size)`` with a frame around each face."""
    above, below, left, right = (strip.gather(x) for strip in strips(x.shape[-1], rows, columns))
    return torch.cat([above, torch.cat([left, x, right], -1), below], -2)


def pad_cube_adjoint(y: Tensor, rows: Sides, columns: Sides) -> Tensor:
    """The adjoint of ``pad_cube``; ``y`` may be changed."""
    size = y.shape[-1] - sum(columns)
    core = y.narrow(-2, rows[0], size).narrow(-1, columns[0], size).contiguous()
    for strip in strips(size, rows, columns):
        first, last = strip.rows
        left, right = strip.columns
        if last > first and right > left:
            strip.scatter_add_(core, y[..., first:last, left:right])
    return core


@torch.compiler.allow_in_graph
def _constant(x: Tensor, *strip: Sides) -> Tensor:
    """A tensor of its own for a program that keeps it."""
    return torch.tensor(_table(x.shape[-1], *strip), device=x.device)


@lru_cache(maxsize=256)
def _kept(device: torch.device, size: int, *strip: Sides) -> Tensor:
    with torch.inference_mode(False):  # the table is kept, also for a training that comes later
        return torch.from_numpy(_table(size, *strip)).to(device)


@lru_cache(maxsize=256)
def _table(size: int, before: Sides, after: Sides, rows: Sides, columns: Sides) -> np.ndarray:
    places = padded_pixels(size, before, after)[:, :, rows[0] : rows[1], columns[0] : columns[1]]
    return places.reshape(2, -1).copy()

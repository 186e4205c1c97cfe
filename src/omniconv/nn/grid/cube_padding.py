"""Padding of the six faces of a cube over its edges, and the adjoint.

Three faces meet at a corner of the cube, so there is no pixel diagonally beyond it: a padded pixel there is the mean of
the two nearest ones (for integer signals the first of the two, since labels have no mean).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from omniconv.nn.torch_private import fake_copies, without_dispatch_modes
from omniconv.surfaces.cubemap.faces import padded_pixels

Sides = tuple[int, int]


class CubeStrip(NamedTuple):
    """Padding along one edge of every face."""

    before: Sides  # rows and columns of padding before the faces
    after: Sides  # rows and columns of padding after the faces
    rows: Sides  # start and stop of the strip's rows in the padded faces
    columns: Sides  # start and stop of the strip's columns in the padded faces

    def gather(self, x: Tensor) -> Tensor:
        """Return the padded pixels: ``(..., 6, size, size)`` to ``(..., 6, rows, columns)``."""
        one, other = self._indices(x)
        flat = x.flatten(-3)
        strip = flat.index_select(-1, one)
        if x.is_floating_point():
            strip = torch.lerp(strip, flat.index_select(-1, other), 0.5)
        return strip.unflatten(-1, (6, self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]))

    def scatter_add_(self, y: Tensor, strip: Tensor) -> None:
        """Add the adjoint of ``gather`` to ``y`` in place: half of each padded pixel to each of its two sources."""
        halves = strip.flatten(-3) / 2
        flat = y.flatten(-3) if y.is_contiguous() else torch.zeros_like(y.flatten(-3))
        for index in self._indices(y):
            flat.index_add_(-1, index, halves)
        if not y.is_contiguous():  # flatten made a copy
            y.add_(flat.unflatten(-1, y.shape[-3:]))

    def _indices(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            from omniconv.nn.grid.cube_tracing import indices_in_graph  # its decorator imports torch._dynamo: 1.4 s

            return indices_in_graph(x, *self)
        indices = _cached_indices(x.device, x.shape[-1], *self)
        return indices if type(x) is Tensor else fake_copies([indices], x)[0]


def cube_strips(size: int, rows: Sides, columns: Sides) -> list[CubeStrip]:
    """Return the strips above and below faces of ``size`` pixels, corners included, then those left and right."""
    before, after = (rows[0], columns[0]), (rows[1], columns[1])
    all_columns, own_rows = (0, columns[0] + size + columns[1]), (rows[0], rows[0] + size)
    return [
        CubeStrip(before, after, (0, rows[0]), all_columns),
        CubeStrip(before, after, (own_rows[1], own_rows[1] + rows[1]), all_columns),
        CubeStrip(before, after, own_rows, (0, columns[0])),
        CubeStrip(before, after, own_rows, (columns[0] + size, all_columns[1])),
    ]


def pad_cube(x: Tensor, rows: Sides, columns: Sides) -> Tensor:
    """Pad each face of ``(..., 6, size, size)`` by the given rows and columns before and after."""
    above, below, left, right = (strip.gather(x) for strip in cube_strips(x.shape[-1], rows, columns))
    return torch.cat([above, torch.cat([left, x, right], -1), below], -2)


def pad_cube_adjoint(y: Tensor, rows: Sides, columns: Sides) -> Tensor:
    """Apply the adjoint of ``pad_cube``; ``y`` may be changed."""
    size = y.shape[-1] - sum(columns)
    core = y.narrow(-2, rows[0], size).narrow(-1, columns[0], size).contiguous()
    for strip in cube_strips(size, rows, columns):
        (top, bottom), (left, right) = strip.rows, strip.columns
        if bottom > top and right > left:
            strip.scatter_add_(core, y[..., top:bottom, left:right])
    return core


@lru_cache(maxsize=256)
def _cached_indices(device: torch.device, size: int, *strip: Sides) -> Tensor:
    # A cached tensor of inference mode or of a tracer's fake mode could not be used outside of it later.
    with without_dispatch_modes(), torch.inference_mode(False):
        return torch.from_numpy(cube_indices(size, *strip)).to(device)


@lru_cache(maxsize=256)
def cube_indices(size: int, before: Sides, after: Sides, rows: Sides, columns: Sides) -> np.ndarray:
    """Return the flat indices ``(2, 6 · rows · columns)`` of the two source pixels of each padded pixel."""
    pixels = padded_pixels(size, before, after)[:, :, rows[0] : rows[1], columns[0] : columns[1]]
    return pixels.reshape(2, -1).copy()

"""Kernels that differ between the rows of a panorama and are shared along its longitude."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

import numpy as np

from omniconv.errors import InputError
from omniconv.surfaces.neighbours.border import border_index


class RowBand(NamedTuple):
    """Adjacent output rows whose kernels have the same shape."""

    first_row: int
    rows: int  # number of rows
    kernel_shape: tuple[int, int]  # rows and columns of taps
    first_tap: int  # offset of the band's taps in the weight's last axis

    @property
    def taps(self) -> int:
        """Number of taps of all rows of the band."""
        return self.rows * self.kernel_shape[0] * self.kernel_shape[1]


@dataclass(frozen=True)
class RowStencil:
    """One kernel with its own shape for each output row of a panorama ``height × 2 · height``.

    The panorama continues beyond the poles and the left and right edge, as with the border ``("pole", "circular")``.
    Output (r, c) is centred on the input pixel (r · stride, c · stride). A weight ``(out, in / groups, taps)`` holds
    the taps of all rows, one output row after the other, and within a row from the north-west, row by row.

    Args:
        height: rows of the panorama that the kernels see.
        shapes: rows and columns of taps for each output row, all odd.
        stride: rows and columns from one output to the next.
        dilation: rows and columns from one tap to the next.
        is_adjoint: this is the adjoint: signals on the output grid come in, signals on the panorama go out.

    Raises:
        InputError: an even shape, or not one shape for each output row.

    Example:
        >>> stencil = RowStencil(4, ((3, 5), (3, 3), (3, 3), (3, 5)))
        >>> stencil.taps, stencil.output_shape, len(stencil.bands)
        (48, (4, 8), 3)
    """

    height: int
    shapes: tuple[tuple[int, int], ...]
    stride: int = 1
    dilation: tuple[int, int] = (1, 1)
    is_adjoint: bool = False

    def __post_init__(self) -> None:
        if self.height % self.stride or len(self.shapes) != self.height // self.stride:
            rule = f"must be one for each of {self.height} / {self.stride} rows"
            raise InputError("shapes", len(self.shapes), rule, "count the output rows")
        if any(taps % 2 == 0 or taps < 1 for shape in self.shapes for taps in shape):
            raise InputError("shapes", self.shapes, "must be odd, so that a pixel is in the middle", "use (3, 3)")

    @property
    def taps(self) -> int:
        """Number of taps of all rows."""
        return sum(rows * columns for rows, columns in self.shapes)

    @property
    def kernel_shape(self) -> tuple[int]:
        """Shape of the taps in a weight."""
        return (self.taps,)

    @property
    def max_kernel_shape(self) -> tuple[int, int]:
        """Largest number of rows and largest number of columns of any kernel."""
        rows, columns = np.max(self.shapes, axis=0)
        return int(rows), int(columns)

    @property
    def input_shape(self) -> tuple[int, int]:
        """Rows and columns of the input."""
        return self._grid(self.stride if self.is_adjoint else 1)

    @property
    def output_shape(self) -> tuple[int, int]:
        """Rows and columns of the output."""
        return self._grid(1 if self.is_adjoint else self.stride)

    @property
    def adjoint(self) -> RowStencil:
        """The stencil of the exactly adjoint convolution, with the same weights."""
        return replace(self, is_adjoint=not self.is_adjoint)

    @cached_property
    def bands(self) -> tuple[RowBand, ...]:
        """Maximal bands of adjacent output rows with kernels of one shape, from north to south."""
        bands: list[RowBand] = []
        for shape, rows in groupby(self.shapes):
            first = sum(band.rows for band in bands)
            bands.append(RowBand(first, len(list(rows)), shape, sum(band.taps for band in bands)))
        return tuple(bands)

    @property
    def taps_by_row(self) -> np.ndarray:
        """Number of taps of each row's kernel, ``(rows,)``."""
        return np.prod(self.shapes, axis=1)

    def pixels(self, row: int) -> np.ndarray:
        """Return the flat pixel index of each tap of a row's outputs, ``(columns, rows of taps, columns of taps)``.

        This is the slow definition that the fast operators are tested against.
        """
        width = 2 * self.height
        (taps_down, taps_across), (dilation_h, dilation_w) = self.shapes[row], self.dilation
        rows = row * self.stride + dilation_h * (np.arange(taps_down) - taps_down // 2)
        source, is_rolled, _ = border_index(rows, self.height, "pole")
        roll = np.where(is_rolled, self.height, 0)[None, :, None]
        first = np.arange(0, width, self.stride)[:, None, None]
        columns = first + dilation_w * (np.arange(taps_across) - taps_across // 2)
        return source[None, :, None] * width + (columns + roll) % width

    def _grid(self, step: int) -> tuple[int, int]:
        return self.height // step, 2 * self.height // step


def split_by_row(weight: np.ndarray, shapes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Return views of a weight ``(out, in, taps)`` as the kernel ``(out, in, rows, columns)`` of each row."""
    ends = np.cumsum([rows * columns for rows, columns in shapes])[:-1]
    return [
        part.reshape(*weight.shape[:2], *shape)
        for part, shape in zip(np.split(weight, ends, axis=2), shapes, strict=True)
    ]

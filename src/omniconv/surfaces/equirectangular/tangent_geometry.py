"""Kernels on the planes that touch the sphere at the pixels of a panorama (SphereNet: Coors et al., ECCV 2018).

The taps of a kernel lie where the pixels around a pixel on the equator lie, seen from there (section 3.1 of the paper:
x = tan jΔ, y = tan iΔ / cos jΔ on the touching plane, Δ = π / height); the plane is then moved to every other pixel. A
direction in the frame of a pixel (outward, east, north) says the same without the plane: so nothing breaks over a
pole, and a tap that lies 90° away or more goes on along the sphere, as the neighbours of the equator do.

All pixels of a row share a kernel up to a turn about the axis: it is worked out once a row, and turned by columns.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import sparse

from omniconv.errors import InputError
from omniconv.surfaces import panorama
from omniconv.surfaces.base import Resampling
from omniconv.surfaces.neighbours.periodic_stencil import PeriodicStencil
from omniconv.surfaces.neighbours.stencil import Stencil

LEAST_WEIGHT = 1e-9
"""Shares below it come from rounding: of pixels that a tap falls on, or between."""


class Centres(NamedTuple):
    """Where kernels are centred: from ``start`` on, every ``step`` pixels, along rows and along columns.

    Outputs of stride 2 lie on the even rows and columns, as those of a flat convolution with padding SAME do; windows
    of an even size, which have no middle pixel, half a pixel further.
    """

    height: int
    start: tuple[float, float]
    step: int

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the outputs."""
        return self.height // self.step, 2 * self.height // self.step


def conv_stencil(height: int, kernel_size: tuple[int, int], stride: int, dilation: tuple[int, int]) -> PeriodicStencil:
    """The taps of a kernel, row by row, around every pixel, or at stride 2 around those of even rows and columns.

    Raises:
        InputError: an even kernel size.

    Example:
        >>> conv_stencil(8, (3, 3), 1, (1, 1)).kernel_shape
        (3, 3)
    """
    if any(taps % 2 == 0 for taps in kernel_size):
        raise InputError("kernel_size", kernel_size, "must be odd: a pixel is in its middle", "use kernel_size=3")
    return _stencil(Centres(height, (0.0, 0.0), stride), kernel_size, dilation)


def adjoint_stencil(
    height: int, kernel_size: tuple[int, int], stride: int, dilation: tuple[int, int]
) -> PeriodicStencil:
    """The transpose of every tap of a convolution of ``height`` rows."""
    return conv_stencil(height, kernel_size, stride, dilation).adjoint


def window_stencil(height: int, kernel_size: tuple[int, int], stride: int) -> PeriodicStencil:
    """The samples of a pooling window on its own touching plane, one operator for each, row by row.

    Raises:
        InputError: an even window at stride 1.
    """
    start = tuple((taps + 1) % 2 / 2 for taps in kernel_size)
    if stride == 1 and any(start):
        raise InputError(
            "kernel_size", kernel_size, "must be odd at stride 1: a pixel is in its middle", "use kernel_size=3"
        )
    return _stencil(Centres(height, (start[0], start[1]), stride), kernel_size, (1, 1))


@lru_cache(maxsize=16)
def mean_stencil(height: int, kernel_size: tuple[int, int], stride: int) -> Stencil:
    """Means of windows; windows of 2×2 at stride 2 part the grid, and count its pixels by area."""
    if (kernel_size, stride) == ((2, 2), 2):
        shares = panorama.pixel_areas(height, 2 * height).reshape(height // 2, 2, height, 2)
        shares = (shares / shares.sum(axis=(1, 3), keepdims=True)).swapaxes(1, 2).reshape(-1, 4)
        pixels = np.arange(2 * height * height).reshape(height // 2, 2, height, 2).swapaxes(1, 2).reshape(-1, 4)
        return _picked(pixels, shares, (height, 2 * height), (height // 2, height))
    window = window_stencil(height, kernel_size, stride)
    rows = np.arange(window.pattern.shape[0])
    together = sparse.csr_array((np.full(len(rows), 1 / window.taps), (rows // window.taps, rows)))
    first = sparse.csr_array(together @ window.pattern)
    return PeriodicStencil(first, window.repeats, window.input_shape, window.output_shape, (1,))


@lru_cache(maxsize=16)
def growth_stencil(height: int, mode: Resampling) -> Stencil:
    """From ``height`` rows to twice as many: linear between pixel centres, or each pixel four times."""
    if mode == "nearest":
        rows, columns = np.arange(2 * height) // 2, np.arange(4 * height) // 2
        pixels = (rows[:, None] * 2 * height + columns).reshape(-1, 1)
        shares = np.ones_like(pixels, dtype=np.float64)
    else:
        directions = panorama.pixel_directions(2 * height, 4 * height).reshape(-1, 3)
        pixels, shares = panorama.bilinear_pixels(directions, height, 2 * height)
        shares = np.round(16 * shares) / 16  # quarters along rows times quarters along columns
    return _picked(pixels, shares, (height, 2 * height), (2 * height, 4 * height))


def tap_directions(centres: Centres, kernel_size: tuple[int, int], dilation: tuple[int, int]) -> np.ndarray:
    """Directions of the taps around the first centre of each row, ``(rows, taps, 3)``."""
    pixel = np.pi / centres.height
    down, right = (
        gap * pixel * (np.arange(taps) - (taps - 1) / 2) for taps, gap in zip(kernel_size, dilation, strict=True)
    )
    seen = panorama.unit_vectors(-down[:, None], right[None, :]).reshape(-1, 3)  # outward, east, north
    rows = centres.start[0] + centres.step * np.arange(centres.grid[0])
    return np.einsum("tk,rkx->rtx", seen, _frames(np.pi / 2 - (rows + 0.5) * pixel, (centres.start[1] + 0.5) * pixel))


def _frames(latitude: np.ndarray, east_of_edge: float) -> np.ndarray:
    """Outward, east and north at points of one meridian, ``(n, 3, 3)``."""
    longitude = np.full_like(latitude, east_of_edge - np.pi)
    outward = panorama.unit_vectors(latitude, longitude)
    east = panorama.unit_vectors(np.zeros_like(latitude), longitude + np.pi / 2)
    return np.stack([outward, east, np.cross(outward, east)], axis=1)


@lru_cache(maxsize=16)
def _stencil(centres: Centres, kernel_size: tuple[int, int], dilation: tuple[int, int]) -> PeriodicStencil:
    """The taps of the first output in each row say those of all."""
    shape = (centres.height, 2 * centres.height)
    pixels, shares = panorama.bilinear_pixels(tap_directions(centres, kernel_size, dilation), *shape)
    shares = np.where(shares < LEAST_WEIGHT, 0, shares)
    shares = shares / shares.sum(axis=-1, keepdims=True)
    ends = np.concatenate([[0], np.cumsum((shares > 0).sum(axis=-1).ravel())])
    first = sparse.csr_array((shares[shares > 0], pixels[shares > 0], ends), (len(ends) - 1, shape[0] * shape[1]))
    return PeriodicStencil(first, centres.grid[1], shape, centres.grid, kernel_size)


def _picked(
    pixels: np.ndarray, shares: np.ndarray, input_shape: tuple[int, int], output_shape: tuple[int, int]
) -> Stencil:
    """One operator from pixels and their shares, both ``(outputs, entries)``."""
    kind = _index_type(pixels.size)
    ends = np.arange(len(pixels) + 1, dtype=kind) * kind(pixels.shape[1])
    shape = (len(pixels), input_shape[0] * input_shape[1])
    operator = sparse.csr_array((shares.ravel(), pixels.ravel().astype(kind), ends), shape=shape)
    operator.sum_duplicates()
    return Stencil((operator,), input_shape, output_shape)


def _index_type(entries: int) -> type[np.signedinteger]:
    """The smaller one wherever it can count the entries."""
    return np.int32 if entries < 2**31 else np.int64

"""Contextual attention on any surface (Yu et al., "Generative Image Inpainting with Contextual Attention", 2018)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.checks import check_integer, check_number
from omniconv.nn.arguments import check_on_surface
from omniconv.nn.conv.partial_conv import MIN_SHARE, WINDOW, check_mask, make_share
from omniconv.nn.dispatch import make_conv
from omniconv.nn.grid.conv import make_grid_conv, make_grid_conv_transpose
from omniconv.nn.grid.padding import pad
from omniconv.nn.jit_tracing import Traceable
from omniconv.surfaces import Border, Plane, RowStencil, Stencil, Surface

MIN_NORM = 1e-4
"""Smallest norm that a key is divided by, as published."""


class ContextualAttention(Traceable, nn.Module):
    """Replacement of every sample by a mean of samples outside the hole with similar neighbourhoods.

    A query and a key are the features that a 3×3 convolution sees around a sample (on an icosphere its values,
    derivatives and Laplacian); a key has norm 1. On grids queries and keys are at half the size (every second sample),
    scores of pairs that are shifted alike along an axis are added (the ``fuse`` of the published code), and what is
    copied are overlapping patches of 4×4 samples. Meshes have no axes to shift along and no such patches: there every
    sample is a query and a key, and single samples are copied.

    Args:
        channels: channels of the signal.
        surface: surface of the signal.
        scale: factor of the scores before the softmax.

    Shape:
        A signal ``(batch, channels, *grid)`` and a mask ``(batch or 1, 1, *grid)``, not 0 in the hole, to a signal of
        the same shape. A key with a hole in its neighbourhood gets the score 0 and, after the softmax, the weight 0;
        with no other key the result is 0.

    Raises:
        InputError: an argument out of range; a signal or mask of another shape.

    On a plane with borders of zeros the last sample of a row is followed by the first of the next one when scores are
    added, as in the published code; beyond other borders follow the border's samples. The work grows with the square of
    the number of samples.

    Example:
        >>> layer = ContextualAttention(8)
        >>> layer(torch.zeros(1, 8, 16, 12), torch.zeros(1, 1, 16, 12)).shape
        torch.Size([1, 8, 16, 12])
    """

    def __init__(self, channels: int, surface: Surface = Plane(), scale: float = 10.0) -> None:  # noqa: B008
        super().__init__()
        self.channels = check_integer("channels", channels, 1, "use channels=96")
        self.scale = check_number("scale", scale, lambda value: 0 < value < math.inf, "must be above 0", "use 10.0")
        self.surface = surface
        neighbours = surface.conv_neighbours()
        if isinstance(neighbours, RowStencil):  # its kernels differ between rows; patches are windows of the grid
            neighbours = surface.pool_neighbours()
        self.attend = Attention(channels, neighbours, self.scale)
        self.step = 2 if isinstance(neighbours, Border) else 1
        """Samples from one query to the next along each axis: shifts by multiples of it are equivariant."""
        axes = surface.kernel_ndim if self.step == 2 else 1
        self.every: Any = (..., *[slice(None, None, self.step)] * axes)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Fill a signal by attention to its samples outside the hole."""
        check_on_surface(x, self.surface, self.channels)
        hole = check_mask("mask", mask, x, per_channel=False).to(x.dtype)
        return self.attend(x, x[self.every], hole[self.every])

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.channels}, scale={self.scale}, surface={self.surface}"


class Attention(nn.Module):
    """``ContextualAttention`` for queries and keys that were selected; a layer of its own in summaries."""

    def __init__(self, channels: int, neighbours: Border | Stencil, scale: float) -> None:
        super().__init__()
        self.channels, self.scale = channels, scale
        # Any: torch declares the attributes of modules as Tensor | Module.
        self.patches: Any = _GridPatches(channels, neighbours) if isinstance(neighbours, Border) else _Samples()
        self.kernel, self.gather = make_conv(neighbours, WINDOW._replace(groups=channels))
        self.share = make_share(neighbours)

    def forward(self, x: Tensor, selected: Tensor, hole: Tensor) -> Tensor:
        """Return the signal ``x``, of which queries and keys are ``selected`` samples with their ``hole``."""
        around = self.gather(selected, one_hot(x, self.channels, self.kernel), None).flatten(2)  # (B, C · taps, N)
        keys = F.normalize(around, dim=1, eps=MIN_NORM)
        scores = around.transpose(1, 2) @ keys  # (B, queries, keys)
        scores = self.patches.fuse(scores, selected.shape[2:])
        usable = (self.share(hole) <= MIN_SHARE).flatten(1)[:, None].to(x.dtype)
        weights = torch.softmax(scores * usable * self.scale, 2) * usable
        return self.patches.copy(x, weights)


class _Samples(nn.Module):
    """Single samples of a mesh."""

    def fuse(self, scores: Tensor, grid: Sequence[int]) -> Tensor:
        return scores

    def copy(self, x: Tensor, weights: Tensor) -> Tensor:
        return (x.flatten(2) @ weights.transpose(1, 2)).view(x.shape)


class _GridPatches(nn.Module):
    """Patches of 4 samples on each axis, around every second sample."""

    def __init__(self, channels: int, border: Border) -> None:
        super().__init__()
        self.channels, self.border, self.axes = channels, border, border.kernel_ndim
        window = (4, 2, "same_upper", 1, channels)
        self.gather, self.paste = make_grid_conv(border, *window), make_grid_conv_transpose(border, *window, 0)
        # As published with zeros, also at the edges of the image, where fewer patches overlap.
        self.overlap: Callable[..., Tensor | int] = (
            self._two_along_each_axis if _is_zeros(border) else self._count_patches
        )

    def fuse(self, scores: Tensor, grid: Sequence[int]) -> Tensor:
        """Add the scores of pairs of samples one step away, along the last axis, then along the one before."""
        for axis in range(1, self.axes + 1):
            shifts = [_shifted(self.border, tuple(grid), -axis, step, scores) for step in (-1, 1)]
            padded = F.pad(scores, (0, 1, 0, 1))  # 0 where there is no such sample
            scores = scores + sum(padded.index_select(1, shift).index_select(2, shift) for shift in shifts)
        return scores

    def copy(self, x: Tensor, weights: Tensor) -> Tensor:
        kernel = one_hot(x, self.channels, (4,) * self.axes)
        values = self.gather(x, kernel, None)
        copied = (values.flatten(2) @ weights.transpose(1, 2)).view(values.shape)
        return self.paste(copied, kernel, None, x.shape[2:]) / self.overlap(values, kernel, x.shape[2:])

    def _count_patches(self, values: Tensor, kernel: Tensor, grid: Sequence[int]) -> Tensor:
        return self.paste(torch.ones_like(values[:1]), kernel, None, grid)

    def _two_along_each_axis(self, values: Tensor, kernel: Tensor, grid: Sequence[int]) -> int:
        return 2**self.axes


def one_hot(like: Tensor, channels: int, kernel: Sequence[int]) -> Tensor:
    """Return the weight ``(channels · taps, 1, *kernel)`` of the grouped convolution that returns all taps."""
    taps = math.prod(kernel)
    one = torch.eye(taps, dtype=like.dtype, device=like.device).view(taps, 1, *kernel)
    return one.repeat(channels, 1, *[1] * len(kernel))


def _shifted(border: Border, grid: tuple[int, ...], axis: int, step: int, like: Tensor) -> Tensor:
    """Return the flat index of the sample ``step`` further along an axis for each sample; the number of samples: none.

    With borders of zeros all around, the published code's order: the next line follows on each line, also along the
    axis fused last, for which the code transposes the grid.
    """
    count = math.prod(grid)
    index = torch.arange(count, device=like.device).view(grid)
    if _is_zeros(border):
        lines = index.movedim(axis, -1)
        order = F.pad(lines.flatten(), (1, 1), value=count)
        shifted = order[:-2] if step < 0 else order[2:]
        return shifted.view(lines.shape).movedim(-1, axis).flatten()
    amounts = [(0, 0)] * len(grid)
    amounts[axis] = (int(step < 0), int(step > 0))
    padded = pad(index[None, None] + 1, amounts, border)[0, 0]  # 0 beyond a border of zeros
    padded = torch.where(padded == 0, count, padded - 1)
    return padded.narrow(axis, 0 if step < 0 else 1, grid[axis]).flatten()


def _is_zeros(border: Border) -> bool:
    return all(modes == ("zeros", "zeros") for modes in border.modes)

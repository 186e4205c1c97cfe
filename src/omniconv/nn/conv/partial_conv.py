"""Partial convolution (Liu et al., "Image Inpainting for Irregular Holes", ECCV 2018) on any surface."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from omniconv.errors import InputError
from omniconv.nn.arguments import Padding, Size, check_on_surface, check_tensor, parse_window
from omniconv.nn.conv.conv import Conv
from omniconv.nn.dispatch import ConvWindow, make_conv
from omniconv.nn.stencil.modules import StencilProduct
from omniconv.nn.surface_tables.table_module import TableModule
from omniconv.surfaces import Plane, RowStencil, Stencil, Surface
from omniconv.surfaces.base import Neighbours
from omniconv.surfaces.neighbours.stencil import LazyStencil

WINDOW = ConvWindow(3, 1, "same", 1, 1)
"""Window of a convolution by default."""
MIN_SHARE = 1e-6
"""Smaller shares of a window are rounding of a backend that convolves by a Fourier transform; the published code adds
1e-8 to the count, 1e-6 in half precision."""


class PartialConv(Conv):
    """Convolution over known samples only, scaled up by the share of the window that is known.

    ``y = W ⋆ (x ⊙ valid) / share + b``, and 0 where no sample of the window is known; the returned mask is 1 wherever
    one is (Liu et al., eq. 1 and 2). ``share`` is the known part of the window:

    - on grids and with row kernels the number of known samples divided by the number of taps. Samples beyond a border
      of zeros are unknown, as in the published code: the layer renormalizes there without any hole. Beyond other
      borders (circular, over the pole, cube) follow samples of the image, known or not.
    - on a mesh ``Σ_m |S_m| valid / Σ_m |S_m| 1`` over the operators ``S_m`` of the convolution ``Σ_m W_m S_m x``: a
      sample counts by its influence. Where operators select or average samples (HEALPix, icosahedron, tangent kernels)
      that is the number of known taps. The operators of an icosphere are differences, and a hole is a 0 in them, as in
      the published layer with a derivative as its kernel: the factor restores the bound
      ``max |W| · max |x| · Σ_m |S_m| 1`` of the response, but a constant with a hole has a gradient at its edge.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, bias, surface: as in ``Conv``.

    Shape:
        ``x`` is ``(batch, in_channels, *grid)``. ``valid`` is ``(batch or 1, 1, *grid)``, or has ``in_channels``
        channels for signals that are known at different places; any dtype, 0 where the sample is unknown: the mask of
        a hole inverted. Values of ``x`` there have no effect, not even NaN. Returns ``(batch, out_channels, *output)``
        and the mask ``(batch or 1, 1, *output)`` of the next layer, 0 or 1 in the dtype of the signal.

    Raises:
        InputError: as ``Conv``; a ``valid`` of another shape.

    Example:
        >>> layer = PartialConv(3, 8)
        >>> valid = torch.ones(1, 1, 5, 7)
        >>> valid[..., 1:4, 2:5] = 0
        >>> y, valid = layer(torch.zeros(1, 3, 5, 7), valid)
        >>> y.shape, int((valid == 0).sum())
        (torch.Size([1, 8, 5, 7]), 1)
    """

    bias: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size = 3,
        stride: Size = 1,
        padding: Padding = "same",
        dilation: Size = 1,
        bias: bool = True,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, 1, bias, surface)
        neighbours = surface.conv_neighbours(*parse_window(surface, kernel_size, stride, dilation))
        self.share = make_share(neighbours, ConvWindow(kernel_size, stride, padding, dilation, 1))

    def forward(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Convolve the known samples of ``(batch, in_channels, *grid)``; return the signal and its mask."""
        check_on_surface(x, self.surface, self.in_channels, self.weight.dtype)
        known = check_mask("valid", valid, x)
        y = self.op(torch.where(known, x, 0), self.weight, None)
        # Equal counts per channel: the mean over channels first, so that one channel is convolved.
        share = self.share(known.to(x.dtype).mean(1, keepdim=True))
        seen = share > MIN_SHARE
        y = y * (seen / share.clamp_min(MIN_SHARE)).to(y.dtype)
        if self.bias is not None:  # (out,), with row kernels (out, rows)
            bias = self.bias.view(*self.bias.shape, *[1] * (y.ndim - 1 - self.bias.ndim))
            y = y + bias.to(y.dtype) * seen
        return y, seen.to(y.dtype)


def check_mask(name: str, mask: Any, x: Tensor, per_channel: bool = True) -> Tensor:
    """Return a mask ``(batch or 1, 1, *grid)`` of any dtype for the signal ``x`` as bool: True where it is not 0.

    ``per_channel`` also allows a mask for each channel.

    Raises:
        InputError: another type or shape.
    """
    check_tensor(mask, name)
    batch, channels, *grid = x.shape
    allowed = (1, channels) if per_channel else (1,)
    if mask.ndim != x.ndim or mask.shape[0] not in (1, batch) or mask.shape[1] not in allowed:
        rule = f"must be {(batch, 1, *grid)}, one value for each sample of the signal"
        raise InputError(name, tuple(mask.shape), rule, "use mask[:, None] to add a channel")
    if mask.shape[2:] != x.shape[2:]:
        rule = f"must have the grid {tuple(grid)} of the signal"
        raise InputError(name, tuple(mask.shape), rule, "resize it with mode 'nearest'")
    return mask if mask.dtype == torch.bool else mask != 0


def make_share(neighbours: Neighbours, window: ConvWindow = WINDOW) -> nn.Module:
    """Return the module that maps a mask ``(batch, 1, *grid)`` to the share of each window that is not 0."""
    if isinstance(neighbours, Stencil):
        return nn.Identity() if neighbours.is_identity else StencilProduct(_window_weights(neighbours))
    kernel, op = make_conv(neighbours, window)
    return _CountShare(op, kernel, neighbours.taps_by_row if isinstance(neighbours, RowStencil) else None)


class _CountShare(TableModule):
    """Number of known samples in each window divided by its taps; ``taps_by_row`` where rows have their own kernels."""

    def __init__(self, op: nn.Module, kernel: tuple[int, ...], taps_by_row: np.ndarray | None) -> None:
        super().__init__()
        self.op, self.kernel = op, kernel
        taps = (prod(kernel),) if taps_by_row is None else tuple(map(int, taps_by_row))
        self.set_table("taps", _column, taps)

    def forward(self, valid: Tensor) -> Tensor:
        count = self.op(valid, valid.new_ones(1, 1, *self.kernel), None)
        return count / self.table("taps", valid).tensors[0].to(count.dtype)


def _column(taps: tuple[int, ...]) -> tuple[list[int], list[Tensor]]:
    return [], [torch.tensor(taps, dtype=torch.float64)[:, None]]


def _window_weights(stencil: Stencil) -> LazyStencil:
    return LazyStencil(_weights_of, (stencil,), stencil.input_shape, stencil.output_shape)


@lru_cache(maxsize=16)
def _weights_of(stencil: Stencil) -> Stencil:
    """Return the sum of the absolute operators, each row divided by its sum."""
    total = sparse.csr_array(sum(abs(operator) for operator in stencil.operators))
    rows = sparse.diags_array(1 / total.sum(axis=1))
    return Stencil.of([rows @ total], stencil.input_shape, stencil.output_shape)

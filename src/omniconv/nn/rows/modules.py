"""Modules that convolve with one kernel for each row, and their initialisation; weights belong to the layers above."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.nn.grid.padding import pad, pad_adjoint
from omniconv.nn.rows.ops import row_convolution, row_convolution_adjoint
from omniconv.nn.rows.tiles import RowPlan
from omniconv.nn.torch_private import needs_forward_ad
from omniconv.surfaces.neighbours.border import Border
from omniconv.surfaces.neighbours.row_stencil import RowBand, RowStencil

BORDER = Border.of(("pole", "circular"), ndim=2)


class RowConvolution(nn.Module):
    """Convolution with a kernel for each output row: ``forward(x, weight, bias)``.

    Weights are ``(out, in / groups, taps)``, fastest with the taps first in memory (``init_row_weight``); a bias is
    ``(out, output rows)``. Outputs are channels last in memory.
    """

    def __init__(self, stencil: RowStencil, groups: int) -> None:
        super().__init__()
        self.stencil, self.groups = stencil, groups
        self.plan = RowPlan(stencil.stride, *stencil.dilation, stencil.bands).pack()
        self.compute = self.custom_op

    def use_standard_ops(self) -> None:
        """Compute with torch's own operators from now on: slower, but exportable."""
        self.compute = self.reference

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return (self.reference if needs_forward_ad() else self.compute)(x, weight, bias)

    def custom_op(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Compute by omniconv's custom op."""
        return row_convolution(x, _taps_first(weight), bias, self.plan, self.groups)

    def reference(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Compute in torch's own operators: one grouped convolution for each band of rows."""
        padded = pad(x, self._amounts, BORDER)
        results = []
        for band, kernels in self._bands(weight):
            windows = torch.stack([padded[..., rows, columns] for rows, columns in self._windows(band)], 2)
            lines = windows.permute(0, 3, 1, 2, 4).flatten(1, 3)  # (B, rows · C · kernel rows, W)
            stride, dilation = self.stencil.stride, self.stencil.dilation[1]
            y = F.conv1d(lines, kernels, None, stride, 0, dilation, band.rows * self.groups)
            results.append(y.unflatten(1, (band.rows, -1)))
        y = torch.cat(results, 1).transpose(1, 2)
        return y if bias is None else y + bias[..., None]

    @property
    def _amounts(self) -> list[tuple[int, int]]:
        """Padding of rows and columns."""
        axes = zip(self.stencil.dilation, self.stencil.max_kernel_shape, strict=True)
        return [(dilation * (taps // 2), dilation * (taps // 2)) for dilation, taps in axes]

    def _bands(self, weight: Tensor) -> Iterator[tuple[RowBand, Tensor]]:
        """Yield each band, and its kernels ``(rows · out, in / groups · kernel rows, kernel columns)``."""
        for band in self.stencil.bands:
            taps = slice(band.first_tap, band.first_tap + band.taps)
            kernels = weight[..., taps].unflatten(2, (band.rows, *band.kernel_shape))
            yield band, kernels.permute(2, 0, 1, 3, 4).flatten(2, 3).flatten(0, 1)

    def _windows(self, band: RowBand) -> Iterator[tuple[slice, slice]]:
        """Yield rows and columns of the padded panorama that each kernel row of a band reads."""
        (dilation_h, dilation_w), stride = self.stencil.dilation, self.stencil.stride
        (top, _), (left, _) = self._amounts
        height, width = band.kernel_shape
        first = top + band.first_row * stride - dilation_h * (height // 2)
        start = left - dilation_w * (width // 2)
        columns = slice(start, start + 2 * self.stencil.height + dilation_w * (width - 1))
        for tap in range(height):
            row = first + tap * dilation_h
            yield slice(row, row + stride * (band.rows - 1) + 1, stride), columns


class TransposedRowConvolution(RowConvolution):
    """Exact adjoint of ``RowConvolution``: weights ``(in, out / groups, taps)``, bias ``(out, rows)``."""

    def custom_op(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        y = row_convolution_adjoint(x, _taps_first(weight), self.plan, self.groups)
        return y if bias is None else y + bias[..., None].to(y.dtype)

    def reference(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        amounts, (_, dilation), stride = self._amounts, self.stencil.dilation, self.stencil.stride
        size = [length + 2 * before for length, (before, _) in zip(self.stencil.output_shape, amounts, strict=True)]
        padded: Tensor | None = None
        for band, kernels in self._bands(weight):
            lines = x[:, :, band.first_row : band.first_row + band.rows].transpose(1, 2).flatten(1, 2)
            y = F.conv_transpose1d(lines, kernels, None, stride, 0, stride - 1, band.rows * self.groups, dilation)
            windows = y.unflatten(1, (band.rows, -1, band.kernel_shape[0])).permute(0, 2, 1, 3, 4)
            if padded is None:  # from y, which under vmap has an entry for each weight
                padded = y.new_zeros(x.shape[0], weight.shape[1] * self.groups, *size, dtype=x.dtype)
            for tap, (rows, columns) in enumerate(self._windows(band)):
                padded[..., rows, columns] += windows[..., tap, :]
        y = pad_adjoint(padded, amounts, BORDER)  # type: ignore[arg-type]  # there is at least one band
        return y if bias is None else y + bias[..., None]


def init_row_weight(stencil: RowStencil, shape: tuple[int, ...], bound: float) -> Tensor:
    """Draw a weight ``(first, second, taps)``, taps first in memory as the ops read it, or a bias ``(out, rows)``.

    ``shape`` is ``(out,)`` for a bias. ``bound`` would be that of a single kernel with the taps of all rows; the bound
    of each row is larger by √(all taps / its taps).
    """
    taps = stencil.taps_by_row
    repeats = stencil.output_shape[0] // len(taps) if len(shape) == 1 else taps
    by_row = torch.tensor(np.repeat(np.sqrt(stencil.taps / taps), repeats), dtype=torch.get_default_dtype())
    values = torch.empty(len(by_row), *shape[:2]).uniform_(-bound, bound)
    return values.mul_(by_row.view(-1, *[1] * (values.ndim - 1))).movedim(0, -1)


def make_row_convolution(stencil: RowStencil, groups: int) -> RowConvolution:
    """Return the module that convolves with a kernel for each row, or its adjoint."""
    return (TransposedRowConvolution if stencil.is_adjoint else RowConvolution)(stencil, groups)


def _taps_first(weight: Tensor) -> Tensor:
    """Return a weight ``(out, in, taps)`` as ``(taps, out, in)``: a view if it was made by ``init_row_weight``."""
    return weight.permute(2, 0, 1).contiguous()

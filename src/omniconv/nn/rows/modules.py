"""Convolution with a kernel for each row, and its adjoint, as layers without weights of their own."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.nn.arguments import check_signal
from omniconv.nn.grid.padding import pad, pad_adjoint
from omniconv.nn.rows.ops import row_convolution, row_convolution_back
from omniconv.nn.rows.tiles import Plan
from omniconv.nn.torch_private import needs_forward_ad
from omniconv.surfaces.neighbours.border import Border
from omniconv.surfaces.neighbours.row_stencil import RowBand, RowStencil

BORDER = Border.of(("pole", "circular"), ndim=2)


class RowConvolution(nn.Module):
    """A kernel for each output row: ``forward(x, weight, bias)``.

    Weights are ``(out, in / groups, taps)``, best held tap by tap in memory (``init_row_weight``); a bias is
    ``(out, output rows)``.

    Args:
        stencil: the kernels' shapes.
        groups: groups of channels.
    """

    def __init__(self, stencil: RowStencil, groups: int) -> None:
        super().__init__()
        self.stencil, self.groups = stencil, groups
        self.plan = Plan(stencil.stride, *stencil.dilation, stencil.bands).written()

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """``(batch, in, *shape)`` to ``(batch, out, *shape)``, in memory channels last."""
        check_signal(x, None, 2, self.stencil.input_shape)
        return (self.plain if needs_forward_ad() else self.fast)(x, weight, bias)

    def fast(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """By omniconv's own operator."""
        return row_convolution(x, _by_tap(weight), bias, self.plan, self.groups)

    def plain(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """In torch's own operators: one grouped convolution for each run of rows."""
        wide = pad(x, self._margins, BORDER)
        found = []
        for run, kernels in self._runs(weight):
            seen = torch.stack([wide[..., rows, columns] for rows, columns in self._seen(run)], 2)
            lines = seen.permute(0, 3, 1, 2, 4).flatten(1, 3)  # (B, rows · C · up, W)
            y = F.conv1d(lines, kernels, None, self.stencil.stride, 0, self.stencil.dilation[1], run.rows * self.groups)
            found.append(y.unflatten(1, (run.rows, -1)))
        y = torch.cat(found, 1).transpose(1, 2)
        return y if bias is None else y + bias[..., None]

    @property
    def _margins(self) -> list[tuple[int, int]]:
        """Rows and columns to put around a panorama."""
        reach = zip(self.stencil.dilation, self.stencil.max_kernel_shape, strict=True)
        return [(gap * (taps // 2), gap * (taps // 2)) for gap, taps in reach]

    def _runs(self, weight: Tensor) -> Iterator[tuple[RowBand, Tensor]]:
        """Each run, and its kernels as ``(rows · out, in / groups · up, across)``."""
        for run in self.stencil.bands:
            own = weight[..., run.first_tap : run.first_tap + run.taps].unflatten(2, (run.rows, *run.kernel_shape))
            yield run, own.permute(2, 0, 1, 3, 4).flatten(2, 3).flatten(0, 1)

    def _seen(self, run: RowBand) -> Iterator[tuple[slice, slice]]:
        """For each row of taps the rows and columns of the padded panorama that a run sees."""
        (gap, space), step = self.stencil.dilation, self.stencil.stride
        (above, _), (left, _) = self._margins
        first = above + run.first_row * step - gap * (run.kernel_shape[0] // 2)
        start = left - space * (run.kernel_shape[1] // 2)
        columns = slice(start, start + 2 * self.stencil.height + space * (run.kernel_shape[1] - 1))
        for up in range(run.kernel_shape[0]):
            row = first + up * gap
            yield slice(row, row + step * (run.rows - 1) + 1, step), columns


class TransposedRowConvolution(RowConvolution):
    """Its exact adjoint: ``forward(x, weight, bias)``, weights ``(in, out / groups, taps)``, bias ``(out, rows)``."""

    def fast(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """By omniconv's own operator."""
        y = row_convolution_back(x, _by_tap(weight), self.plan, self.groups)
        return y if bias is None else y + bias[..., None].to(y.dtype)

    def plain(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """In torch's own operators."""
        margins = self._margins
        height, width = self.stencil.output_shape
        size = height + 2 * margins[0][0], width + 2 * margins[1][0]
        wide = x.new_zeros(x.shape[0], weight.shape[1] * self.groups, *size)
        for run, kernels in self._runs(weight):
            lines = x[:, :, run.first_row : run.first_row + run.rows].transpose(1, 2).flatten(1, 2)
            y = self._spread(lines, kernels, run)  # (B, rows · out · up, W)
            seen = y.unflatten(1, (run.rows, -1, run.kernel_shape[0])).permute(0, 2, 1, 3, 4)
            for up, (rows, columns) in enumerate(self._seen(run)):
                wide[..., rows, columns] += seen[..., up, :]
        y = pad_adjoint(wide, margins, BORDER)
        return y if bias is None else y + bias[..., None]

    def _spread(self, lines: Tensor, kernels: Tensor, run: RowBand) -> Tensor:
        (_, space), step = self.stencil.dilation, self.stencil.stride
        return F.conv_transpose1d(lines, kernels, None, step, 0, step - 1, run.rows * self.groups, space)


def init_row_weight(stencil: RowStencil, shape: tuple[int, ...], bound: float) -> Tensor:
    """A weight ``(first, second, taps)``, tap by tap in memory as products read it, or a bias ``(out, output rows)``.

    Both uniform; ``bound`` is that of one kernel with the taps of all rows, and grows to that of each row's.
    """
    taps = torch.from_numpy(stencil.taps_by_row)
    grown = (stencil.taps / taps).sqrt().to(torch.get_default_dtype())
    by_row = grown.repeat_interleave(stencil.output_shape[0] // len(taps) if len(shape) == 1 else taps)
    drawn = torch.empty(len(by_row), *shape[:2]).uniform_(-bound, bound)
    return drawn.mul_(by_row.to(drawn.device).view(-1, *[1] * (drawn.ndim - 1))).movedim(0, -1)


def make_row_convolution(stencil: RowStencil, groups: int) -> RowConvolution:
    """The layer that convolves with a kernel for each row, or the one that takes signals back."""
    return (TransposedRowConvolution if stencil.is_adjoint else RowConvolution)(stencil, groups)


def _by_tap(weight: Tensor) -> Tensor:
    """A weight ``(out, in, taps)`` as ``(taps, out, in)``: a view where it is held so."""
    return weight.permute(2, 0, 1).contiguous()

"""Overrides of transposed convolution, folding and unpooling: values beyond an edge are added to the samples there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from omniconv.arithmetic import span
from omniconv.convert.overrides.conv_pool import accept_unbatched, cached_layer
from omniconv.convert.overrides.mode import PanoramaFunctionMode
from omniconv.convert.overrides.pad_tracking import PadOffset, Sides, crop, non_negative, offset_of, with_offset
from omniconv.nn.arguments import Size, per_axis
from omniconv.nn.grid.conv import make_grid_conv_transpose
from omniconv.nn.grid.padding import pad, pad_adjoint
from omniconv.nn.resampling.unpool import MaxUnpool
from omniconv.surfaces import Equirectangular


@accept_unbatched
def conv_transpose2d(
    context: PanoramaFunctionMode, input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1,
    padding: Size = 0, output_padding: Size = 0, groups: int = 1, dilation: Size = 1,
) -> Tensor:  # fmt: skip
    """Override ``F.conv_transpose2d``: a panorama ``stride`` times as large.

    Where torch's output is larger than that, the panorama is padded to the same size, and carries the padding as its
    pad offset, so that a later crop removes the padding and no samples of the panorama.
    """
    offset, panorama, kernel = offset_of(input), crop(input, offset_of(input)), tuple(weight.shape[2:])
    step, dilations = per_axis("stride", stride, 2), per_axis("dilation", dilation, 2)
    paddings = per_axis("padding", padding, 2, least=0)
    output_paddings = per_axis("output_padding", output_padding, 2, least=0)
    reaches = [span(taps, gap) for taps, gap in zip(kernel, dilations, strict=True)]
    amounts = tuple((p, max(reach - s - p, 0)) for p, reach, s in zip(paddings, reaches, step, strict=True))
    context.report_change("conv_transpose2d", "windows wrap around the edges, where their ends were cut off")
    rows, columns = map(_excess, offset, step, reaches, paddings, output_paddings)
    size = [length * s for length, s in zip(panorama.shape[2:], step, strict=True)]
    if context.overrides.pads_rows_as_flat:  # all rows of torch's output are rows of the image
        size[0], rows = size[0] + sum(rows), (0, 0)
        amounts = ((paddings[0], max(paddings[0] - output_paddings[0], 0)), amounts[1])
    layer = cached_layer(make_grid_conv_transpose, context.border, kernel, step, amounts, dilations, groups, 0)
    y = layer(panorama, weight, bias, tuple(size))
    return _pad_to_size(context, "conv_transpose2d", y, (rows, columns))


@accept_unbatched
def max_unpool2d(
    context: PanoramaFunctionMode, input: Tensor, indices: Tensor, kernel_size: Size, stride: Size | None = None,
    padding: Size = 0, output_size: Any = None,
) -> Tensor:  # fmt: skip
    """Override ``F.max_unpool2d``.

    Where windows overlap, an output that several of them point to gets the mean of their values; torch keeps one
    of them, and its documentation leaves open which.
    """
    kernel, paddings = per_axis("kernel_size", kernel_size, 2), per_axis("padding", padding, 2, least=0)
    step = per_axis("stride", stride, 2) if stride else kernel
    if any(paddings) or any(taps > s for taps, s in zip(kernel, step, strict=True)):
        return unpool_overlapping(context, input, indices, kernel, step, paddings, output_size)
    return F.max_unpool2d(input, indices.view(input.shape), kernel, step, (0, 0), output_size)


@accept_unbatched
def unpool_overlapping(
    context: PanoramaFunctionMode, input: Tensor, indices: Tensor, kernel_size: Size, stride: Size | None = None,
    padding: Size = 0, output_size: Any = None,
) -> Tensor:  # fmt: skip
    """Override ``F.max_unpool2d`` where several windows may point to one output."""
    layer = MaxUnpool(kernel_size, stride or kernel_size, padding, surface=Equirectangular())
    return layer(input, indices.view(input.shape), output_size)


def fold(
    context: PanoramaFunctionMode, input: Tensor, output_size: Size, kernel_size: Any, dilation: Any = 1,
    padding: Size = 0, stride: Any = 1,
) -> Tensor:  # fmt: skip
    """Override ``F.fold``: padding that torch crops is added to the samples that it was copied from."""
    above, left = per_axis("padding", padding, 2, least=0)
    rows, columns = per_axis("output_size", output_size, 2)
    y = F.fold(input, (rows + 2 * above, columns + 2 * left), kernel_size, dilation, 0, stride)
    return pad_adjoint(y, [(above, above), (left, left)], context.border)


def _excess(sides: Sides, stride: int, reach: int, padding: int, output_padding: int) -> Sides:
    """Return the samples of torch's output beyond ``stride`` times the panorama; negative if there are fewer."""
    before = sides[0] * stride
    return before, sides[1] * stride + reach - stride - 2 * padding + output_padding


def _pad_to_size(context: PanoramaFunctionMode, operation: str, y: Tensor, excess: PadOffset) -> Tensor:
    """Pad or crop the panorama to the size of torch's output."""
    rows, columns = excess
    y = pad(y, [(before, max(after, 0)) for before, after in excess], context.border)
    y = crop(y, ((0, max(-rows[1], 0)), (0, max(-columns[1], 0))))
    if sum(columns) < 0:
        context.report_seam(operation, f"padding is too large; missing output columns: {-sum(columns)}")
    return with_offset(y, (non_negative(rows), non_negative(columns)))


TRANSPOSED_OVERRIDES: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.conv_transpose2d: conv_transpose2d,
    F.max_unpool2d: max_unpool2d,
    F.fold: fold,
}

"""Transposed convolution, folding and unpooling of panoramas: what falls past an edge is added where it belongs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from omniconv.arithmetic import span
from omniconv.convert.overrides.cached_modules import product
from omniconv.convert.overrides.conv_pool import on_pictures
from omniconv.convert.overrides.mode import PanoramaMode
from omniconv.convert.overrides.pad_tracking import Frame, Sides, core, frame_of, framed, settled, total
from omniconv.nn.arguments import Size, per_axis
from omniconv.nn.grid.conv import make_grid_conv_transpose
from omniconv.nn.grid.padding import pad, pad_adjoint
from omniconv.nn.unpool import MaxUnpool
from omniconv.surfaces import Equirectangular


@on_pictures
def conv_transpose2d(
    panorama: PanoramaMode, input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1,
    padding: Size = 0, output_padding: Size = 0, groups: int = 1, dilation: Size = 1,
) -> Tensor:  # fmt: skip
    """``torch.nn.functional.conv_transpose2d``: ``stride`` times as many samples of the ring, and its frame or loss.

    What the flat function gives beyond that is the ring once more, so that a crop that follows finds what it cuts.
    """
    frame, ring, kernel = frame_of(input), core(input, frame_of(input)), tuple(weight.shape[2:])
    step, gap = per_axis("stride", stride, 2), per_axis("dilation", dilation, 2)
    cut, more = per_axis("padding", padding, 2, least=0), per_axis("output_padding", output_padding, 2, least=0)
    reaches = [span(taps, spread) for taps, spread in zip(kernel, gap, strict=True)]
    pairs = tuple((p, max(reach - s - p, 0)) for p, reach, s in zip(cut, reaches, step, strict=True))
    panorama.changed("conv_transpose2d", "goes on past the edges, where sums of its windows were cut off")
    layer = product(make_grid_conv_transpose, panorama.border, kernel, step, pairs, gap, groups, 0)
    y = layer(ring, weight, bias, tuple(size * s for size, s in zip(ring.shape[2:], step, strict=True)))
    above, beside = map(_beyond, frame, step, reaches, cut, more)
    return _at_size(panorama, "conv_transpose2d", y, (above, beside))


@on_pictures
def max_unpool2d(
    panorama: PanoramaMode, input: Tensor, indices: Tensor, kernel_size: Size, stride: Size | None = None,
    padding: Size = 0, output_size: Any = None,
) -> Tensor:  # fmt: skip
    """``torch.nn.functional.max_unpool2d``; a place that several windows took gets the mean of their values."""
    kernel, cut = per_axis("kernel_size", kernel_size, 2), per_axis("padding", padding, 2, least=0)
    step = per_axis("stride", stride, 2) if stride else kernel
    if any(cut) or any(taps > s for taps, s in zip(kernel, step, strict=True)):
        return unpool(panorama, input, indices, kernel, step, cut, output_size)
    places = indices.view(input.shape)
    return F.max_unpool2d(input, places, kernel, step, (0, 0), output_size)  # no window reaches past an edge


@on_pictures
def unpool(
    panorama: PanoramaMode, input: Tensor, indices: Tensor, kernel_size: Size, stride: Size | None = None,
    padding: Size = 0, output_size: Any = None,
) -> Tensor:  # fmt: skip
    """The same for windows of which two may have taken one sample."""
    layer = MaxUnpool(kernel_size, stride or kernel_size, padding, surface=Equirectangular())
    return layer(input, indices.view(input.shape), output_size)


def fold(
    panorama: PanoramaMode, input: Tensor, output_size: Size, kernel_size: Any, dilation: Any = 1, padding: Size = 0,
    stride: Any = 1,
) -> Tensor:  # fmt: skip
    """``torch.nn.functional.fold``."""
    above, beside = per_axis("padding", padding, 2, least=0)
    rows, columns = per_axis("output_size", output_size, 2)
    y = F.fold(input, (rows + 2 * above, columns + 2 * beside), kernel_size, dilation, 0, stride)
    return pad_adjoint(y, [(above, above), (beside, beside)], panorama.border)


def _beyond(sides: Sides, stride: int, reach: int, padding: int, output_padding: int) -> Sides:
    """What the flat function gives of an axis beyond ``stride`` times its ring; what it lacks is negative."""
    before = sides[0] * stride
    return before, sides[1] * stride + reach - stride - 2 * padding + output_padding


def _at_size(panorama: PanoramaMode, operation: str, y: Tensor, beyond: Frame) -> Tensor:
    """A ring and what is there beyond it; or what is left of it, where that is less."""
    rows, columns = beyond
    y = pad(y, [(before, max(after, 0)) for before, after in beyond], panorama.border)
    y = core(y, ((0, max(-rows[1], 0)), (0, max(-columns[1], 0))))
    if total(columns) < 0:
        panorama.seam(operation, f"gives {-total(columns)} columns fewer than the ring has")
    return framed(y, (settled(rows), settled(columns)))


SPREADING_RULES: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.conv_transpose2d: conv_transpose2d,
    F.max_unpool2d: max_unpool2d,
    F.fold: fold,
}

"""Encoder of the U-Net: two convolutions at each size, twice the channels at each downsampling step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, Literal

from torch import Tensor, nn

from omniconv.checks import check_choice, check_flag, is_integer, to_builtin
from omniconv.errors import InputError
from omniconv.nn import AvgPool, ConvBlock, MaxPool, ResidualBlock
from omniconv.nn.arguments import check_surface, is_grid
from omniconv.surfaces import Surface

Down = Literal["stride", "max", "average"]
POOLS: dict[str, type[nn.Module]] = {"max": MaxPool, "average": AvgPool}
MAX_DEPTH, MAX_WIDTH = 10, 1024


class PlainEncoder(nn.Module):
    """Two convolutions at full size, and two more at every downsampling step, which doubles the channels.

    Args:
        in_channels: channels of the image.
        width: channels at the finest size.
        depth: number of downsampling steps, each by 2; at most the number of coarser levels of the surface.
        surface: surface of the image.
        down: ``stride``: the first of the two convolutions has stride 2; ``max`` or ``average``: pooling before both.
        normalization: as in ``ConvBlock``.
        activation: as in ``ConvBlock``.
        stem_stride: 1, or 2: the very first convolution has stride 2 and is the first of the downsampling steps, so
            that no signal has the full size, which would take most of the time.
        residual: a shortcut beside the two convolutions of each size, see ``ResidualBlock``.

    Attributes:
        channels: channels at each size, the finest first.
        surfaces: surface of each size.
        strides: input samples per sample of each size, along each axis: 1, 2, 4, …; from 2 with ``stem_stride=2``.
        total_stride: input samples per sample of the coarsest size, along each axis.

    Raises:
        InputError: an argument out of range.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        depth: int,
        surface: Surface,
        down: Down = "stride",
        normalization: str = "batch",
        activation: str = "relu",
        stem_stride: int = 1,
        residual: bool = False,
    ) -> None:
        super().__init__()
        depth = check_depth(depth, surface)
        check_choice("down", down, ("stride", *POOLS))
        stem_stride = to_builtin(stem_stride)
        if not is_integer(stem_stride) or stem_stride > 2:
            raise InputError("stem_stride", stem_stride, "must be 1 or 2", "use stem_stride=2")
        self.strides = [stem_stride * 2**step for step in range(depth + 2 - stem_stride)]
        self.channels = [check_width(width) * 2**step for step in range(len(self.strides))]
        self.total_stride = self.strides[-1]
        style: dict[str, Any] = {"normalization": normalization, "activation": activation}
        stage: Callable[..., nn.Module] = partial(
            ResidualBlock if check_flag("residual", residual) else _double_conv, **style
        )
        self.stages = nn.ModuleList([stage(in_channels, width, stem_stride, surface=surface)])
        self.surfaces = [surface if stem_stride == 1 else surface.coarser()]
        for before, after in pairwise(self.channels):
            fine, coarse = self.surfaces[-1], self.surfaces[-1].coarser()
            if down == "stride":
                self.stages.append(stage(before, after, 2, surface=fine))
            else:
                # same_upper windows start at sample 0, as in torch's pooling; meshes support "same" only.
                pool = POOLS[down](2, padding="same_upper" if is_grid(fine) else "same", surface=fine)
                self.stages.append(nn.Sequential(pool, stage(before, after, 1, surface=coarse)))
            self.surfaces.append(coarse)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the signal at each size, the finest first."""
        signals = []
        for stage in self.stages:
            x = stage(x)
            signals.append(x)
        return signals


def _double_conv(in_channels: int, out_channels: int, stride: int, surface: Surface, **style: Any) -> nn.Sequential:
    """Return two convolution blocks, the first with the stride; parameters have the names of ``DoubleConv``."""
    first = ConvBlock(in_channels, out_channels, stride=stride, surface=surface, **style)
    return nn.Sequential(first, ConvBlock(out_channels, out_channels, surface=first.output_surface, **style))


def check_depth(depth: int, surface: Surface) -> int:
    """Return the number of downsampling steps, after checking that the surface has as many coarser levels."""
    check_surface(surface)
    depth = to_builtin(depth)
    if not is_integer(depth) or depth > MAX_DEPTH:
        raise InputError("depth", depth, f"must be a whole number from 1 to {MAX_DEPTH}", "use depth=3")
    if surface.max_depth is not None and depth > surface.max_depth:
        rule = f"must be at most {surface.max_depth}, the number of coarser levels of {surface}"
        raise InputError("depth", depth, rule, "use a smaller depth or a finer surface")
    return depth


def check_width(width: int) -> int:
    """Return the number of channels at full size, after checking it."""
    width = to_builtin(width)
    if not is_integer(width) or width > MAX_WIDTH:
        raise InputError("width", width, f"must be a whole number from 1 to {MAX_WIDTH}", "use width=32")
    return width

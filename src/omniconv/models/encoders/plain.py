"""Encoder of the U-Net: two convolutions at each size, twice the channels at each downsampling step."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from omniconv.checks import check_choice, is_integer, to_builtin
from omniconv.errors import InputError
from omniconv.nn import AvgPool, ConvBlock, DoubleConv, MaxPool
from omniconv.nn.arguments import check_surface, is_grid
from omniconv.surfaces import Surface

Down = Literal["stride", "max", "average"]
POOLS: dict[str, type[nn.Module]] = {"max": MaxPool, "average": AvgPool}
MAX_DEPTH, MAX_WIDTH = 10, 1024


class PlainEncoder(nn.Module):
    """Two convolutions at full size, and two more at every downsampling step, which doubles the channels.

    Args:
        in_channels: channels of the image.
        width: channels at full size.
        depth: number of downsampling steps, each by 2; at most the number of coarser levels of the surface.
        surface: surface of the image.
        down: ``stride``: the first of the two convolutions has stride 2; ``max`` or ``average``: pooling before both.
        normalization: as in ``ConvBlock``.
        activation: as in ``ConvBlock``.

    Attributes:
        channels: channels at each size, the full one first.
        surfaces: surface of each size.
        strides: input samples per sample of each size, along each axis: 1, 2, 4, …
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
    ) -> None:
        super().__init__()
        depth = check_depth(depth, surface)
        check_choice("down", down, ("stride", *POOLS))
        self.channels = [check_width(width) * 2**step for step in range(depth + 1)]
        self.surfaces = [surface]
        self.strides = [2**step for step in range(depth + 1)]
        self.total_stride = self.strides[-1]
        double_conv = partial(DoubleConv, normalization=normalization, activation=activation)
        conv_block = partial(ConvBlock, normalization=normalization, activation=activation)
        self.stages = nn.ModuleList([double_conv(in_channels, width, surface=surface)])
        for before, after in pairwise(self.channels):
            fine, coarse = self.surfaces[-1], self.surfaces[-1].coarser()
            if down == "stride":
                first = conv_block(before, after, stride=2, surface=fine)
                stage = nn.Sequential(first, conv_block(after, after, surface=coarse))
            else:
                # same_upper windows start at sample 0, as in torch's pooling; meshes support "same" only.
                pool = POOLS[down](2, padding="same_upper" if is_grid(fine) else "same", surface=fine)
                stage = nn.Sequential(pool, double_conv(before, after, surface=coarse))
            self.stages.append(stage)
            self.surfaces.append(coarse)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the signal at each size, the full one first."""
        signals = []
        for stage in self.stages:
            x = stage(x)
            signals.append(x)
        return signals


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

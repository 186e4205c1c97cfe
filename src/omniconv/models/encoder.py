"""The way down, shared by every network: at each step half the size and twice the channels."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from omniconv.checks import check_choice
from omniconv.nn import AvgPool, ConvBlock, DoubleConv, MaxPool
from omniconv.nn.arguments import is_grid
from omniconv.surfaces import Surface

Down = Literal["stride", "max", "average"]
POOLS: dict[str, type[nn.Module]] = {"max": MaxPool, "average": AvgPool}


class Encoder(nn.Module):
    """Two convolutions at full size, then at every step down two more.

    Args:
        in_channels: channels of the image.
        widths: channels at each size, from the full one.
        surface: where the image lies.
        down: ``stride``: the first of the two convolutions has stride 2; ``max`` or ``average``: pooling before both.
        normalization: as in ``ConvBlock``.
        activation: as in ``ConvBlock``.

    Attributes:
        surfaces: where the signal lies at each size.

    Raises:
        InputError: an unknown ``down``.
    """

    def __init__(
        self, in_channels: int, widths: list[int], surface: Surface, down: Down, normalization: str, activation: str
    ) -> None:
        super().__init__()
        check_choice("down", down, ("stride", *POOLS), "use 'stride'")
        kinds = {"normalization": normalization, "activation": activation}
        self.surfaces = [surface]
        self.stages = nn.ModuleList([DoubleConv(in_channels, widths[0], surface=surface, **kinds)])  # type: ignore[arg-type]
        for channels, wider in pairwise(widths):
            self.stages.append(_step_down(channels, wider, self.surfaces[-1], down, kinds))
            self.surfaces.append(self.surfaces[-1].coarser())

    def forward(self, x: Tensor) -> list[Tensor]:
        """The signal at each size, from the full one."""
        signals = []
        for stage in self.stages:
            x = stage(x)
            signals.append(x)
        return signals


def _step_down(channels: int, wider: int, surface: Surface, down: Down, kinds: dict[str, str]) -> nn.Sequential:
    coarser = surface.coarser()
    if down == "stride":
        first = ConvBlock(channels, wider, stride=2, surface=surface, **kinds)  # type: ignore[arg-type]
        return nn.Sequential(first, ConvBlock(wider, wider, surface=coarser, **kinds))  # type: ignore[arg-type]
    pool = POOLS[down](2, padding="same_upper" if is_grid(surface) else "same", surface=surface)
    return nn.Sequential(pool, DoubleConv(channels, wider, surface=coarser, **kinds))  # type: ignore[arg-type]

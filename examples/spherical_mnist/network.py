"""The published network, built of ``omniconv.nn``: 61,658 parameters."""

from __future__ import annotations

from torch import Tensor, nn

import omniconv as oc


class ResidualBlock(nn.Module):
    """The paper's bottleneck: 1×1 – mesh convolution – 1×1, beside the input or a 1×1 of it.

    Args:
        in_channels: channels in.
        neck: channels of the mesh convolution.
        out_channels: channels out.
        surface: where the input lies.
        stride: 2 drops the vertices that the next coarser level has not.
    """

    def __init__(self, in_channels: int, neck: int, out_channels: int, surface: oc.Icosphere, stride: int = 1) -> None:
        super().__init__()
        first = oc.nn.Conv(in_channels, neck, 1, stride, surface=surface)
        self.output_surface = first.output_surface
        self.branch = nn.Sequential(
            *(first, nn.BatchNorm1d(neck), nn.ReLU()),
            *(oc.nn.Conv(neck, neck, surface=self.output_surface), nn.BatchNorm1d(neck), nn.ReLU()),
            *(oc.nn.Conv(neck, out_channels, 1, surface=self.output_surface), nn.BatchNorm1d(out_channels)),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            across = oc.nn.Conv(in_channels, out_channels, 1, stride, surface=surface)
            self.shortcut = nn.Sequential(across, nn.BatchNorm1d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, in, N)`` to ``(batch, out, N')``."""
        return (self.branch(x) + self.shortcut(x)).relu()


class Reader(nn.Sequential):
    """Digit to logits: level 4 with 16 channels, level 3 with 64, level 2 with 256, a mean, a dense layer.

    Args:
        surface: where the digits lie: ``Icosphere(4)`` in the paper.
        classes: how many there are.
        channels: of the first layer.
    """

    def __init__(self, surface: oc.Icosphere, classes: int = 10, channels: int = 16) -> None:
        half = ResidualBlock(channels, channels, 4 * channels, surface, stride=2)
        quarter = ResidualBlock(4 * channels, 4 * channels, 16 * channels, half.output_surface, stride=2)
        super().__init__(
            *(oc.nn.Conv(1, channels, surface=surface), nn.BatchNorm1d(channels), nn.ReLU()),
            *(half, quarter, oc.nn.GlobalAvgPool(quarter.output_surface)),
            *(nn.Dropout(0.5), nn.Linear(16 * channels, classes)),
        )


def parameter_count(network: nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(parameter.numel() for parameter in network.parameters())

"""Network of the paper, built of ``omniconv.nn``: 61,658 parameters."""

from __future__ import annotations

from torch import Tensor, nn

import omniconv as oc


class ResidualBlock(nn.Module):
    """Bottleneck block of the paper: 1×1, mesh convolution, 1×1, with an identity or 1×1 shortcut.

    Args:
        in_channels: input channels.
        mid_channels: channels of the mesh convolution.
        out_channels: output channels.
        surface: surface of the input.
        stride: 2 keeps only the vertices of the next coarser level.
    """

    def __init__(
        self, in_channels: int, mid_channels: int, out_channels: int, surface: oc.Icosphere, stride: int = 1
    ) -> None:
        super().__init__()
        first = oc.nn.Conv(in_channels, mid_channels, 1, stride, surface=surface)
        self.output_surface = output = first.output_surface
        self.branch = nn.Sequential(
            *(first, nn.BatchNorm1d(mid_channels), nn.ReLU()),
            *(oc.nn.Conv(mid_channels, mid_channels, surface=output), nn.BatchNorm1d(mid_channels), nn.ReLU()),
            *(oc.nn.Conv(mid_channels, out_channels, 1, surface=output), nn.BatchNorm1d(out_channels)),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            across = oc.nn.Conv(in_channels, out_channels, 1, stride, surface=surface)
            self.shortcut = nn.Sequential(across, nn.BatchNorm1d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, in, N)`` to ``(batch, out, N')``."""
        return (self.branch(x) + self.shortcut(x)).relu()


class DigitClassifier(nn.Sequential):
    """Classifier of digits: level 4 with 16 channels, level 3 with 64, level 2 with 256, a mean, a dense layer.

    Args:
        surface: surface of the digits, ``Icosphere(4)`` in the paper.
        classes: number of classes.
        channels: channels of the first layer.
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
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in network.parameters())

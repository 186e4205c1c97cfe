"""Parts that several decoders share."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

from torch import Tensor, nn

from omniconv.checks import check_number
from omniconv.nn import Conv, ConvTranspose, Upsample
from omniconv.nn.arguments import is_grid
from omniconv.surfaces import Surface
from omniconv.surfaces.base import Resampling


class Enlarge(nn.Module):
    """Interpolation to a surface that is finer by several levels.

    Args:
        scale_factor: factor of each axis, a power of 2; 1 changes nothing.
        mode: ``linear`` or ``nearest``.
        surface: surface of the input.

    Shape:
        ``(batch, channels, *coarse grid)`` to ``(batch, channels, *size)``.
    """

    def __init__(self, scale_factor: int, mode: Resampling, surface: Surface) -> None:
        super().__init__()
        # A grid of any size is resized in one step, as by torch.nn.Upsample; meshes have a map to the next level only.
        factors = [scale_factor] if surface.any_size else [2] * round(log2(scale_factor))
        self.steps = nn.ModuleList()
        for factor in factors if scale_factor > 1 else ():
            self.steps.append(Upsample(factor, mode, surface))
            surface = surface.finer()

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        """Resize a signal to a grid of this size."""
        for step in self.steps[:-1]:
            x = step(x)
        for step in self.steps[-1:]:
            x = step(x, output_size=size)
        return x


class TransposedConv(nn.Module):
    """Transposed convolution with stride 2, or a convolution where the size stays.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: 2 or 3; meshes have 3 only.
        scale_factor: 2 or 1.
        bias: add a bias.
        surface: surface of the input.

    Shape:
        ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *size)``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, scale_factor: int, bias: bool, surface: Surface
    ) -> None:
        super().__init__()
        kernel_size = kernel_size if is_grid(surface) else 3
        self.enlarges = scale_factor > 1
        if self.enlarges:
            padding = "same_upper" if is_grid(surface) else "same"
            self.conv: nn.Module = ConvTranspose(
                in_channels, out_channels, kernel_size, scale_factor, padding, bias=bias, surface=surface
            )
        else:
            self.conv = Conv(in_channels, out_channels, 3, bias=bias, surface=surface)

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        """Map a signal to a grid of this size."""
        return self.conv(x, output_size=size) if self.enlarges else self.conv(x)


def check_dropout(dropout: float) -> float:
    """Return a dropout probability after checking it."""
    return check_number("dropout", dropout, lambda p: 0 <= p < 1, "must be a number from 0 to below 1", "use 0.1")

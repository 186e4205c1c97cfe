"""Depthwise-separable convolution on any surface: in space for each channel by itself, then across channels."""

from __future__ import annotations

from torch import nn

from omniconv.nn.arguments import Padding, Size
from omniconv.nn.conv import Conv
from omniconv.surfaces import Plane, Surface


class SeparableConv(nn.Sequential):
    """A convolution of each channel by itself, then a 1×1 convolution across channels.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: of the first convolution.
        stride: of the first convolution.
        padding: of the first convolution, as in ``Conv``.
        dilation: of the first convolution.
        bias: of the second convolution; the first has none.
        surface: where the input lies.

    Raises:
        InputError: as ``Conv``.

    Example:
        >>> sum(p.numel() for p in SeparableConv(32, 64).parameters())  # 32·9 + 32·64 + 64
        2400
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size = 3,
        stride: Size = 1,
        padding: Padding = "same",
        dilation: Size = 1,
        bias: bool = True,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    ) -> None:
        depthwise = Conv(
            in_channels, in_channels, kernel_size, stride, padding, dilation, in_channels, False, surface=surface
        )
        super().__init__(depthwise, Conv(in_channels, out_channels, 1, bias=bias, surface=depthwise.output_surface))
        self.output_surface = depthwise.output_surface

"""Depthwise-separable convolution on any surface."""

from __future__ import annotations

from torch import nn

from omniconv.nn.arguments import Padding, Size
from omniconv.nn.conv.conv import Conv
from omniconv.surfaces import Plane, Surface


class SeparableConv(nn.Sequential):
    """Depthwise convolution, then a 1×1 convolution across channels.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size, stride, padding, dilation: as in ``Conv``, for the depthwise convolution.
        bias: bias of the 1×1 convolution; the depthwise one has none.
        surface: surface of the input.

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
        window = kernel_size, stride, padding, dilation
        depthwise = Conv(in_channels, in_channels, *window, groups=in_channels, bias=False, surface=surface)
        super().__init__(depthwise, Conv(in_channels, out_channels, 1, bias=bias, surface=depthwise.output_surface))
        self.output_surface = depthwise.output_surface

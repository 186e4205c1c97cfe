"""Gated convolution (Yu et al., "Free-Form Image Inpainting with Gated Convolution", ICCV 2019) on any surface."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from omniconv.checks import check_channels
from omniconv.nn.arguments import Padding, Size
from omniconv.nn.blocks import activation_layer
from omniconv.nn.conv.conv import Conv
from omniconv.surfaces import Plane, Surface


class GatedConv(nn.Module):
    """Gated convolution, activation(feature) · sigmoid(gate), both from one convolution.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output; the convolution has twice as many, features first.
        kernel_size, stride, padding, dilation, groups, bias: as in ``Conv``.
        activation: of the features; ``elu`` as published, ``relu``, ``leaky_relu``, ``gelu``, ``silu`` or ``none``.
        surface: surface of the input.

    Raises:
        InputError: as ``Conv``; an unknown activation.

    Example:
        >>> GatedConv(4, 8)(torch.zeros(1, 4, 6, 5)).shape
        torch.Size([1, 8, 6, 5])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size = 3,
        stride: Size = 1,
        padding: Padding = "same",
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        activation: str = "elu",
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    ) -> None:
        super().__init__()
        in_channels, out_channels, groups = check_channels(in_channels, out_channels, groups)
        window = kernel_size, stride, padding, dilation
        self.conv = Conv(in_channels, 2 * out_channels, *window, groups, bias, surface=surface)
        self.activation = activation_layer(activation)
        self.output_surface = self.conv.output_surface

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *grid of output_surface)``."""
        feature, gate = self.conv(x).chunk(2, 1)
        return self.activation(feature) * torch.sigmoid(gate)

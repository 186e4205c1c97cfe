"""U-Net (Ronneberger et al., MICCAI 2015) on every surface."""

from __future__ import annotations

from torch import Tensor, nn

from omniconv.models.base import Model, check_depth, widths
from omniconv.models.encoder import Down, Encoder
from omniconv.nn import DoubleConv, OutputHead, UpBlock
from omniconv.nn.blocks import Up, up_channels
from omniconv.surfaces import Plane, Surface


class UNet(Model):
    """An encoder, and a decoder that meets the encoder's signal again at every size; any image size.

    Args:
        in_channels: channels of the image.
        out_channels: classes or values for each sample.
        surface: where the image lies.
        width: channels at full size; doubled at every step down.
        depth: steps down; on a surface of one size at most its level.
        down: ``stride``, ``max`` or ``average``.
        up: ``linear`` interpolation or a learned ``transposed`` convolution.
        head_kernel: kernel of the last layer, 1 or 3.
        sigmoid: end with a sigmoid.
        normalization: ``batch`` or ``none``.
        activation: ``relu``, ``leaky_relu``, ``elu``, ``gelu``, ``silu`` or ``none``.

    Shape:
        ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *grid)``.

    Raises:
        InputError: an argument out of range.

    The original is ``UNet(1, 2, width=64, depth=4, down="max", up="transposed", normalization="none")``: 31,030,658
    parameters. On ``Equirectangular()`` the network commutes with every turn of the panorama by a multiple of
    2**depth columns, where that divides the width.

    Example:
        >>> import torch
        >>> UNet(3, 2, width=8, depth=2)(torch.zeros(1, 3, 45, 33)).shape
        torch.Size([1, 2, 45, 33])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
        width: int = 32,
        depth: int = 3,
        down: Down = "stride",
        up: Up = "linear",
        head_kernel: int = 1,
        sigmoid: bool = False,
        normalization: str = "batch",
        activation: str = "relu",
    ) -> None:
        check_depth(depth, surface)
        super().__init__(
            surface,
            in_channels=in_channels,
            out_channels=out_channels,
            width=width,
            depth=depth,
            down=down,
            up=up,
            head_kernel=head_kernel,
            sigmoid=sigmoid,
            normalization=normalization,
            activation=activation,
        )
        channels = widths(width, depth)
        self.encoder = Encoder(in_channels, channels, surface, down, normalization, activation)
        self.decoder = nn.ModuleList()
        for step in range(depth, 0, -1):
            below, here, level = channels[step], channels[step - 1], self.encoder.surfaces[step]
            merge = DoubleConv(
                here + up_channels(below, up),
                here,
                normalization=normalization,
                activation=activation,
                surface=self.encoder.surfaces[step - 1],
            )
            self.decoder.append(UpBlock(below, merge, up, level))
        self.head = OutputHead(width, out_channels, head_kernel, sigmoid, surface)

    def forward(self, x: Tensor) -> Tensor:
        """A value of every output channel for every sample."""
        *skips, x = self.encoder(x)
        for block in self.decoder:
            x = block(x, skips.pop())
        return self.head(x)

"""U-Net (Ronneberger et al., MICCAI 2015) on every surface."""

from __future__ import annotations

from torch import Tensor, nn

from omniconv.models.base import Model
from omniconv.models.encoders.plain import Down, PlainEncoder
from omniconv.nn import DoubleConv, OutputHead, UpBlock
from omniconv.nn.blocks import Up, up_channels
from omniconv.surfaces import Plane, Surface


class UNet(Model):
    """Encoder, and a decoder with skip connections at every size, for images of any size.

    Args:
        in_channels: channels of the image.
        out_channels: classes or values for each sample.
        surface: surface of the image.
        width: channels at full size; doubled at every downsampling step.
        depth: number of downsampling steps, each by 2; at most the number of coarser levels of the surface.
        down: ``stride``, ``max`` or ``average``.
        up: ``linear`` interpolation or a learned ``transposed`` convolution.
        head_kernel: kernel of the last layer, 1 or 3.
        sigmoid: end with a sigmoid.
        normalization: ``batch``, ``group``, ``weight`` or ``none``, as in ``ConvBlock``.
        activation: ``relu``, ``leaky_relu``, ``elu``, ``gelu``, ``silu`` or ``none``.

    Shape:
        ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *grid)``.

    Raises:
        InputError: an argument out of range.

    The original is ``UNet(1, 2, width=64, depth=4, down="max", up="transposed", normalization="none")``: 31,030,658
    parameters. On ``Equirectangular()`` the network commutes with every roll of the panorama by a multiple of
    ``total_stride = 2**depth`` columns, where that divides the width.

    Example:
        >>> import torch
        >>> UNet(3, 2, width=8, depth=2)(torch.zeros(1, 3, 45, 33)).shape
        torch.Size([1, 2, 45, 33])
    """

    output = "dense"

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
        super().__init__(surface)
        self.encoder = PlainEncoder(in_channels, width, depth, surface, down, normalization, activation)
        channels, surfaces = self.encoder.channels, self.encoder.surfaces
        self.decoder = nn.ModuleList()
        for step in range(depth, 0, -1):
            merge = DoubleConv(
                channels[step - 1] + up_channels(channels[step], up), channels[step - 1],
                normalization=normalization, activation=activation, surface=surfaces[step - 1],
            )  # fmt: skip
            self.decoder.append(UpBlock(channels[step], merge, up, surfaces[step]))
        self.head = OutputHead(channels[0], out_channels, head_kernel, sigmoid, surface)

    @property
    def total_stride(self) -> int:
        return self.encoder.total_stride

    def forward(self, x: Tensor) -> Tensor:
        *skips, x = self.encoder(x)
        for block in self.decoder:
            x = block(x, skips.pop())
        return self.head(x)

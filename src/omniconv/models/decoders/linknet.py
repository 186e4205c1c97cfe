"""LinkNet on every surface."""

from __future__ import annotations

from torch import Tensor, nn

from omniconv.checks import check_integer
from omniconv.models.base import Model
from omniconv.models.decoders.blocks import TransposedConv
from omniconv.models.encoders.registry import make_encoder
from omniconv.nn import Conv, ConvBlock
from omniconv.nn.norm.normalization import norm_layer
from omniconv.surfaces import Plane, Surface


class LinkNet(Model):
    """LinkNet (Chaurasia and Culurciello, VCIP 2017): the output of each decoder is added to the encoder's signal.

    A decoder is a 1×1 convolution to a quarter of the channels, a transposed 3×3 convolution and a 1×1 convolution,
    each with batch normalization and ReLU.

    Args:
        in_channels: channels of the image.
        out_channels: classes or values for each sample.
        surface: surface of the image.
        encoder: name of the encoder, see ``omniconv.models.encoders``.
        output_stride: input samples per sample of the coarsest signal; by default 32, with ``plain`` 8.
        width: channels of the encoder at its finest size; by default 64, with ``plain`` 32.
        head_channels: channels of the last layers.

    Shape:
        ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *grid)``.

    Raises:
        InputError: an argument out of range; a surface with too few coarser levels for ``output_stride``.

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     network = LinkNet(3, 21)
        >>> sum(p.numel() for p in network.parameters())
        11535957
    """

    output = "dense"
    backbone_names = ("encoder",)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
        encoder: str = "resnet18",
        output_stride: int | None = None,
        width: int | None = None,
        head_channels: int = 32,
    ) -> None:
        super().__init__(surface)
        self.encoder = make_encoder(encoder, in_channels, surface, output_stride, width=width)
        head = check_integer("head_channels", head_channels, 1, "use head_channels=32")
        channels, surfaces, strides = self.encoder.channels, self.encoder.surfaces, self.encoder.strides
        self.decoders = nn.ModuleList()
        for level in range(len(channels) - 1, 1, -1):
            factor = strides[level] // strides[level - 1]
            self.decoders.append(_Decoder(channels[level], channels[level - 1], factor, surfaces[level]))
        # The last decoder keeps the size. The finest signal, in a ResNet that before pooling, has no skip connection.
        self.decoders.append(_Decoder(channels[1], channels[0], 1, surfaces[1]))
        self.first_up = TransposedConv(channels[0], head, 3, strides[1] // strides[0], True, surfaces[1])
        self.first_norm = nn.Sequential(norm_layer("batch", head, surfaces[0]), nn.ReLU())
        self.conv = nn.Sequential(
            Conv(head, head, surface=surfaces[0]), norm_layer("batch", head, surfaces[0]), nn.ReLU()
        )
        self.last_up = TransposedConv(head, out_channels, 2, strides[0], True, surfaces[0])

    @property
    def total_stride(self) -> int:
        return self.encoder.total_stride

    def forward(self, x: Tensor) -> Tensor:
        first, *skips, y = self.encoder(x)
        *decoders, last = self.decoders
        for decoder, skip in zip(decoders, reversed(skips), strict=True):
            y = skip + decoder(y, skip.shape[2:])
        y = last(y, y.shape[2:])
        y = self.conv(self.first_norm(self.first_up(y, first.shape[2:])))
        return self.last_up(y, x.shape[2:])


class _Decoder(nn.Module):
    """Bottleneck whose middle layer enlarges the signal.

    Args:
        in_channels: channels of the coarse signal.
        out_channels: channels of the result.
        scale_factor: 1 or 2.
        surface: surface of the coarse signal.
    """

    def __init__(self, in_channels: int, out_channels: int, scale_factor: int, surface: Surface) -> None:
        super().__init__()
        middle = max(in_channels // 4, 1)
        fine = surface.finer() if scale_factor > 1 else surface
        self.reduce = ConvBlock(in_channels, middle, 1, surface=surface)
        self.up = TransposedConv(middle, middle, 3, scale_factor, False, surface)
        self.norm = nn.Sequential(norm_layer("batch", middle, fine), nn.ReLU())
        self.expand = ConvBlock(middle, out_channels, 1, surface=fine)

    def forward(self, x: Tensor, size: tuple[int, ...]) -> Tensor:
        """Map ``(batch, in_channels, *coarse grid)`` to a grid of this size."""
        return self.expand(self.norm(self.up(self.reduce(x), size)))

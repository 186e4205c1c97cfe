"""U-Net (Ronneberger et al., MICCAI 2015) on every surface."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from omniconv.models.base import Model
from omniconv.models.decoders.blocks import Enlarge
from omniconv.models.encoders.plain import Down
from omniconv.models.encoders.registry import make_encoder
from omniconv.nn import DoubleConv, OutputHead, UpBlock
from omniconv.nn.blocks import Up, up_channels
from omniconv.surfaces import Plane, Surface


class UNet(Model):
    """Encoder, and a decoder with skip connections at every size, for images of any size.

    Args:
        in_channels: channels of the image.
        out_channels: classes or values for each sample.
        surface: surface of the image.
        width: channels of the encoder at its finest size; by default 32 at full size, doubled at every downsampling
            step, with a ResNet 64.
        depth: number of downsampling steps, each by 2; at most the number of coarser levels of the surface; 3 by
            default, not used by a ResNet.
        down: ``stride`` (default), ``max`` or ``average``; not used by a ResNet.
        up: ``linear`` interpolation or a learned ``transposed`` convolution.
        head_kernel: kernel of the last layer, 1 or 3.
        sigmoid: end with a sigmoid.
        normalization: ``batch``, ``group``, ``weight`` or ``none``, as in ``ConvBlock``.
        activation: ``relu``, ``leaky_relu``, ``elu``, ``gelu``, ``silu`` or ``none``.
        encoder: name of the encoder, see ``omniconv.models.encoders``: ``plain``, ``resnet18``, … The decoder of a
            ResNet starts with four times the channels of its stem and halves them at every step, and has a last step to
            full size, as in segmentation_models.pytorch. A ResNet has its own batch normalization and ReLU;
            ``normalization`` and ``activation`` are those of the decoder.
        output_stride: input samples per sample of the coarsest signal of a ResNet: 32, 16, 8 or 4.

    Shape:
        ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *grid)``.

    Raises:
        InputError: an argument out of range.

    The original is ``UNet(1, 2, width=64, depth=4, down="max", up="transposed", normalization="none")``: 31,030,658
    parameters; ``UNet(3, 1, encoder="resnet18", head_kernel=3)`` has 14,328,209, as in segmentation_models.pytorch. On
    ``Equirectangular()`` the network commutes with every roll of the panorama by a multiple of ``total_stride``
    columns, where that divides the width.

    Example:
        >>> import torch
        >>> UNet(3, 2, width=8, depth=2)(torch.zeros(1, 3, 45, 33)).shape
        torch.Size([1, 2, 45, 33])
    """

    output = "dense"
    backbone_names = ("encoder",)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
        width: int | None = None,
        depth: int | None = None,
        down: Down | None = None,
        up: Up = "linear",
        head_kernel: int = 1,
        sigmoid: bool = False,
        normalization: str = "batch",
        activation: str = "relu",
        encoder: str = "plain",
        output_stride: int | None = None,
    ) -> None:
        super().__init__(surface)
        style: dict[str, Any] = {"normalization": normalization, "activation": activation}
        options = {"width": width, "depth": depth, "down": down, **(style if encoder == "plain" else {})}
        given = {name: value for name, value in options.items() if value is not None}
        self.encoder = make_encoder(encoder, in_channels, surface, output_stride, **given)
        strides = self.encoder.strides
        # Of several signals of one size, which dilated stages return, the last one.
        self.levels = [level for level, stride in enumerate(strides) if stride not in strides[level + 1 :]]
        channels = [self.encoder.channels[level] for level in self.levels]
        surfaces = [self.encoder.surfaces[level] for level in self.levels]
        has_full_size = strides[0] == 1
        targets = (
            channels[-2::-1] if has_full_size else [max(4 * channels[0] >> step, 1) for step in range(len(channels))]
        )
        self.decoder, current = nn.ModuleList(), channels[-1]
        for (fine, coarse), target in zip(reversed([*pairwise(range(len(channels)))]), targets, strict=False):
            merge = DoubleConv(channels[fine] + up_channels(current, up), target, surface=surfaces[fine], **style)
            self.decoder.append(UpBlock(current, merge, up, surfaces[coarse]))
            current = target
        self.last = None if has_full_size else _LastStep(current, targets[-1], strides[0], surfaces[0], surface, style)
        self.head = OutputHead(targets[-1], out_channels, head_kernel, sigmoid, surface)

    @property
    def total_stride(self) -> int:
        return self.encoder.total_stride

    def forward(self, x: Tensor) -> Tensor:
        signals = self.encoder(x)
        *skips, y = [signals[level] for level in self.levels]
        for block in self.decoder:
            y = block(y, skips.pop())
        return self.head(y if self.last is None else self.last(y, x.shape[2:]))


class _LastStep(nn.Module):
    """Step to full size, of which the encoder has no signal.

    Args:
        in_channels: channels of the coarse signal.
        out_channels: channels of the result.
        scale_factor: factor of the size.
        surface: surface of the coarse signal.
        fine: surface of the result.
        style: normalization and activation.
    """

    def __init__(
        self, in_channels: int, out_channels: int, scale_factor: int, surface: Surface, fine: Surface,
        style: dict[str, Any],
    ) -> None:  # fmt: skip
        super().__init__()
        self.enlarge = Enlarge(scale_factor, "linear", surface)
        self.convs = DoubleConv(in_channels, out_channels, surface=fine, **style)

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        """Map ``(batch, in_channels, *coarse grid)`` to full size."""
        return self.convs(self.enlarge(x, size))

"""U-Net (Ronneberger et al., MICCAI 2015) on every surface."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any, get_args

from torch import Tensor, nn

from omniconv.checks import check_choice, check_flag, to_builtin
from omniconv.models.base import Model
from omniconv.models.decoders.blocks import Enlarge
from omniconv.models.encoders.plain import Down
from omniconv.models.encoders.registry import PLAIN, make_encoder
from omniconv.nn import ConvBlock, DoubleConv, OutputHead, UpBlock
from omniconv.nn.blocks import Up, up_channels
from omniconv.nn.stencil.modules import concatenate
from omniconv.surfaces import Plane, Surface

DEFAULT_STEM = {"stem_stride": 1, "residual": False}
"""Values of arguments of the plain encoder that other encoders do not have."""
MIN_LAST_CHANNELS = 8
"""Smallest number of channels at full size with ``stem_stride=2``, else half of those at half size."""


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
        stem_stride: 2: the first convolution has stride 2 and counts as the first of the ``depth`` steps. At full size
            there is one convolution only, of the decoder's signal together with the image. That takes about a third of
            the time of 1, at the same width. Not used by a ResNet.
        residual: a shortcut beside the convolutions of each size of the encoder, and one convolution instead of two at
            each size of the decoder, as in MONAI's UNet; not used by a ResNet.

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
        stem_stride: int = 1,
        residual: bool = False,
    ) -> None:
        super().__init__(surface)
        check_choice("up", up, get_args(Up))  # with one level there is no step of the decoder that checks it
        style: dict[str, Any] = {"normalization": normalization, "activation": activation}
        given = {"width": width, "depth": depth, "down": down, **(style if encoder == PLAIN else {})}
        stem = {"stem_stride": to_builtin(stem_stride), "residual": check_flag("residual", residual)}
        given |= {name: value for name, value in stem.items() if encoder == PLAIN or value != DEFAULT_STEM[name]}
        self.encoder = make_encoder(encoder, in_channels, surface, output_stride, **given)
        strides = self.encoder.strides
        # Of several signals of one size, which dilated stages return, the last one.
        self.levels = [level for level, stride in enumerate(strides) if stride not in strides[level + 1 :]]
        channels = [self.encoder.channels[level] for level in self.levels]
        surfaces = [self.encoder.surfaces[level] for level in self.levels]
        has_full_size = strides[0] == 1
        if has_full_size:
            targets = channels[-2::-1]
        elif encoder == PLAIN:
            targets = [*channels[-2::-1], max(channels[0] // 2, MIN_LAST_CHANNELS)]
        else:
            targets = [max(4 * channels[0] >> step, 1) for step in range(len(channels))]
        convs = ConvBlock if stem["residual"] else DoubleConv
        self.decoder, current = nn.ModuleList(), channels[-1]
        for (fine, coarse), target in zip(reversed([*pairwise(range(len(channels)))]), targets, strict=False):
            merge = convs(channels[fine] + up_channels(current, up), target, surface=surfaces[fine], **style)
            self.decoder.append(UpBlock(current, merge, up, surfaces[coarse]))
            current = target
        self.last: nn.Module | None = None
        if not has_full_size:
            last = partial(_ImageStep, in_channels) if encoder == PLAIN else _LastStep
            self.last = last(current, targets[-1], strides[0], surfaces[0], surface, style)
        self.head = OutputHead(targets[-1], out_channels, head_kernel, sigmoid, surface)

    @property
    def total_stride(self) -> int:
        return self.encoder.total_stride

    def forward(self, x: Tensor) -> Tensor:
        signals = self.encoder(x)
        *skips, y = [signals[level] for level in self.levels]
        for block in self.decoder:
            y = block(y, skips.pop())
        return self.head(y if self.last is None else self.last(y, x))


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

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """Map ``(batch, in_channels, *coarse grid)`` to the size of the image."""
        return self.convs(self.enlarge(x, image.shape[2:]))


class _ImageStep(nn.Module):
    """Step to full size, where the image itself replaces the encoder's signal.

    A convolution of few channels at full size takes as long as many at half of it, so there is only one, and the
    channels are reduced before the signal is enlarged.

    Args:
        image_channels: channels of the image.
        in_channels: channels of the coarse signal.
        out_channels: channels of the result.
        scale_factor: factor of the size.
        surface: surface of the coarse signal.
        fine: surface of the result.
        style: normalization and activation.
    """

    def __init__(
        self, image_channels: int, in_channels: int, out_channels: int, scale_factor: int, surface: Surface,
        fine: Surface, style: dict[str, Any],
    ) -> None:  # fmt: skip
        super().__init__()
        self.reduce = ConvBlock(in_channels, out_channels, 1, surface=surface, **style)
        self.enlarge = Enlarge(scale_factor, "linear", surface)
        self.conv = ConvBlock(image_channels + out_channels, out_channels, surface=fine, **style)

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """Map ``(batch, in_channels, *coarse grid)`` to the size of the image."""
        return self.conv(concatenate([image, self.enlarge(self.reduce(x), image.shape[2:])]))

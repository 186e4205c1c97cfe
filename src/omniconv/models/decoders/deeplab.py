"""DeepLab v3 and v3+ on every surface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from omniconv.checks import check_choice, check_flag, check_integer, to_builtin
from omniconv.errors import InputError
from omniconv.models.base import Model
from omniconv.models.decoders.blocks import Enlarge, check_dropout
from omniconv.models.encoders.registry import Encoder, make_encoder
from omniconv.nn import ASPP, ConvBlock, OutputHead, SeparableConv
from omniconv.nn.arguments import fitting_rate
from omniconv.nn.norm.normalization import norm_layer
from omniconv.nn.stencil.modules import concatenate
from omniconv.surfaces import Plane, Surface

LOW_LEVEL_STRIDE, LOW_LEVEL_CHANNELS = 4, 48
"""Stride of the signal that the decoder of v3+ also sees, and its channels after a 1×1 convolution, as published."""
PUBLISHED_RATES, PUBLISHED_STRIDE = (6, 12, 18), 16


class DeepLab(Model):
    """DeepLab v3 (Chen et al., 2017) and v3+ (Chen et al., ECCV 2018): atrous spatial pyramid pooling of an encoder.

    ``v3`` has one 3×3 convolution after the pyramid, and is enlarged by ``output_stride`` at once. ``v3+`` enlarges the
    pyramid to a quarter of the image's size, and convolves it together with the encoder's signal of that size.

    Args:
        in_channels: channels of the image.
        out_channels: classes or values for each sample.
        surface: surface of the image.
        encoder: name of the encoder, see ``omniconv.models.encoders``.
        version: ``v3`` or ``v3+``.
        output_stride: input samples per sample of the coarsest signal, 16 or 8 as published; the encoder's later
            convolutions are dilated instead of strided.
        rates: dilations of the pyramid; by default 6, 12, 18 at ``output_stride=16``, 12, 24, 36 at 8. Where the
            surface allows less (1 on an icosphere and an icosahedron), a rate is halved until it fits.
        separable: depthwise-separable 3×3 convolutions in pyramid and decoder, and one more of them before the decoder
            of ``v3+``, as in segmentation_models.pytorch.
        channels: channels of the pyramid and the decoder.
        dropout: dropout probability after the pyramid.
        width: channels of the encoder at its finest size; by default 64, with ``plain`` 32.

    Shape:
        ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *grid)``; in training a batch of at least two
        images, since the mean of an image is normalized over the batch.

    Raises:
        InputError: an argument out of range; a surface with too few coarser levels for ``output_stride``; in training
            a batch of one image.

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     v3 = DeepLab(3, 21, version="v3", output_stride=8)  # torchvision's
        ...     plus = DeepLab(3, 1, separable=True)  # as in segmentation_models.pytorch
        >>> [sum(p.numel() for p in network.parameters()) for network in (v3, plus)]
        [39638869, 26677585]
    """

    output = "dense"
    backbone_names = ("encoder",)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
        encoder: str = "resnet50",
        version: Literal["v3", "v3+"] = "v3+",
        output_stride: int = 16,
        rates: Sequence[int] | None = None,
        separable: bool = False,
        channels: int = 256,
        dropout: float = 0.1,
        width: int | None = None,
    ) -> None:
        super().__init__(surface)
        self.encoder = make_encoder(encoder, in_channels, surface, output_stride, width=width)
        channels = check_integer("channels", channels, 1, "use channels=256")
        coarse, stride = self.encoder.surfaces[-1], self.encoder.total_stride
        if rates is None:
            rates = [max(1, rate * PUBLISHED_STRIDE // stride) for rate in PUBLISHED_RATES]
        fitting = [fitting_rate(coarse, rate) for rate in _check_rates(rates)]
        separable, probability = check_flag("separable", separable), check_dropout(dropout)
        self.pyramid = ASPP(
            self.encoder.channels[-1], channels, fitting, separable=separable, dropout=probability, surface=coarse
        )
        decoder = VERSIONS[check_choice("version", version, VERSIONS)](self.encoder, channels, separable)
        self.decoder = decoder
        self.head = OutputHead(channels, out_channels, surface=decoder.surface)
        self.last = Enlarge(decoder.stride, "linear", decoder.surface)

    @property
    def total_stride(self) -> int:
        return self.encoder.total_stride

    @property
    def min_size(self) -> int:
        """Smallest size of an axis that an exported file takes; torch.export treats two coarse samples as a case."""
        return 3 * self.total_stride

    def forward(self, x: Tensor) -> Tensor:
        signals = self.encoder(x)
        y = self.decoder(self.pyramid(signals[-1]), signals)
        return self.last(self.head(y), x.shape[2:])


def _check_rates(rates: Sequence[int]) -> list[int]:
    values = to_builtin(rates)
    if not isinstance(values, tuple | list) or not values:
        raise InputError("rates", rates, "must hold at least one dilation", "use rates=(6, 12, 18)")
    return [check_integer("rates", rate, 1, "use rates=(6, 12, 18)") for rate in values]


def _conv3(in_channels: int, out_channels: int, separable: bool, surface: Surface) -> nn.Module:
    if not separable:
        return ConvBlock(in_channels, out_channels, surface=surface)
    conv = SeparableConv(in_channels, out_channels, bias=False, surface=surface)
    return nn.Sequential(conv, norm_layer("batch", out_channels, surface), nn.ReLU())


class _V3Decoder(nn.Module):
    """One convolution."""

    def __init__(self, encoder: Encoder, channels: int, separable: bool) -> None:
        super().__init__()
        self.surface, self.stride = encoder.surfaces[-1], encoder.total_stride
        self.conv = _conv3(channels, channels, separable, self.surface)

    def forward(self, x: Tensor, signals: Sequence[Tensor]) -> Tensor:
        """Map the pyramid ``(batch, channels, *coarse grid)``."""
        return self.conv(x)


class _V3PlusDecoder(nn.Module):
    """Enlarged pyramid and a finer signal of the encoder, concatenated and convolved."""

    def __init__(self, encoder: Encoder, channels: int, separable: bool) -> None:
        super().__init__()
        strides = encoder.strides
        self.level = next((level for level, stride in enumerate(strides) if stride >= LOW_LEVEL_STRIDE), 0)
        self.surface, self.stride = encoder.surfaces[self.level], strides[self.level]
        coarse = encoder.surfaces[-1]
        self.before = _conv3(channels, channels, True, coarse) if separable else nn.Identity()
        self.enlarge = Enlarge(encoder.total_stride // self.stride, "linear", coarse)
        self.reduce = ConvBlock(encoder.channels[self.level], LOW_LEVEL_CHANNELS, 1, surface=self.surface)
        self.conv = _conv3(channels + LOW_LEVEL_CHANNELS, channels, separable, self.surface)

    def forward(self, x: Tensor, signals: Sequence[Tensor]) -> Tensor:
        """Map the pyramid ``(batch, channels, *coarse grid)`` to the size of the finer signal."""
        fine = signals[self.level]
        return self.conv(concatenate([self.reduce(fine), self.enlarge(self.before(x), fine.shape[2:])]))


VERSIONS: dict[str, type[_V3Decoder] | type[_V3PlusDecoder]] = {"v3": _V3Decoder, "v3+": _V3PlusDecoder}
"""Decoders by the name of the version."""

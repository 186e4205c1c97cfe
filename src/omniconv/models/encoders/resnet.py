"""ResNet (He et al., CVPR 2016) as an encoder on every surface, with the parameter names of torchvision and timm."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from omniconv.checks import check_channels, to_builtin
from omniconv.errors import InputError
from omniconv.models.encoders.plain import check_width
from omniconv.nn import Conv, MaxPool
from omniconv.nn.arguments import check_surface, fitting_kernel, fitting_rate, has_pool
from omniconv.nn.norm.normalization import norm_layer
from omniconv.surfaces import Surface

OUTPUT_STRIDES = (4, 8, 16, 32)
PUBLISHED_WIDTH = 64
STEM_STRIDE = 4
"""Stride of the first convolution and the pooling, which are never dilated."""


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut.

    Args:
        in_channels: channels of the input.
        width: channels of the convolutions.
        surface: surface of the input.
        stride: stride of the first convolution, 1 or 2.
        dilations: dilation of the first and of the second convolution; where the surface allows less, it is halved
            until it fits.
    """

    expansion: ClassVar[int] = 1

    def __init__(self, in_channels: int, width: int, surface: Surface, stride: int, dilations: tuple[int, int]) -> None:
        super().__init__()
        after = surface if stride == 1 else surface.coarser()
        self.conv1 = _conv3x3(in_channels, width, surface, stride, dilations[0])
        self.bn1 = norm_layer("batch", width, after)
        self.relu = nn.ReLU()
        self.conv2 = _conv3x3(width, width, after, 1, dilations[1])
        self.bn2 = norm_layer("batch", width, after)
        self.downsample = _shortcut(in_channels, width, surface, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolution beside a shortcut, the stride in the 3×3 convolution ("version 1.5").

    Args:
        in_channels: channels of the input.
        width: channels of the 3×3 convolution; the output has four times as many.
        surface: surface of the input.
        stride: stride of the 3×3 convolution, 1 or 2.
        dilations: the first one is that of the 3×3 convolution; where the surface allows less, it is halved until it
            fits.
    """

    expansion: ClassVar[int] = 4

    def __init__(self, in_channels: int, width: int, surface: Surface, stride: int, dilations: tuple[int, int]) -> None:
        super().__init__()
        after, out_channels = surface if stride == 1 else surface.coarser(), width * self.expansion
        self.conv1 = Conv(in_channels, width, 1, bias=False, surface=surface)
        self.bn1 = norm_layer("batch", width, surface)
        self.conv2 = _conv3x3(width, width, surface, stride, dilations[0])
        self.bn2 = norm_layer("batch", width, after)
        self.conv3 = Conv(width, out_channels, 1, bias=False, surface=after)
        self.bn3 = norm_layer("batch", out_channels, after)
        self.relu = nn.ReLU()
        self.downsample = _shortcut(in_channels, out_channels, surface, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNetLayout(NamedTuple):
    """Block of a ResNet and number of blocks of its four stages."""

    block: type[BasicBlock] | type[Bottleneck]
    depths: tuple[int, int, int, int]


LAYOUTS = {
    18: ResNetLayout(BasicBlock, (2, 2, 2, 2)),
    34: ResNetLayout(BasicBlock, (3, 4, 6, 3)),
    50: ResNetLayout(Bottleneck, (3, 4, 6, 3)),
    101: ResNetLayout(Bottleneck, (3, 4, 23, 3)),
}
"""Published networks by their number of layers with weights (He et al., table 1)."""


class ResNetStages(nn.Module):
    """Stem and four stages under torchvision's names; base of ``ResNetEncoder`` and of the model ``ResNet``."""

    channels: list[int]
    surfaces: list[Surface]
    strides: list[int]
    published_name: str | None
    """Name under which torchvision and timm publish weights of this architecture."""
    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def add_stages(self, in_channels: int, surface: Surface, layers: int, width: int, output_stride: int) -> None:
        """Add the layers, once; arguments as in ``ResNetEncoder``."""
        check_channels(in_channels, 1, groups=1)
        block, depths = _layout(layers)
        check_output_stride(output_stride, surface)
        self.published_name = f"resnet{layers}" if width == PUBLISHED_WIDTH else None
        kernel = fitting_kernel(surface, 7, stride=2)
        self.conv1 = Conv(in_channels, check_width(width), kernel, 2, bias=False, surface=surface)
        stem = self.conv1.output_surface
        self.bn1 = norm_layer("batch", width, stem)
        self.relu = nn.ReLU()
        self.maxpool = MaxPool(3 if has_pool(stem, 3) else 2, 2, padding="same", surface=stem)
        self.channels = [width, *(width * 2**stage * block.expansion for stage in range(4))]
        self.surfaces, self.strides = [stem, self.maxpool.output_surface], [2, STEM_STRIDE]
        dilation = 1
        for stage, depth in enumerate(depths):
            stride, previous = (1 if stage == 0 else 2), dilation
            if self.strides[-1] * stride > output_stride:
                stride, dilation = 1, 2 * dilation
            blocks, before = nn.Sequential(), self.surfaces[-1]
            after = before if stride == 1 else before.coarser()
            for number in range(depth):
                # As in torchvision and timm, the first block of a dilated stage keeps the dilation of the one before.
                first = number == 0
                options = (before, stride, (previous, dilation)) if first else (after, 1, (dilation, dilation))
                blocks.append(block(self.channels[stage if first else stage + 1], width * 2**stage, *options))
            self.add_module(f"layer{stage + 1}", blocks)
            if stage > 0:
                self.surfaces.append(after)
                self.strides.append(self.strides[-1] * stride)
        _initialize(self)

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the outputs of the stem and of each stage."""
        signals = [self.relu(self.bn1(self.conv1(x)))]
        x = self.maxpool(signals[0])
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            signals.append(x)
        return signals


class ResNetEncoder(ResNetStages):
    """Stem and four stages of a ResNet, for networks that add a decoder.

    Parameters have the names and, on grids and with tangent kernels, the shapes of torchvision's and timm's. Where a
    surface has no 7×7 kernel (icosphere, icosahedron, a HEALPix of nside 1 or 2) the first convolution has size 3;
    on meshes the pooling has size 2.

    Args:
        in_channels: channels of the image.
        surface: surface of the image.
        layers: 18, 34, 50 or 101.
        width: channels of the stem; 64 as published.
        output_stride: total stride, 32, or 16, 8 or 4: the last stages are then dilated instead of strided. Where the
            surface allows less dilation (1 on an icosphere and an icosahedron), it is halved until it fits.

    Shape:
        ``(batch, in_channels, *grid)`` to a list of five signals, at strides 2, 4, 8, 16 and 32; the last strides
        repeat where ``output_stride`` is smaller.

    Attributes:
        channels: channels of each signal, the finest first.
        surfaces: surface of each signal.
        strides: input samples per sample of each signal, along each axis.
        total_stride: input samples per sample of the coarsest signal.

    Raises:
        InputError: an argument out of range, or a surface with too few coarser levels.

    Example:
        >>> from omniconv.surfaces import Plane
        >>> encoder = ResNetEncoder(3, Plane(), layers=50, width=8, output_stride=16)
        >>> encoder.channels, encoder.strides
        ([8, 32, 64, 128, 256], [2, 4, 8, 16, 16])
        >>> encoder(torch.zeros(1, 3, 64, 96))[-1].shape
        torch.Size([1, 256, 4, 6])
    """

    def __init__(
        self, in_channels: int, surface: Surface, layers: int = 18, width: int = 64, output_stride: int = 32
    ) -> None:
        super().__init__()
        self.add_stages(in_channels, surface, layers, width, output_stride)
        self.total_stride = self.strides[-1]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the outputs of the stem and of each stage, the finest first."""
        return self.features(x)


def check_output_stride(output_stride: int, surface: Surface) -> int:
    """Return the total stride of an encoder, after checking that the surface has as many coarser levels.

    Raises:
        InputError: it is none of ``OUTPUT_STRIDES``, or the surface has too few coarser levels.

    Example:
        >>> from omniconv.surfaces import Icosphere
        >>> check_output_stride(16, Icosphere(5))
        16
    """
    check_surface(surface)
    output_stride = to_builtin(output_stride)
    if output_stride not in OUTPUT_STRIDES:
        rule = f"must be one of {', '.join(map(str, OUTPUT_STRIDES))}"
        raise InputError("output_stride", output_stride, rule, "use output_stride=32")
    levels = surface.max_depth
    if levels is not None and output_stride > 2**levels:
        rule = f"needs {output_stride.bit_length() - 1} coarser levels, and {surface} has {levels}"
        fitting = f"output_stride={2**levels} or " if 2**levels in OUTPUT_STRIDES else ""
        raise InputError("output_stride", output_stride, rule, f"use {fitting}a finer surface")
    return output_stride


def _layout(layers: int) -> ResNetLayout:
    layers = to_builtin(layers)
    if layers not in LAYOUTS:
        raise InputError("layers", layers, f"must be one of {', '.join(map(str, LAYOUTS))}", "use layers=18")
    return LAYOUTS[layers]


def _conv3x3(in_channels: int, out_channels: int, surface: Surface, stride: int, dilation: int) -> Conv:
    dilation = fitting_rate(surface, dilation)
    return Conv(in_channels, out_channels, 3, stride, dilation=dilation, bias=False, surface=surface)


def _shortcut(in_channels: int, out_channels: int, surface: Surface, stride: int) -> nn.Module | None:
    if stride == 1 and in_channels == out_channels:
        return None
    conv = Conv(in_channels, out_channels, 1, stride, bias=False, surface=surface)
    return nn.Sequential(conv, norm_layer("batch", out_channels, conv.output_surface))


@torch.no_grad()
def _initialize(stages: nn.Module) -> None:
    """Scale the convolutions' own weights, of variance 1 / (3 fan_in), to 2 / fan_in (He et al., ICCV 2015)."""
    for layer in stages.modules():
        if isinstance(layer, Conv):
            layer.weight.mul_(math.sqrt(6))

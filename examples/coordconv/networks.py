"""Networks of the paper, built of ``omniconv.nn``, with the published numbers of parameters.

Networks for classification and rendering take positions ``(batch, 2)`` and return logits ``(batch, 1, 64, 64)``;
regressors take images ``(batch, 1, 64, 64)`` and return positions ``(batch, 2)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

import omniconv as oc
from examples.coordconv.data import SIZE

DECONVOLUTION_WIDTHS = (64, 64, 64, 32, 32)


class CoordinateClassifier(nn.Module):
    """Pixel logits from a position, by 1×1 convolutions with coordinate channels: 7,553 parameters.

    Args:
        channels: channels of the hidden layers.
    """

    def __init__(self, channels: Sequence[int] = (32, 32, 64, 64)) -> None:
        super().__init__()
        layers: list[nn.Module] = [oc.nn.CoordConv(2, channels[0], 1), nn.ReLU()]
        for before, after in pairwise(channels):
            layers += [oc.nn.Conv2d(before, after, 1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, oc.nn.Conv2d(channels[-1], 1, 1))

    def forward(self, positions: Tensor) -> Tensor:
        """``(batch, 2)`` to ``(batch, 1, 64, 64)``."""
        everywhere = positions[:, :, None, None].expand(-1, -1, SIZE, SIZE)
        return self.layers(everywhere.contiguous(memory_format=torch.channels_last))


class CoordinateRenderer(nn.Module):
    """Image of a square from its position: the classifier, a softmax over the canvas, convolutions: 11,850 parameters.

    Args:
        kernel_size: kernel size of the convolutions after the softmax.
        multiple: factor for their channels.
    """

    def __init__(self, kernel_size: int = 3, multiple: int = 1) -> None:
        super().__init__()
        self.classifier = CoordinateClassifier()
        widths = [1, 8 * multiple, 8 * multiple, 16 * multiple, 16 * multiple]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [oc.nn.Conv2d(before, after, kernel_size, padding="same"), nn.ReLU()]
        self.renderer = nn.Sequential(*layers, oc.nn.Conv2d(widths[-1], 1, kernel_size, padding="same"))

    def forward(self, positions: Tensor) -> Tensor:
        """``(batch, 2)`` to ``(batch, 1, 64, 64)``."""
        logits = self.classifier(positions)
        return self.renderer(logits.flatten(1).softmax(1).view_as(logits))


class Deconvolution(nn.Module):
    """Logits from a position by six transposed convolutions of stride 2: 103,585 parameters or more.

    Args:
        kernel_size: 2, 3 or 4.
        multiple: factor for the channels 64, 64, 64, 32, 32.
    """

    def __init__(self, kernel_size: int = 3, multiple: int = 1) -> None:
        super().__init__()
        widths = [2, *(multiple * width for width in DECONVOLUTION_WIDTHS)]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [_doubling(before, after, kernel_size), nn.BatchNorm2d(after, eps=1e-5, momentum=0.1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, _doubling(widths[-1], 1, kernel_size))

    def forward(self, positions: Tensor) -> Tensor:
        """``(batch, 2)`` to ``(batch, 1, 64, 64)``."""
        return self.layers(positions[:, :, None, None])


def coordinate_regressor() -> nn.Sequential:
    """Return the CoordConv regressor, linear up to a global maximum: 906 parameters."""
    layers: list[nn.Module] = [oc.nn.CoordConv(1, 8, 1)]
    layers += [oc.nn.Conv2d(8, 8, 1), oc.nn.Conv2d(8, 8, 1)]
    layers += [oc.nn.Conv2d(8, 8, 3, padding="same"), oc.nn.Conv2d(8, 2, 3, padding="same")]
    return nn.Sequential(*layers, oc.nn.MaxPool(SIZE), nn.Flatten())


def dense_regressor(multiple: int = 1) -> nn.Sequential:
    """Return the regressor of the uniform split: convolution, pooling and dense layers, 72,850 parameters."""
    width = 16 * multiple
    layers: list[nn.Module] = []
    for before in (1, width, width):
        layers += [oc.nn.Conv2d(before, width, 3, padding="same"), nn.ReLU(), oc.nn.MaxPool(2)]
    layers += [oc.nn.Conv2d(width, width, 3, padding="same"), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear((SIZE // 8) ** 2 * width, 64), nn.ReLU(), nn.Linear(64, 2))


def convolutional_regressor(multiple: int = 1) -> nn.Sequential:
    """Return the regressor of the quadrant split: strided convolutions and a mean, 12,914 or 49,890 parameters."""
    width = 16 * multiple
    layers = _strided(1, width, 5, 2)
    layers += [*_strided(width, width, 1, 1), nn.BatchNorm2d(width)]
    layers += [*_strided(width, width, 3, 1), *_strided(width, width, 3, 2)]
    convolution, activation = _strided(width, width, 3, 2)
    layers += [convolution, nn.BatchNorm2d(width), activation]
    layers += [*_strided(width, width, 3, 2), *_strided(width, width, 1, 1), *_strided(width, width, 3, 2)]
    return nn.Sequential(*layers, *_strided(width, 2, 3, 1), oc.nn.GlobalAvgPool())


def parameter_count(network: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def he_normal(network: nn.Module) -> nn.Module:
    """Initialise weights as the paper does (He et al., ICCV 2015); biases are 0, normalisation layers unchanged."""
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
    return network


def zero_coordinate_weights(network: nn.Module) -> nn.Module:
    """Set the weights of coordinates to 0: the image, not a coordinate, then has every maximum and gets gradients."""
    for layer in network.modules():
        if isinstance(layer, oc.nn.CoordConv):
            nn.init.zeros_(layer.conv.weight.data[:, layer.in_channels :])
    return network


def _doubling(before: int, after: int, kernel_size: int) -> nn.Module:
    return oc.nn.ConvTranspose2d(before, after, kernel_size, stride=2, padding="same_upper")


def _strided(before: int, after: int, kernel_size: int, stride: int) -> list[nn.Module]:
    return [oc.nn.Conv2d(before, after, kernel_size, stride, padding="same_upper"), nn.ReLU()]

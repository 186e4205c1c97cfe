"""Building blocks of networks: convolution blocks, the upsampling step of decoders, the output layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from omniconv.checks import check_choice, check_flag, check_integer
from omniconv.errors import InputError
from omniconv.nn.arguments import check_grid, check_tensor, is_grid
from omniconv.nn.conv.conv import Conv, ConvTranspose
from omniconv.nn.jit_tracing import Traceable
from omniconv.nn.norm.magnitude import ACTIVATION_RMS, MPActivation, MPConv, mp_sum
from omniconv.nn.norm.normalization import NORMALIZATIONS, norm_layer
from omniconv.nn.resampling.resizing import Upsample
from omniconv.nn.stencil.modules import concatenate
from omniconv.surfaces import Plane, Surface

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "none": nn.Identity,
}
Up = Literal["linear", "transposed"]


def activation_layer(name: str) -> nn.Module:
    """Return the activation layer of a name."""
    return ACTIVATIONS[check_choice("activation", name, ACTIVATIONS, "use 'relu'")]()


class ConvBlock(nn.Sequential):
    """Convolution, normalization, activation.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps on each axis.
        stride: 1, or 2 for the next coarser surface.
        normalization: ``batch``, ``group``, ``weight`` (weights of unit norm, ``MPConv``) or ``none``; with the last
            two the convolution has a bias.
        activation: ``relu``, ``leaky_relu``, ``elu``, ``gelu``, ``silu`` or ``none``.
        surface: surface of the input.

    Example:
        >>> ConvBlock(3, 8, stride=2)(torch.zeros(1, 3, 9, 12)).shape
        torch.Size([1, 8, 5, 6])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        normalization: str = "batch",
        activation: str = "relu",
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    ) -> None:
        check_choice("normalization", normalization, NORMALIZATIONS, "use 'batch'")
        by_weight = normalization == "weight"
        bias = by_weight or normalization == "none"
        conv = (MPConv if by_weight else Conv)(
            in_channels, out_channels, kernel_size, stride, bias=bias, surface=surface
        )
        active = activation_layer(activation)
        active = MPActivation(active, ACTIVATION_RMS[activation]) if by_weight else active
        super().__init__(conv, norm_layer(normalization, out_channels, conv.output_surface), active)
        self.output_surface = conv.output_surface


class DoubleConv(nn.Sequential):
    """Two convolution blocks at one resolution, as in the original U-Net.

    Args:
        in_channels: channels of the input.
        out_channels: channels of both outputs.
        kernel_size: taps on each axis.
        normalization: as in ``ConvBlock``.
        activation: as in ``ConvBlock``.
        surface: surface of the input.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        normalization: str = "batch",
        activation: str = "relu",
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    ) -> None:
        options: dict[str, Any] = {"normalization": normalization, "activation": activation, "surface": surface}
        super().__init__(
            ConvBlock(in_channels, out_channels, kernel_size, **options),
            ConvBlock(out_channels, out_channels, kernel_size, **options),
        )


class ResidualBlock(nn.Module):
    """Two convolution blocks beside a shortcut, as in ResNet (He et al., CVPR 2016).

    The activation of the second block follows the sum. Where stride or channels differ, the shortcut is a 1×1
    convolution with normalization. With ``normalization="weight"`` the sum keeps the variance (``mp_sum``).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: stride of the first convolution: 1, or 2 for the next coarser surface.
        normalization: as in ``ConvBlock``.
        activation: as in ``ConvBlock``.
        surface: surface of the input.

    Shape:
        ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *grid of output_surface)``.

    Raises:
        InputError: as ``ConvBlock``.

    Example:
        >>> ResidualBlock(3, 8, stride=2)(torch.zeros(1, 3, 9, 12)).shape
        torch.Size([1, 8, 5, 6])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        normalization: str = "batch",
        activation: str = "relu",
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    ) -> None:
        super().__init__()
        self.first = ConvBlock(in_channels, out_channels, 3, stride, normalization, activation, surface)
        self.output_surface = after = self.first.output_surface
        self.second = ConvBlock(out_channels, out_channels, 3, 1, normalization, "none", after)
        is_identity = stride == 1 and in_channels == out_channels
        linear: dict[str, Any] = {"normalization": normalization, "activation": "none", "surface": surface}
        self.shortcut = None if is_identity else ConvBlock(in_channels, out_channels, 1, stride, **linear)
        by_weight = normalization == "weight"
        active = activation_layer(activation)
        self.activation = MPActivation(active, ACTIVATION_RMS[activation]) if by_weight else active
        self.add = mp_sum if by_weight else torch.add

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, in_channels, *grid)`` to the coarser or the same grid."""
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return self.activation(self.add(self.second(self.first(x)), shortcut))


class UpBlock(Traceable, nn.Module):
    """Upsampling step of a decoder: upsample, concatenate the encoder's signal of that size, apply ``merge``.

    Args:
        in_channels: channels of the coarse signal.
        merge: layer applied to the concatenation of the encoder's channels and the upsampled ones, ``in_channels`` or
            (``transposed``) ``in_channels // 2``.
        up: ``linear`` keeps the channels; ``transposed`` is a learned 2×2 convolution that halves them.
        surface: surface of the coarse signal.

    Raises:
        InputError: an argument out of range, or a ``merge`` that is no layer.
    """

    def __init__(self, in_channels: int, merge: nn.Module, up: Up = "linear", surface: Surface = Plane()) -> None:  # noqa: B008
        super().__init__()
        if not isinstance(merge, nn.Module):
            raise InputError("merge", merge, "must be a layer", "use DoubleConv or torch.nn.Identity()")
        self.up = _upsampling(in_channels, up, surface)
        self.merge, self.output_surface = merge, surface.finer()

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Merge ``(B, in, *coarse grid)`` and ``(B, skip, *fine grid)`` into ``(B, out, *fine grid)``."""
        check_tensor(skip, "skip")
        check_grid(skip, self.output_surface, "skip")
        x = self.up(x, output_size=skip.shape[2:])
        if skip.shape[0] != x.shape[0]:
            rule = f"must have the batch size of the coarse signal, {x.shape[0]}"
            raise InputError("skip", tuple(skip.shape), rule, "pass the encoder's signal of the same images")
        return self.merge(concatenate([skip, x]))


def up_channels(in_channels: int, up: Up) -> int:
    """Return the number of channels after the upsampling of an ``UpBlock``."""
    check_choice("up", up, ("linear", "transposed"))
    halves = {"linear": 1, "transposed": 2}[up]
    return check_integer("in_channels", in_channels, halves, f"give integers of at least {halves}") // halves


def _upsampling(in_channels: int, up: Up, surface: Surface) -> nn.Module:
    channels = up_channels(in_channels, up)
    if up == "linear":
        return Upsample(surface=surface)
    if is_grid(surface):  # U-Net's 2×2 kernel
        return ConvTranspose(in_channels, channels, 2, 2, "same_upper", surface=surface)
    return ConvTranspose(in_channels, channels, 3, 2, surface=surface)


class OutputHead(nn.Sequential):
    """Output layer of a network: a convolution to one channel per class or value.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: 1 or 3.
        sigmoid: map the outputs to 0 … 1; leave it off where the loss takes logits.
        surface: surface of the input.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        sigmoid: bool = False,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    ) -> None:
        conv = Conv(in_channels, out_channels, kernel_size, surface=surface)
        super().__init__(conv, *([nn.Sigmoid()] if check_flag("sigmoid", sigmoid) else []))

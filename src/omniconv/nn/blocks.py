"""What networks are built of: convolution–norm–activation, the double convolution, steps up, the last layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from omniconv.checks import check_choice, check_flag, check_integer
from omniconv.errors import InputError
from omniconv.nn.arguments import check_tensor, is_grid
from omniconv.nn.conv import Conv, ConvTranspose
from omniconv.nn.jit_tracing import Traceable
from omniconv.nn.resizing import Upsample
from omniconv.surfaces import Plane, Surface

BATCH_NORMS: dict[int, type[nn.Module]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
NORMALIZATIONS = ("batch", "none")
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "none": nn.Identity,
}
Up = Literal["linear", "transposed"]


class RowNorm(nn.BatchNorm1d):
    """Batch normalisation of signals that lie channels last in memory, as mesh layers give them, and stay so."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(B, C, N)``."""
        rows = x.transpose(1, 2)
        return super().forward(rows.flatten(0, 1)).unflatten(0, rows.shape[:2]).transpose(1, 2)


def norm_layer(kind: str, channels: int, surface: Surface) -> nn.Module:
    """Batch normalisation for signals on a surface, or nothing."""
    check_choice("normalization", kind, NORMALIZATIONS, "use 'batch'")
    if kind == "none":
        return nn.Identity()
    return RowNorm(channels) if surface.ndim == 1 and not is_grid(surface) else BATCH_NORMS[surface.ndim](channels)


def activation_layer(kind: str) -> nn.Module:
    """The activation of a name."""
    return ACTIVATIONS[check_choice("activation", kind, ACTIVATIONS, "use 'relu'")]()


class ConvBlock(nn.Sequential):
    """Convolution, normalisation, activation; stride 2 in encoders, 1 in decoders.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        kernel_size: taps on each axis.
        stride: 1, or 2 for the next coarser surface.
        normalization: ``batch`` or ``none``; with ``none`` the convolution has a bias.
        activation: ``relu``, ``leaky_relu``, ``elu``, ``gelu``, ``silu`` or ``none``.
        surface: where the input lies.

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
        conv = Conv(in_channels, out_channels, kernel_size, stride, bias=normalization == "none", surface=surface)
        super().__init__(conv, norm_layer(normalization, out_channels, surface), activation_layer(activation))
        self.output_surface = conv.output_surface


class DoubleConv(nn.Sequential):
    """Two convolution blocks at one size, as in the original U-Net.

    Args:
        in_channels: channels in.
        out_channels: channels out of both.
        kernel_size: taps on each axis.
        normalization: as in ``ConvBlock``.
        activation: as in ``ConvBlock``.
        surface: where the input lies.
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
        kinds = {"normalization": normalization, "activation": activation, "surface": surface}
        super().__init__(
            ConvBlock(in_channels, out_channels, kernel_size, **kinds),  # type: ignore[arg-type]
            ConvBlock(out_channels, out_channels, kernel_size, **kinds),  # type: ignore[arg-type]
        )


class UpBlock(Traceable, nn.Module):
    """A step up in a decoder: to the finer surface, beside the encoder's signal of that size, then ``merge``.

    Args:
        in_channels: channels from below.
        merge: the layer that takes the encoder's channels and, after them, ``up_channels(in_channels, up)``.
        up: ``linear`` keeps the channels; ``transposed`` is a learned 2×2 convolution that halves them.
        surface: where the signal from below lies.

    Raises:
        InputError: an argument out of range, or no layer to merge with.
    """

    def __init__(self, in_channels: int, merge: nn.Module, up: Up = "linear", surface: Surface = Plane()) -> None:  # noqa: B008
        super().__init__()
        if not isinstance(merge, nn.Module):
            raise InputError("merge", merge, "must be a layer", "use DoubleConv or torch.nn.Identity()")
        self.up = _step_up(in_channels, up, surface)
        self.merge = merge

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """``(B, in, *coarse grid)`` and ``(B, skip, *fine grid)`` to ``(B, out, *fine grid)``."""
        check_tensor(skip, "skip")
        x = self.up(x, output_size=skip.shape[2:])
        if skip.shape[0] != x.shape[0]:
            rule = f"must have the batch of the signal from below, {x.shape[0]}"
            raise InputError("skip", tuple(skip.shape), rule, "give the encoder's signal of the same images")
        return self.merge(torch.cat([skip, x], 1))


def up_channels(in_channels: int, up: Up) -> int:
    """Channels after the step up of an ``UpBlock``."""
    check_choice("up", up, ("linear", "transposed"), "use 'linear'")
    halves = {"linear": 1, "transposed": 2}[up]
    return check_integer("in_channels", in_channels, halves, "count the channels") // halves


def _step_up(in_channels: int, up: Up, surface: Surface) -> nn.Module:
    channels = up_channels(in_channels, up)
    if up == "linear":
        return Upsample(surface=surface)
    kernel_size = 2 if is_grid(surface) else 3  # a mesh knows its operators, a grid the classic 2×2
    return ConvTranspose(
        in_channels,
        channels,
        kernel_size,
        2,
        "same_upper" if kernel_size == 2 else "same",
        surface=surface,
    )


class OutputHead(nn.Sequential):
    """The last layer of a network: a convolution to as many channels as there are classes or values.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        kernel_size: 1 or 3.
        sigmoid: squeeze the outputs into 0 … 1; leave it off where a loss takes logits.
        surface: where the input lies.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        sigmoid: bool = False,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    ) -> None:
        layers: Sequence[nn.Module] = [Conv(in_channels, out_channels, kernel_size, surface=surface)]
        super().__init__(*layers, *([nn.Sigmoid()] if check_flag("sigmoid", sigmoid) else []))

"""Embeddings of noise levels and labels, and the scale and shift of a signal by an embedding."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from omniconv.checks import check_integer, check_number
from omniconv.errors import InputError
from omniconv.nn.arguments import check_tensor
from omniconv.nn.blocks import activation_layer
from omniconv.nn.norm.normalization import GroupNorm
from omniconv.nn.surface_tables.table_module import TableModule
from omniconv.surfaces import Plane, Surface


class SinusoidalEmbedding(nn.Module):
    """Sines and cosines of a number, at geometrically decreasing frequencies (Vaswani et al., NeurIPS 2017).

    Args:
        channels: length of the embedding, even; sines first.
        max_period: longest period divided by 2π; frequencies are ``max_period ** (-i / (channels / 2 - 1))``.
        endpoint: whether the lowest frequency is ``1 / max_period``, as in DDPM; else the next one would be.

    Shape:
        ``(batch,)`` to ``(batch, channels)``.

    Raises:
        InputError: an odd number of channels; another shape of the input.

    Example:
        >>> SinusoidalEmbedding(4)(torch.tensor([0.0])).tolist()
        [[0.0, 0.0, 1.0, 1.0]]
    """

    def __init__(self, channels: int, max_period: float = 10000.0, endpoint: bool = True) -> None:
        super().__init__()
        self.channels = _check_even(channels)
        rule = "must be a number above 1"
        self.max_period = check_number("max_period", max_period, lambda p: 1 < p < math.inf, rule, "use 10000")
        self.endpoint = bool(endpoint)

    def forward(self, values: Tensor) -> Tensor:
        """Embed ``(batch,)``."""
        values = _check_values(values)
        half = self.channels // 2
        steps = torch.arange(half, device=values.device, dtype=values.dtype) / max(half - self.endpoint, 1)
        angles = values[:, None] * torch.exp(steps * -math.log(self.max_period))
        return torch.cat([angles.sin(), angles.cos()], 1)

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.channels}, max_period={self.max_period}, endpoint={self.endpoint}"


class FourierEmbedding(TableModule):
    """Cosines ``√2 · cos(2π (f · x + φ))`` of a number at fixed frequencies f and phases φ (Karras et al., CVPR 2024).

    The paper draws frequencies from a normal distribution and phases from a uniform one. Here they are quantiles of the
    normal distribution and multiples of the golden ratio (mod 1), so that they follow from the arguments and need no
    place among the weights of a file. Each embedding has a mean square of about 1.

    Args:
        channels: length of the embedding.
        bandwidth: standard deviation of the frequencies.

    Shape:
        ``(batch,)`` to ``(batch, channels)``.

    Raises:
        InputError: an argument out of range; another shape of the input.

    Example:
        >>> embedding = FourierEmbedding(64)
        >>> embedding(torch.tensor([-1.0, 2.0])).shape, len(embedding.state_dict())
        (torch.Size([2, 64]), 0)
    """

    def __init__(self, channels: int, bandwidth: float = 1.0) -> None:
        super().__init__()
        self.channels = check_integer("channels", channels, 1, "use channels=64")
        rule = "must be a number above 0 and finite"
        self.bandwidth = check_number("bandwidth", bandwidth, lambda b: 0 < b < math.inf, rule, "use 1.0")
        self.set_table("frequencies", _frequencies, self.channels, self.bandwidth)

    def forward(self, values: Tensor) -> Tensor:
        """Embed ``(batch,)``."""
        values = _check_values(values)
        frequencies, phases = self.table("frequencies", values).tensors
        angles = torch.addcmul(phases, values.to(frequencies.dtype)[:, None], frequencies)
        return (math.sqrt(2) * angles.cos()).to(values.dtype)

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.channels}, bandwidth={self.bandwidth}"


class LabelEmbedding(nn.Embedding):
    """Learned vector for each class, and one more for images without a class.

    Args:
        classes: number of classes.
        channels: length of the embedding.

    Shape:
        int64 ``(batch,)``, from 0 to ``classes`` (no class), to ``(batch, channels)``.

    Raises:
        InputError: an argument out of range; labels of another shape or dtype.

    Example:
        >>> embedding = LabelEmbedding(10, 16)
        >>> torch.equal(embedding(None, batch=2), embedding(torch.tensor([10, 10])))
        True
    """

    def __init__(self, classes: int, channels: int) -> None:
        self.classes = check_integer("classes", classes, 1, "use at least one class")
        super().__init__(self.classes + 1, check_integer("channels", channels, 1, "use channels=64"))

    def forward(self, label: Tensor | None, batch: int | None = None) -> Tensor:
        """Embed labels ``(batch,)``; ``None`` stands for ``batch`` images without a class."""
        if label is None:
            return self.weight[self.classes].expand(batch or 1, -1)
        check_tensor(label, "label")
        if label.ndim != 1 or label.is_floating_point():
            rule = "must be integers (batch,), one class for each image"
            raise InputError("label", (label.dtype, tuple(label.shape)), rule, "use torch.tensor([3, 7])")
        return super().forward(label)


class ScaleShift(nn.Module):
    """Feature-wise linear modulation, ``x · (1 + s) + b`` (FiLM, Perez et al., AAAI 2018).

    Scale s and shift b of each channel are a linear function of an embedding, 0 at the start.

    Args:
        embedding_channels: length of the embedding.
        channels: channels of the signal.

    Shape:
        ``(batch, channels, *grid)`` and ``(batch, embedding_channels)`` to ``(batch, channels, *grid)``.

    Raises:
        InputError: a number of channels out of range.

    Example:
        >>> ScaleShift(16, 8)(torch.ones(2, 8, 4, 4), torch.randn(2, 16)).mean().item()
        1.0
    """

    def __init__(self, embedding_channels: int, channels: int) -> None:
        super().__init__()
        self.channels = check_integer("channels", channels, 1, "give integers of at least 1")
        inputs = check_integer("embedding_channels", embedding_channels, 1, "give integers of at least 1")
        self.linear = nn.Linear(inputs, 2 * channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def coefficients(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and shift, each ``(batch, channels)``."""
        scale, shift = self.linear(embedding).chunk(2, 1)
        return scale, shift

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Scale and shift ``(batch, channels, *grid)``."""
        scale, shift = (part.reshape(*part.shape, *[1] * (x.ndim - 2)) for part in self.coefficients(embedding))
        return torch.addcmul(shift, x, 1 + scale)


class NormScaleShift(nn.Module):
    """Group normalization, scale and shift by an embedding, activation: as few passes over memory as possible.

    Args:
        channels: channels of the signal.
        embedding_channels: length of the embedding; 0 for no scale and shift.
        activation: as in ``ConvBlock``.
        groups: as in ``GroupNorm``.
        surface: surface of the signal.
        eps: as in ``GroupNorm``.

    Shape:
        ``(batch, channels, *grid)`` to the same shape, with the memory layout of the input.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> NormScaleShift(8, 16)(torch.randn(2, 8, 4, 4), torch.randn(2, 16)).shape
        torch.Size([2, 8, 4, 4])
    """

    def __init__(
        self,
        channels: int,
        embedding_channels: int = 0,
        activation: str = "silu",
        groups: int | None = None,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        inputs = check_integer("embedding_channels", embedding_channels, 0, "use 0 for no scale and shift")
        self.norm = GroupNorm(channels, groups, surface, eps)
        self.scale_shift = ScaleShift(inputs, channels) if inputs else None
        self.fuses_silu = activation == "silu"
        self.activation = nn.Identity() if self.fuses_silu else activation_layer(activation)

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        """Normalize, scale and shift, and activate ``(batch, channels, *grid)``."""
        coefficients: Any = ()
        if self.scale_shift is not None:
            if embedding is None:
                raise InputError(
                    "embedding", None, "is required by scale and shift", "pass (batch, embedding_channels)"
                )
            coefficients = self.scale_shift.coefficients(embedding)
        return self.activation(self.norm(x, *coefficients, silu=self.fuses_silu))


def _frequencies(channels: int, bandwidth: float) -> tuple[list[int], list[Tensor]]:
    """Return frequencies and phases, both times 2π, float64."""
    index = torch.arange(channels, dtype=torch.float64)
    frequencies = bandwidth * torch.special.ndtri((index + 0.5) / channels)
    phases = (index * (math.sqrt(5) - 1) / 2) % 1
    return [], [2 * math.pi * frequencies, 2 * math.pi * phases]


def _check_even(channels: int) -> int:
    channels = check_integer("channels", channels, 2, "use channels=64")
    if channels % 2:
        raise InputError("channels", channels, "must be even: sines and cosines", f"use channels={channels + 1}")
    return channels


def _check_values(values: Tensor) -> Tensor:
    check_tensor(values)
    if values.ndim != 1:
        raise InputError("input", tuple(values.shape), "must be (batch,), one number for each image", "flatten it")
    return values if values.is_floating_point() else values.to(torch.get_default_dtype())

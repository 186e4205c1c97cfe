"""U-Net of residual blocks that know a noise level, as in DDPM (Ho et al., NeurIPS 2020), on every surface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from omniconv.checks import check_choice, check_flag, check_integer, check_number, to_builtin
from omniconv.errors import InputError
from omniconv.models.encoders.plain import check_depth, check_width
from omniconv.nn import (
    Conv,
    FourierEmbedding,
    LabelEmbedding,
    MPConv,
    MPLinear,
    NormScaleShift,
    Patchify,
    SelfAttention,
    SinusoidalEmbedding,
    Unpatchify,
    Upsample,
    mp_cat,
    mp_silu,
    mp_sum,
    pixel_norm,
)  # fmt: skip
from omniconv.nn.grid.padding import pad
from omniconv.nn.stencil.modules import concatenate
from omniconv.nn.symbolic import is_symbolic
from omniconv.surfaces import Surface
from omniconv.surfaces.base import Resampling

Modulation = Literal["scale_shift", "add"]
HEAD_CHANNELS = 64
"""Channels of a head of self-attention; signals of another number of channels than multiples of it have one head."""


class BlockOptions(NamedTuple):
    """Arguments that all residual blocks share, see ``Denoiser``."""

    embedding_channels: int
    modulation: Modulation
    dropout: float


class EmbeddedLayer(nn.Module):
    """Base of layers that take a signal and an embedding ``(batch, embedding_channels)``."""


class ResidualBlock(EmbeddedLayer):
    """Normalization, activation and convolution, twice, added to the input; an embedding acts before the second one.

    The last convolution starts at zero, so that the block is the identity (or a 1×1 convolution) at first.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        surface: surface of the signal.
        options: arguments that all blocks share.
        attention: follow it by self-attention.

    Shape:
        ``(batch, in_channels, *grid)`` and ``(batch, embedding_channels)`` to ``(batch, out_channels, *grid)``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, surface: Surface, options: BlockOptions, attention: bool = False
    ) -> None:
        super().__init__()
        self.norm = NormScaleShift(in_channels, surface=surface)
        self.conv = Conv(in_channels, out_channels, surface=surface)
        self.modulation = MODULATIONS[options.modulation](out_channels, options.embedding_channels, surface)
        self.dropout = nn.Dropout(options.dropout) if options.dropout else nn.Identity()
        self.last = Conv(out_channels, out_channels, surface=surface)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)
        is_same = in_channels == out_channels
        self.skip = nn.Identity() if is_same else Conv(in_channels, out_channels, 1, surface=surface)
        self.attention = _attention(out_channels, surface) if attention else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map ``(batch, in_channels, *grid)``."""
        y = self.modulation(self.conv(self.norm(x)), embedding)
        return self.attention(self.skip(x) + self.last(self.dropout(y)))


class AddThenNorm(nn.Module):
    """Sum with a linear function of an embedding, group normalization, activation: the modulation of DDPM."""

    def __init__(self, channels: int, embedding_channels: int, surface: Surface) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding_channels, channels)
        self.norm = NormScaleShift(channels, surface=surface)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Modulate ``(batch, channels, *grid)``."""
        shift = self.linear(embedding)
        return self.norm(x + shift.reshape(*shift.shape, *[1] * (x.ndim - 2)))


class NoiseEmbedding(nn.Module):
    """Embedding of noise level and class: sines and cosines, a linear layer, the class added, activated, once more.

    Args:
        width: sines and cosines.
        channels: length of the embedding.
        classes: number of classes; 0: none.

    Shape:
        ``(batch,)`` and labels ``(batch,)`` to ``(batch, channels)``.
    """

    def __init__(self, width: int, channels: int, classes: int) -> None:
        super().__init__()
        self.noise = SinusoidalEmbedding(width)
        self.first, self.last = nn.Linear(width, channels), nn.Linear(channels, channels)
        self.label = LabelEmbedding(classes, channels) if classes else None
        self.activation = nn.SiLU()

    def forward(self, noise: Tensor, label: Tensor | None) -> Tensor:
        """Embed ``(batch,)``."""
        x = self.first(self.noise(noise).to(self.first.weight.dtype))
        if self.label is not None:
            x = x + self.label(label)
        return self.activation(self.last(self.activation(x)))


class MPResidualBlock(EmbeddedLayer):
    """Magnitude-preserving residual block of EDM2 (Karras et al., CVPR 2024, figure 21, encoder).

    Arguments and shape are those of ``ResidualBlock``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, surface: Surface, options: BlockOptions, attention: bool = False
    ) -> None:
        super().__init__()
        is_same = in_channels == out_channels
        self.skip = nn.Identity() if is_same else MPConv(in_channels, out_channels, 1, surface=surface)
        self.conv = MPConv(out_channels, out_channels, surface=surface)
        self.scale = MPLinear(options.embedding_channels, out_channels)
        self.gain = nn.Parameter(torch.zeros(()))
        self.dropout = nn.Dropout(options.dropout) if options.dropout else nn.Identity()
        self.last = MPConv(out_channels, out_channels, surface=surface)
        self.attention = _attention(out_channels, surface, "none") if attention else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map ``(batch, in_channels, *grid)``."""
        x = pixel_norm(self.skip(x))
        scale = self.scale(embedding, self.gain) + 1
        y = self.conv(mp_silu(x)) * scale.reshape(*scale.shape, *[1] * (x.ndim - 2))
        return self.attention(mp_sum(x, self.last(self.dropout(mp_silu(y))), 0.3))


class MPNoiseEmbedding(nn.Module):
    """Embedding of noise level and class as in EDM2; arguments and shape are those of ``NoiseEmbedding``."""

    def __init__(self, width: int, channels: int, classes: int) -> None:
        super().__init__()
        self.noise = FourierEmbedding(width)
        self.linear = MPLinear(width, channels)
        self.label = LabelEmbedding(classes, channels) if classes else None

    def forward(self, noise: Tensor, label: Tensor | None) -> Tensor:
        """Embed ``(batch,)``."""
        x = self.linear(self.noise(noise).to(self.linear.weight.dtype))
        return mp_silu(x if self.label is None else mp_sum(x, pixel_norm(self.label(label))))


class StepUp(nn.Module):
    """Upsampling and a convolution on the finer surface."""

    def __init__(self, channels: int, surface: Surface, interpolation: Resampling, conv: type[Conv]) -> None:
        super().__init__()
        self.upsample = Upsample(mode=interpolation, surface=surface)
        self.conv = conv(channels, channels, surface=self.upsample.output_surface)

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        """Map ``(batch, channels, *coarse grid)`` to a grid of this size."""
        return self.conv(self.upsample(x, output_size=size))


class DiffusionUNet(nn.Module):
    """U-Net with a noise level and an optional class; every block and every step down has a skip connection.

    Arguments are those of ``Denoiser``.

    Shape:
        ``(batch, in_channels, *grid)``, noise levels ``(batch,)`` and labels ``(batch,)`` to
        ``(batch, in_channels, *grid)``.
    """

    def __init__(
        self,
        in_channels: int,
        surface: Surface,
        classes: int,
        width: int,
        depth: int,
        blocks: int,
        multipliers: Sequence[int] | None,
        patch: int,
        attention: Sequence[int],
        middle_attention: bool,
        normalization: str,
        modulation: Modulation,
        interpolation: Resampling,
        dropout: float,
    ) -> None:
        super().__init__()
        width = check_width(width)
        blocks = check_integer("blocks", blocks, 1, "use blocks=1")
        if to_builtin(patch) not in (1, 2):
            raise InputError("patch", patch, "must be 1 or 2", "use patch=2, a quarter of the cost")
        parts = PARTS[check_choice("normalization", normalization, PARTS)]
        check_choice("modulation", modulation, MODULATIONS)
        rule = "must be a number from 0 to below 1"
        dropout = check_number("dropout", dropout, lambda p: 0 <= p < 1, rule, "use dropout=0.1")
        middle_attention = check_flag("middle_attention", middle_attention)
        block = partial(parts.block, options=BlockOptions(4 * width, modulation, dropout))
        self.join = parts.join
        self.embedding = parts.embedding(width, 4 * width, classes)
        first = {1: Conv, 2: Patchify}[patch](in_channels, width, surface=surface)
        surfaces, skips = [first.output_surface], [width]
        self.total_stride = patch * 2 ** check_depth(depth, surfaces[0])
        channels = level_channels(width, multipliers, depth)
        attended = attended_levels(attention, depth)
        # Grids of odd size are padded by a sample, which the border of the surface defines.
        self.border: Any = surface.conv_neighbours() if patch == 2 and surface.any_size else None
        self.first = first
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, count in enumerate(channels):
            if level:
                self.down.append(parts.conv(skips[-1], skips[-1], stride=2, surface=surfaces[-1]))
                skips.append(skips[-1])
                surfaces.append(surfaces[-1].coarser())
            for _ in range(blocks):
                self.down.append(block(skips[-1], count, surfaces[-1], attention=level in attended))
                skips.append(count)
        current = channels[-1]
        self.middle = nn.ModuleList(
            [block(current, current, surfaces[-1], attention=own) for own in (middle_attention, False)]
        )
        for level, count in reversed([*enumerate(channels)]):
            for _ in range(blocks + 1):
                self.up.append(block(current + skips.pop(), count, surfaces[level], attention=level in attended))
                current = count
            if level:
                self.up.append(StepUp(current, surfaces[level], interpolation, parts.conv))
        self.norm = parts.norm(current, surfaces[0])
        self.last = {1: Conv, 2: Unpatchify}[patch](current, in_channels, surface=surfaces[0])
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, noise: Tensor, label: Tensor | None = None) -> Tensor:
        """Map ``(batch, in_channels, *grid)``."""
        embedding = self.embedding(noise, label)
        grid = x.shape[2:]
        if self.border is not None and any(is_symbolic(size) or size % 2 for size in grid):
            # size % 2, in a form that lets torch.export prove that the sum with the size is even.
            x = pad(x, [(0, 2 * ((size + 1) // 2) - size) for size in grid], self.border)
        x = self.first(x)
        skips = [x]
        for layer in self.down:
            x = layer(x, embedding) if isinstance(layer, EmbeddedLayer) else layer(x)
            skips.append(x)
        for layer in self.middle:
            x = layer(x, embedding)
        for layer in self.up:
            if isinstance(layer, EmbeddedLayer):
                x = layer(self.join(x, skips.pop()), embedding)
            else:
                x = layer(x, skips[-1].shape[2:])
        x = self.last(self.norm(x))
        return x if self.border is None else _crop(x, grid)


def _crop(x: Tensor, grid: Sequence[int]) -> Tensor:
    """Return the first samples of each grid axis; a slice to a symbolic size would restrict it to even ones."""
    for axis, size in enumerate(grid, start=2):
        if is_symbolic(size):
            x = x.index_select(axis, torch.arange(size, device=x.device))
        elif size < x.shape[axis]:
            x = x.narrow(axis, 0, size)
    return x


class _MakeModulation(Protocol):
    def __call__(self, channels: int, embedding_channels: int, surface: Surface) -> nn.Module: ...


def _scale_shift(channels: int, embedding_channels: int, surface: Surface) -> nn.Module:
    return NormScaleShift(channels, embedding_channels, surface=surface)


MODULATIONS: dict[str, _MakeModulation] = {"scale_shift": _scale_shift, "add": AddThenNorm}
"""Modulations of a residual block by an embedding, by name."""


class Parts(NamedTuple):
    """Layers of a U-Net that go together."""

    conv: type[Conv]
    block: type[EmbeddedLayer]
    embedding: type[nn.Module]
    join: Callable[[Tensor, Tensor], Tensor]
    norm: Callable[[int, Surface], nn.Module]


def _concatenate(x: Tensor, skip: Tensor) -> Tensor:
    return concatenate([x, skip])


def _norm(channels: int, surface: Surface) -> nn.Module:
    return NormScaleShift(channels, surface=surface)


def _no_norm(channels: int, surface: Surface) -> nn.Module:
    return nn.Identity()


PARTS = {
    "group": Parts(Conv, ResidualBlock, NoiseEmbedding, _concatenate, _norm),
    "weight": Parts(MPConv, MPResidualBlock, MPNoiseEmbedding, mp_cat, _no_norm),
}
"""Layers by the name of the normalization."""


def _attention(channels: int, surface: Surface, normalization: Literal["group", "none"] = "group") -> nn.Module:
    heads = channels // HEAD_CHANNELS if channels % HEAD_CHANNELS == 0 else 1
    return SelfAttention(channels, heads, surface, normalization)


def level_channels(width: int, multipliers: Sequence[int] | None, depth: int) -> list[int]:
    """Return the channels of each level; by default ``width``, and twice that at all coarser ones.

    Raises:
        InputError: another number of multipliers than levels, or one below 1.
    """
    factors = to_builtin((1, *[2] * depth) if multipliers is None else multipliers)
    if not isinstance(factors, tuple) or len(factors) != depth + 1:
        rule = f"must have {depth + 1} numbers, one for each level of depth={depth}"
        raise InputError("multipliers", multipliers, rule, "leave it out for 1, 2, 2, …")
    return [width * check_integer("multipliers", factor, 1, "give integers of at least 1") for factor in factors]


def attended_levels(levels: Sequence[int], depth: int) -> frozenset[int]:
    """Return the levels that have self-attention, after checking them.

    Raises:
        InputError: a level does not exist.
    """
    numbers = to_builtin(levels)
    if not isinstance(numbers, tuple) or not all(type(level) is int and 0 <= level <= depth for level in numbers):
        rule = f"must be levels from 0, the finest, to depth={depth}, the coarsest"
        raise InputError("attention", levels, rule, f"use attention=({depth},)")
    return frozenset(numbers)

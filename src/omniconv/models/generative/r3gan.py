"""Generator and discriminator of generative adversarial networks on every surface.

The residual networks without normalization of Huang et al., "The GAN is dead; long live the GAN!" (R3GAN, NeurIPS
2024): the losses are in ``omniconv.generation.adversarial``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import gcd
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.checks import check_choice, check_integer
from omniconv.errors import InputError
from omniconv.models.base import Model
from omniconv.models.generative.batched_sampling import check_label
from omniconv.models.generative.latent_model import Latent, LatentModel
from omniconv.models.levels import decoder_grids, level_grids, level_surfaces, level_widths, parse_size
from omniconv.nn import Conv, Downsample, GlobalAvgPool, Upsample
from omniconv.surfaces import Plane, Surface

Head = Literal["mean", "basis"]
SLOPE = 0.2
"""Slope of the leaky ReLU for negative values."""


class Generator(LatentModel):
    """Residual network from a latent signal on the coarsest surface, or from a vector, to an image.

    Args:
        in_channels: channels of the image.
        latent_channels: channels of the latent signal, or numbers of the latent vector.
        surface: surface of the image.
        classes: number of classes of a class-conditional network; 0: none.
        latent: ``map``: a signal on the coarsest surface, for images of any size; ``vector``: scales of a learned basis
            signal, for images of one size.
        size: grid of the images, with ``latent="vector"`` on a surface of any size.
        width: channels at full size: one number is doubled at every step to a coarser size, ``depth + 1`` numbers are
            those of each size.
        depth: number of upsampling steps, each by 2; at most the number of coarser levels of the surface.
        blocks: residual blocks at each size.
        expansion: channels inside a block, as a multiple of those outside.
        group_width: channels of a group of the 3×3 convolutions; the largest divisor of it that fits.

    Shape:
        ``(batch, latent_channels, *coarsest grid)`` or ``(batch, latent_channels)``, and labels ``(batch,)`` with
        ``classes``, to ``(batch, in_channels, *grid)``.

    Raises:
        InputError: an argument out of range; labels that are missing, or given without ``classes``.

    As published there are no normalizations, a block adds ``conv1(lrelu(conv3(lrelu(conv1(x)))))`` to its input, the
    last convolution of a block starts at zero, and the others are scaled by ``number of blocks ** (-1/4)``. Sizes
    change by the surface's interpolation instead of the filter [1, 2, 1]. ``Generator(3, 64, latent="vector", size=32,
    width=(128, 128, 128, 128))`` has 833,920 parameters. With ``latent="map"`` the network commutes with the symmetries
    of its surface, on ``Equirectangular()`` with rolls of the panorama by multiples of ``total_stride`` columns.

    Example:
        >>> network = Generator(3, 8, width=4, depth=2)
        >>> network(torch.randn(2, 8, 4, 8)).shape
        torch.Size([2, 3, 16, 32])
    """

    output = "generator"

    def __init__(
        self,
        in_channels: int,
        latent_channels: int = 64,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
        classes: int = 0,
        latent: Latent = "map",
        size: int | Sequence[int] | None = None,
        width: int | Sequence[int] = 32,
        depth: int = 3,
        blocks: int = 2,
        expansion: int = 2,
        group_width: int = 16,
    ) -> None:
        super().__init__(surface)
        check_choice("latent", latent, ("map", "vector"))
        self.latent_channels = check_integer("latent_channels", latent_channels, 1, "use latent_channels=64")
        self.classes = check_integer("classes", classes, 0, "use classes=0 for none")
        self.surfaces = level_surfaces(surface, depth)
        widths = level_widths(width, depth + 1)
        self.embedding = nn.Embedding(self.classes, self.latent_channels) if self.classes else None
        features = self.latent_channels * (2 if self.classes else 1)
        if latent == "map":
            if size is not None:
                raise InputError("size", size, "is used with latent='vector' only", "leave it out")
            self.size = None
            self.first: nn.Module = Conv(features, widths[-1], 1, bias=False, surface=self.surfaces[-1])
        else:
            self.size = image = parse_size(surface, size, "latent='vector'")
            grid = level_grids(self.surfaces, image)[-1]
            self.first = _LearnedBasis(features, (widths[-1], *grid))
        self.stages = nn.ModuleList(
            _Stage(channels, on_surface, blocks, expansion, group_width)
            for channels, on_surface in zip(widths, self.surfaces, strict=True)
        )
        self.ups = nn.ModuleList(
            _Transition(Upsample(surface=coarse), before, after)
            for after, before, coarse in zip(widths, widths[1:], self.surfaces[1:], strict=False)
        )
        self.last = Conv(widths[0], in_channels, 1, bias=False, surface=surface)
        _initialize(self, blocks * len(widths))

    def forward(self, latent: Tensor, label: Tensor | None = None, size: Sequence[int] | None = None) -> Tensor:
        """Return the images of latent signals.

        Args:
            latent: ``(batch, latent_channels, *coarsest grid)`` or ``(batch, latent_channels)``.
            label: class of each image, ``(batch,)``, with ``classes``.
            size: grid of the images, on surfaces of any size; by default ``total_stride`` times that of the latent map.
        """
        if self.embedding is not None:
            vector = self.embedding(check_label(label, self.classes))
            broadcast = vector.view(*vector.shape, *[1] * (latent.ndim - 2)).to(latent.dtype)
            latent = torch.cat([latent, broadcast.expand_as(latent)], 1)
        else:
            check_label(label, 0)
        x = self.first(latent)
        grids = decoder_grids(self.surfaces, x.shape[2:], self.size or size)
        x = self.stages[-1](x)
        for level in reversed(range(len(grids))):
            x = self.stages[level](self.ups[level](x, grids[level]))
        return self.last(x)

    def example_inputs(self, grid: Sequence[int] = (), batch: int = 1) -> tuple[Tensor, ...]:
        """Return latent signals, and labels of a class-conditional network, for images of a grid."""
        sizes = grid if self.surface.any_size else None
        generator = torch.Generator().manual_seed(0)
        latent = torch.randn(batch, *self.latent_shape(sizes), generator=generator)
        return (latent, torch.arange(batch) % self.classes) if self.classes else (latent,)

    def decode_latent(self, latent: Tensor, label: Tensor | None, size: tuple[int, ...]) -> Tensor:
        return self(latent, label, size)


class Discriminator(Model):
    """Residual network from an image to a score, larger for images that look real: the mirror of ``Generator``.

    Args:
        in_channels: channels of the image.
        surface: surface of the image.
        classes: number of classes of a class-conditional network, whose score adds the inner product of the features
            and a vector of the class (Miyato & Koyama, ICLR 2018); 0: none.
        head: ``mean`` over the surface, weighted by area, for images of any size; ``basis``: a weight for each sample
            of the coarsest signal, for images of one size.
        size: grid of the images, with ``head="basis"`` on a surface of any size.
        width: as in ``Generator``.
        depth: number of downsampling steps, each by 2; at most the number of coarser levels of the surface.
        blocks: residual blocks at each size.
        expansion: channels inside a block, as a multiple of those outside.
        group_width: channels of a group of the 3×3 convolutions; the largest divisor of it that fits.

    Shape:
        ``(batch, in_channels, *grid)``, and labels ``(batch,)`` with ``classes``, to ``(batch,)``.

    Raises:
        InputError: an argument out of range; labels that are missing, or given without ``classes``.

    ``Discriminator(3, head="basis", size=32, width=(128, 128, 128, 128))`` has the 825,856 parameters of the published
    one. With ``head="mean"`` scores are invariant to the symmetries of the surface, on ``Equirectangular()`` to rolls
    of the panorama by multiples of ``total_stride`` columns.

    Example:
        >>> Discriminator(3, width=4, depth=2)(torch.randn(2, 3, 16, 32)).shape
        torch.Size([2])
    """

    output = "discriminator"

    def __init__(
        self,
        in_channels: int,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
        classes: int = 0,
        head: Head = "mean",
        size: int | Sequence[int] | None = None,
        width: int | Sequence[int] = 32,
        depth: int = 3,
        blocks: int = 2,
        expansion: int = 2,
        group_width: int = 16,
    ) -> None:
        super().__init__(surface)
        check_choice("head", head, ("mean", "basis"))
        self.classes = check_integer("classes", classes, 0, "use classes=0 for none")
        self.surfaces = level_surfaces(surface, depth)
        widths = level_widths(width, depth + 1)
        self.first = Conv(in_channels, widths[0], 1, bias=False, surface=surface)
        self.stages = nn.ModuleList(
            _Stage(channels, on_surface, blocks, expansion, group_width)
            for channels, on_surface in zip(widths, self.surfaces, strict=True)
        )
        self.downs = nn.ModuleList(
            _Transition(Downsample(surface=fine), before, after)
            for before, after, fine in zip(widths, widths[1:], self.surfaces, strict=False)
        )
        if head == "mean":
            if size is not None:
                raise InputError("size", size, "is used with head='basis' only", "leave it out")
            self.pool: nn.Module = GlobalAvgPool(self.surfaces[-1])
        else:
            grid = parse_size(surface, size, "head='basis'")
            self.pool = _WeightedSum((widths[-1], *level_grids(self.surfaces, grid)[-1]))
        self.last = nn.Linear(widths[-1], 1, bias=False)
        self.embedding = nn.Embedding(self.classes, widths[-1]) if self.classes else None
        _initialize(self, blocks * len(widths))

    @property
    def total_stride(self) -> int:
        return 2 ** (len(self.surfaces) - 1)

    def example_inputs(self, grid: Sequence[int] = (), batch: int = 1) -> tuple[Tensor, ...]:
        """Return images, and labels of a class-conditional network."""
        images = super().example_inputs(grid, batch)
        return (*images, torch.arange(batch) % self.classes) if self.classes else images

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the scores ``(batch,)`` of images."""
        label = check_label(label, self.classes)
        x = self.stages[0](self.first(image))
        for down, stage in zip(self.downs, self.stages[1:], strict=True):
            x = stage(down(x))
        features = self.pool(x)
        score = self.last(features).squeeze(1)
        if self.embedding is not None:
            score = score + (features * self.embedding(label)).sum(1) / math.sqrt(features.shape[1])
        return score


class _Block(nn.Module):
    """Residual block without normalization; the bias of each activation is that of the convolution before it."""

    def __init__(self, channels: int, surface: Surface, expansion: int, group_width: int) -> None:
        super().__init__()
        inner = channels * expansion
        groups = inner // gcd(inner, group_width)
        self.reduce = Conv(channels, inner, 1, surface=surface)
        self.conv = Conv(inner, inner, 3, groups=groups, surface=surface)
        self.expand = Conv(inner, channels, 1, bias=False, surface=surface)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.leaky_relu(self.conv(F.leaky_relu(self.reduce(x), SLOPE)), SLOPE)
        return x + self.expand(inner)


class _Stage(nn.Sequential):
    """Residual blocks of one size."""

    def __init__(self, channels: int, surface: Surface, blocks: int, expansion: int, group_width: int) -> None:
        for name, value in (("blocks", blocks), ("expansion", expansion), ("group_width", group_width)):
            check_integer(name, value, 1, f"use {name}=2")
        super().__init__(*(_Block(channels, surface, expansion, group_width) for _ in range(blocks)))


class _Transition(nn.Module):
    """Change of size, and a 1×1 convolution at the coarser size where the number of channels changes."""

    def __init__(self, resize: Upsample | Downsample, before: int, after: int) -> None:
        super().__init__()
        self.resize = resize
        # A pointwise convolution commutes with interpolation, and costs a quarter at the coarser size.
        self.is_up = isinstance(resize, Upsample)
        coarse = resize.surface if self.is_up else resize.output_surface
        self.conv = nn.Identity() if before == after else Conv(before, after, 1, bias=False, surface=coarse)

    def forward(self, x: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        if self.is_up:
            return self.resize(self.conv(x), output_size)
        return self.conv(self.resize(x, output_size))


class _LearnedBasis(nn.Module):
    """Learned signal whose channels are scaled by a linear map of a vector."""

    def __init__(self, in_features: int, signal: tuple[int, ...]) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.randn(signal))
        self.linear = nn.Linear(in_features, signal[0], bias=False)

    def forward(self, vector: Tensor) -> Tensor:
        scale = self.linear(vector)
        return self.basis * scale.view(*scale.shape, *[1] * (self.basis.ndim - 1))


class _WeightedSum(nn.Module):
    """Sum over the samples of each channel with learned weights: a depth-wise convolution of the signal's size."""

    def __init__(self, signal: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(signal) / math.sqrt(math.prod(signal[1:])))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.weight.shape:
            rule = f"must become a signal {tuple(self.weight.shape[1:])} on the coarsest surface, as images of size do"
            raise InputError("input", tuple(x.shape), rule, "resize the images to the size of this network")
        return (x * self.weight).flatten(2).sum(2)


@torch.no_grad()
def _initialize(network: nn.Module, blocks: int) -> None:
    """Scale the weights as published.

    Convolutions before an activation keep its variance (He et al., ICCV 2015), divided by ``blocks ** (1/2)`` as of
    three layers in Fixup (Zhang et al., ICLR 2019); the last one of each block is zero, others keep the variance.
    """
    inside: dict[nn.Module, float] = {}
    for block in network.modules():
        if isinstance(block, _Block):
            gain = math.sqrt(2 / (1 + SLOPE**2)) * blocks**-0.25
            inside |= {block.reduce: gain, block.conv: gain, block.expand: 0.0}
    for layer in network.modules():
        if isinstance(layer, Conv | nn.Linear):
            # Layers draw uniformly within ±1/√fan_in (row kernels by row), of variance 1 / (3 fan_in).
            layer.weight.mul_(math.sqrt(3) * inside.get(layer, 1.0))
            if isinstance(layer.bias, nn.Parameter):
                layer.bias.zero_()

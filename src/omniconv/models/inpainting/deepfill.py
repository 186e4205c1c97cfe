"""DeepFill v2 (Yu et al., "Free-Form Image Inpainting with Gated Convolution", ICCV 2019): network and discriminator.

The generator is the network of ``Inpainter(kind="deepfill")``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.checks import check_channels, check_integer, to_builtin
from omniconv.errors import InputError
from omniconv.models.base import Model
from omniconv.models.encoders.plain import check_depth, check_width
from omniconv.nn import ContextualAttention, Conv, Downsample, GatedConv, SpectralNormConv, Upsample
from omniconv.nn.arguments import check_on_surface, fitting_kernel, fitting_rate, is_grid
from omniconv.nn.conv.partial_conv import check_mask
from omniconv.surfaces import Plane, Surface

SLOPE = 0.2
"""Slope of the discriminator's leaky ReLU for negative values."""


class DeepFillNetwork(nn.Module):
    """Coarse network, and a refinement network with a branch of dilated convolutions and one of contextual attention.

    Kernels of 5 samples have 3 where the surface has no larger ones (icosphere, icosahedron), dilations are halved
    until they fit. Grids are padded as in TensorFlow, by the surface's border instead of zeros.

    Args:
        in_channels: channels of the image.
        surface: surface of the image.
        width: channels at full size; 24 as published (there 48, half of them gates).
        depth: 2, the number of downsampling steps.
        rates: dilations in both networks; (2, 4, 8, 16) as published.
        activation: of the gated convolutions.
        limit: layer on the predictions, a hyperbolic tangent as published, for images in −1 … 1.

    Raises:
        InputError: an argument out of range.
    """

    def __init__(
        self, in_channels: int, surface: Surface, width: int, depth: int, rates: Sequence[int] | None, activation: str,
        limit: nn.Module,
    ) -> None:  # fmt: skip
        super().__init__()
        if depth != 2:
            raise InputError("depth", depth, "must be 2 with kind='deepfill'", "leave it out")
        rates = parse_rates((2, 4, 8, 16) if rates is None else rates)
        half = surface.coarser()
        surfaces = [surface, half, half.coarser()]
        top, middle, wide = width, 2 * width, 4 * width

        def layer(before: int, after: int, rate: int = 1, activation: str = activation) -> nn.Module:
            dilation = fitting_rate(surfaces[-1], rate)
            return GatedConv(before, after, dilation=dilation, activation=activation, surface=surfaces[-1])

        def dilated() -> list[nn.Module]:
            return [layer(wide, wide, rate) for rate in rates]

        self.coarse = _Encoder(in_channels + 2, (top, middle, middle, wide), surfaces, activation)
        coarse = [layer(wide, wide), layer(wide, wide), *dilated(), layer(wide, wide), layer(wide, wide)]
        self.coarse_middle = nn.Sequential(*coarse)
        self.coarse_decoder = _Decoder(in_channels, width, surfaces, activation)
        self.branch = _Encoder(in_channels, (top, top, middle, middle), surfaces, activation)
        self.branch_middle = nn.Sequential(layer(middle, wide), layer(wide, wide), *dilated())
        self.attention_branch = _Encoder(in_channels, (top, top, middle, wide), surfaces, activation)
        self.before_attention = nn.Sequential(layer(wide, wide), layer(wide, wide, activation="relu"))
        self.attention = ContextualAttention(wide, surfaces[-1])
        self.after_attention = nn.Sequential(layer(wide, wide), layer(wide, wide))
        self.shrink = nn.Sequential(*(Downsample(mode="nearest", surface=fine) for fine in surfaces[:2]))
        self.middle = nn.Sequential(layer(2 * wide, wide), layer(wide, wide))
        self.decoder = _Decoder(in_channels, width, surfaces, activation)
        self.limit = limit
        self.total_stride = 4 * self.attention.step

    def forward(self, image: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
        """Return the predictions of both networks for an image with 0 in the hole, and the hole."""
        x, grid = self.coarse(with_mask_channels(image, hole))
        coarse = self.limit(self.coarse_decoder(self.coarse_middle(x), grid, image.shape[2:]))
        pasted = torch.where(hole, coarse, image.to(coarse.dtype))
        around = self.branch_middle(self.branch(pasted)[0])
        similar = self.before_attention(self.attention_branch(pasted)[0])
        similar = self.after_attention(self.attention(similar, self.shrink(hole.to(similar.dtype))))
        x = self.middle(torch.cat([around, similar], 1))
        return coarse, self.limit(self.decoder(x, grid, image.shape[2:]))


class _Encoder(nn.Module):
    """Gated convolutions of 5 samples at full size, of 3 with stride 2, at half size, and again with stride 2."""

    def __init__(
        self, in_channels: int, widths: tuple[int, int, int, int], surfaces: Sequence[Surface], activation: str
    ) -> None:
        super().__init__()
        full, half, _ = surfaces
        one, two, three, four = widths
        kernel = fitting_kernel(full, 5)
        self.first = GatedConv(in_channels, one, kernel, activation=activation, surface=full)
        self.down = GatedConv(one, two, 3, 2, same_upper(full), activation=activation, surface=full)
        self.second = GatedConv(two, three, activation=activation, surface=half)
        self.down_again = GatedConv(three, four, 3, 2, same_upper(half), activation=activation, surface=half)

    def forward(self, x: Tensor) -> tuple[Tensor, torch.Size]:
        """Return the signal at a quarter of the size, and the grid of half the size."""
        x = self.down(self.first(x))
        return self.down_again(self.second(x)), x.shape[2:]


class _Decoder(nn.Module):
    """Two steps of nearest-neighbour upsampling, each followed by two gated convolutions, and a convolution."""

    def __init__(self, out_channels: int, width: int, surfaces: Sequence[Surface], activation: str) -> None:
        super().__init__()
        full, half, quarter = surfaces
        self.up = Upsample(mode="nearest", surface=quarter)
        self.up_again = Upsample(mode="nearest", surface=half)

        def layer(before: int, after: int, surface: Surface) -> nn.Module:
            return GatedConv(before, after, activation=activation, surface=surface)

        self.at_half = nn.Sequential(layer(4 * width, 2 * width, half), layer(2 * width, 2 * width, half))
        narrow = max(1, width // 2)
        self.at_full = nn.Sequential(layer(2 * width, width, full), layer(width, narrow, full))
        self.head = Conv(narrow, out_channels, surface=full)

    def forward(self, x: Tensor, half: Sequence[int], full: Sequence[int]) -> Tensor:
        x = self.at_half(self.up(x, half))
        return self.head(self.at_full(self.up_again(x, full)))


class PatchDiscriminator(Model):
    """SN-PatchGAN: convolutions with spectral normalization; each value of the last signal is the score of a patch.

    Args:
        in_channels: channels of the image; the mask is one more.
        surface: surface of the image.
        width: channels of the first layer, doubled by each of the next two.
        depth: number of layers, all of stride 2; as many as the surface has coarser levels if that is less.

    Shape:
        Images ``(batch, in_channels, *grid)`` and masks ``(batch or 1, 1, *grid)``, not 0 in the hole, to scores
        ``(batch, patches)``: all channels of all samples at the coarsest size.

    Raises:
        InputError: an argument out of range; a mask of another shape.

    Kernels have 5 samples, 3 where the surface has no larger ones. ``PatchDiscriminator(3)`` has 5,946,816 parameters.

    Example:
        >>> PatchDiscriminator(3, width=4, depth=3)(torch.zeros(2, 3, 32, 32), torch.zeros(2, 1, 32, 32)).shape
        torch.Size([2, 256])
    """

    output = "discriminator"

    def __init__(self, in_channels: int, surface: Surface = Plane(), width: int = 64, depth: int = 6) -> None:  # noqa: B008
        super().__init__(surface)
        self.in_channels, _, _ = check_channels(in_channels, in_channels, 1)
        check_width(width)
        levels = check_integer("depth", depth, 1, "use depth=6")
        levels = check_depth(levels if surface.max_depth is None else min(levels, surface.max_depth), surface)
        widths = [in_channels + 1, *(width * 2 ** min(level, 2) for level in range(levels))]
        self.layers = nn.ModuleList()
        for before, after in pairwise(widths):
            kernel = fitting_kernel(surface, 5, stride=2)
            self.layers.append(SpectralNormConv(before, after, kernel, 2, same_upper(surface), surface=surface))
            surface = surface.coarser()

    @property
    def total_stride(self) -> int:
        return 2 ** len(self.layers)

    def example_inputs(self, grid: Sequence[int] = (), batch: int = 1) -> tuple[Tensor, ...]:
        """Return images and masks whose hole is the first third of the samples."""
        (image,) = super().example_inputs(grid, batch)
        return image, example_mask(image)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Return the scores of completed or true images, and of their holes."""
        check_on_surface(image, self.surface, self.in_channels)
        hole = check_mask("mask", mask, image, per_channel=False)
        hole = hole.expand(image.shape[0], *[-1] * (hole.ndim - 1)).to(image.dtype)
        x = torch.cat([image, hole], 1)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
        return x.flatten(1)


def with_mask_channels(image: Tensor, hole: Tensor) -> Tensor:
    """Return the image, a channel of ones and the hole: 1 inside, also where the backend pads the image with 0."""
    hole = hole.expand(image.shape[0], *[-1] * (hole.ndim - 1)).to(image.dtype)
    return torch.cat([image, torch.ones_like(hole), hole], 1)


def example_mask(image: Tensor) -> Tensor:
    """Return a mask ``(batch, 1, *grid)`` whose hole is the first third of the samples."""
    mask = torch.zeros_like(image[:, :1])
    mask.flatten(2)[..., : mask[0].numel() // 3] = 1
    return mask


def parse_rates(rates: Sequence[int]) -> tuple[int, ...]:
    """Return dilations after checking them.

    Raises:
        InputError: they are no sequence of whole numbers from 1.
    """
    values = to_builtin(rates)
    if not isinstance(values, tuple):
        raise InputError("rates", rates, "must be a sequence of whole numbers from 1", "use rates=(2, 4, 8)")
    return tuple(check_integer("rates", rate, 1, "use rates=(2, 4, 8)") for rate in values)


def same_upper(surface: Surface) -> str:
    """Return the padding of TensorFlow's SAME; meshes have no edge to pad."""
    return "same_upper" if is_grid(surface) else "same"

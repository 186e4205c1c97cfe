"""Networks that fill holes of images, on every surface: gated, partial and plain convolutions, and DeepFill v2."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from omniconv.checks import check_channels, check_choice, check_flag, check_integer
from omniconv.models.base import Model
from omniconv.models.encoders.plain import check_depth, check_width
from omniconv.models.inpainting.deepfill import (
    DeepFillNetwork,
    example_mask,
    parse_rates,
    with_mask_channels,
)
from omniconv.nn import Conv, GatedConv, PartialConv, Upsample
from omniconv.nn.arguments import check_on_surface, fitting_rate
from omniconv.nn.blocks import activation_layer
from omniconv.nn.conv.partial_conv import check_mask
from omniconv.surfaces import Plane, Stencil, Surface

Kind = Literal["gated", "partial", "plain", "deepfill"]
Signal = tuple[Tensor, Tensor]
"""Features ``(batch, channels, *grid)``, and a mask of the known samples, which only partial convolutions change."""


class Inpainter(Model):
    """Network that fills the holes of images; known samples are returned bit for bit.

    ``gated``, ``partial`` and ``plain`` are one U-Net with three kinds of convolution and the same number of
    parameters, about a million by default: gated convolutions (Yu et al., ICCV 2019) and plain ones see the image with
    0 in the hole, a channel of ones and the mask; partial convolutions (Liu et al., ECCV 2018) see the image, and
    replace the channels of the mask by their rule. Dilated convolutions at the coarsest size widen the receptive field,
    as in DeepFill v2. ``deepfill`` is that network itself (Yu et al., ICCV 2019): a coarse network of gated
    convolutions, and a second one with contextual attention; ``Inpainter(3, kind="deepfill")`` has 4,052,478
    parameters.

    Args:
        in_channels: channels of the image.
        surface: surface of the image.
        kind: ``gated``, ``partial``, ``plain`` or ``deepfill``.
        width: channels of the gated network at full size, doubled at every downsampling step; the others, whose
            convolutions have one kernel instead of two, get √2 times as many, rounded.
        depth: number of downsampling steps, each by 2; at most the number of coarser levels of the surface; 2 with
            ``deepfill``.
        rates: dilation of each dilated convolution at the coarsest size; by default (2, 4, 8), with ``deepfill`` also
            16. Where the surface allows less (1 on an icosphere and an icosahedron), the rate is halved until it fits.
        activation: ``elu`` as published with gated convolutions, ``relu``, ``leaky_relu``, ``gelu``, ``silu`` or
            ``none``.
        tanh: end with a hyperbolic tangent, for images in −1 … 1, as published with ``deepfill``.

    Shape:
        ``image`` is ``(batch, in_channels, *grid)``, ``mask`` is ``(batch or 1, 1, *grid)`` of any dtype: 0 where the
        image is known, any other value in the hole. Values of the image in the hole have no effect, not even NaN.
        Returns the image with the hole filled, and without a hole the image itself.

    Raises:
        InputError: an argument out of range; a mask of another shape.

    On ``Equirectangular()`` the network commutes with every roll of the panorama by a multiple of ``total_stride``
    columns that divides the width (``2**depth``; 8 with ``deepfill``, whose attention looks at every second sample of
    the coarsest size): a hole across the seam is filled like any other one.

    Example:
        >>> network = Inpainter(3, width=4)
        >>> image, mask = torch.rand(1, 3, 16, 24), torch.zeros(1, 1, 16, 24)
        >>> mask[..., 4:9, 3:12] = 1
        >>> filled = network(image, mask)
        >>> bool((filled == image).all(1, keepdim=True)[mask == 0].all())
        True
    """

    output = "inpainter"

    def __init__(
        self,
        in_channels: int,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
        kind: Kind = "gated",
        width: int = 24,
        depth: int = 2,
        rates: Sequence[int] | None = None,
        activation: str = "elu",
        tanh: bool = False,
    ) -> None:
        super().__init__(surface)
        check_choice("kind", kind, NETWORKS)
        self.in_channels, _, _ = check_channels(in_channels, in_channels, 1)
        limit = nn.Tanh() if check_flag("tanh", tanh) else nn.Identity()
        depth = check_depth(depth, surface)
        self.network = NETWORKS[kind](in_channels, surface, check_width(width), depth, rates, activation, limit)
        _initialize(self.network, activation)

    @property
    def total_stride(self) -> int:
        return self.network.total_stride  # type: ignore[return-value]

    @property
    def min_size(self) -> int:
        """Smallest size that an exported file takes; the rates of the dilated convolutions specialize smaller ones."""
        return 6 * self.total_stride

    def example_inputs(self, grid: Sequence[int] = (), batch: int = 1) -> tuple[Tensor, ...]:
        """Return images and masks whose hole is the first third of the samples."""
        (image,) = super().example_inputs(grid, batch)
        return image, example_mask(image)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Fill the holes of images ``(batch, in_channels, *grid)``."""
        return self.stages(image, mask)[-1]

    def stages(self, image: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """Return the completed image of every stage; the last one is the result."""
        return tuple(torch.where(self._hole(image, mask), raw, image) for raw in self.predictions(image, mask))

    def predictions(self, image: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """Return the prediction of every stage for all samples, also the known ones: the input of losses."""
        hole = self._hole(image, mask)
        raw = self.network(torch.where(hole, 0, image), hole)
        return tuple(one.to(image.dtype) for one in raw)

    @torch.no_grad()
    def inpaint(self, x: Tensor, mask: Tensor, *, generator: Generator | None = None, batch_size: int = 64) -> Tensor:
        """Fill holes in batches, without gradients.

        Args:
            x: images ``(n, in_channels, *grid)``, in units of the normalized training images.
            mask: ``(n or 1, 1, *grid)``, not 0 in the hole.
            generator: not used, since the result is not random; ``Denoiser.inpaint`` has the same argument.
            batch_size: images computed at once.

        Raises:
            InputError: a mask of another shape, or a batch size below 1.
        """
        size = check_integer("batch_size", batch_size, 1, "use batch_size=64")
        hole = self._hole(x, mask).expand(x.shape[0], *[-1] * (x.ndim - 1))
        return torch.cat([self(*part) for part in zip(x.split(size), hole.split(size), strict=True)])

    def _hole(self, image: Tensor, mask: Tensor) -> Tensor:
        check_on_surface(image, self.surface, self.in_channels)
        return check_mask("mask", mask, image, per_channel=False)


class _UNet(nn.Module):
    """Masked image and hole to the prediction for all samples; a subclass chooses the blocks."""

    make_block: Callable[..., nn.Module]
    merge: Callable[[Surface, nn.Module], nn.Module]
    mask_channels = 2
    widening = math.sqrt(2)

    def __init__(
        self, in_channels: int, surface: Surface, width: int, depth: int, rates: Sequence[int] | None, activation: str,
        limit: nn.Module,
    ) -> None:  # fmt: skip
        super().__init__()
        rates = parse_rates((2, 4, 8) if rates is None else rates)
        widths = [round(width * self.widening) * 2**step for step in range(depth + 1)]
        self.first = self.make_block((in_channels + self.mask_channels, widths[0]), 1, 1, surface, activation)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        fine = surface
        for before, after in pairwise(widths):
            coarse = fine.coarser()
            halve = self.make_block((before, after), 2, 1, fine, activation)
            self.down.append(_Chain(halve, self.make_block((after, after), 1, 1, coarse, activation)))
            merged = self.make_block((before + after, before), 1, 1, fine, activation)
            self.up.insert(0, self.merge(coarse, merged))
            fine = coarse
        same = widths[-1], widths[-1]
        self.middle = _Chain(*(self.make_block(same, 1, rate, fine, activation) for rate in rates))
        self.head = Conv(widths[0], in_channels, surface=surface)
        self.limit = limit
        self.total_stride = 2**depth

    def forward(self, image: Tensor, hole: Tensor) -> tuple[Tensor]:
        signal = self.first(*self.start(image, hole))
        skips = []
        for stage in self.down:
            skips.append(signal)
            signal = stage(*signal)
        signal = self.middle(*signal)
        for stage in self.up:
            signal = stage(*signal, *skips.pop())
        return (self.limit(self.head(signal[0])),)

    def start(self, image: Tensor, hole: Tensor) -> Signal:
        """Return the input of the first layer."""
        return with_mask_channels(image, hole), hole


class _Chain(nn.ModuleList):
    """Blocks one after the other."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__(blocks)

    def forward(self, x: Tensor, known: Tensor) -> Signal:
        for block in self:
            x, known = block(x, known)
        return x, known


class _Block(nn.Module):
    """Layer that looks at features only and leaves the mask as it is."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, known: Tensor) -> Signal:
        return self.layer(x), known


class _PartialBlock(nn.Module):
    """Partial convolution and activation."""

    def __init__(self, conv: PartialConv, activation: nn.Module) -> None:
        super().__init__()
        self.conv, self.activation = conv, activation

    def forward(self, x: Tensor, known: Tensor) -> Signal:
        x, known = self.conv(x, known)
        return self.activation(x), known


def _gated(channels: tuple[int, int], stride: int, rate: int, surface: Surface, activation: str) -> nn.Module:
    rate = fitting_rate(surface, rate)
    return _Block(GatedConv(*channels, stride=stride, dilation=rate, activation=activation, surface=surface))


def _plain(channels: tuple[int, int], stride: int, rate: int, surface: Surface, activation: str) -> nn.Module:
    rate = fitting_rate(surface, rate)
    conv = Conv(*channels, stride=stride, dilation=rate, surface=surface)
    return _Block(nn.Sequential(conv, activation_layer(activation)))


def _partial(channels: tuple[int, int], stride: int, rate: int, surface: Surface, activation: str) -> nn.Module:
    rate = fitting_rate(surface, rate)
    conv = PartialConv(*channels, stride=stride, dilation=rate, surface=surface)
    return _PartialBlock(conv, activation_layer(activation))


class _Merge(nn.Module):
    """Upsampling to the finer size, concatenation with the encoder's features, a block."""

    def __init__(self, surface: Surface, block: nn.Module) -> None:
        super().__init__()
        self.up, self.block = Upsample(mode="nearest", surface=surface), block

    def forward(self, x: Tensor, known: Tensor, skip: Tensor, skip_known: Tensor) -> Signal:
        return self.block(torch.cat([skip, self.up(x, skip.shape[2:])], 1), known)


class _PartialMerge(_Merge):
    """``_Merge`` that also concatenates the masks: channels of the encoder are known at fewer samples."""

    def forward(self, x: Tensor, known: Tensor, skip: Tensor, skip_known: Tensor) -> Signal:
        grid = skip.shape[2:]
        masks = [
            mask.expand(-1, signal.shape[1], *[-1] * len(grid))
            for mask, signal in ((skip_known, skip), (self.up(known, grid), x))
        ]
        return self.block(torch.cat([skip, self.up(x, grid)], 1), torch.cat(masks, 1))


class _GatedUNet(_UNet):
    make_block, merge, widening = staticmethod(_gated), _Merge, 1.0


class _PlainUNet(_UNet):
    make_block, merge = staticmethod(_plain), _Merge


class _PartialUNet(_UNet):
    make_block, merge, mask_channels = staticmethod(_partial), _PartialMerge, 0

    def start(self, image: Tensor, hole: Tensor) -> Signal:
        return image, ~hole


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "gated": _GatedUNet,
    "partial": _PartialUNet,
    "plain": _PlainUNet,
    "deepfill": DeepFillNetwork,
}


@torch.no_grad()
def _initialize(network: nn.Module, activation: str) -> None:
    """Scale the initial weights so that signals keep their variance from layer to layer.

    With the layers' own weights each gated convolution would shrink a signal to about a quarter: their variance is
    1 / (3 fan_in), a gate is about ½ and an activation loses the negative half (He et al., ICCV 2015). Output layers
    are left as they are.
    """
    if next(network.parameters()).is_meta:  # no values, and no tables of surfaces
        return
    normal = torch.special.ndtri((torch.arange(1000, dtype=torch.float64, device="cpu") + 0.5) / 1000)
    kept = activation_layer(activation)(normal).square().mean().item()
    gate = torch.sigmoid(normal / math.sqrt(3)).square().mean().item()
    gated = {layer.conv for layer in network.modules() if isinstance(layer, GatedConv)}
    for name, layer in network.named_modules():
        if layer in gated:
            layer.weight.chunk(2)[0].mul_(math.sqrt(3 / (kept * gate)))
            layer.weight.div_(_noise_gain(layer))
        elif isinstance(layer, Conv) and not name.endswith("head"):
            layer.weight.mul_(math.sqrt(3 / kept) / _noise_gain(layer))


def _noise_gain(layer: Conv) -> float:
    """Return the factor by which the operators of a mesh increase the deviation of white noise: 2.2 on an icosphere."""
    stencil = getattr(layer.op, "stencil", None)
    if not isinstance(stencil, Stencil) or len(stencil.kernel_shape) > 1:  # tangent kernels interpolate: at most 1
        return 1.0
    return _noise_gain_of(stencil)


@lru_cache(maxsize=64)
def _noise_gain_of(stencil: Stencil) -> float:
    squares = sum(float(operator.power(2).sum()) for operator in stencil.operators)
    return math.sqrt(squares / (stencil.outputs * stencil.taps))

"""SegNet on every surface: unpooling at the positions of the maxima."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from omniconv.checks import check_flag
from omniconv.errors import InputError
from omniconv.models.base import Model
from omniconv.models.encoders.plain import check_depth, check_width
from omniconv.nn import Conv, MaxPool, MaxUnpool, OutputHead
from omniconv.nn.arguments import Padding, fitting_kernel, is_grid
from omniconv.nn.norm.normalization import norm_layer
from omniconv.surfaces import Plane, Surface

VGG16_FACTORS, VGG16_CONVS = (1, 2, 4, 8, 8), (2, 2, 3, 3, 3)
"""Channels of each stage of VGG16 (Simonyan and Zisserman, ICLR 2015) divided by 64, and its convolutions."""


class SegNet(Model):
    """SegNet (Badrinarayanan et al., TPAMI 2017): VGG16 and its mirror image with unpooling in place of pooling.

    The network has no skip connections: the decoder knows the fine positions from the switches of the max pooling only.
    Its encoder is therefore always VGG16's, or with ``basic`` one 7×7 convolution (3×3 on meshes) in each of four
    stages of equal width.

    Args:
        in_channels: channels of the image.
        out_channels: classes or values for each sample.
        surface: surface of the image.
        width: channels at full size.
        depth: number of pooling layers, 1 to 5; by default 5, with ``basic`` 4; at most the number of coarser levels of
            the surface.
        basic: the small network of the paper, SegNet-Basic.

    Shape:
        ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *grid)``.

    Raises:
        InputError: an argument out of range; a surface with too few coarser levels.

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     networks = SegNet(3, 11), SegNet(3, 11, basic=True)
        >>> [sum(p.numel() for p in network.parameters()) for network in networks]
        [29449355, 1416587]
    """

    output = "dense"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
        width: int = 64,
        depth: int | None = None,
        basic: bool = False,
    ) -> None:
        super().__init__(surface)
        basic = check_flag("basic", basic)
        depth = check_depth((4 if basic else 5) if depth is None else depth, surface)
        if depth > len(VGG16_CONVS):
            raise InputError("depth", depth, f"must be at most {len(VGG16_CONVS)}", "use depth=5")
        factors, counts = ((1,) * depth, (1,) * depth) if basic else (VGG16_FACTORS[:depth], VGG16_CONVS[:depth])
        widths = [check_width(width) * factor for factor in factors]
        kernel_size = 7 if basic else 3
        # Windows of 2 from sample 0; the last one of an odd size has a sample of the border.
        padding: Padding = "same_upper" if is_grid(surface) else "same"
        self.encoders, self.pools = nn.ModuleList(), nn.ModuleList()
        self.decoders, self.unpools = nn.ModuleList(), nn.ModuleList()
        own = surface
        for level, (count, convs) in enumerate(zip(widths, counts, strict=True)):
            finer = widths[level - 1] if level else in_channels
            # The decoder mirrors the encoder; the head is the last convolution of VGG16's mirror image.
            mirrored = [count] * convs + [finer] if level else [count] * (convs + basic)
            self.encoders.append(_stage([finer, *[count] * convs], kernel_size, own))
            self.pools.append(MaxPool(2, padding=padding, return_switches=True, surface=own))
            self.unpools.insert(0, MaxUnpool(2, surface=own.coarser()))
            self.decoders.insert(0, _stage(mirrored, kernel_size, own))
            own = own.coarser()
        self.head = OutputHead(widths[0], out_channels, 1 if basic else 3, surface=surface)
        self.stride = 2**depth

    @property
    def total_stride(self) -> int:
        return self.stride

    def forward(self, x: Tensor) -> Tensor:
        pooled = []
        for encoder, pool in zip(self.encoders, self.pools, strict=True):
            x = encoder(x)
            grid = x.shape[2:]
            x, switches = pool(x)
            pooled.append((switches, grid))
        for unpool, decoder in zip(self.unpools, self.decoders, strict=True):
            switches, grid = pooled.pop()
            x = decoder(unpool(x, switches, output_size=grid))
        return self.head(x)


def _stage(channels: list[int], kernel_size: int, surface: Surface) -> nn.Sequential:
    """Convolutions with bias, batch normalization and ReLU, from each number of channels to the next."""
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        conv = Conv(before, after, fitting_kernel(surface, kernel_size), surface=surface)
        layers += [conv, norm_layer("batch", after, surface), nn.ReLU()]
    return nn.Sequential(*layers)

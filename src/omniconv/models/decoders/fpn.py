"""Feature pyramid network for dense prediction on every surface."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from omniconv.checks import check_integer
from omniconv.models.base import Model
from omniconv.models.decoders.blocks import Enlarge, check_dropout
from omniconv.models.encoders.registry import make_encoder
from omniconv.nn import Conv, GroupNorm, OutputHead
from omniconv.surfaces import Plane, Surface

DROPOUTS: dict[int, type[nn.Module]] = {1: nn.Dropout1d, 2: nn.Dropout2d, 3: nn.Dropout3d}
"""Dropout of whole channels by the number of axes of a grid."""
LEVELS = 4
"""Signals of the encoder that the pyramid uses, the coarsest ones; strides 4, 8, 16 and 32 as published."""


class FPN(Model):
    """Feature pyramid network (Lin et al., CVPR 2017) with the segmentation head of Kirillov et al. (CVPR 2019).

    The four coarsest signals of the encoder get as many channels by 1×1 convolutions; each is added to the upsampled
    coarser one. Convolutions with group normalization and upsampling bring every level to the finest of the four sizes,
    where they are summed.

    Args:
        in_channels: channels of the image.
        out_channels: classes or values for each sample.
        surface: surface of the image.
        encoder: name of the encoder, see ``omniconv.models.encoders``.
        output_stride: input samples per sample of the coarsest signal; by default 32, with ``plain`` 8.
        width: channels of the encoder at its finest size; by default 64, with ``plain`` 32.
        pyramid_channels: channels of the pyramid.
        head_channels: channels of the head.
        dropout: probability that a channel is dropped before the last layer.

    Shape:
        ``(batch, in_channels, *grid)`` to ``(batch, out_channels, *grid)``.

    Raises:
        InputError: an argument out of range; a surface with too few coarser levels for ``output_stride``.

    Example:
        >>> with torch.device("meta"):
        ...     network = FPN(3, 1, encoder="resnet18")
        >>> sum(p.numel() for p in network.parameters())  # as in segmentation_models.pytorch
        13047233
    """

    output = "dense"
    backbone_names = ("encoder",)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
        encoder: str = "resnet18",
        output_stride: int | None = None,
        width: int | None = None,
        pyramid_channels: int = 256,
        head_channels: int = 128,
        dropout: float = 0.2,
    ) -> None:
        super().__init__(surface)
        self.encoder = make_encoder(encoder, in_channels, surface, output_stride, width=width)
        channels, surfaces, strides = (
            getattr(self.encoder, name)[-LEVELS:] for name in ("channels", "surfaces", "strides")
        )
        pyramid = check_integer("pyramid_channels", pyramid_channels, 1, "use pyramid_channels=256")
        head = check_integer("head_channels", head_channels, 1, "use head_channels=128")
        self.lateral = nn.ModuleList(
            Conv(count, pyramid, 1, surface=own) for count, own in zip(channels, surfaces, strict=True)
        )
        self.enlarge = nn.ModuleList(
            Enlarge(coarse // fine, "nearest", own)
            for (fine, coarse), own in zip(pairwise(strides), surfaces[1:], strict=True)
        )
        self.branches = nn.ModuleList(
            _Branch(pyramid, head, strides[: level + 1], surfaces[: level + 1]) for level in range(len(strides))
        )
        self.dropout = DROPOUTS[surface.ndim](check_dropout(dropout))
        self.head = OutputHead(head, out_channels, surface=surfaces[0])
        self.last = Enlarge(strides[0], "linear", surfaces[0])

    @property
    def total_stride(self) -> int:
        return self.encoder.total_stride

    def forward(self, x: Tensor) -> Tensor:
        signals = self.encoder(x)[-LEVELS:]
        pyramid = [self.lateral[-1](signals[-1])]
        for lateral, enlarge, signal in zip(
            reversed(self.lateral[:-1]), reversed(self.enlarge), reversed(signals[:-1]), strict=True
        ):
            pyramid.insert(0, lateral(signal) + enlarge(pyramid[0], signal.shape[2:]))
        grids = [signal.shape[2:] for signal in signals]
        total = torch.stack([branch(level, grids) for branch, level in zip(self.branches, pyramid, strict=True)]).sum(0)
        return self.last(self.head(self.dropout(total)), x.shape[2:])


class _Branch(nn.Module):
    """Convolutions from a level of the pyramid to its finest size, with upsampling by 2 after each.

    Args:
        in_channels: channels of the pyramid.
        out_channels: channels of every convolution.
        strides: strides of the levels, the finest first, up to this one.
        surfaces: their surfaces.
    """

    def __init__(self, in_channels: int, out_channels: int, strides: list[int], surfaces: list[Surface]) -> None:
        super().__init__()
        self.convs, self.enlarge = nn.ModuleList(), nn.ModuleList()
        # From each level to the next finer one; the finest level itself has a convolution as well.
        steps = list(range(len(strides) - 1, 0, -1)) or [0]
        for level in steps:
            own = surfaces[level]
            conv = Conv(in_channels, out_channels, bias=False, surface=own)
            self.convs.append(nn.Sequential(conv, GroupNorm(out_channels, surface=own), nn.ReLU()))
            self.enlarge.append(Enlarge(strides[level] // strides[max(level - 1, 0)], "linear", own))
            in_channels = out_channels
        self.finer = [max(level - 1, 0) for level in steps]

    def forward(self, x: Tensor, grids: list[torch.Size]) -> Tensor:
        """Map a level to the finest size; ``grids`` are the sizes of all levels, the finest first."""
        for conv, enlarge, finer in zip(self.convs, self.enlarge, self.finer, strict=True):
            x = enlarge(conv(x), grids[finer])
        return x

"""Classifier of images on every surface."""

from __future__ import annotations

from torch import Tensor, nn

from omniconv.checks import check_channels
from omniconv.models.base import Model
from omniconv.models.encoders.plain import Down, PlainEncoder
from omniconv.nn import GlobalAvgPool
from omniconv.surfaces import Plane, Surface


class Classifier(Model):
    """Encoder, area-weighted mean over the surface, linear layer.

    Args:
        in_channels: channels of the image.
        out_channels: classes.
        surface: surface of the image.
        width: channels at full size; doubled at every downsampling step.
        depth: number of downsampling steps, each by 2; at most the number of coarser levels of the surface.
        down: ``stride``, ``max`` or ``average``.
        normalization: ``batch``, ``group``, ``weight`` or ``none``, as in ``ConvBlock``.
        activation: ``relu``, ``leaky_relu``, ``elu``, ``gelu``, ``silu`` or ``none``.

    Shape:
        ``(batch, in_channels, *grid)`` to ``(batch, out_channels)``.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> import torch
        >>> Classifier(1, 10, width=8, depth=2)(torch.zeros(4, 1, 28, 28)).shape
        torch.Size([4, 10])
    """

    output = "global"
    backbone_names = ("encoder",)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
        width: int = 32,
        depth: int = 3,
        down: Down = "stride",
        normalization: str = "batch",
        activation: str = "relu",
    ) -> None:
        check_channels(in_channels, out_channels, groups=1)
        super().__init__(surface)
        self.encoder = PlainEncoder(in_channels, width, depth, surface, down, normalization, activation)
        self.pool = GlobalAvgPool(self.encoder.surfaces[-1])
        self.head = nn.Linear(self.encoder.channels[-1], out_channels)

    @property
    def total_stride(self) -> int:
        return self.encoder.total_stride

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.encoder(x)[-1]))

"""One answer for the whole image, on every surface."""

from __future__ import annotations

from torch import Tensor, nn

from omniconv.checks import check_channels
from omniconv.models.base import Model, check_depth, widths
from omniconv.models.encoder import Down, Encoder
from omniconv.nn import GlobalAvgPool
from omniconv.surfaces import Plane, Surface


class Classifier(Model):
    """An encoder, the mean over the surface by area, and a linear layer.

    Args:
        in_channels: channels of the image.
        out_channels: classes.
        surface: where the image lies.
        width: channels at full size; doubled at every step down.
        depth: steps down; on a surface of one size at most its level.
        down: ``stride``, ``max`` or ``average``.
        normalization: ``batch`` or ``none``.
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
        check_depth(depth, surface)
        check_channels(in_channels, out_channels, groups=1)
        super().__init__(
            surface,
            in_channels=in_channels,
            out_channels=out_channels,
            width=width,
            depth=depth,
            down=down,
            normalization=normalization,
            activation=activation,
        )
        channels = widths(width, depth)
        self.encoder = Encoder(in_channels, channels, surface, down, normalization, activation)
        self.pool = GlobalAvgPool(self.encoder.surfaces[-1])
        self.head = nn.Linear(channels[-1], out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """A value for every class."""
        return self.head(self.pool(self.encoder(x)[-1]))

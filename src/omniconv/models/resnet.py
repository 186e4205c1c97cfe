"""ResNet classifier (He et al., CVPR 2016) on every surface."""

from __future__ import annotations

from types import MappingProxyType

from torch import Tensor, nn

from omniconv.checks import check_channels
from omniconv.models.base import Model
from omniconv.models.encoders.resnet import PUBLISHED_WIDTH, ResNetStages
from omniconv.nn import GlobalAvgPool
from omniconv.surfaces import Plane, Surface


class ResNet(Model, ResNetStages):
    """ResNet of 18, 34, 50 or 101 layers with an area-weighted mean and a linear layer.

    Parameters have the names of torchvision's and timm's (``conv1.weight``, ``layer2.0.downsample.0.weight``, …). On
    grids, cube maps and with tangent kernels they also have their shapes, so that a state dict of theirs is loaded by
    ``load_state_dict``. ``oc.models.load_weights`` reads files, adapts the first convolution and the last layer, and
    converts kernels to meshes.

    Args:
        in_channels: channels of the image.
        out_channels: classes.
        surface: surface of the image.
        layers: 18, 34 (basic blocks), 50 or 101 (bottlenecks with the stride in the 3×3 convolution).
        width: channels of the stem; 64 as published.
        output_stride: total stride: 32, or 16, 8 or 4, by dilation in place of the last strides; where the surface
            allows less dilation (1 on an icosphere and an icosahedron), it is halved until it fits. The surface needs
            log₂(output_stride) coarser levels.

    Shape:
        ``(batch, in_channels, *grid)`` to ``(batch, out_channels)``.

    Raises:
        InputError: an argument out of range, or a surface with too few coarser levels.

    On ``Equirectangular()`` the output is invariant to every roll of the panorama by a multiple of ``total_stride``
    columns, where that divides the width. Where a surface has no 7×7 kernel (icosphere, icosahedron, a HEALPix of nside
    1 or 2) the first convolution has size 3; on meshes the pooling after it has size 2.

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     sum(parameter.numel() for parameter in ResNet(3, 1000, layers=50).parameters())
        25557032
        >>> ResNet(3, 10, width=8)(torch.zeros(2, 3, 32, 40)).shape
        torch.Size([2, 10])
    """

    output = "global"
    defaults = MappingProxyType({"width": PUBLISHED_WIDTH})
    backbone_names = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
        layers: int = 18,
        width: int = PUBLISHED_WIDTH,
        output_stride: int = 32,
    ) -> None:
        check_channels(in_channels, out_channels, groups=1)
        super().__init__(surface)
        self.add_stages(in_channels, surface, layers, width, output_stride)
        self.avgpool = GlobalAvgPool(self.surfaces[-1])
        self.fc = nn.Linear(self.channels[-1], out_channels)

    @property
    def total_stride(self) -> int:
        return self.strides[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.avgpool(self.features(x)[-1]))

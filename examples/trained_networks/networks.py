"""The two networks, as their authors define them; their files of weights are loaded by ``omniconv convert``."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

PNET_STRIDE = 2
"""Columns of the panorama per column of P-Net's heat map."""
_MARGIN = 5
"""Pixels on each side that P-Net's convolutions without padding and its pooling take away."""


class DnCNN(nn.Module):
    """Denoiser of grey images (Zhang et al., TIP 2017): 17 convolutions, which estimate the noise."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, 64, 3, padding=1), nn.ReLU()]
        for _ in range(15):
            layers += [nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.Conv2d(64, 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the image without noise, ``(batch, 1, height, width)`` as ``x``."""
        return x - self.model(x)


class PNet(nn.Module):
    """First stage of the face detector MTCNN (Zhang et al., SPL 2016): the scores of no face and a face, and a box.

    Its convolutions have no padding. Here the image is padded once, by the margin that they take away: ``F.pad`` wraps
    around the panorama when the network is converted, and reads zeros in the flat network.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the scores ``(batch, 2, height / 2, width / 2)`` and the offsets of a box."""
        x = self.prelu1(self.conv1(F.pad(x, (_MARGIN,) * 4)))
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(self.pool1(x)))))
        return {"scores": self.conv4_1(x), "boxes": self.conv4_2(x)}

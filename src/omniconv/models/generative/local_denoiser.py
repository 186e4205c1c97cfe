"""Diffusion model of limited receptive field, for few images: it learns their patches, and cannot copy whole images."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.checks import check_integer
from omniconv.errors import InputError
from omniconv.models.generative.denoiser import DenoiserBase
from omniconv.nn import Conv, SinusoidalEmbedding
from omniconv.nn.arguments import check_surface, fitting_kernel
from omniconv.surfaces import Plane, Surface

EMBEDDING = 32
"""Sines and cosines of the noise level, and of the scale."""


class LocalDenoiser(DenoiserBase):
    """Convolutions at full size that map noisy images and their noise levels to estimates of the images.

    The network of SinDDM (Kulikov et al., ICML 2023): each block has a 5×5 depth-wise convolution, to whose output the
    noise level adds a number for each channel, a 3×3 convolution, GELU, and another one, added to the block's input.
    With four blocks a sample depends on 33×33 samples of the input. One network serves all scales of a pyramid of
    images if their number is given, as a label.

    Args:
        in_channels: channels of the image.
        surface: surface of the image; on meshes all kernels have size 3.
        classes: number of scales; the label is the scale, embedded by sines and cosines; 0: no label.
        width: channels of the inner blocks, even; the first and the last one have half of them.
        blocks: number of blocks, from 2.
        parametrization: ``edm`` or ``flow``, as of ``Denoiser``.
        sigma_data: standard deviation of the images; noise levels are in the same units.

    Shape:
        As of ``Denoiser``.

    Raises:
        InputError: an argument out of range.

    ``LocalDenoiser(3, classes=5)`` has 1,106,772 parameters, as published. On ``Equirectangular()`` the network
    commutes with every roll of the panorama, by any number of columns.

    Example:
        >>> network = LocalDenoiser(3, width=8)
        >>> network(torch.randn(2, 3, 16, 32), torch.tensor([0.1, 5.0])).shape
        torch.Size([2, 3, 16, 32])
    """

    def __init__(
        self,
        in_channels: int,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
        classes: int = 0,
        width: int = 160,
        blocks: int = 4,
        parametrization: Literal["edm", "flow"] = "edm",
        sigma_data: float = 0.5,
    ) -> None:
        check_surface(surface)
        super().__init__(in_channels, surface, classes, parametrization, sigma_data)
        self.network = _LocalNetwork(self.in_channels, surface, self.classes, width, blocks)


class _LocalNetwork(nn.Module):
    total_stride = 1

    def __init__(self, in_channels: int, surface: Surface, scales: int, width: int, blocks: int) -> None:
        super().__init__()
        if check_integer("width", width, 2, "use width=160") % 2:
            raise InputError("width", width, "must be even", f"use width={width + 1}")
        inner = [width] * (check_integer("blocks", blocks, 2, "use blocks=4") - 2)
        channels = [in_channels, width // 2, *inner, width // 2]
        self.noise = SinusoidalEmbedding(EMBEDDING)
        self.scale = SinusoidalEmbedding(EMBEDDING) if scales else None
        inputs = EMBEDDING * (2 if scales else 1)
        self.embedding = nn.Sequential(nn.Linear(inputs, 4 * EMBEDDING), nn.GELU(), nn.Linear(4 * EMBEDDING, EMBEDDING))
        self.blocks = nn.ModuleList(_Block(before, after, surface) for before, after in pairwise(channels))
        self.last = Conv(width // 2, in_channels, 1, surface=surface)

    def forward(self, x: Tensor, noise: Tensor, label: Tensor | None) -> Tensor:
        embedded = self.noise(noise)
        if self.scale is not None and label is not None:
            embedded = torch.cat([embedded, self.scale(label.to(embedded.dtype))], 1)
        embedding = self.embedding(embedded.to(x.dtype))
        for block in self.blocks:
            x = block(x, embedding)
        return self.last(x)


class _Block(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, surface: Surface) -> None:
        super().__init__()
        kernel = fitting_kernel(surface, 5)
        self.depthwise = Conv(in_channels, in_channels, kernel, groups=in_channels, surface=surface)
        self.modulation = nn.Sequential(nn.GELU(), nn.Linear(EMBEDDING, EMBEDDING), nn.Linear(EMBEDDING, in_channels))
        self.conv = Conv(in_channels, out_channels, surface=surface)
        self.last = Conv(out_channels, out_channels, surface=surface)
        is_same = in_channels == out_channels
        self.skip = nn.Identity() if is_same else Conv(in_channels, out_channels, 1, surface=surface)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        shift = self.modulation(embedding)
        y = self.depthwise(x) + shift.view(*shift.shape, *[1] * (x.ndim - 2))
        return self.last(F.gelu(self.conv(y))) + self.skip(x)

"""Panoramas that are smooth on the sphere, and small networks with known border effects."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from omniconv.surfaces import panorama


def waves(count=2, channels=3, height=16, width=32, seed=0, fastest=4.0):
    """Plane waves evaluated on the sphere, from 0 to 1: smooth across the seam and the poles."""
    random = np.random.default_rng(seed)
    directions = panorama.pixel_directions(height, width)
    vectors = random.normal(size=(count, channels, 3)) * fastest / np.sqrt(3)
    phases = random.uniform(0, 2 * np.pi, (count, channels))
    values = np.sin(np.einsum("hwx,bcx->bchw", directions, vectors) + phases[..., None, None])
    return (0.5 + 0.5 * values).astype(np.float32)


def convolution(mode="zeros", channels=3, outputs=4, stride=1):
    """One convolution, so that its output depends on its padding."""
    torch.manual_seed(0)
    return nn.Conv2d(channels, outputs, 3, stride, 1, padding_mode=mode)


class Constant(nn.Module):
    """Returns the same output for every image."""

    def __init__(self, outputs=3):
        super().__init__()
        self.values = nn.Parameter(torch.linspace(-1, 1.7, outputs))

    def forward(self, x):
        return self.values[None, :, None, None].expand(len(x), -1, *x.shape[2:])


class Named(nn.Module):
    """Returns several outputs by name, as torchvision's segmentation networks do."""

    def __init__(self):
        super().__init__()
        self.one, self.other = convolution(), nn.Conv2d(3, 2, 1)

    def forward(self, x):
        return {"out": self.one(x), "aux": (self.other(x), [x])}

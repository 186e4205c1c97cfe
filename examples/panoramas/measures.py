"""Measures of generated panoramas: copies, texture, seam and poles, receptive field."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from examples.panoramas.data import Panoramas
from omniconv.generation.adversarial import diversity
from omniconv.metrics.copies import authenticity, copied_share, nearest_images
from omniconv.metrics.patches import patch_distances
from omniconv.metrics.seams import pole_scores, seam_score
from omniconv.models import LocalDenoiser
from omniconv.surfaces import Equirectangular

SURFACE = Equirectangular()


def measure(samples: Tensor, panoramas: Panoramas) -> dict[str, Any]:
    """Return the measures of generated panoramas of the largest height.

    Distances to training images are root mean squared differences by area in units of the standard deviation of the
    pixels, the least over all rolls; training images are all rotated ones and the originals.
    """
    training = torch.cat([panoramas.rotated[-1], panoramas.originals[-1]])
    small, small_training = (half(images) for images in (samples, training))
    found = nearest_images(small, small_training, SURFACE)
    north, south = pole_scores(samples)
    seam = seam_score(samples)
    variety = diversity(samples, _spread(panoramas.rotated[-1], len(samples)))
    return {
        "samples": len(samples),
        "nearest": [float(value) for value in found.distance],
        "nearest index": [int(value) for value in found.indices],
        "nearest roll": [int(value) for value in found.roll],
        "median distance": float(np.median(found.distance)),
        "authenticity": authenticity(small, small_training, SURFACE),
        "copied share": copied_share(found),
        "variance": variety.variance,
        "patch distances": [float(value) for value in patch_distances(samples, panoramas.rotated[-1], SURFACE)],
        "seam": seam._asdict() | {"ratio": seam.ratio},
        "north pole": north.ratio,
        "south pole": south.ratio,
    }


def reference(panoramas: Panoramas) -> dict[str, Any]:
    """Return the measures of the panoramas themselves: distances between different ones, seams, patches."""
    originals = panoramas.originals[-1]
    small = half(originals)
    others = [
        float(nearest_images(small[i : i + 1], torch.cat([small[:i], small[i + 1 :]]), SURFACE).distance[0])
        for i in range(len(small))
    ]
    rotated = panoramas.rotated[-1]
    copies = nearest_images(half(rotated), small, SURFACE).distance
    seam, (north, south) = seam_score(originals), pole_scores(originals)
    return {
        "median distance": float(np.median(others)),
        "median distance of a rotated copy": float(np.median(copies)),
        "patch distances": [float(v) for v in patch_distances(rotated[::2], rotated[1::2], SURFACE)],
        "seam": seam._asdict() | {"ratio": seam.ratio},
        "north pole": north.ratio,
        "south pole": south.ratio,
    }


def _spread(images: Tensor, count: int) -> Tensor:
    """Return ``count`` images at equal steps, since those of one panorama follow each other."""
    return images[torch.linspace(0, len(images) - 1, count).long()]


def half(images: Tensor) -> Tensor:
    """Return images of half the size, by means of 2×2 pixels."""
    return torch.nn.functional.avg_pool2d(images, 2)


def receptive_field(network: LocalDenoiser, size: int = 64) -> int:
    """Return the columns of the input on which a sample depends."""
    x = torch.randn(1, 3, size, 2 * size, requires_grad=True)
    network(x, torch.ones(1), torch.zeros(1, dtype=torch.long))[0, :, size // 2, size].sum().backward()
    return int((x.grad[0].abs().sum((0, 1)) > 0).sum())


def turn_error(network: LocalDenoiser, height: int) -> float:
    """Return the largest change, relative to the output, of what the network commutes with a roll by 5 columns."""
    x, label = torch.randn(1, 3, height, 2 * height), torch.zeros(1, dtype=torch.long)
    with torch.no_grad():
        y, moved = (network(one, torch.ones(1), label) for one in (x, x.roll(5, -1)))
    return float((moved - y.roll(5, -1)).abs().max() / y.abs().max())

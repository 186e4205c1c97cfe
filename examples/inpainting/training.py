"""Training of one network, and its measures on held-out images."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from examples.inpainting.data import Part, cap, mean_areas
from omniconv.generation.inpainting import l1_loss
from omniconv.metrics.holes import hole_l1, hole_share, psnr, ssim
from omniconv.models import Inpainter
from omniconv.surfaces import Equirectangular, Plane, Surface

NETWORKS: dict[str, tuple[Any, Surface]] = {
    "gated": ("gated", Equirectangular()),
    "partial": ("partial", Equirectangular()),
    "plain": ("plain", Equirectangular()),
    "flat": ("gated", Plane()),
}
"""Kind and surface of each network; ``flat`` is the gated one on a flat image with a border of zeros."""
PLACES = {"middle": (0.0, 0.0), "seam": (0.0, 180.0), "pole": (90.0, 0.0)}
"""Latitude and longitude of the caps."""
HOLE_WEIGHT = 6.0
"""Weight of the hole in the loss (Liu et al., 2018, equation 7)."""


@dataclass(frozen=True)
class Recipe:
    """Training settings, the same for all networks.

    Args:
        steps: number of steps of Adam.
        batch_size: images in a step.
        learning_rate: largest learning rate: it rises over the first 5 % of the steps and falls to 0 along a cosine.
        width: ``width`` of the gated network.
        seed: of the weights and of what is drawn.
    """

    steps: int = 4000
    batch_size: int = 4
    learning_rate: float = 2e-3
    width: int = 12
    seed: int = 0

    def factor(self, step: int) -> float:
        """Return the factor of the learning rate in a step, from 0."""
        done = (step + 1) / self.steps
        return min(1.0, done / 0.05) * (1 + math.cos(math.pi * min(1.0, step / self.steps))) / 2


@dataclass
class Result:
    """Measures of one network.

    Args:
        parameters: number of weights and biases.
        core_seconds: CPU time of the training.
        loss: mean of the loss over the last tenth of the steps.
        images: the hole's share, l1 in the hole, PSNR and SSIM of each test image.
        caps: l1 in the hole of each test image that is whole, by place; ``turned`` is ``seam`` on a panorama turned by
            180°.
    """

    parameters: int
    core_seconds: float
    loss: float
    images: list[list[float]] = field(default_factory=list)
    caps: dict[str, list[float]] = field(default_factory=dict)


def train(
    name: str, part: Part, holes: Tensor, recipe: Recipe, log: Callable[[int, float], None]
) -> tuple[Inpainter, Result]:
    """Train a network on random turns and reflections of images and holes; ``log`` is called every 50 steps."""
    torch.manual_seed(recipe.seed)
    kind, surface = NETWORKS[name]
    network = Inpainter(3, surface, kind, width=recipe.width)
    mean, std = statistics(part)
    network.preprocessing = {"mean": mean.flatten().tolist(), "std": std.item()}
    optimizer = torch.optim.Adam(network.parameters(), recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, recipe.factor)
    # Its own generator, so that all networks see the same images and holes.
    draw = torch.Generator().manual_seed(recipe.seed)
    areas, losses = mean_areas(part.images.shape[2]), []
    start = time.process_time()
    for step in range(recipe.steps):
        image, seen = _augmented((part.images, part.open), recipe.batch_size, draw)
        (hole,) = _augmented((holes,), recipe.batch_size, draw)
        image = (image - mean) / std
        mask = torch.maximum(hole, 1 - seen)
        (prediction,) = network.predictions(image, mask)
        loss = l1_loss(prediction, image, mask, hole=HOLE_WEIGHT, areas=areas * seen)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if (step + 1) % 50 == 0:
            log(step + 1, sum(losses[-50:]) / 50)
    last = losses[-max(1, recipe.steps // 10) :]
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return network.eval(), Result(parameters, time.process_time() - start, sum(last) / len(last))


def fill(network: Inpainter, images: Tensor, masks: Tensor) -> Tensor:
    """Return completed images, from 0 to 1, for images from 0 to 1."""
    mean = torch.tensor(network.preprocessing["mean"]).view(1, -1, 1, 1)
    std = network.preprocessing["std"]
    filled = network.inpaint((images - mean) / std, masks) * std + mean
    return torch.where(masks != 0, filled.clamp(0, 1), images)


def measure(network: Inpainter, part: Part, holes: Tensor, result: Result) -> Result:
    """Add the measures of the test images in all holes, and on whole panoramas in caps at ``PLACES``.

    A hole is measured where the image belongs to the part; the rest of the Earth is known.
    """
    height = part.images.shape[2]
    areas = mean_areas(height)
    for image, seen in zip(part.images[:, None], part.open[:, None], strict=True):
        masks = holes * seen
        usable = masks.flatten(1).any(1)
        masks = masks[usable]
        filled = fill(network, image.expand(len(masks), -1, -1, -1), masks)
        true = image.expand_as(filled)
        values = [hole_share(masks > 0, areas), hole_l1(filled, true, masks > 0, areas), psnr(filled, true, areas)]
        similarity = torch.stack([ssim(one, image[0], areas, wraps=True) for one in filled])
        result.images += torch.stack([value.double() for value in (*values, similarity)], 1).tolist()
        if not bool((seen == 1).all()):  # a cap would reach into the part of the Earth that was trained on
            continue
        for place, (latitude, longitude) in PLACES.items():
            mask = cap(height, latitude, longitude)
            _add(result, place, network, image, mask, areas)
            if place == "seam":  # the same hole in the same image, turned so that it is in the middle
                _add(result, "turned", network, image.roll(height, -1), mask.roll(height, -1), areas)
    return result


def statistics(part: Part) -> tuple[Tensor, Tensor]:
    """Return the mean of each channel ``(1, 3, 1, 1)`` and one standard deviation of the training images."""
    weights = (part.open * mean_areas(part.images.shape[2])).expand_as(part.images)
    mean = (part.images * weights).sum((0, 2, 3), keepdim=True) / weights.sum((0, 2, 3), keepdim=True)
    return mean, (((part.images - mean).square() * weights).sum() / weights.sum()).sqrt()


def _add(result: Result, place: str, network: Inpainter, image: Tensor, mask: Tensor, areas: Tensor) -> None:
    error = hole_l1(fill(network, image, mask), image, mask > 0, areas)
    result.caps.setdefault(place, []).append(error.item())


def _augmented(signals: tuple[Tensor, ...], count: int, draw: torch.Generator) -> list[Tensor]:
    """Return random elements of signals of the same images, turned about the axis and mirrored at random."""
    size, width = len(signals[0]), signals[0].shape[3]
    chosen = torch.randint(size, (count,), generator=draw)
    turns = torch.randint(width, (count,), generator=draw).tolist()
    east, north = (torch.rand(2, count, generator=draw) < 0.5).tolist()
    batch = []
    for signal in signals:
        parts = [one.roll(turn, -1) for one, turn in zip(signal[chosen], turns, strict=True)]
        axes = [[-1] * e + [-2] * n for e, n in zip(east, north, strict=True)]
        batch.append(torch.stack([one.flip(ax) for one, ax in zip(parts, axes, strict=True)]))
    return batch

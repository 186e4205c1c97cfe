"""Training of one network for all scales of a pyramid, and sampling from the coarsest scale to the finest."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from omniconv.generation import edm
from omniconv.generation.noise import SampleNoise, sample_seeds
from omniconv.generation.samplers import heun
from omniconv.models import LocalDenoiser
from omniconv.nn.resampling.resizing import Upsample
from omniconv.surfaces import Surface

SIGMA_DATA = 1.0
"""Standard deviation of normalized images."""
START = 2.0
"""First noise level of a finer scale, as a multiple of the detail that it has to add."""


@dataclass(frozen=True)
class Recipe:
    """Settings of a training.

    Attributes:
        heights: heights of the panoramas at each scale, each twice the one before.
        steps: steps of the optimizer at each scale; they alternate.
        batch: images in a step, for each scale.
        width: channels of the network.
        learning_rate: largest one; it falls to 0 as a cosine.
        average: images over which the averaged weights forget half; they are those that samples come from.
    """

    heights: tuple[int, ...] = (16, 32, 64)
    steps: tuple[int, ...] = (6000, 2500, 800)
    batch: tuple[int, ...] = (4, 2, 1)
    width: int = 32
    learning_rate: float = 2e-3
    average: float = 500.0


def build(surface: Surface, recipe: Recipe) -> LocalDenoiser:
    """Return the network, whose label is the scale."""
    scales = len(recipe.heights)
    return LocalDenoiser(3, surface, classes=scales, width=recipe.width, sigma_data=SIGMA_DATA)


def detail(levels: Sequence[Tensor], scale: int, surface: Surface) -> float:
    """Return the root mean square of what a scale has and its enlarged coarser scale lacks."""
    return float((levels[scale] - Upsample(surface=surface)(levels[scale - 1])).square().mean().sqrt())


def first_levels(levels: Sequence[Tensor], surface: Surface) -> list[float]:
    """Return the noise level at which sampling starts at each scale but the coarsest."""
    return [START * detail(levels, scale, surface) for scale in range(1, len(levels))]


def train(
    network: LocalDenoiser, levels: Sequence[Tensor], recipe: Recipe, seed: int, log: Callable[[str], None]
) -> float:
    """Train a network on the panoramas of each scale; return the CPU seconds.

    The loss is EDM's. At the coarsest scale its noise levels are the published ones, at the others those from where
    sampling starts.
    """
    random = torch.Generator().manual_seed(seed)
    starts = [math.inf, *first_levels(levels, network.surface)]
    order = torch.cat([torch.full((count,), scale) for scale, count in enumerate(recipe.steps)])
    order = order[torch.randperm(len(order), generator=random)].tolist()
    optimizer = torch.optim.Adam(network.parameters(), recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(order))
    averaged, seen, began, losses = [p.detach().clone() for p in network.parameters()], 0, time.process_time(), []
    for step, scale in enumerate(order, 1):
        chosen = torch.randint(len(levels[scale]), (recipe.batch[scale],), generator=random)
        image = levels[scale][chosen]
        sigma = noise_levels(len(image), starts[scale], random)
        level = sigma.view(-1, 1, 1, 1)
        noisy = image + level * torch.randn(image.shape, generator=random)
        error = network(noisy, sigma, torch.full((len(image),), scale)) - image
        loss = (edm.loss_weight(level, SIGMA_DATA) * error.square()).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)  # the network has no normalization layers
        optimizer.step()
        schedule.step()
        seen += len(image)
        kept = 0.5 ** (len(image) / min(recipe.average, max(0.05 * seen, 1e-3)))
        with torch.no_grad():
            torch._foreach_lerp_(averaged, list(network.parameters()), 1 - kept)
        losses.append(loss.item())
        if step % 50 == 0 or step == len(order):
            log(f"step {step} of {len(order)}: loss {sum(losses) / len(losses):.3f}")
            losses = []
    with torch.no_grad():
        for parameter, average in zip(network.parameters(), averaged, strict=True):
            parameter.copy_(average)
    return time.process_time() - began


def noise_levels(count: int, start: float, random: torch.Generator) -> Tensor:
    """Return noise levels for training, of which those of a finer scale do not exceed its start."""
    if math.isinf(start):
        return edm.training_noise_levels(count, random, mean=-0.4, sigma_data=SIGMA_DATA)
    return start * torch.exp(-(torch.randn(count, generator=random) + 0.5).abs())


@torch.no_grad()
def sample(
    network: LocalDenoiser, starts: Sequence[float], recipe: Recipe, n: int, seed: int, steps: Sequence[int]
) -> Tensor:
    """Return panoramas of the largest height.

    Each scale but the coarsest starts from the enlarged images of the one before, with noise that hides the missing
    detail, and removes it.

    Args:
        network: the network.
        starts: first noise level of each scale but the coarsest.
        recipe: its heights.
        n: number of panoramas.
        seed: seed of the noise.
        steps: steps of Heun's method at each scale.
    """
    seeds = sample_seeds(n, torch.Generator().manual_seed(seed))
    made = []
    network.eval()
    for own in seeds:  # one by one: memory is that of one panorama
        x = torch.empty(0)
        for scale, height in enumerate(recipe.heights):
            noise = SampleNoise([own + scale], (3, height, 2 * height)).draw()
            if scale:
                levels = edm.karras_schedule(steps[scale], SIGMA_DATA, sigma_max=starts[scale - 1] / 2)
                x = Upsample(surface=network.surface)(x) + levels[0] * noise
            else:
                levels = edm.karras_schedule(steps[0], SIGMA_DATA)
                x = levels[0] * noise
            x = heun(_at(network, scale), x, levels).float()
        made.append(x)
    return torch.cat(made)


def _at(network: LocalDenoiser, scale: int) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, sigma: network(x.float(), sigma.float(), torch.full((len(x),), scale))

"""Training of a denoiser with constant fields as further input channels, and sampling from it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from omniconv.generation.edm import karras_schedule, loss_weight, training_noise_levels
from omniconv.generation.noise import SampleNoise, sample_seeds
from omniconv.generation.samplers import heun
from omniconv.models import Denoiser
from omniconv.surfaces import Surface
from omniconv.training.module import ema_decay, update_average

BATCH_SIZE, LEARNING_RATE, WARM_UP = 8, 2e-3, 50


class PlacedDenoiser(nn.Module):
    """Denoiser of one field whose network also sees constant fields that describe each place.

    Args:
        surface: surface of the field.
        places: the constant fields, ``(channels, *grid)``.
        width, depth: as in ``Denoiser``.
    """

    def __init__(self, surface: Surface, places: np.ndarray, width: int, depth: int) -> None:
        super().__init__()
        self.denoiser = Denoiser(1 + len(places), surface, width=width, depth=depth, sigma_data=1.0)
        self.places = torch.from_numpy(places)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Denoise ``(batch, 1, *grid)``."""
        # The preconditioning divides its input by √(sigma² + 1): the network sees the places without this factor.
        scale = torch.sqrt(sigma.square() + 1).reshape(-1, *[1] * (x.ndim - 1))
        return self.denoiser(torch.cat([x, scale * self.places], 1), sigma)[:, :1]


@dataclass(frozen=True)
class Fit:
    """Result of a training: the network of averaged weights, CPU time of a step, mean loss of the last tenth."""

    network: PlacedDenoiser
    step_seconds: float
    loss: float


def fit(network: PlacedDenoiser, fields: np.ndarray, steps: int, seed: int, log: Callable[[str], object]) -> Fit:
    """Train by Adam with EDM's loss, and average the weights.

    Args:
        network: the network.
        fields: ``(n, *grid)``.
        steps: number of steps of ``BATCH_SIZE`` fields.
        seed: of batches and noise.
        log: called with a line of text every 50 steps.
    """
    random = torch.Generator().manual_seed(seed)
    data = torch.from_numpy(fields)[:, None]
    averaged = deepcopy(network)
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    start, losses = time.process_time(), []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * step / steps)) / 2
        images = data[torch.randint(len(data), (BATCH_SIZE,), generator=random)]
        sigma = training_noise_levels(BATCH_SIZE, random, sigma_data=1.0)
        shape = -1, *[1] * (images.ndim - 1)
        noisy = images + sigma.view(shape) * torch.randn(images.shape, generator=random)
        loss = (loss_weight(sigma, 1.0).view(shape) * (network(noisy, sigma) - images).square()).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        update_average(averaged, network, ema_decay(1, step, steps))
        if (step + 1) % 50 == 0:
            log(f"  step {step + 1} of {steps}: loss {np.mean(losses[-50:]):.3f}")
    last = losses[-max(1, steps // 10) :]
    return Fit(averaged.eval(), (time.process_time() - start) / steps, float(np.mean(last)))


@torch.no_grad()
def sample(network: PlacedDenoiser, count: int, seed: int, steps: int = 12, batch_size: int = 22) -> np.ndarray:
    """Return fields ``(count, *grid)`` by Heun's method."""
    sigmas = karras_schedule(steps, sigma_data=1.0)
    seeds, fields = sample_seeds(count, torch.Generator().manual_seed(seed)), []
    for start in range(0, count, batch_size):
        noise = SampleNoise(seeds[start : start + batch_size], (1, *network.places.shape[1:])).draw()
        fields.append(heun(network, float(sigmas[0]) * noise, sigmas)[:, 0])
    return torch.cat(fields).numpy()

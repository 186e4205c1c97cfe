"""EDM (Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", NeurIPS 2022).

Numbers in defaults are the published ones, for images of standard deviation 0.5; all noise levels scale with
``sigma_data / 0.5``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from omniconv.checks import check_integer, check_number
from omniconv.errors import InputError
from omniconv.generation.noise import log_normal

PUBLISHED_SIGMA_DATA = 0.5
"""Standard deviation of the images for which the published noise levels were chosen."""
MAX_STEPS = 10_000
"""Largest number of sampling steps: a typing error is reported instead of computed."""


class Preconditioning(NamedTuple):
    """Factors of ``D(x; sigma) = skip · x + out · F(input · x; noise)``, where F is the network; each ``(batch,)``."""

    skip: Tensor
    out: Tensor
    input: Tensor
    noise: Tensor


def preconditioning(sigma: Tensor, sigma_data: float = 0.5) -> Preconditioning:
    """Return the factors that keep inputs and training targets of the network at unit variance (table 1).

    Args:
        sigma: noise levels.
        sigma_data: standard deviation of the images.

    Example:
        >>> factors = preconditioning(torch.tensor([0.5]))
        >>> [round(factor.item(), 4) for factor in factors]
        [0.5, 0.3536, 1.4142, -0.1733]
    """
    total = torch.hypot(sigma, torch.full_like(sigma, sigma_data))
    return Preconditioning(
        skip=(sigma_data / total).square(),
        out=sigma * sigma_data / total,
        input=1 / total,
        noise=noise_embedding_input(sigma, sigma_data),
    )


def noise_embedding_input(sigma: Tensor, sigma_data: float = 0.5) -> Tensor:
    """Return ``ln(sigma) / 4`` for images of standard deviation 0.5, by which the network knows the noise level."""
    return (sigma * (PUBLISHED_SIGMA_DATA / sigma_data)).log() / 4


def loss_weight(sigma: Tensor, sigma_data: float = 0.5) -> Tensor:
    """Return the weight of the squared error of the denoised image, ``1 / out²`` (table 1)."""
    return (sigma.square() + sigma_data**2) / (sigma * sigma_data).square()


def training_noise_levels(
    count: int,
    generator: torch.Generator | None = None,
    mean: float = -1.2,
    std: float = 1.2,
    sigma_data: float = 0.5,
) -> Tensor:
    """Draw noise levels for training: ``ln(sigma)`` is normal.

    Args:
        count: number of levels.
        generator: source of the numbers, on the CPU.
        mean, std: of ``ln(sigma)`` at ``sigma_data=0.5``; EDM2 uses -0.4 and 1.
        sigma_data: standard deviation of the images.

    Returns:
        ``(count,)``, float32.
    """
    return log_normal(count, mean, std, generator) * (sigma_data / PUBLISHED_SIGMA_DATA)


def karras_schedule(
    steps: int = 18,
    sigma_data: float = 0.5,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    rho: float = 7.0,
) -> Tensor:
    """Return the noise levels of the sampling steps, decreasing, the last one 0 (equation 5).

    Args:
        steps: number of steps; the published 18 for images of 32 × 32, 40 for 64 × 64.
        sigma_data: standard deviation of the images.
        sigma_min, sigma_max: smallest level above 0 and first level, at ``sigma_data=0.5``.
        rho: the larger, the denser the levels near 0.

    Returns:
        ``(steps + 1,)``, float64 on the CPU.

    Raises:
        InputError: fewer than 2 steps, or levels that are no decreasing positive numbers.

    Example:
        >>> karras_schedule(2).tolist()
        [80.0, 0.002, 0.0]
    """
    steps = check_steps(steps)
    low = check_number("sigma_min", sigma_min, lambda s: 0 < s < math.inf, "must be above 0", "use sigma_min=0.002")
    rule, cure = f"must be above sigma_min={low}", "use sigma_max=80"
    high = check_number("sigma_max", sigma_max, lambda s: low < s < math.inf, rule, cure)
    power = 1 / check_number("rho", rho, lambda r: 0 < r < math.inf, "must be above 0", "use rho=7")
    ramp = torch.linspace(high**power, low**power, steps, dtype=torch.float64)
    levels = ramp.pow(rho)
    levels[0], levels[-1] = high, low
    return torch.cat([levels * (sigma_data / PUBLISHED_SIGMA_DATA), levels.new_zeros(1)])


def check_steps(steps: int) -> int:
    """Return a number of sampling steps after checking it.

    Raises:
        InputError: it is no integer from 2 to ``MAX_STEPS``.
    """
    steps = check_integer("steps", steps, 2, "use steps=18")
    if steps > MAX_STEPS:
        raise InputError("steps", steps, f"must be at most {MAX_STEPS:,}", "use steps=18")
    return steps

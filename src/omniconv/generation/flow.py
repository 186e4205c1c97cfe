"""Rectified flow (Liu et al., ICLR 2023; flow matching, Lipman et al., ICLR 2023), in terms of a denoiser.

With images x₀ of unit variance and noise e, the flow goes along ``z = (1 - t) · x₀ + t · e`` from noise at ``t = 1`` to
images at ``t = 0``, and its network F estimates the velocity ``e - x₀``. With ``sigma = t / (1 - t)`` and
``x = z / (1 - t)`` that is ``x = x₀ + sigma · e``, and ``z - t · F`` is the denoised image: the flow is a denoiser, the
squared error of F is that of the denoised image over t², and an Euler step in t is an Euler step in sigma. For images
of another standard deviation, ``sigma_data``, x and sigma are divided by it first.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from omniconv.generation.edm import check_steps, noise_embedding_input
from omniconv.generation.noise import log_normal

SIGMA_MAX = 160.0
"""First noise level of the schedule, in units of ``sigma_data``; that of EDM."""


class FlowVariables(NamedTuple):
    """Time t of the flow, factor ``input`` of ``z = input · x``, and the network's ``noise``; each ``(batch,)``.

    The denoised image is ``sigma_data · (z - t · F(z; noise))``.
    """

    t: Tensor
    input: Tensor
    noise: Tensor


def flow_variables(sigma: Tensor, sigma_data: float = 1.0) -> FlowVariables:
    """Return the variables of the flow at noise levels.

    Args:
        sigma: noise levels.
        sigma_data: standard deviation of the images.

    Example:
        >>> variables = flow_variables(torch.tensor([1.0, 3.0]))
        >>> variables.t.tolist(), variables.input.tolist()
        ([0.5, 0.75], [0.5, 0.25])
    """
    total = sigma + sigma_data
    return FlowVariables(t=sigma / total, input=1 / total, noise=noise_embedding_input(sigma, sigma_data))


def time_to_noise_level(t: Tensor, sigma_data: float = 1.0) -> Tensor:
    """Return the noise level ``sigma_data · t / (1 - t)`` at a time of the flow."""
    return sigma_data * t / (1 - t)


def loss_weight(sigma: Tensor, sigma_data: float = 1.0) -> Tensor:
    """Return the weight of the squared error of the denoised image that makes it the error of the velocity."""
    return (1 / sigma + 1 / sigma_data).square()


def training_noise_levels(
    count: int,
    generator: torch.Generator | None = None,
    mean: float = 0.0,
    std: float = 1.0,
    sigma_data: float = 1.0,
) -> Tensor:
    """Draw noise levels for training: t is logit-normal (Esser et al., ICML 2024), so that ``ln(sigma)`` is normal.

    Args:
        count: number of levels.
        generator: source of the numbers, on the CPU.
        mean, std: of the logit of t.
        sigma_data: standard deviation of the images.

    Returns:
        ``(count,)``, float32.
    """
    return log_normal(count, mean, std, generator) * sigma_data


def flow_schedule(steps: int = 50, sigma_data: float = 1.0) -> Tensor:
    """Return the noise levels of equal steps in t, decreasing, the last one 0.

    The first level is 160 times ``sigma_data``, as EDM's, since t = 1 would be infinite.

    Args:
        steps: number of steps.
        sigma_data: standard deviation of the images.

    Returns:
        ``(steps + 1,)``, float64 on the CPU.

    Example:
        >>> flow_schedule(2).tolist()[-1]
        0.0
    """
    t = torch.linspace(SIGMA_MAX / (1 + SIGMA_MAX), 0, check_steps(steps) + 1, dtype=torch.float64)
    return time_to_noise_level(t, sigma_data)

"""Solvers of the probability-flow ODE ``dx/dsigma = (x - D(x; sigma)) / sigma`` of a denoise function D."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import isfinite

import torch
from torch import Tensor

from omniconv.errors import InputError

Denoise = Callable[[Tensor, Tensor], Tensor]
"""Map from noisy images ``(batch, channels, *grid)`` and noise levels ``(batch,)`` to denoised images."""
StepCallback = Callable[[int, int, Tensor], object]
"""Callback after a step: steps done, steps in total, the denoised images at the start of the step."""


def heun(denoise: Denoise, x: Tensor, sigmas: Tensor | Sequence[float], step: StepCallback | None = None) -> Tensor:
    """Integrate from noise to images by Heun's method, of second order (EDM, algorithm 1, without churn).

    A step to noise level 0 is one of Euler's. N steps take 2 N - 1 evaluations.

    Args:
        denoise: the denoise function.
        x: noise times the first level, ``(batch, channels, *grid)``.
        sigmas: noise levels, decreasing; usually to 0.
        step: called after each step.

    Returns:
        Images at the last noise level.

    Raises:
        InputError: levels that do not decrease, or fewer than 2.

    Example:
        >>> from omniconv.generation.edm import karras_schedule
        >>> sigmas = karras_schedule(8)
        >>> def shrink(x, sigma):  # the denoiser of normal data of standard deviation 0.5
        ...     return x * (0.25 / (0.25 + sigma**2)).view(-1, 1, 1, 1)
        >>> heun(shrink, sigmas[0] * torch.randn(2, 1, 4, 4, dtype=torch.float64), sigmas).shape
        torch.Size([2, 1, 4, 4])
    """
    levels = check_levels(sigmas)
    for number, (sigma, following) in enumerate(pairwise(levels), 1):
        denoised = denoise(x, x.new_full(x.shape[:1], sigma))
        slope = (x - denoised) / sigma
        moved = x + (following - sigma) * slope
        if following > 0:
            corrected = (moved - denoise(moved, x.new_full(x.shape[:1], following))) / following
            x = x + (following - sigma) / 2 * (slope + corrected)
        else:
            x = denoised
        if step is not None:
            step(number, len(levels) - 1, denoised)
    return x


def euler(denoise: Denoise, x: Tensor, sigmas: Tensor | Sequence[float], step: StepCallback | None = None) -> Tensor:
    """Integrate from noise to images by Euler's method, of first order: DDIM (Song et al., ICLR 2021).

    N steps take N evaluations. Arguments and errors are those of ``heun``.
    """
    levels = check_levels(sigmas)
    for number, (sigma, following) in enumerate(pairwise(levels), 1):
        denoised = denoise(x, x.new_full(x.shape[:1], sigma))
        x = torch.lerp(denoised, x, following / sigma)
        if step is not None:
            step(number, len(levels) - 1, denoised)
    return x


def check_levels(sigmas: Tensor | Sequence[float]) -> list[float]:
    """Return noise levels as a list after checking that they decrease to 0 or above.

    Raises:
        InputError: they do not, are not finite, or fewer than 2.
    """
    levels = torch.as_tensor(sigmas, dtype=torch.float64).flatten().tolist()
    decreasing = all(one > other for one, other in pairwise(levels))
    if len(levels) < 2 or not decreasing or levels[-1] < 0 or not all(map(isfinite, levels)):
        rule = "must be at least 2 finite numbers that decrease, the last one 0 or above"
        raise InputError("sigmas", levels, rule, "use omniconv.generation.edm.karras_schedule")
    return levels


SAMPLERS: dict[str, Callable[..., Tensor]] = {"heun": heun, "euler": euler}
"""Samplers by name."""

"""Inpainting by a denoiser that was not trained for it: RePaint in continuous noise levels.

Lugmayr et al., "RePaint: Inpainting using Denoising Diffusion Probabilistic Models", CVPR 2022. Before each step the
known samples are replaced by the image with noise of the current level. Filled samples would match only the noise of
their surroundings, so the steps are repeated: noise is added up to an earlier level, and the steps from there are done
again (section 4.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor

from omniconv.checks import check_integer
from omniconv.generation.samplers import Denoise, StepCallback, check_levels


def repaint(
    denoise: Denoise,
    image: Tensor,
    mask: Tensor,
    sigmas: Tensor | Sequence[float],
    draw_noise: Callable[[], Tensor],
    resamplings: int = 10,
    jump: int = 1,
    step: StepCallback | None = None,
) -> Tensor:
    """Fill holes of images by samples of a denoiser given the rest.

    Steps are those of ``euler`` (DDIM). The paper's ancestral steps need more levels: with 18 levels and 10
    resamplings, the conditional variance of a Gaussian field comes out at 0.62 of its value, with these steps at 0.79
    (with 36 levels 0.73 and 0.88).

    Args:
        denoise: the denoise function.
        image: images ``(batch, channels, *grid)``; their values in the hole do not count, but must be finite.
        mask: ``(batch, 1, *grid)`` or broadcast to the images; nonzero in the hole.
        sigmas: noise levels, decreasing to 0.
        draw_noise: returns standard normal noise of the images' shape.
        resamplings: how often each group of steps is done; 1 for no repetition, 10 in the paper.
        jump: steps in a group; 10 of 250 in the paper.
        step: called after each step.

    Returns:
        Images, outside of the hole bit for bit those given. The evaluations are ``resamplings`` times the steps.

    Raises:
        InputError: levels that do not decrease; ``resamplings`` or ``jump`` below 1.
    """
    levels = check_levels(sigmas)
    visits = list(pairwise(_visits(len(levels) - 1, resamplings, jump)))
    total, done = sum(following > current for current, following in visits), 0
    hole = mask != 0
    x = levels[0] * draw_noise()
    for current, following in visits:
        sigma, target = levels[current], levels[following]
        if target > sigma:
            x = x + sqrt(target**2 - sigma**2) * draw_noise()
            continue
        x = torch.where(hole, x, image + sigma * draw_noise())
        denoised = denoise(x, x.new_full(x.shape[:1], sigma))
        x = torch.lerp(denoised, x, target / sigma)
        done += 1
        if step is not None:
            step(done, total, denoised)
    return torch.where(hole, x, image)


def _visits(steps: int, resamplings: int, jump: int) -> list[int]:
    """Return the indices of the noise levels in the order in which they are visited; an increase is a step down."""
    resamplings = check_integer("resamplings", resamplings, 1, "use resamplings=10")
    jump = check_integer("jump", jump, 1, "use jump=1")
    visits = [0]
    for start in range(0, steps, jump):
        group = range(start + 1, min(start + jump, steps) + 1)
        for repetition in range(resamplings):
            visits += [start, *group] if repetition else group
    return visits

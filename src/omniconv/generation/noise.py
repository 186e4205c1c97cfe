"""Noise of which each sample depends on a seed of its own, not on the batch or the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

LARGEST_SEED = 2**63 - 1
"""Seeds are below this number, the largest int64."""


def sample_seeds(count: int, generator: torch.Generator | None = None) -> list[int]:
    """Draw one seed per sample.

    Args:
        count: number of samples.
        generator: source of the seeds; by default torch's global generator.

    Example:
        >>> sample_seeds(2, torch.Generator().manual_seed(0)) == sample_seeds(3, torch.Generator().manual_seed(0))[:2]
        True
    """
    device = generator.device if generator is not None else "cpu"
    return torch.randint(LARGEST_SEED, (count,), generator=generator, device=device).tolist()


def log_normal(count: int, mean: float, std: float, generator: torch.Generator | None = None) -> Tensor:
    """Draw noise levels ``(count,)``, float32 on the CPU so that they are the same on every device.

    Args:
        count: number of levels.
        mean, std: of the logarithm of a level.
        generator: source of the numbers, on the CPU; by default torch's global generator.
    """
    return (torch.randn(count, generator=generator) * std + mean).exp()


class SampleNoise:
    """Standard normal noise for a batch; each sample has a generator of its own.

    The numbers are drawn on the CPU in float32 and then converted, so that they are the same on every device and in
    every dtype, up to its rounding.

    Args:
        seeds: one seed per sample.
        shape: shape of one sample, ``(channels, *grid)``.
        device, dtype: of the noise.

    Example:
        >>> noise = SampleNoise([3, 4], (1, 2, 2))
        >>> first, second = noise.draw(), noise.draw()
        >>> first.shape, torch.equal(SampleNoise([4], (1, 2, 2)).draw()[0], first[1])
        (torch.Size([2, 1, 2, 2]), True)
    """

    def __init__(
        self,
        seeds: Sequence[int],
        shape: Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.shape, self.device, self.dtype = tuple(shape), device, dtype

    def draw(self) -> Tensor:
        """Return the next noise, ``(batch, *shape)``."""
        drawn = torch.empty(len(self.generators), *self.shape)
        for sample, generator in zip(drawn, self.generators, strict=True):
            sample.normal_(generator=generator)
        return drawn.to(self.device, self.dtype)

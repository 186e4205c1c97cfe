"""Loss of variational autoencoders, and detection of posterior collapse.

An encoder gives the mean and the log-variance of a normal distribution with diagonal covariance for each image; the
loss is the negative evidence lower bound (Kingma & Welling, ICLR 2014), in nats per image. On a sphere the samples of
an image count by their area: ``weights`` are areas with a mean of 1, the shape of the grid.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch.nn.functional as F
from torch import Generator, Tensor

from omniconv.checks import check_number
from omniconv.nn.distributed import batch_mean, batch_sum, normal_like, total_rows

ACTIVE = 0.01
"""Variance of a mean over images above which a latent unit is active (Burda et al., ICLR 2016, section 5.3)."""


def draw_latent(mean: Tensor, log_variance: Tensor, generator: Generator | None = None) -> Tensor:
    """Draw from the distribution of each latent signal, with gradients to its mean and log-variance.

    Args:
        mean: mean of each latent unit, ``(batch, channels, …)``.
        log_variance: logarithm of its variance.
        generator: source of the random numbers; by default torch's global generator.
    """
    return mean + (log_variance / 2).exp() * normal_like(mean, generator)


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the divergence of each latent unit's distribution from the standard normal one, in nats.

    Example:
        >>> kl_divergence(torch.tensor([0.0, 2.0]), torch.zeros(2)).tolist()
        [0.0, 2.0]
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance) / 2


def kl_loss(mean: Tensor, log_variance: Tensor, beta: float = 1.0, free_bits: float = 0.0) -> Tensor:
    """Return the divergence per image with free bits, times ``beta``.

    Args:
        mean: mean of each latent unit, ``(batch, channels, …)``.
        log_variance: logarithm of its variance.
        beta: weight of the divergence (β-VAE; Higgins et al., ICLR 2017).
        free_bits: nats of each unit's mean divergence over the batch that cost nothing; below it the loss has no
            gradient, so that units are not switched off (Kingma et al., NIPS 2016, equation 15).

    Raises:
        InputError: a negative ``beta`` or ``free_bits``.
    """
    for name, value in (("beta", beta), ("free_bits", free_bits)):
        check_number(name, value, lambda number: 0 <= number < math.inf, "must be 0 or above", f"use {name}=0")
    by_unit = batch_sum(kl_divergence(mean, log_variance).sum(0)) / total_rows(len(mean))
    return beta * by_unit.clamp_min(free_bits).sum()


def gaussian_log_likelihood(
    image: Tensor, reconstruction: Tensor, sigma: float | None = None, weights: Tensor | None = None
) -> Tensor:
    """Return the log-likelihood of an image under a normal distribution around its reconstruction.

    Args:
        image: ``(batch, channels, *grid)``.
        reconstruction: of the same shape.
        sigma: standard deviation; ``None``: that of the batch's errors, which maximizes the likelihood, so that no
            weight has to be tuned (Rybkin et al., σ-VAE, ICML 2021).
        weights: areas of the samples with a mean of 1, ``(*grid)``.

    Returns:
        Log-likelihood in nats, the mean over the images.

    Raises:
        InputError: a ``sigma`` that is not above 0.
    """
    errors = (image - reconstruction).square()
    mean_square = batch_mean(errors if weights is None else errors * weights)
    if sigma is None:
        # The gradient of the logarithm is that of the squared error over the variance with the variance held constant.
        variance_term = mean_square.clamp_min(1e-12).log() + 1
    else:
        check_number("sigma", sigma, lambda number: 0 < number < math.inf, "must be above 0", "use sigma=1")
        variance_term = 2 * math.log(sigma) + mean_square / sigma**2
    return -image[0].numel() / 2 * (math.log(2 * math.pi) + variance_term)


def bernoulli_log_likelihood(image: Tensor, logits: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the log-likelihood of an image in 0 … 1 whose samples have these logits, in nats, the mean over images.

    Args:
        image: ``(batch, channels, *grid)``.
        logits: of the same shape; the reconstruction before its sigmoid.
        weights: areas of the samples with a mean of 1, ``(*grid)``.
    """
    errors = F.binary_cross_entropy_with_logits(logits, image, reduction="none")
    return -(errors if weights is None else errors * weights).flatten(1).sum(1).mean()


class LatentUnits(NamedTuple):
    """Latent units of an autoencoder over a set of images."""

    active: int
    """Units whose mean depends on the image: its variance over images is above 0.01."""
    total: int
    variance: Tensor
    """Variance of each unit's mean over images; for a latent signal the mean over its samples."""

    @property
    def collapsed(self) -> bool:
        """True if no unit depends on the image, so that the decoder ignores its input."""
        return self.active == 0


def latent_units(means: Tensor) -> LatentUnits:
    """Return the number of active latent units (Burda et al., ICLR 2016), to detect posterior collapse.

    Args:
        means: means of the latent units of at least two images, ``(images, channels, …)``.

    Example:
        >>> latent_units(torch.tensor([[0.0, 1.0], [0.0, -1.0]])).active
        1
    """
    variance = means.detach().double().reshape(*means.shape[:2], -1).var(0).mean(1)
    return LatentUnits(int((variance > ACTIVE).sum()), len(variance), variance)

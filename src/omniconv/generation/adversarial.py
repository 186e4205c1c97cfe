"""Losses of generative adversarial networks, gradient penalties, and detection of a collapsed generator.

A discriminator is any function of images ``(batch, channels, *grid)`` to scores, larger for images that look real; the
scores are ``(batch,)``, or maps with a score for each patch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from omniconv.checks import check_choice, check_number
from omniconv.errors import InputError
from omniconv.nn.distributed import batch_mean

Transform = Callable[[Tensor], Tensor]


class AdversarialLoss(NamedTuple):
    """Losses of both networks as functions of the scores of real and of generated images."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]


def _relativistic(better: Tensor, worse: Tensor) -> Tensor:
    return batch_mean(F.softplus(worse - better))


def _hinge(real: Tensor, fake: Tensor) -> Tensor:
    return batch_mean(F.relu(1 - real)) + batch_mean(F.relu(1 + fake))


def _non_saturating(real: Tensor, fake: Tensor) -> Tensor:
    return batch_mean(F.softplus(-real)) + batch_mean(F.softplus(fake))


ADVERSARIAL_LOSSES: dict[str, AdversarialLoss] = {
    "relativistic": AdversarialLoss(_relativistic, lambda real, fake: _relativistic(fake, real)),
    "hinge": AdversarialLoss(_hinge, lambda real, fake: -batch_mean(fake)),
    "non_saturating": AdversarialLoss(_non_saturating, lambda real, fake: batch_mean(F.softplus(-fake))),
}
"""Losses by name.

``relativistic``: the difference of the scores of a pair of a real and a generated image (Jolicoeur-Martineau, ICLR
2019; R3GAN, NeurIPS 2024). ``hinge``: Lim & Ye, 2017, as in SN-PatchGAN (Yu et al., ICCV 2019). ``non_saturating``:
Goodfellow et al., NIPS 2014.
"""


def discriminator_loss(
    discriminator: Callable[..., Tensor],
    real: Tensor,
    fake: Tensor,
    label: Tensor | None = None,
    loss: str = "relativistic",
    penalty: float = 0.0,
    augment: Transform | None = None,
) -> Tensor:
    """Return the loss of a discriminator, with zero-centred gradient penalties on real and generated images.

    Args:
        discriminator: function of images, and of labels unless ``label`` is ``None``, to scores. Its scores of an image
            must not depend on the other images: it is called once on all of them.
        real: images of the data.
        fake: as many generated images; no gradient flows to them.
        label: class of each real image, and of the generated image of the same index.
        loss: ``relativistic``, ``hinge`` or ``non_saturating``.
        penalty: weight γ of ½ (R1 + R2), see ``gradient_penalty``; 0: no penalty.
        augment: transform of all images, such as ``DiffAugment``.

    Raises:
        InputError: an unknown loss, a negative penalty, another number of generated images.
    """
    functions = ADVERSARIAL_LOSSES[check_choice("loss", loss, ADVERSARIAL_LOSSES)]
    check_number("penalty", penalty, lambda number: 0 <= number < math.inf, "must be 0 or above", "use penalty=0.05")
    _check_pairs(real, fake)
    images = torch.cat([real, fake.detach()])
    images = images if augment is None else augment(images)
    if penalty:
        images = images.detach().requires_grad_()
    scores = discriminator(images) if label is None else discriminator(images, torch.cat([label, label]))
    value = functions.discriminator(*scores.chunk(2))
    if penalty:
        # The mean over real and generated images together is ½ (R1 + R2).
        value = value + penalty * gradient_penalty(scores, images)
    return value


def generator_loss(
    discriminator: Callable[..., Tensor],
    real: Tensor,
    fake: Tensor,
    label: Tensor | None = None,
    loss: str = "relativistic",
    augment: Transform | None = None,
) -> Tensor:
    """Return the loss of a generator; its gradients are those of the generated images.

    Arguments and errors are those of ``discriminator_loss``.
    """
    functions = ADVERSARIAL_LOSSES[check_choice("loss", loss, ADVERSARIAL_LOSSES)]
    _check_pairs(real, fake)
    images = torch.cat([real, fake])
    images = images if augment is None else augment(images)
    scores = discriminator(images) if label is None else discriminator(images, torch.cat([label, label]))
    return functions.generator(*scores.chunk(2))


def gradient_penalty(scores: Tensor, images: Tensor) -> Tensor:
    """Return the mean over images of the squared norm of the gradient of their scores.

    Of real images it is R1, of generated ones R2 (Mescheder et al., ICML 2018, equation 9 without γ/2). It has
    gradients to the discriminator's parameters.

    Args:
        scores: scores of the images, ``(batch, …)``.
        images: the images, ``(batch, channels, *grid)``, which require gradients.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return batch_mean(gradient.square().flatten(1).sum(1))


class Diversity(NamedTuple):
    """Diversity of generated images, compared with that of the data."""

    variance: float
    """Total variance of the generated images over that of the data; 1 for the data's own distribution."""
    duplicates: float
    """Share of generated images that are nearer to another one than 99 % of the images of the data are."""

    @property
    def collapsed(self) -> bool:
        """True if nearly all generated images are alike; both thresholds are far from the 1 and 0.01 of the data."""
        return self.variance < 0.1 or self.duplicates > 0.5


def diversity(samples: Tensor, data: Tensor, weights: Tensor | None = None) -> Diversity:
    """Compare the diversity of generated images with that of images of the data, to detect a collapsed generator.

    Args:
        samples: generated images, ``(n, channels, *grid)``, at least 2.
        data: images of the data; as many are used of both.
        weights: areas of the samples with a mean of 1, ``(*grid)``.

    Raises:
        InputError: fewer than 2 images.

    Example:
        >>> data = torch.randn(32, 1, 4, 4)
        >>> diversity(torch.zeros(32, 1, 4, 4), data).collapsed, diversity(torch.randn(32, 1, 4, 4), data).collapsed
        (True, False)
    """
    count = min(len(samples), len(data))
    if count < 2:
        raise InputError("samples", count, "must be at least 2, and 2 of the data", "give 64 images of each")
    scale = 1 if weights is None else weights.double().sqrt()
    one, other = ((images[:count].double() * scale).flatten(1) for images in (samples, data))
    nearest, usual = (torch.cdist(each, each).fill_diagonal_(math.inf).min(1).values for each in (one, other))
    variance = float(one.var(0).sum() / other.var(0).sum().clamp_min(torch.finfo(torch.float64).tiny))
    return Diversity(variance, float((nearest < usual.quantile(0.01)).double().mean()))


def _check_pairs(real: Tensor, fake: Any) -> None:
    if len(real) != len(fake):
        rule = f"must be as many as real images, {len(real)}"
        raise InputError("fake", len(fake), rule, "generate one for each real image")

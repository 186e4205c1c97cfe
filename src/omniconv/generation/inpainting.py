"""Losses of networks that fill holes: those of partial convolutions, and those of SN-PatchGAN.

A mask is nonzero in the hole. ``areas`` are the areas of the samples of a sphere with a mean of 1, ``None`` on a plane.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from omniconv.generation.adversarial import ADVERSARIAL_LOSSES
from omniconv.nn.conv.partial_conv import MIN_SHARE, make_share
from omniconv.nn.distributed import batch_mean, batch_sum
from omniconv.nn.grid.padding import pad
from omniconv.nn.stencil.modules import SparseOperator, to_channels_last
from omniconv.surfaces import Border, RowStencil, Surface

Features = Callable[[Tensor], Sequence[Tensor]]
"""Function of images to the features ``(batch, channels, *grid)`` of some layers of a trained network."""
VARIATION_WEIGHT = 0.1
"""Weight of the total variation in equation 7 of Liu et al. (2018)."""
Scores = Callable[[Tensor, Tensor], Tensor]
"""Discriminator: images and masks to scores of patches."""


def l1_loss(
    prediction: Tensor,
    true: Tensor,
    mask: Tensor,
    hole: float = 1.0,
    known: float = 1.0,
    areas: Tensor | None = None,
    valid: Tensor | None = None,
) -> Tensor:
    """Return the mean over all samples of the absolute error, times a weight in the hole and one elsewhere.

    Both weights are 1 in DeepFill v2, which takes the mean over the whole image; Liu et al. (2018) have 6 and 1.

    Args:
        prediction: predicted images ``(batch, channels, *grid)``.
        true: the images.
        mask: ``(batch, 1, *grid)``, nonzero in the hole.
        hole: weight in the hole.
        known: weight elsewhere.
        areas: area of each sample, with a mean of 1.
        valid: boolean ``(batch, 1, *grid)``, False where there is no image: the mean is over the others; by default
            all.

    Example:
        >>> mask = torch.tensor([[[1.0, 0, 0, 0]]])
        >>> l1_loss(torch.ones(1, 1, 4), torch.zeros(1, 1, 4), mask, hole=6.0).item()
        2.25
    """
    error = (prediction.float() - true).abs()
    error = error * torch.where(mask != 0, hole, known).to(error.dtype)
    if valid is None:
        return _mean(error, areas)
    area = valid.to(error.dtype) if areas is None else valid * areas
    errors, total = (error.mean(1, keepdim=True) * area).sum(), batch_sum(area.sum())
    return batch_sum(errors) / total.clamp_min(1e-6)


def perceptual_loss(features: Sequence[Tensor], true: Sequence[Tensor]) -> Tensor:
    """Return the mean absolute error of features, summed over layers (Liu et al., 2018, equation 3)."""
    return torch.stack([(one - other).abs().mean() for one, other in zip(features, true, strict=True)]).sum()


def style_loss(features: Sequence[Tensor], true: Sequence[Tensor]) -> Tensor:
    """Return the mean absolute error of the channels' inner products, summed over layers (equations 4 and 5).

    The inner products are divided by the number of features of an image.
    """
    pairs = zip(features, true, strict=True)
    return torch.stack([(_gram(one) - _gram(other)).abs().mean() for one, other in pairs]).sum()


class PartialConvLoss(nn.Module):
    """Objective of Liu et al. ("Image Inpainting for Irregular Holes", ECCV 2018, equation 7).

    Errors outside the hole and inside of it, errors of features and of their inner products, both of the predicted and
    of the completed image, and the total variation of the completed image in the hole and one sample around it.

    Args:
        surface: surface of the images.
        features: features of a trained network (there three layers of VGG-16); without it these terms are left out.
        known, hole, perceptual, style, variation: weights of the terms.

    Example:
        >>> from omniconv.surfaces import Plane
        >>> loss = PartialConvLoss(Plane())
        >>> image, mask = torch.rand(1, 3, 8, 8), torch.zeros(1, 1, 8, 8)
        >>> loss(image, image, mask).item()
        0.0
    """

    def __init__(
        self,
        surface: Surface,
        features: Features | None = None,
        known: float = 1.0,
        hole: float = 6.0,
        perceptual: float = 0.05,
        style: float = 120.0,
        variation: float = VARIATION_WEIGHT,
    ) -> None:
        super().__init__()
        self.features = features
        self.known, self.hole, self.perceptual, self.style, self.variation = known, hole, perceptual, style, variation
        self.total_variation = TotalVariation(surface)

    def forward(self, prediction: Tensor, true: Tensor, mask: Tensor, areas: Tensor | None = None) -> Tensor:
        """Return the loss of predictions for all samples, ``(batch, channels, *grid)``."""
        completed = torch.where(mask != 0, prediction, true)
        loss = l1_loss(prediction, true, mask, self.hole, self.known, areas)
        loss = loss + self.variation * self.total_variation(completed, mask, areas)
        if self.features is not None:
            of_true = self.features(true)
            for image in (prediction, completed):
                found = self.features(image)
                loss = loss + self.perceptual * perceptual_loss(found, of_true)
                loss = loss + self.style * style_loss(found, of_true)
        return loss


class TotalVariation(nn.Module):
    """Sum over directions of the mean absolute difference of neighbours, in a hole and one sample around it.

    On grids the differences to the next sample of each axis, also across the border unless it is one of zeros. On
    meshes the differences ``|S_m x − (S_m 1) x|`` of the convolution's operators: to the neighbours, on an icosphere
    derivatives and Laplacian.

    Args:
        surface: surface of the images.
    """

    def __init__(self, surface: Surface) -> None:
        super().__init__()
        neighbours = surface.conv_neighbours()
        if isinstance(neighbours, RowStencil):
            neighbours = surface.pool_neighbours()
        self.share = make_share(neighbours)
        # Any: torch declares the attributes of modules as Tensor | Module.
        differences = _GridDifferences if isinstance(neighbours, Border) else _MeshDifferences
        self.differences: Any = differences(neighbours)  # type: ignore[arg-type]

    def forward(self, x: Tensor, mask: Tensor, areas: Tensor | None = None) -> Tensor:
        """Return the variation of images ``(batch, channels, *grid)`` around holes ``(batch, 1, *grid)``."""
        region = (self.share((mask != 0).to(x.dtype)) > MIN_SHARE).to(x.dtype)
        return torch.stack([_mean(part, areas) for part in self.differences(x, region)]).sum()


class _GridDifferences(nn.Module):
    def __init__(self, border: Border) -> None:
        super().__init__()
        self.border = border
        self.axes = range(border.ndim - border.kernel_ndim, border.ndim)

    def forward(self, x: Tensor, region: Tensor) -> list[Tensor]:
        parts = []
        for axis in self.axes:
            amounts = [(0, int(axis == other)) for other in range(self.border.ndim)]
            after, inside = pad(x, amounts, self.border), pad(region, amounts, self.border)
            size, dim = x.shape[2 + axis], 2 + axis
            # Beyond a border of zeros the padded region is 0, too.
            parts.append((after.narrow(dim, 1, size) - x).abs() * inside.narrow(dim, 1, size) * region)
        return parts


class _MeshDifferences(SparseOperator):
    def forward(self, x: Tensor, region: Tensor) -> list[Tensor]:
        taps = self.stencil.taps
        flat = to_channels_last(x, self.stencil)
        seen = self.matmul(flat).unflatten(1, (-1, taps))
        ones = self.matmul(torch.ones_like(flat[:1, :, :1])).unflatten(1, (-1, taps))
        difference = (seen - ones * flat[:, :, None]).abs().sum(2)
        return [difference.transpose(1, 2).unflatten(2, self.stencil.output_shape) * region]


def patch_discriminator_loss(discriminator: Scores, image: Tensor, completed: Tensor, mask: Tensor) -> Tensor:
    """Return half of the hinge loss of SN-PatchGAN (Yu et al., ICCV 2019); no gradient flows to the completed image.

    Args:
        discriminator: function of images and masks to scores, such as ``oc.models.PatchDiscriminator``.
        image: true images, ``(batch, channels, *grid)``.
        completed: the same images with a filled hole.
        mask: the hole, ``(batch, 1, *grid)``.
    """
    images = torch.cat([image, completed.detach().to(image.dtype)])
    real, fake = discriminator(images, torch.cat([mask, mask])).float().chunk(2)
    return 0.5 * ADVERSARIAL_LOSSES["hinge"].discriminator(real, fake)


def patch_generator_loss(discriminator: Scores, image: Tensor, completed: Tensor, mask: Tensor) -> Tensor:
    """Return the loss of the network that completes images: minus the mean score of its images.

    Arguments are those of ``patch_discriminator_loss``. True images take part in the call as in the published code.
    """
    images = torch.cat([image, completed.to(image.dtype)])
    real, fake = discriminator(images, torch.cat([mask, mask])).float().chunk(2)
    return ADVERSARIAL_LOSSES["hinge"].generator(real, fake)


def _mean(values: Tensor, areas: Tensor | None) -> Tensor:
    return batch_mean(values if areas is None else values * areas)


def _gram(features: Tensor) -> Tensor:
    flat = features.float().flatten(2)
    return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])

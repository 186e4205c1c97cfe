"""Losses of completed images, weighted by the area of the samples on a sphere."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from omniconv.generation.inpainting import l1_loss


class HoleLoss(nn.Module):
    """Mean absolute error of predicted images, with a weight in the hole (Liu et al., ECCV 2018, equations 2 and 7).

    Args:
        areas: area of each sample, with mean 1; ``None`` on a plane.
        hole: weight of samples in the hole.
        known: weight of the others.
    """

    areas: Tensor | None

    def __init__(self, areas: Tensor | None = None, hole: float = 6.0, known: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("areas", areas, persistent=False)
        self.hole, self.known = hole, known

    def forward(self, predictions: Sequence[Tensor], true: Tensor, hole: Tensor, valid: Tensor) -> Tensor:
        """Return the loss, summed over the stages of a network.

        Args:
            predictions: prediction of each stage for all samples, ``(batch, channels, *grid)``.
            true: the images.
            hole: boolean ``(batch, 1, *grid)``, True in the hole.
            valid: boolean, False where there is no image.
        """
        losses = [l1_loss(one, true, hole, self.hole, self.known, self.areas, valid) for one in predictions]
        return torch.stack(losses).sum()

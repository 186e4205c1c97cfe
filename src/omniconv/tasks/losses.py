"""Losses, weighted by the area of the samples on a sphere."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NO_INDEX = -100
"""Ignored label of ``torch.nn.functional.cross_entropy`` by default; no class has it."""


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    areas: Tensor | None = None,
    class_weights: Tensor | None = None,
    ignore_index: int = NO_INDEX,
) -> Tensor:
    """Return the weighted mean cross entropy over the samples that are not ignored; 0 if all are.

    Args:
        logits: ``(batch, classes, ...)``; summed in float32 also under mixed precision.
        labels: ``(batch, ...)``.
        areas: weight of each sample, broadcast to the shape of ``labels``.
        class_weights: weight of each class.
        ignore_index: label of samples that are ignored.
    """
    losses = F.cross_entropy(logits.float(), labels, ignore_index=ignore_index, reduction="none")
    valid = labels != ignore_index
    weights = valid.to(losses.dtype)
    if areas is not None:
        weights = weights * areas
    if class_weights is not None:
        weights = weights * class_weights[labels.where(valid, 0)]
    return (losses * weights).sum() / weights.sum().clamp_min(torch.finfo(losses.dtype).tiny)


def balancing_weights(frequencies: Sequence[float]) -> Tensor:
    """Return the weight ``1 / ln(1.02 + frequency)`` of each class (ENet, Paszke et al. 2016, section 5.1)."""
    return torch.tensor([1 / math.log(1.02 + frequency) for frequency in frequencies])


class CrossEntropy(nn.Module):
    """Module form of ``cross_entropy``; its weights are non-persistent buffers."""

    areas: Tensor | None
    class_weights: Tensor | None

    def __init__(
        self, areas: Tensor | None = None, class_weights: Tensor | None = None, ignore_index: int = NO_INDEX
    ) -> None:
        super().__init__()
        self.register_buffer("areas", areas, persistent=False)
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits, labels, self.areas, self.class_weights, self.ignore_index)

"""Augmentations of whole batches: CutMix and MixUp of images and their class labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor, nn

from omniconv.data.augmentation import BATCH_AUGMENTATIONS
from omniconv.data.preprocessing import Preprocessing
from omniconv.surfaces import Surface

MIXUP_ALPHA = 0.2
"""Parameter of the beta distribution of MixUp's weights (Zhang et al., ICLR 2018: 0.1 to 0.4)."""


class MixedLoss(nn.Module):
    """Loss of a mixed batch: the weighted mean of the losses for its two targets.

    Args:
        criterion: loss of an output and a target.
        other: the second target.
        weight: weight of the first target, 0 … 1.
    """

    def __init__(self, criterion: nn.Module, other: Tensor, weight: float) -> None:
        super().__init__()
        self.criterion, self.other, self.weight = criterion, other, weight

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of an output, given the first target."""
        return self.weight * self.criterion(output, target) + (1 - self.weight) * self.criterion(output, self.other)


@dataclass(frozen=True, eq=False)
class BatchMixing:
    """CutMix and MixUp of batches; with both, each batch draws one.

    CutMix (Yun et al., ICCV 2019) replaces a rectangle, on a sphere a disk, by that of another image of the batch. A
    label for each pixel goes with its pixel; a label for each image has the weight of its image's area. MixUp (Zhang et
    al., ICLR 2018) averages two images and their losses.

    Args:
        names: the ones of ``BATCH_AUGMENTATIONS`` to use, at least one.
        seed: seed of the run.
        surface: surface of the images.
        dense: targets have a label for each pixel.
    """

    names: tuple[str, ...]
    seed: int
    surface: Surface
    dense: bool

    def mix(
        self, criterion: nn.Module, x: Tensor, target: Tensor, epoch: int, batch: int
    ) -> tuple[nn.Module, Tensor, Tensor]:
        """Return the loss, the images and the first target of a mixed batch.

        What is drawn depends on the seed, the epoch and the number of the batch only, so that processes that share a
        batch draw the same; each mixes its own images with each other.

        Args:
            criterion: loss of an output and a target.
            x: images ``(batch, channels, *grid)``.
            target: labels ``(batch, *grid)`` or ``(batch,)``.
            epoch: the epoch.
            batch: number of the batch in the epoch.
        """
        random = np.random.default_rng([self.seed, epoch, batch])
        # To the image of the batch that each is mixed with; not from `random`, since processes may differ in images.
        distance = int(np.random.default_rng([self.seed, epoch, batch, 1]).integers(1, max(2, len(x))))
        others = (torch.arange(len(x), device=x.device) + distance) % len(x)
        if self.names[int(random.integers(len(self.names)))] == "mixup":
            weight = float(random.beta(MIXUP_ALPHA, MIXUP_ALPHA))
            return MixedLoss(criterion, target[others], weight), x.lerp(x[others], 1 - weight), target
        mask, share = self._region(random, tuple(x.shape[2:]))
        replaced = torch.from_numpy(mask).to(x.device)
        mixed = torch.where(replaced, x[others], x)
        if self.dense:
            return criterion, mixed, torch.where(replaced, target[others], target)
        return MixedLoss(criterion, target[others], 1 - share), mixed, target

    def _region(self, random: Generator, grid: tuple[int, ...]) -> tuple[np.ndarray, float]:
        """Return the mask of a random rectangle or disk, and its share of the area."""
        share = random.random()
        if not self.surface.spherical:
            height, width = grid
            sides = np.sqrt(share) * np.array(grid)
            first, last = (random.random(2) * grid + half for half in (-sides / 2, sides / 2))
            rows, columns = np.arange(height)[:, None] + 0.5, np.arange(width) + 0.5
            mask = (first[0] < rows) & (rows < last[0]) & (first[1] < columns) & (columns < last[1])
            return mask, float(mask.mean())
        shape = grid if self.surface.any_size else None
        centre = random.standard_normal(3)
        # A disk has the share (1 - cos radius) / 2 of the area of the sphere.
        mask = self.surface.directions(shape) @ (centre / np.linalg.norm(centre)) > 1 - 2 * share
        areas = self.surface.areas(shape)
        return mask, float(areas[mask].sum() / areas.sum())


def make_mixing(names: tuple[str, ...], seed: int, preprocessing: Preprocessing, dense: bool) -> BatchMixing | None:
    """Return the mixing of the augmentations of a run, ``None`` if it has none of batches."""
    chosen = tuple(name for name in names if name in BATCH_AUGMENTATIONS)
    return BatchMixing(chosen, seed, preprocessing.surface, dense) if chosen else None

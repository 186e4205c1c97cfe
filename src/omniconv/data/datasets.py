"""Samples as tensors, the same ones again for the same seed, epoch and position."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from omniconv.data.augmentation import augment
from omniconv.data.dataset_folder import Sample
from omniconv.data.images import read_header
from omniconv.data.preprocessing import Preprocessing

Draw = tuple[int, int]
CACHE_BYTES = 2 * 2**30


class EpochSampler(Sampler[Draw]):
    """Draws ``(epoch, position)`` in an order set by seed and epoch alone, so that a resumed run goes on alike.

    Args:
        samples: how many samples there are.
        repeat: how often each is drawn in an epoch.
        seed: of the order.
        shuffle: leave the order as it is where this is false.
    """

    def __init__(self, samples: int, repeat: int = 1, seed: int = 0, shuffle: bool = True) -> None:
        self.length, self.seed, self.shuffle, self.epoch = samples * repeat, seed, shuffle, 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Draw]:
        positions = np.arange(self.length)
        if self.shuffle:
            positions = np.random.default_rng([self.seed, self.epoch]).permutation(self.length)
        return ((self.epoch, int(position)) for position in positions)

    def __len__(self) -> int:
        return self.length


@dataclass(eq=False)
class PreparedSamples(Dataset[tuple[Tensor, Tensor]]):
    """Images on their surface with a label for each sample (segment) or one for the whole (classify).

    Args:
        samples: what to read.
        preprocessing: how.
        augmentations: names, applied before the image goes onto the surface.
        seed: of the augmentations.

    Prepared images are kept in memory where all of them fit into 2 GiB.
    """

    samples: tuple[Sample, ...]
    preprocessing: Preprocessing
    augmentations: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        each = 4 * self.preprocessing.size[0] * self.preprocessing.size[1]
        self._kept: dict[int, tuple[np.ndarray, np.ndarray | int]] | None = (
            {} if each * len(self.samples) <= CACHE_BYTES else None
        )

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, draw: Draw | int) -> tuple[Tensor, Tensor]:
        epoch, position = (0, draw) if isinstance(draw, int) else draw
        stored, target = self._read(position % len(self.samples))
        image = stored.astype(np.float32) / 255
        labels = target if isinstance(target, np.ndarray) else None
        if self.augmentations:
            image, labels = augment(
                image, labels, self.augmentations, np.random.default_rng([self.seed, epoch, position])
            )
        x = torch.from_numpy(self.preprocessing.on_surface(image))
        if labels is None:
            return x, torch.tensor(target)
        return x, torch.from_numpy(self.preprocessing.labels_on_surface(labels))

    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray | int]:
        """Image (uint8, channels first) and target at the size of the preprocessing."""
        if self._kept is not None and index in self._kept:
            return self._kept[index]
        sample = self.samples[index]
        image = np.round(self.preprocessing.image(sample.image) * 255).astype(np.uint8)
        target = (
            sample.target
            if isinstance(sample.target, int)
            else self.preprocessing.labels(sample.target, read_header(sample.image))
        )
        if self._kept is not None:
            self._kept[index] = image, target
        return image, target

"""Samples as tensors, which depend on the seed, the epoch and the position in it only."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from omniconv.data.augmentation import augment
from omniconv.data.layouts.dataset_folder import Sample
from omniconv.data.preprocessing import Preprocessing
from omniconv.nn.distributed import Share, share_of_batch
from omniconv.tasks.base import Task
from omniconv.training.disk_cache import DiskCache, cache_path, has_space

Draw = tuple[int, int]
"""Epoch and position in it."""
CACHE_BYTES = 2 * 2**30
"""Largest size of all samples together that are kept in memory."""


def repeat_factors(classes: Sequence[Collection[int]], threshold: float) -> tuple[float, ...]:
    """Return how many times each image is drawn in an epoch, so that rare classes are seen more often.

    An image is drawn max(1, sqrt(threshold / f)) times, with the share f of the images that have its rarest class:
    repeat-factor sampling (Gupta et al., LVIS, CVPR 2019, section 3.3).

    Args:
        classes: the classes in each image.
        threshold: share of the images below which a class is rare.

    Example:
        >>> repeat_factors([{0}, {0}, {0}, {0, 1}], 0.5)
        (1.0, 1.0, 1.0, 1.414214)
    """
    images = Counter(index for present in classes for index in set(present))
    by_class = {index: max(1.0, math.sqrt(threshold * len(classes) / count)) for index, count in images.items()}
    return tuple(round(max((by_class[index] for index in present), default=1.0), 6) for present in classes)


class EpochSampler(Sampler[Draw]):
    """Sampler of ``(epoch, position)`` in an order that depends on seed and epoch only, so that a run can resume.

    Of several processes each samples its part of the batches of a single one: with ``share="rows"`` its rows of every
    batch, as ``share_of_batch`` gives them, with ``share="batches"`` batch ``rank``, ``rank + processes``, ….

    Args:
        samples: number of samples.
        repeat: number of times that each sample is drawn in an epoch.
        seed: seed of the order.
        shuffle: draw in random order.
        factors: factor of ``repeat`` for each sample, see ``repeat_factors``; by default 1. Where the product is no
            integer, the next smaller or the next larger number of draws is chosen at random in each epoch; their total
            is the same in all epochs.
        batch_size: samples of a batch of all processes.
        smallest: a last batch of fewer samples is left out.
        rank: number of this process.
        processes: number of processes; with ``share="rows"`` it divides ``batch_size``, and is at most ``smallest``.
        share: ``rows`` or ``batches``.

    Example:
        >>> [[position for _, position in EpochSampler(6, shuffle=False, batch_size=4, smallest=2, rank=rank,
        ...   processes=2)] for rank in range(2)]
        [[0, 1, 4], [2, 3, 5]]
    """

    def __init__(
        self,
        samples: int,
        repeat: int = 1,
        seed: int = 0,
        shuffle: bool = True,
        factors: Sequence[float] = (),
        *,
        batch_size: int = 1,
        smallest: int = 1,
        rank: int = 0,
        processes: int = 1,
        share: Literal["rows", "batches"] = "rows",
    ) -> None:
        self.samples, self.seed, self.shuffle, self.epoch = samples, seed, shuffle, 0
        self.draws = np.asarray(factors, np.float64) * repeat if factors else np.full(samples, float(repeat))
        self.length = math.ceil(round(self.draws.sum(), 3))
        self.batch_size, self.rank, self.processes = batch_size, rank, processes
        leftover = self.length % batch_size
        self.used = self.length - (leftover if 0 < leftover < smallest else 0)
        self.parts = self._slices(share)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration; called by Lightning."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Draw]:
        random = np.random.default_rng([self.seed, self.epoch])
        positions = self._positions(np.random.default_rng([self.seed, self.epoch, 1]))
        if self.shuffle:
            positions = positions[random.permutation(self.length)]
        return ((self.epoch, int(position)) for part in self.parts for position in positions[part])

    def _positions(self, random: np.random.Generator) -> np.ndarray:
        """Return the positions of an epoch: of the k-th draw of a sample its index plus k times their number."""
        if (self.draws == self.draws[:1]).all():
            return np.arange(self.length)
        # Systematic sampling: each number of draws is the rounded-up or rounded-down one, and their sum is exact.
        order = random.permutation(self.samples)
        ends = np.cumsum(self.draws[order] * (self.length / self.draws.sum()))
        ends[-1] = self.length
        counts = np.zeros(self.samples, np.int64)
        counts[order] = np.diff(np.floor(ends + random.random()), prepend=0)
        return np.concatenate([np.flatnonzero(counts > k) + k * self.samples for k in range(counts.max())])

    def __len__(self) -> int:
        return sum(part.stop - part.start for part in self.parts)

    def share(self, batch: int) -> Share:
        """Return the rows of the batch of this number that this process has, with ``share="rows"``."""
        total = min(self.batch_size, self.used - batch * self.batch_size)
        return share_of_batch(total, self.rank, self.processes)

    def start(self, batch: int) -> int:
        """Return the number of samples before the batch of this number of this process, with whole batches."""
        return self.parts[batch].start if self.processes > 1 else batch * self.batch_size

    def _slices(self, share: str) -> list[slice]:
        """Return the samples of this process as slices of the order."""
        if self.processes == 1:
            return [slice(0, self.used)]
        starts = range(0, self.used, self.batch_size)
        if share == "batches":
            return [slice(at, min(at + self.batch_size, self.used)) for at in starts[self.rank :: self.processes]]
        own = [(at, self.share(number)) for number, at in enumerate(starts)]
        return [slice(at + share.first, at + share.first + share.rows) for at, share in own]


@dataclass(eq=False)
class SampleReader:
    """Reader of images and targets at the size of the preprocessing, with a cache.

    Args:
        task: reads the targets.
        preprocessing: reads the images.
        count: number of samples to be read in total.
        cache: ``memory``, ``disk`` or ``none``; ``auto``: memory if all samples fit into ``CACHE_BYTES``, else disk.

    Attributes:
        disk: file of the samples; ``None`` without one, as before the training.
    """

    task: Task
    preprocessing: Preprocessing
    count: int
    cache: str = "auto"
    disk: DiskCache | None = None
    _read: dict[Sample, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)

    def without_samples(self) -> SampleReader:
        """Return a reader that has read nothing yet, for another process."""
        return replace(self, _read={})

    def read(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Return the image, uint8 ``(3, *size)``, and the resized target."""
        if sample in self._read:
            return self._read[sample]
        if self.disk is not None and (stored := self.disk.read(sample)) is not None:
            return stored
        image = self.load_image(sample)
        return self.store(sample, image, self.task.load_target(sample, self.preprocessing))

    def load_image(self, sample: Sample) -> np.ndarray:
        """Decode the image, uint8 ``(3, *size)``."""
        return np.round(self.preprocessing.image(sample.image) * 255).astype(np.uint8)

    def store(self, sample: Sample, image: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Resize a loaded target, and return the image and the target, after adding them to the cache if all fit."""
        pair = image, self.task.resize_with_image(sample, target, self.preprocessing)
        if self.fits_cache(pair[1].nbytes):
            self._read[sample] = pair
        elif self.disk is not None:
            self.disk.write(sample, *pair)
        return pair

    def fits_cache(self, target_bytes: int = 0) -> bool:
        """Return True if samples are kept in memory: ``count`` images, each with a target of so many bytes."""
        if self.cache != "auto":
            return self.cache == "memory"
        height, width = self.preprocessing.size
        return (3 * height * width + target_bytes) * self.count <= CACHE_BYTES  # images are uint8 RGB

    def open_disk(self, folder: Path, samples: Sequence[Sample], content: Any) -> str:
        """Open the cache in a file if the samples are not kept in memory and it is wanted.

        With ``auto`` it is left out where the disk has no room for it.

        Args:
            folder: folder of the file.
            samples: all samples.
            content: what the samples depend on, in types of JSON; a file of other content is not used.

        Returns:
            What was chosen, as a line for the user; empty for memory.

        Raises:
            WriteError: the file cannot be created.
        """
        image, target = self.read(samples[0])
        if self.cache == "none" or self.fits_cache(target.nbytes):
            return ""
        size = len(samples) * (image.nbytes + target.nbytes)
        text = f"{size / 1e9:.3g} GB" if size >= 1e8 else f"{size / 1e6:.3g} MB"
        if self.cache == "auto" and not has_space(folder.parent, size):
            return f"images are decoded in every epoch: the disk has no room for {text} of samples"
        self.disk = DiskCache(cache_path(folder, content), samples, image, target)
        self.disk.write(samples[0], image, target)
        return f"samples are kept in {folder} during the training ({text})"

    def image(self, sample: Sample) -> np.ndarray:
        """Return the image, float32 ``(3, *size)`` in 0 … 1."""
        return self.read(sample)[0].astype(np.float32) / 255


@dataclass(eq=False)
class PreparedSamples(Dataset[tuple[Tensor, Tensor]]):
    """Data set of network inputs and targets on their surface.

    Args:
        samples: the samples.
        reader: reads them.
        preprocessing: from images to network inputs.
        augmentations: names of augmentations, applied before the image is resampled to the surface.
        seed: seed of the augmentations, and of what else is random in training.
        training: the samples are trained on, so that targets may be random.
    """

    samples: Sequence[Sample]
    reader: SampleReader
    preprocessing: Preprocessing
    augmentations: tuple[str, ...] = ()
    seed: int = 0
    training: bool = False

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, draw: Draw) -> tuple[Tensor, Tensor]:
        with _global_random_numbers(self.seed, *draw):
            return self._prepare(*draw)

    def _prepare(self, epoch: int, position: int) -> tuple[Tensor, Tensor]:
        task = self.reader.task
        sample = self.samples[position % len(self.samples)]
        stored, target = self.reader.read(sample)
        image = stored.astype(np.float32) / 255
        generator = np.random.default_rng([self.seed, epoch, position])
        if self.augmentations:
            dense, spherical = task.target_interpolation is not None, self.preprocessing.surface.spherical
            how = task.target_interpolation or "nearest", task.ignore_index, spherical
            image, augmented = augment(image, target if dense else None, self.augmentations, generator, *how)
            target = target if augmented is None else augmented
        x = torch.from_numpy(self.preprocessing.on_surface(image))
        drawn = task.draw_target(target, sample, self.preprocessing, generator if self.training else None)
        return x, torch.as_tensor(drawn)


@contextmanager
def _global_random_numbers(seed: int, epoch: int, position: int) -> Iterator[None]:
    """Seed the global random numbers of Python, NumPy and torch for one sample, and restore their state afterwards.

    omniconv does not draw from them, but a task may. Workers keep their state from one epoch to the next, so without
    this a resumed run or another number of workers would draw other numbers.
    """
    states = random.getstate(), np.random.get_state(), torch.default_generator.get_state()  # noqa: NPY002
    numbers = np.random.SeedSequence([seed, epoch, position]).generate_state(4)
    random.seed(numbers.tobytes())
    np.random.seed(numbers)  # noqa: NPY002
    torch.default_generator.manual_seed(int(numbers[0]))
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.default_generator.set_state(states[2])

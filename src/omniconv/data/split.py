"""Split of a data set into training and validation samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import replace

import numpy as np

from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample
from omniconv.errors import InputError


def hold_out(
    folder: DatasetFolder, fraction: float, seed: int, group: Callable[[Sample], Hashable] = lambda sample: None
) -> tuple[DatasetFolder, DatasetFolder | None]:
    """Split a folder into training and validation samples.

    Args:
        folder: all samples.
        fraction: fraction to hold out, 0 … 0.9.
        seed: seed of the random choice.
        group: group of a sample, such as its class; the same fraction of each is held out.

    Returns:
        The two folders; the second is ``None`` if ``fraction`` is 0 or there is only one sample.

    Raises:
        InputError: a fraction out of range.
    """
    if not 0 <= fraction <= 0.9:
        raise InputError("validation", fraction, "must be between 0 and 0.9", "use 0.2 to hold out a fifth")
    groups: dict[Hashable, list[Sample]] = defaultdict(list)
    for sample in folder.samples:
        groups[group(sample)].append(sample)
    random = np.random.default_rng(seed)
    held: set[Sample] = set()
    for members in groups.values():
        count = min(round(fraction * len(members)), len(members) - 1)
        if fraction and not held and count == 0 and len(members) > 1:
            count = 1  # hold out at least one sample, however small the fraction is
        held |= {members[index] for index in random.permutation(len(members))[:count]}
    if not held:
        return folder, None
    training = tuple(sample for sample in folder.samples if sample not in held)
    validation = tuple(sample for sample in folder.samples if sample in held)
    return replace(folder, samples=training), replace(folder, samples=validation, skipped=())

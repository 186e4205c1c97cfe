"""Which samples train and which are held out to measure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from omniconv.data.dataset_folder import Folder, Sample
from omniconv.errors import InputError


def hold_out(folder: Folder, fraction: float, seed: int) -> tuple[Folder, Folder | None]:
    """Split a folder into samples to train on and samples to measure on, class by class where images have a class.

    Args:
        folder: all samples.
        fraction: share to hold out, 0 … 0.9.
        seed: of the choice.

    Returns:
        The two folders; the second is ``None`` where nothing is held out, because ``fraction`` is 0 or there is but one
        sample.

    Raises:
        InputError: a fraction out of range.
    """
    if not 0 <= fraction <= 0.9:
        raise InputError("validation", fraction, "must be between 0 and 0.9", "use 0.2 to hold out a fifth")
    random = np.random.default_rng(seed)
    held: set[Sample] = set()
    for group in _groups(folder).values():
        count = min(round(fraction * len(group)), len(group) - 1)
        if fraction and len(folder.samples) > 1 and not held and count == 0 and len(group) > 1:
            count = 1
        held |= {group[index] for index in random.permutation(len(group))[:count]}
    if not held:
        return folder, None
    training = tuple(sample for sample in folder.samples if sample not in held)
    measured = tuple(sample for sample in folder.samples if sample in held)
    return replace(folder, samples=training), replace(folder, samples=measured, skipped=())


def _groups(folder: Folder) -> dict[int, list[Sample]]:
    groups: dict[int, list[Sample]] = defaultdict(list)
    for sample in folder.samples:
        groups[sample.target if isinstance(sample.target, int) else 0].append(sample)
    return groups

"""Split of a data set into training and validation samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import replace

import numpy as np

from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample
from omniconv.errors import InputError


def hold_out(
    folder: DatasetFolder,
    fraction: float,
    seed: int,
    group: Callable[[Sample], Hashable] = lambda sample: None,
    identity: Callable[[Sample], Hashable] = lambda sample: sample,
) -> tuple[DatasetFolder, DatasetFolder | None]:
    """Split a folder into training and validation samples.

    Args:
        folder: all samples.
        fraction: fraction to hold out, 0 … 0.9.
        seed: seed of the random choice.
        group: group of a sample, such as its class; the same fraction of each is held out.
        identity: identity of a sample, such as the hash of its image; samples of one identity are never separated, and
            belong to the group of the first of them.

    Returns:
        The two folders; the second is ``None`` if ``fraction`` is 0 or there is only one sample, or only copies of one.

    Raises:
        InputError: a fraction out of range.
    """
    if not 0 <= fraction <= 0.9:
        raise InputError("validation", fraction, "must be between 0 and 0.9", "use 0.2 to hold out a fifth")
    copies: dict[Hashable, list[Sample]] = defaultdict(list)
    for sample in folder.samples:
        copies[identity(sample)].append(sample)
    groups: dict[Hashable, list[list[Sample]]] = defaultdict(list)
    for unit in copies.values():
        groups[group(unit[0])].append(unit)
    random = np.random.default_rng(seed)
    held: set[Sample] = set()
    for units in groups.values():
        shuffled = [units[index] for index in random.permutation(len(units))]
        held.update(_choose(shuffled, fraction, at_least_one=fraction > 0 and not held))
    if not held:
        return folder, None
    training = tuple(sample for sample in folder.samples if sample not in held)
    validation = tuple(sample for sample in folder.samples if sample in held)
    return replace(folder, samples=training), replace(folder, samples=validation, skipped=())


def _choose(units: list[list[Sample]], fraction: float, at_least_one: bool) -> list[Sample]:
    """Return the samples of the first units up to a fraction of all samples; at least one unit remains."""
    wanted = round(fraction * sum(map(len, units)))
    chosen: list[Sample] = []
    for unit in units[:-1]:
        if len(chosen) + len(unit) <= wanted:
            chosen += unit
    if not chosen and at_least_one and len(units) > 1:
        return min(units, key=len)  # hold out something, however small the fraction is
    return chosen

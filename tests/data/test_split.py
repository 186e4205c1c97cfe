from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from omniconv.data import split
from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample
from omniconv.errors import InputError


def hold_out(folder, fraction, seed):
    return split.hold_out(folder, fraction, seed, group=lambda sample: sample.image.parent)


def classes(*counts):
    samples = [Sample(Path(f"{index}/{i}.png"), index) for index, count in enumerate(counts) for i in range(count)]
    names = tuple(f"class {index}" for index in range(len(counts)))
    return DatasetFolder(Path("data"), tuple(samples), names, ((Path("x"), "is hidden"),))


def masks(count):
    samples = tuple(Sample(Path(f"images/{i}.png"), Path(f"masks/{i}.png")) for i in range(count))
    return DatasetFolder(Path("data"), samples, ("sea", "land"), ())


@pytest.mark.parametrize("folder", [classes(10, 5, 30), classes(2, 2), classes(1, 9), masks(2), masks(50)])
@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5, 0.9])
def test_disjoint_and_covering_in_order(folder, fraction):
    training, validation = hold_out(folder, fraction, seed=1)
    assert validation.samples
    assert training.samples
    assert not set(training.samples) & set(validation.samples)
    assert set(training.samples) | set(validation.samples) == set(folder.samples)
    for part in (training, validation):
        assert list(part.samples) == [sample for sample in folder.samples if sample in part.samples]
        assert part.classes == folder.classes
    assert training.skipped == folder.skipped
    assert validation.skipped == ()


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5, 0.9])
def test_each_class_gives_its_share_and_keeps_one(fraction):
    counts = (10, 20, 40, 1)
    training, validation = hold_out(classes(*counts), fraction, seed=0)
    held = Counter(sample.target for sample in validation.samples)
    left = Counter(sample.target for sample in training.samples)
    for index, count in enumerate(counts):
        assert held[index] == min(round(fraction * count), count - 1)
        assert left[index] >= 1


def test_depends_on_the_seed_alone():
    first, second, other = (hold_out(masks(30), 0.3, seed)[1] for seed in (5, 5, 6))
    assert first == second
    assert first != other


@pytest.mark.parametrize(("folder", "fraction"), [(masks(1), 0.5), (masks(9), 0), (classes(1, 1), 0.5)])
def test_nothing_to_hold_out(folder, fraction):
    assert hold_out(folder, fraction, seed=0) == (folder, None)


@pytest.mark.parametrize("fraction", [-0.1, 0.95, 1, float("nan")])
def test_fraction_out_of_range(fraction):
    with pytest.raises(InputError, match=r"^validation=.*: must be between 0 and 0\.9; use 0\.2"):
        hold_out(masks(5), fraction, seed=0)

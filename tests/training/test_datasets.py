from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tiny import classify_folder, scan, segment_folder

from omniconv.data.preprocessing import Preprocessing
from omniconv.surfaces import surface
from omniconv.tasks import get_task
from omniconv.tasks.segment import Segment
from omniconv.training import datasets
from omniconv.training.datasets import EpochSampler, PreparedSamples, SampleReader, repeat_factors

ALL = ("flip", "turn", "rotate", "colour")


def prepared(folder, augmentations=ALL, seed=0, name="plane", task="segment"):
    preprocessing = Preprocessing(surface(name), (16, 32))
    reader = SampleReader(get_task(task), preprocessing, len(folder.samples))
    return PreparedSamples(folder.samples, reader, preprocessing, augmentations, seed)


@pytest.fixture
def folder(tmp_path):
    return scan("segment", segment_folder(tmp_path))


def equal(first, second):
    return all(torch.equal(*parts) for parts in zip(first, second, strict=True))


def order(sampler, epoch):
    sampler.set_epoch(epoch)
    return list(sampler)


def test_order_depends_on_seed_and_epoch_only():
    first, second = EpochSampler(20, seed=3), EpochSampler(20, seed=3)
    order(first, 0), order(first, 1)
    torch.rand(3), np.random.default_rng().random()
    assert order(first, 5) == order(second, 5)
    assert order(first, 5) != order(first, 6)
    assert order(first, 5) != order(EpochSampler(20, seed=4), 5)


@pytest.mark.parametrize("repeat", [1, 3])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_position_is_drawn_once(repeat, shuffle):
    sampler = EpochSampler(7, repeat, shuffle=shuffle)
    drawn = order(sampler, 4)
    assert len(sampler) == len(drawn) == 7 * repeat
    assert {epoch for epoch, _ in drawn} == {4}
    positions = [position for _, position in drawn]
    assert sorted(positions) == list(range(7 * repeat))
    assert (positions == sorted(positions)) is not shuffle


def test_factors_are_the_formula_of_the_rarest_class():
    classes = [{0}] * 7 + [{0, 1}] * 2 + [{1, 2}]
    assert repeat_factors(classes, 0.9) == pytest.approx([1.0] * 7 + [math.sqrt(0.9 / 0.3)] * 2 + [3.0], abs=1e-6)
    assert repeat_factors(classes, 0.1) == (1.0,) * 10
    assert repeat_factors([set(), {4}], 0.5) == (1.0, 1.0)  # an image without any label


@pytest.mark.parametrize("repeat", [1, 3])
def test_samples_are_drawn_as_often_as_their_factor_says(repeat):
    factors = (1.0, 2.5, 1.0, 1.2, 3.0, 1.9)
    sampler = EpochSampler(6, repeat, seed=2, factors=factors)
    assert len(sampler) == math.ceil(10.6 * repeat)
    totals = np.zeros(6)
    for epoch in range(200):
        drawn = order(sampler, epoch)
        positions = [position for _, position in drawn]
        assert len(positions) == len(set(positions)) == len(sampler)  # each draw is augmented in its own way
        counts = np.bincount(np.array(positions) % 6, minlength=6)
        exact = np.array(factors) * len(sampler) / 10.6
        assert (counts >= np.floor(exact)).all()
        assert (counts <= np.ceil(exact)).all()
        totals += counts
    assert totals / 200 == pytest.approx(exact, abs=0.15)


def test_the_oversampled_order_depends_on_seed_and_epoch_only():
    first, second = (EpochSampler(20, 2, seed=3, factors=[1.0] * 19 + [2.3]) for _ in range(2))
    order(first, 0)
    torch.rand(3), np.random.default_rng().random()
    assert order(first, 5) == order(second, 5)
    assert order(first, 5) != order(first, 6)
    assert order(EpochSampler(20, 2, 3, factors=[1.0] * 20), 5) == order(EpochSampler(20, 2, 3), 5)
    assert order(EpochSampler(20, 2, 3, False, [1.0] * 19 + [2.0]), 1)[:20] == [(1, index) for index in range(20)]


@pytest.mark.parametrize("name", ["plane", "equirectangular", "icosphere:2"])
def test_the_same_draw_gives_the_same_sample(folder, name):
    first, second = (prepared(folder, name=name) for _ in range(2))
    second[0, 0], second[3, 1]
    for draw in ((0, 0), (2, 1), (9, 4)):
        assert equal(first[draw], second[draw])
        assert equal(first[draw], first[draw])


def test_other_draws_differ(folder):
    samples = prepared(folder)
    assert not equal(samples[0, 1], samples[1, 1])
    assert not equal(samples[0, 1], samples[0, 2])
    assert not equal(samples[0, 1], prepared(folder, seed=1)[0, 1])


def test_repeated_draws_of_an_image_are_changed_anew(folder):
    samples, plain = prepared(folder, ("turn",)), prepared(folder, ())
    assert equal(plain[0, 1], plain[0, 1 + len(folder.samples)])
    assert not equal(samples[0, 1], samples[0, 1 + len(folder.samples)])


def test_changes_do_not_add_up(folder):
    samples = prepared(folder)
    before = prepared(folder, ())[0, 2]
    for epoch in range(5):
        samples[epoch, 2]
    samples.augmentations = ()
    assert equal(samples[0, 2], before)


def test_images_too_large_to_keep_are_read_anew(folder, monkeypatch):
    draws = (0, 0), (1, 2), (0, 0)
    with_cache = prepared(folder)
    kept = [with_cache[draw] for draw in draws]
    monkeypatch.setattr(datasets, "CACHE_BYTES", 100)
    without_cache = prepared(folder)
    for draw, sample in zip(draws, kept, strict=True):
        assert equal(sample, without_cache[draw])


def test_the_cache_counts_the_bytes_of_a_target(folder, monkeypatch):
    reader = prepared(folder).reader
    height, width = reader.preprocessing.size
    monkeypatch.setattr(datasets, "CACHE_BYTES", 4 * height * width * len(folder.samples))
    assert reader.fits_cache(np.zeros((height, width), np.uint8).nbytes)
    assert not reader.fits_cache(np.zeros((height, width), np.float32).nbytes)


def test_labels_go_with_the_image(folder):
    samples = prepared(folder, ("flip", "turn"))
    for epoch in range(4):
        x, labels = samples[epoch, 0]
        assert labels.shape == x.shape[1:]
        assert labels.dtype == torch.int64
        assert torch.equal(x.mean(0) > 0, labels == 1)


def test_classes(tmp_path):
    folder = scan("classify", classify_folder(tmp_path, count=2))
    samples = prepared(folder, ("flip", "colour"), task="classify")
    assert len(samples) == 4
    assert [int(samples[0, position][1]) for position in range(4)] == [0, 0, 1, 1]


def test_a_file_is_decoded_once(folder, monkeypatch):
    decoded = []
    original = Segment.load_target
    monkeypatch.setattr(Segment, "load_target", lambda *args: decoded.append(1) or original(*args))
    samples = prepared(folder)
    for epoch in range(3):
        samples[epoch, 1], samples[epoch, 1 + len(folder.samples)]
    assert len(decoded) == 1

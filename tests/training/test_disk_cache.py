from __future__ import annotations

import errno
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from tiny import scan, segment_folder, trained

from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import InputError
from omniconv.files import WriteError
from omniconv.surfaces import surface
from omniconv.tasks import get_task
from omniconv.training import datasets
from omniconv.training.datasets import SampleReader
from omniconv.training.disk_cache import DiskCache
from omniconv.training.settings import RunConfig


@pytest.fixture
def samples(tmp_path):
    return scan("segment", segment_folder(tmp_path / "data", 4)).samples


def reader(samples, cache="disk", task="segment"):
    return SampleReader(get_task(task), Preprocessing(surface("plane"), (16, 32)), len(samples), cache)


def opened(samples, folder, content="a"):
    new = reader(samples)
    assert new.open_disk(folder, samples, content).startswith(f"samples are kept in {folder} during the training (")
    return new


def equal(first, second):
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def refuse_files(monkeypatch):
    monkeypatch.setattr(SampleReader, "load_image", lambda self, sample: pytest.fail("an image was decoded again"))


def test_samples_are_those_of_the_files_and_decoded_once(samples, tmp_path, monkeypatch):
    cached, plain = opened(samples, tmp_path / "cache"), reader(samples, "none")
    for sample in samples:
        assert equal(cached.read(sample), plain.read(sample))
    assert not cached._read
    again = opened(samples, tmp_path / "cache")
    refuse_files(monkeypatch)
    for one in (cached, again, pickle.loads(pickle.dumps(cached))):
        assert all(equal(one.read(sample), cached.read(sample)) for sample in samples)


def test_a_sample_that_was_not_completed_is_read_again(samples, tmp_path):
    cached = opened(samples, tmp_path / "cache")
    expected = [cached.read(sample) for sample in samples]
    states, contents = cached.disk._open()
    states[1]["stored"] = 0
    contents[2][5] ^= 1
    assert cached.disk.read(samples[1]) is None
    assert cached.disk.read(samples[2]) is None
    assert all(equal(cached.read(sample), pair) for sample, pair in zip(samples, expected, strict=True))
    assert cached.disk.read(samples[2]) is not None


def test_other_content_has_another_file(samples, tmp_path):
    first = opened(samples, tmp_path / "cache")
    second = opened(samples, tmp_path / "cache", "b")
    assert first.disk.path != second.disk.path
    assert [*(tmp_path / "cache").iterdir()] == [second.disk.path]
    assert first.read(samples[0])[0].shape == (3, 16, 32)


def test_targets_of_another_shape_are_not_stored(samples, tmp_path):
    image, target = np.ones((3, 4, 4), np.uint8), np.asarray(7, np.int64)
    cache = DiskCache(tmp_path / "cache/samples-a.bin", samples, image, target)
    cache.write(samples[0], image, target)
    cache.write(samples[1], image, np.zeros(3))
    assert equal(cache.read(samples[0]), (image, target))
    assert cache.read(samples[1]) is None


def _read_all(cached, samples):
    return [cached.read(sample)[0].sum() for sample in samples]


def test_processes_share_the_file(samples, tmp_path):
    cached = opened(samples, tmp_path / "cache")
    with ProcessPoolExecutor(2, get_context("fork")) as pool:
        sums = list(pool.map(_read_all, [cached] * 2, [samples] * 2))
    assert sums[0] == sums[1] == _read_all(reader(samples, "none"), samples)
    assert all(cached.disk.read(sample) is not None for sample in samples)


def test_automatic_choice(samples, tmp_path, monkeypatch):
    assert reader(samples, "auto").open_disk(tmp_path / "a", samples, "") == ""
    monkeypatch.setattr(datasets, "CACHE_BYTES", 100)
    large = reader(samples, "auto")
    assert "during the training" in large.open_disk(tmp_path / "b", samples, "")
    monkeypatch.setattr(datasets, "has_space", lambda folder, size: False)
    full = reader(samples, "auto")
    expected = "images are decoded in every epoch: the disk has no room for 0.00819 MB of samples"
    assert full.open_disk(tmp_path / "c", samples, "") == expected
    assert full.disk is None
    assert reader(samples, "memory").fits_cache()
    assert reader(samples, "none").open_disk(tmp_path / "d", samples, "") == ""


def test_a_full_disk(samples, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(
        WriteError, match=r"samples-.*bin: cannot be written \(no space left on device\); free some space"
    ):
        reader(samples).open_disk(tmp_path / "cache", samples, "")
    assert not [*(tmp_path / "cache").iterdir()]


@pytest.mark.slow
def test_a_run_is_the_same_with_every_cache(tmp_path, segment_data):
    given = {"epochs": 2, "augment": ("flip", "colour")}
    runs = [trained(tmp_path / cache, "segment", segment_data, **given, cache=cache) for cache in ("memory", "disk")]
    first, second = (torch.load(run.checkpoint, weights_only=True)["state_dict"] for run in runs)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert not runs[1].cache.exists()


def test_unknown_cache():
    with pytest.raises(InputError, match="cache='dsk': must be one of auto, memory, disk, none; did you mean disk"):
        RunConfig(cache="dsk")

from __future__ import annotations

import json

import pytest
from tiny import segment_folder

from omniconv.errors import FileError
from omniconv.training.dataset_splits import read_splits, write_splits
from omniconv.training.dataset_summary import summarize_dataset
from omniconv.training.settings import RunConfig


@pytest.fixture
def kept(tmp_path):
    config = RunConfig(task="segment", data=str(segment_folder(tmp_path / "boxes")), validation=0.5)
    splits = summarize_dataset(config).splits
    write_splits(splits, tmp_path / "data.json")
    return splits, tmp_path / "data.json"


def test_a_run_finds_its_samples_again(kept):
    splits, path = kept
    again = read_splits(path)
    for one, other in ((splits.training, again.training), (splits.validation, again.validation)):
        assert [sample.image.resolve() for sample in one.samples] == [sample.image for sample in other.samples]
        assert [sample.target.resolve() for sample in one.samples] == [sample.target for sample in other.samples]
    assert again.preprocessing == splits.preprocessing
    assert again.classes == splits.classes


def test_further_images_change_nothing(kept):
    splits, path = kept
    image = splits.training.samples[0].image
    image.with_name("zz.png").write_bytes(image.read_bytes())
    assert len(read_splits(path).training.samples) == len(splits.training.samples)


def test_a_changed_file_is_named(kept):
    splits, path = kept
    image = splits.training.samples[0].image
    image.write_bytes(image.read_bytes() + b"more")
    with pytest.raises(FileError, match=rf"{image.name}: has changed since the run began .*; restore it, or"):
        read_splits(path)


def test_a_missing_file_is_named(kept):
    splits, path = kept
    splits.validation.samples[0].target.unlink()
    with pytest.raises(FileError, match="is a sample of the run but does not exist"):
        read_splits(path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", json.dumps({"task": "segment", "training": 3})])
def test_a_damaged_list_is_refused(kept, content):
    kept[1].write_text(content)
    with pytest.raises(FileError, match=r"data\.json: is damaged"):
        read_splits(kept[1])

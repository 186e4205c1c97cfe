from __future__ import annotations

import json

import pytest
from tiny import segment_folder

from omniconv.errors import FileError
from omniconv.training.material import read_material, write_material
from omniconv.training.settings import RunConfig
from omniconv.training.understanding import understand


@pytest.fixture
def kept(tmp_path):
    config = RunConfig(task="segment", data=str(segment_folder(tmp_path / "boxes")), validation=0.5)
    material = understand(config).material
    write_material(material, tmp_path / "data.json")
    return material, tmp_path / "data.json"


def test_a_run_finds_its_samples_again(kept):
    material, path = kept
    again = read_material(path)
    for one, other in ((material.training, again.training), (material.measured, again.measured)):
        assert [sample.image.resolve() for sample in one.samples] == [sample.image for sample in other.samples]
        assert [sample.target.resolve() for sample in one.samples] == [sample.target for sample in other.samples]
    assert again.preprocessing == material.preprocessing
    assert again.classes == material.classes


def test_further_images_change_nothing(kept):
    material, path = kept
    image = material.training.samples[0].image
    image.with_name("zz.png").write_bytes(image.read_bytes())
    assert len(read_material(path).training.samples) == len(material.training.samples)


def test_a_changed_file_is_named(kept):
    material, path = kept
    image = material.training.samples[0].image
    image.write_bytes(image.read_bytes() + b"more")
    with pytest.raises(FileError, match=rf"{image.name}: has changed since the run began .*; bring it back as it was"):
        read_material(path)


def test_a_missing_file_is_named(kept):
    material, path = kept
    material.measured.samples[0].target.unlink()
    with pytest.raises(FileError, match="was part of the run and is not there"):
        read_material(path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", json.dumps({"task": "segment", "training": 3})])
def test_a_damaged_list_is_refused(kept, content):
    kept[1].write_text(content)
    with pytest.raises(FileError, match=r"data\.json: is damaged"):
        read_material(kept[1])

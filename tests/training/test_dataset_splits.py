from __future__ import annotations

import json

import pytest
from tiny import classify_folder, segment_folder

from omniconv.errors import FileError, InputError
from omniconv.training.dataset_splits import read_splits, write_splits
from omniconv.training.dataset_summary import summarize_dataset
from omniconv.training.preflight import build_network, resolve_settings
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


def first_image(content):
    return content["training"]["samples"][0][0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content.update(classes=[1, 2]), r"classes\.0: Input should be an instance of str"),
        (lambda content: content.update(classes=[]), "classes: List should have at least 1 item"),
        (lambda content: content.update(shares=[0.5]), "shares are not those of 2 classes"),
        (lambda content: content["training"].update(samples=[]), "a list of samples is empty"),
        (lambda content: content["training"]["samples"][0].pop(), r"training\.samples\.0: List should have at least 2"),
        (lambda content: content["measured"].update(root=1), r"measured\.root: Input should be a valid string"),
        (lambda content: first_image(content).__setitem__(0, "a.png"), "'a.png' is not an absolute path"),
        (lambda content: first_image(content).__setitem__(0, "/a\0"), r"'/a\\x00' is not an absolute path"),
        (lambda content: first_image(content).__setitem__(1, "1"), "a file must have a path, a size"),
        (lambda content: content["preparation"].update(size=[16]), "its size is out of range"),
        (lambda content: content["preparation"].update(size=[10**6, 10**6]), "its size is out of range"),
        (lambda content: content["preparation"].update(mean=[10**400] * 3), "int too large to convert to float"),
        (lambda content: content["preparation"].update(spread=[0, 1, 1]), "its mean or standard deviation is out of"),
        (lambda content: content["preparation"].update(binary="no"), "its flag for binary masks is not a boolean"),
        (lambda content: content["preparation"].update(x=1), "unexpected keyword argument 'x'"),
        (lambda content: content["preparation"].update(surface={"a": 1}), "surface={'a': 1}: must be"),
    ],
)
def test_the_structure_of_the_list_is_checked(kept, change, reason):
    content = json.loads(kept[1].read_text())
    change(content)
    kept[1].write_text(json.dumps(content))
    rule = rf"data\.json: is damaged \(.*{reason}.*\)"
    with pytest.raises(FileError, match=rf"{rule}; restore it from a copy, or start a new run$"):
        read_splits(kept[1])


def test_indices_of_classes_are_checked(tmp_path):
    config = RunConfig(task="classify", data=str(classify_folder(tmp_path / "lights")))
    write_splits(summarize_dataset(config).splits, tmp_path / "data.json")
    content = json.loads((tmp_path / "data.json").read_text())
    for wrong in (2, -1, 0.5, "0", [0], None):
        content["training"]["samples"][0][1] = wrong
        (tmp_path / "data.json").write_text(json.dumps(content))
        with pytest.raises(FileError):
            read_splits(tmp_path / "data.json")


@pytest.mark.parametrize(
    ("name", "value"), [("surface", "equirectangular"), ("size", (32, 32)), ("binary", True), ("task", "classify")]
)
def test_settings_that_the_samples_were_not_prepared_with_are_refused(kept, name, value):
    splits = kept[0]
    config = resolve_settings(RunConfig(task="segment", data=str(splits.training.root)), splits)
    build_network(config, splits)
    with pytest.raises(InputError, match=f"^{name}=.*: is not that of the samples of the run, .*; restore config"):
        build_network(config.replace(**{name: value}), splits)

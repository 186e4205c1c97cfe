"""Folders in the layout of another task are refused, with the task that fits."""

from __future__ import annotations

import shutil

import pytest
from tiny import classify_folder, segment_folder, words

from omniconv.cli import main
from omniconv.errors import FileError
from omniconv.tasks import get_task
from omniconv.tasks.data_folder import check_layout, scan_splits


def refusal(task, root, cure=""):
    with pytest.raises(FileError) as caught:
        check_layout(get_task(task), root, cure)
    return str(caught.value)


@pytest.mark.parametrize("parts", [(".",), ("train",), ("train", "val")])
def test_the_data_of_the_other_task(tmp_path, parts):
    for part in parts:
        segment_folder(tmp_path / "masks" / part, 2)
        classify_folder(tmp_path / "classes" / part, 2)
    found = refusal("classify", tmp_path / "masks", "use {task}")
    assert found == f"{tmp_path / 'masks'}: looks like a data set for the task segment, not classify; use segment"
    found = refusal("segment", tmp_path / "classes")
    assert found.startswith(
        f"{tmp_path / 'classes'}: looks like a data set for the task classify, not segment; expected"
    )
    check_layout(get_task("segment"), tmp_path / "masks")
    check_layout(get_task("classify"), tmp_path / "classes")


@pytest.mark.parametrize("names", [("images", "labels"), ("JPEGImages", "SegmentationClass"), ("img", "gt")])
def test_other_names_of_images_and_masks(tmp_path, names):
    segment_folder(tmp_path, 2)
    for old, new in zip(("images", "masks"), names, strict=True):
        (tmp_path / old).rename(tmp_path / new)
    assert "looks like a data set for the task segment" in refusal("classify", tmp_path)


def test_an_incomplete_folder_is_left_to_the_scan(tmp_path):
    segment_folder(tmp_path, 2)
    shutil.rmtree(tmp_path / "masks")
    with pytest.raises(FileError, match=r"masks: does not exist; expected images/NAME\.jpg with masks/NAME\.png"):
        scan_splits(get_task("segment"), tmp_path)


def test_classes_called_images_and_others(tmp_path):
    for old, new in (("dark", "images"), ("bright", "drawings")):
        classify_folder(tmp_path, 1)
        (tmp_path / old).rename(tmp_path / new)
        shutil.rmtree(tmp_path / {"dark": "bright", "bright": "dark"}[old])
    assert set(scan_splits(get_task("classify"), tmp_path)["all"].classes) == {"images", "drawings"}


def test_splits_under_other_names(tmp_path):
    for name in ("Training", "Testing"):
        classify_folder(tmp_path / name, 1)
    assert "has the folders Testing, Training; rename them to train, val and test" in refusal("classify", tmp_path)


def refused(capsys, *arguments):
    assert main([*map(str, arguments)]) == 2
    return capsys.readouterr().err


def test_train_and_evaluate_say_it(here, segment_run, classify_run, segment_data, classify_data, capsys):
    line = refused(capsys, "train", "classify", segment_data, *words())
    assert (
        f"looks like a data set for the task segment, not classify; use: omniconv train segment {segment_data}" in line
    )
    line = refused(capsys, "train", "segment", classify_data, *words())
    assert f"use: omniconv train classify {classify_data}" in line
    line = refused(capsys, "evaluate", classify_run.path, segment_data)
    assert "looks like a data set for the task segment, not classify; expected CLASS/NAME.jpg" in line
    line = refused(capsys, "evaluate", segment_run.path, classify_data)
    assert "looks like a data set for the task classify, not segment; expected images/NAME.jpg" in line
    assert not (here / "runs").exists()


def test_one_folder_too_high_or_splits_too_deep(here, capsys):
    classify_folder(here / "a/data", 1)
    assert "a: has one class folder, 'data': there must be at least 2; if its folders are the classes, give a/data" in (
        refused(capsys, "train", "classify", "a", *words())
    )
    for name in ("dark", "bright"):
        shutil.copytree(here / "a/data" / name, here / "b" / name / "train")
    assert "b: has train/ inside of its class folders" in refused(capsys, "train", "classify", "b", *words())


def test_training_needs_two_classes_with_images(here, capsys):
    classify_folder(here / "a", 1)
    shutil.rmtree(here / "a/dark")
    assert "a: has one class, 'bright': there must be at least 2" in refused(capsys, "train", "classify", "a", *words())
    (here / "a/dark").mkdir()
    assert "a/dark: contains no images; put images" in refused(capsys, "train", "classify", "a", *words())
    segment_folder(here / "b", 2, "sea")
    assert "b: has one class, 'sea': there must be at least 2" in refused(capsys, "train", "segment", "b", *words())

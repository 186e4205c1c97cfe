"""Measures over nothing, classes without data, and copies: said before training, and never a value afterwards."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from tiny import classify_folder, picture, save, segment_folder, words

from omniconv.cli import main
from omniconv.data.masks import IGNORE_INDEX
from omniconv.run_folder import RunFolder, read_metrics
from omniconv.training.dataset_splits import read_splits
from omniconv.training.dataset_summary import summarize_dataset
from omniconv.training.settings import RunConfig


def facts(task, root, **settings):
    config = RunConfig(task=task, data=str(root), **settings)
    return summarize_dataset(config).facts(config)


def unlabelled(root):
    """Make all masks of a folder 255."""
    for mask in (root / "masks").iterdir():
        save(mask, np.full((16, 32), IGNORE_INDEX, np.uint8))
    return root


@pytest.fixture
def nothing_to_measure(here):
    segment_folder(here / "data/train", 4)
    unlabelled(segment_folder(here / "data/val", 2))
    return here


def test_early_stopping_needs_labels_to_watch(nothing_to_measure, capsys):
    assert main(["train", "segment", "data", *words(patience=2)]) == 2
    assert "needs held-out images with targets that can be measured, and this run has none" in capsys.readouterr().err
    assert not (nothing_to_measure / "runs").exists()
    assert main(["train", "segment", "data/train", *words(patience=2, validation=0)]) == 2
    assert "needs held-out images with targets that can be measured" in capsys.readouterr().err


def test_unlabelled_validation_images_have_no_measures(nothing_to_measure, capsys):
    assert main(["train", "segment", "data", "--out", "run", *words(epochs=3)]) == 0
    out = capsys.readouterr().out
    assert "validation: 2 images, whose targets hold nothing to measure" in out
    assert "mean IoU – (class 0 –, class 1 –)" in out
    run = RunFolder(nothing_to_measure / "run")
    rows = read_metrics(run.metrics)
    assert len(rows) == 3
    assert not any(name.startswith("val_") for row in rows for name in row)
    found = json.loads(run.evaluation.read_text())
    assert (found["accuracy"], found["iou"], found["iou_by_class"]) == (None, None, [None, None])
    assert main(["evaluate", "run"]) == 0
    assert "No pixels with a label" in capsys.readouterr().out
    assert "No pixels with a label" in run.report.read_text()
    assert main(["train", "--resume", "run", "--epochs", "4", "--patience", "1"]) == 2
    assert "patience=1: needs held-out images" in capsys.readouterr().err
    assert main(["train", "--resume", "run", "--epochs", "4"]) == 0


def test_classes_that_never_occur_are_said(here):
    root = segment_folder(here / "data", 4, "sea land ice")
    found = facts("segment", root)
    assert found["classes without training data"].startswith("ice: the network cannot learn to predict them")
    assert "rare classes" not in found
    image, labels = picture(9)
    save(root / "train/images/9.png", image)
    save(root / "train/masks/9.png", labels * 2)
    save(root / "val/images/9.png", image // 2)
    save(root / "val/masks/9.png", labels)
    found = facts("segment", root)
    assert found["classes without training data"].startswith("land: ")
    assert found["classes without validation data"].startswith("ice: ")


def test_validation_may_lack_classes(here):
    classify_folder(here / "data/train", 2)
    classify_folder(here / "data/val", 3)
    shutil.rmtree(here / "data/val/bright")
    for name in "012":
        (here / f"data/val/dark/{name}.png").rename(here / f"data/val/dark/1{name}.png")
    found = facts("classify", here / "data")
    assert found["classes without validation data"].startswith("bright: the validation images do not show")


def test_an_unlabelled_test_folder_does_not_matter(here):
    classify_folder(here / "data/train", 2)
    save(here / "data/test/unknown.png", picture(7)[0])
    assert facts("classify", here / "data")["training"] == "3 images"


def test_copies_stay_on_one_side(here):
    root = segment_folder(here / "data", 6)
    for index in range(6):
        for part in ("images", "masks"):
            for copy in ("x", "y"):
                shutil.copy(root / part / f"{index}.png", root / part / f"{copy}{index}.png")
    for seed in range(4):
        config = RunConfig(task="segment", data=str(root), validation=0.5, seed=seed)
        summary = summarize_dataset(config)
        sides = [{sample.image.name[-5] for sample in part.samples} for part in _parts(summary.splits)]
        assert not sides[0] & sides[1]
        assert len(summary.splits.validation.samples) == 9
    found = summary.facts(config)
    assert found["copies"].startswith("12 images have the content of another one, such as ")
    assert found["copies"].endswith("such images are either all trained on or all held out")


def _parts(splits):
    return splits.training, splits.validation


def test_overlaps_between_the_splits_are_said(here):
    segment_folder(here / "data/train", 4)
    for split in ("val", "test"):
        for part in ("images", "masks"):
            target = here / "data" / split / part
            target.mkdir(parents=True)
            shutil.copy(here / "data/train" / part / "0.png", target / "other.png")
    found = facts("segment", here / "data")
    for split in ("val", "test"):
        assert found[f"{split} overlaps train"].startswith("1 of 1 images are trained on, too, such as ")
    assert main(["train", "segment", "data", "--out", "run", *words()]) == 0
    evaluation = json.loads((here / "run/evaluation.json").read_text())
    assert (evaluation["trained_on"], evaluation["unseen"]) == (1, None)


def test_the_same_image_with_different_targets_is_said(here):
    root = classify_folder(here / "data", 3)
    shutil.copy(root / "dark/0.png", root / "bright/7.png")
    assert facts("classify", root)["contradictions"].startswith("1 images, such as ")


def test_evaluate_on_the_training_folder_says_so(here, segment_run, segment_data, capsys):
    assert main(["evaluate", str(segment_run.path), str(segment_data), "--json", "found.json"]) == 0
    out = capsys.readouterr().out
    assert "4 of 5 images were trained on (recognised by their content): the measures of the others follow; " in out
    assert "1 of 5 images selected the best epoch, so that their measures are optimistic" in out
    assert "1 image not trained on" in out
    found = json.loads((here / "found.json").read_text())
    own = json.loads(segment_run.evaluation.read_text())
    assert (found["trained_on"], found["selected_on"]) == (4, 1)
    assert found["unseen"] == {name: own[name] for name in found["unseen"]}


@pytest.fixture
def moved(here, segment_data):
    shutil.copytree(segment_data, here / "data")
    assert main(["train", "segment", "data", "--out", "run", *words(epochs=2)]) == 0
    (here / "data").rename(here / "elsewhere")
    return here


def test_a_moved_data_folder(moved, capsys):
    assert main(["train", "--resume", "run", "--epochs", "3"]) == 2
    assert "if the data was moved: omniconv train --resume RUN --data FOLDER" in capsys.readouterr().err
    assert main(["train", "--resume", "run", "--data", "elsewhere", "--epochs", "3"]) == 0
    assert len(read_metrics(moved / "run/metrics.csv")) == 3
    assert read_splits(moved / "run/data.json").training.samples[0].image.is_relative_to(moved / "elsewhere")
    assert main(["report", "run"]) == 0


def test_other_data_is_refused_in_its_place(moved, capsys):
    before = (moved / "run/data.json").read_bytes()
    image = moved / "elsewhere/images/3.png"
    save(image, 255 - np.asarray(picture(3)[0]))
    assert main(["train", "--resume", "run", "--data", "elsewhere", "--epochs", "3"]) == 2
    assert "3.png: has changed since the run began" in capsys.readouterr().err
    assert (moved / "run/data.json").read_bytes() == before


def test_data_is_given_once(here, capsys):
    assert main(["train", "segment", "a", "--data", "b"]) == 2
    assert "DATA is given twice" in capsys.readouterr().err
    assert main(["train", "segment", "a", "--resume", "run"]) == 2
    assert "give its new place by --data" in capsys.readouterr().err


def test_rows_of_earlier_versions_with_other_measures_are_continued(here, classify_data):
    assert main(["train", "classify", str(classify_data), "--out", "run", *words()]) == 0
    run = RunFolder(here / "run")
    checkpoint = torch.load(run.checkpoint, weights_only=True)
    checkpoint["callbacks"]["MetricsFile"]["rows"][0]["val_iou"] = 0.5
    torch.save(checkpoint, run.checkpoint)
    assert main(["train", "--resume", "run", "--epochs", "2"]) == 0
    rows = read_metrics(run.metrics)
    assert len(rows) == 2
    assert "val_iou" not in rows[0]


def test_classes_that_are_never_predicted_are_said(here, segment_data, capsys, monkeypatch):
    from omniconv.tasks.segment import Segment

    monkeypatch.setattr(Segment, "predict", lambda self, output, size, preprocessing: np.zeros(size, np.uint8))
    assert main(["train", "segment", str(segment_data), "--out", "run", *words()]) == 0
    note = "Never predicted (with their shares of the pixels): class 1 (25 %)."
    assert note in capsys.readouterr().out
    assert note in (here / "run/report.html").read_text()
    assert main(["evaluate", "run"]) == 0
    assert note in capsys.readouterr().out

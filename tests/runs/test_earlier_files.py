"""Runs written by an earlier version, with its names of settings and JSON keys, are read, reported and resumed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tiny import rows_without_seconds

from omniconv.cli import main
from omniconv.inference.predictor import Predictor
from omniconv.run_folder import RunFolder
from omniconv.runs.resume import resume_run
from omniconv.tasks import get_task
from omniconv.tasks.metrics import CLASS_MEASURES
from omniconv.training.dataset_splits import read_splits
from omniconv.training.settings import read_config

FILES = Path(__file__).parent / "run_0_1"


@pytest.fixture
def run(tmp_path):
    """A run of 2 epochs, and its data, at their new place."""
    shutil.copytree(FILES, tmp_path, dirs_exist_ok=True)
    for name in ("config.yaml", "data.json"):
        path = tmp_path / "run" / name
        path.write_text(path.read_text().replace("DATA", str(tmp_path / "data")))
    return RunFolder(tmp_path / "run")


def test_settings_are_read_under_their_new_names(run):
    config = read_config(run.config)
    assert (config["batch_size"], config["learning_rate"], config["weight_decay"]) == (4, 0.002, 0.0001)


def test_samples_are_read(run):
    splits = read_splits(run.data)
    assert splits.task.name == "segment"
    assert (len(splits.training.samples), len(splits.validation.samples)) == (4, 1)
    assert splits.class_frequencies == (0.75, 0.25)
    assert splits.preprocessing.std == pytest.approx((0.262699, 0.264412, 0.262596))


def test_the_network_gives_the_same_measures(run, tmp_path):
    assert main(["evaluate", str(run.path), "--json", str(tmp_path / "again.json")]) == 0
    before, again = (json.loads(path.read_text()) for path in (run.evaluation, tmp_path / "again.json"))
    measures = {name + suffix for name in CLASS_MEASURES[1:] for suffix in ("", "_by_class")}  # all but IoU
    assert again.keys() - before.keys() == {"trained_on", "objects"} | measures
    assert again["by_area"].keys() - before["by_area"].keys() == measures
    assert again["trained_on"] == 0
    for name in ("accuracy", "iou", "iou_by_class"):
        assert again[name] == pytest.approx(before[name], rel=1e-6)
        assert again["by_area"][name] == pytest.approx(before["by_area"][name], rel=1e-6)


def test_the_report_is_written(run):
    assert main(["report", str(run.path)]) == 0
    page = run.report.read_text()
    assert "mean, by area" in page


def test_measures_that_files_lack_follow_from_the_confusion_matrix(run, tmp_path):
    assert main(["evaluate", str(run.path), "--json", str(tmp_path / "again.json")]) == 0
    files = (run.evaluation, tmp_path / "again.json")
    before, again = (get_task("segment").quality_table(json.loads(file.read_text()))[1] for file in files)
    assert [row[0] for row in before] == [row[0] for row in again]
    for index in range(3):  # the classes and their mean
        assert before[index][1:] == pytest.approx(again[index][1:])
        by_area = before[index + 4][1:]
        assert by_area[0] == pytest.approx(again[index + 4][1], rel=1e-6)
        assert by_area[1:] == [None] * 4


def test_it_is_resumed(run):
    before = rows_without_seconds(run.metrics)
    resume_run(run.path, {"epochs": 3}, lambda text: None, False)
    resumed = rows_without_seconds(run.metrics)[:2]
    assert [{name: row[name] for name in before[0]} for row in resumed] == before
    assert rows_without_seconds(run.metrics)[2]["epoch"] == "2"
    assert Predictor.open(run.path, "cpu").classes == ("class 0", "class 1")

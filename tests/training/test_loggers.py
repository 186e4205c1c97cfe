from __future__ import annotations

import csv

import pytest
from tiny import trained

from omniconv.errors import FileError, InputError
from omniconv.run_folder import RunFolder
from omniconv.runs.resume import resume_run
from omniconv.training.loggers import _read_ids, check_loggers
from omniconv.training.module import TrainingModule
from omniconv.training.settings import RunConfig

BOTH = {"logger": ("tensorboard", "csv"), "epochs": 3, "batch_size": 2}


def rows(run):
    """Return the logged values of each step, without times."""
    with (run.logs / "csv/metrics.csv").open(newline="") as file:
        return sorted(tuple(sorted((k, v) for k, v in row.items() if v)) for row in csv.DictReader(file))


def test_curves_of_a_resumed_run_are_those_of_an_uninterrupted_one(tmp_path, segment_data, monkeypatch):
    whole = trained(tmp_path / "whole", "segment", segment_data, **BOTH)
    logged = [dict(row) for row in rows(whole)]
    assert [row["epoch"] for row in logged if "val_iou" in row] == ["0", "1", "2"]
    assert any(path.name.startswith("events") for path in whole.tensorboard.iterdir())

    step = TrainingModule.training_step

    def interrupted(self, batch, index):
        if (self.current_epoch, index) == (2, 1):
            raise KeyboardInterrupt
        return step(self, batch, index)

    monkeypatch.setattr(TrainingModule, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", "segment", segment_data, **BOTH)
    run = RunFolder(tmp_path / "run")
    with (run.logs / "csv/metrics.csv").open("a") as file:
        file.write("4,0.1\n5")  # of a step that is trained again, and a row that was not completed
    monkeypatch.undo()
    resume_run(run.path, {}, lambda text: None, False)
    assert rows(run) == rows(whole)


@pytest.mark.slow
def test_no_logger_leaves_no_files(tmp_path, segment_data):
    run = trained(tmp_path / "run", "segment", segment_data, logger="none")
    assert not run.tensorboard.exists()
    assert not run.logs.exists()
    assert "logger: []" in run.config.read_text()


def test_names_of_loggers():
    assert RunConfig(logger="csv, tensorboard").logger == ("csv", "tensorboard")
    with pytest.raises(
        InputError, match=r"logger=\('wanbd',\): must be among tensorboard, csv, wandb, mlflow; did you mean wandb"
    ):
        RunConfig(logger=("wanbd",))
    with pytest.raises(InputError, match=r"logger=.*: names one twice; name each once"):
        RunConfig(logger="csv,csv")


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_packages_that_are_not_installed(name, monkeypatch):
    monkeypatch.setattr("omniconv.checks.find_spec", lambda module: None)
    with pytest.raises(
        InputError, match=f"packages='{name}': is not installed, which logger='{name}' needs; .*{name}]"
    ):
        check_loggers(["csv", name])


def test_damaged_identifiers(tmp_path):
    run = RunFolder(tmp_path)
    run.logs.mkdir()
    (run.logs / "runs.json").write_text('{"wandb": 3}')
    with pytest.raises(FileError, match=r"is damaged \(an identifier is not text\); delete it to log into new runs"):
        _read_ids(run)

from __future__ import annotations

import csv
import errno
import json
import os
from pathlib import Path

import pytest
import torch
from tiny import SMALL, classify_folder, cut, rows_without_seconds, segment_folder, trained

import omniconv as oc
from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import FileError, InputError
from omniconv.files import WriteError
from omniconv.run_folder import RunFolder, read_metrics
from omniconv.runs.resume import resume_run
from omniconv.runs.start import start_run
from omniconv.tasks import get_task
from omniconv.training.module import TrainingModule
from omniconv.training.settings import RunConfig, read_config

AUGMENTATIONS = ("flip", "turn", "colour", "scale", "tilt", "blur", "kornia:RandomHue", "mixup")
VARIED = {"epochs": 4, "repeat": 2, "batch_size": 2, "augment": AUGMENTATIONS, "loss": "ce"}


def quiet(text):
    pass


def weights(run):
    return torch.load(run.checkpoint, weights_only=True)["state_dict"]


def assert_equal_runs(first, second):
    """Check that two runs have the same last weights, best network and metrics."""
    state, other = weights(first), weights(second)
    assert state.keys() == other.keys()
    assert all(torch.equal(state[name], other[name]) for name in state)
    assert rows_without_seconds(first.metrics) == rows_without_seconds(second.metrics)
    best, other_best = (oc.load(run.model).state_dict() for run in (first, second))
    assert all(torch.equal(best[name], other_best[name]) for name in best)


def interrupted_after(epoch, monkeypatch, root, data, **settings):
    """Return a run that Ctrl-C ended right after the line of an epoch."""

    def stop(text):
        if text.startswith(f"epoch {epoch}/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_run(SMALL | {"task": "segment", "data": str(data)} | settings, stop, out=str(root))
    return RunFolder(root)


def interrupted_within(step, monkeypatch, root, data, **settings):
    """Return a run that Ctrl-C ended in the middle of an epoch."""
    original = TrainingModule.training_step

    def stop(self, batch, index):
        if self.global_step == step:
            raise KeyboardInterrupt
        return original(self, batch, index)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingModule, "training_step", stop)
        with pytest.raises(KeyboardInterrupt):
            trained(root, "segment", data, **settings)
    return RunFolder(root)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, segment_data):
    return trained(tmp_path_factory.mktemp("uninterrupted") / "run", "segment", segment_data, **VARIED)


@pytest.mark.parametrize("epoch", [1, 3])
def test_resume_after_an_epoch_equals_an_uninterrupted_run(uninterrupted, tmp_path, segment_data, monkeypatch, epoch):
    run = interrupted_after(epoch, monkeypatch, tmp_path / "run", segment_data, **VARIED)
    assert len(read_metrics(run.metrics)) == epoch
    resume_run(run.path, {}, quiet, False)
    assert_equal_runs(uninterrupted, run)


@pytest.mark.parametrize("step", [0, 6, 9])
def test_resume_within_an_epoch_equals_an_uninterrupted_run(uninterrupted, tmp_path, segment_data, monkeypatch, step):
    run = interrupted_within(step, monkeypatch, tmp_path / "run", segment_data, **VARIED)
    assert run.checkpoint.is_file() == (step > 0)
    resume_run(run.path, {}, quiet, False)
    assert_equal_runs(uninterrupted, run)


def test_resume_after_two_interruptions(uninterrupted, tmp_path, segment_data, monkeypatch):
    run = interrupted_within(5, monkeypatch, tmp_path / "run", segment_data, **VARIED)
    original = TrainingModule.training_step

    def stop(self, batch, index):
        if self.global_step == 13:
            raise KeyboardInterrupt
        return original(self, batch, index)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingModule, "training_step", stop)
        with pytest.raises(KeyboardInterrupt):
            resume_run(run.path, {}, quiet, False)
    resume_run(run.path, {}, quiet, False)
    assert_equal_runs(uninterrupted, run)


def test_resume_with_workers_equals_an_uninterrupted_run(uninterrupted, tmp_path, segment_data, monkeypatch):
    run = interrupted_within(5, monkeypatch, tmp_path / "run", segment_data, **VARIED)
    resume_run(run.path, {"workers": 2}, quiet, False)
    assert_equal_runs(uninterrupted, run)


def test_same_settings_give_the_same_weights_again(uninterrupted, tmp_path):
    run = start_run({}, quiet, config_file=uninterrupted.config, out=str(tmp_path / "again"))
    assert_equal_runs(uninterrupted, run)
    assert run.config.read_text() == uninterrupted.config.read_text()
    assert json.loads(run.evaluation.read_text()) == json.loads(uninterrupted.evaluation.read_text())


def test_workers_change_nothing(uninterrupted, tmp_path, segment_data):
    assert_equal_runs(uninterrupted, trained(tmp_path / "run", "segment", segment_data, **VARIED, workers=2))


def test_another_seed_gives_other_weights(uninterrupted, tmp_path, segment_data):
    other = trained(tmp_path / "run", "segment", segment_data, **VARIED, seed=1)
    assert not all(torch.equal(value, weights(other)[name]) for name, value in weights(uninterrupted).items())


def test_config_is_resolved(uninterrupted, segment_data):
    config = RunConfig(**read_config(uninterrupted.config))
    assert config.data == str(segment_data.resolve())
    assert config.surface == str(oc.surface("plane"))
    assert config.model == "unet"
    assert config.size == (16, 32)
    assert config.augment == AUGMENTATIONS


@pytest.mark.parametrize("surface", ["plane", "equirectangular", "icosphere:2"])
@pytest.mark.parametrize("task", ["classify", "segment"])
def test_every_task_on_every_surface(task, surface, tmp_path, classify_data, segment_data):
    data = {"classify": classify_data, "segment": segment_data}[task]
    run = trained(tmp_path / "run", task, data, surface=surface)
    made = {path.name for path in run.path.iterdir()}
    assert made == {
        "checkpoints", "config.yaml", "data.json", "environment.json", "evaluation.json", "metrics.csv",
        "model.safetensors", "report.html", "samples.png", "tensorboard",
    }  # fmt: skip
    (row,) = read_metrics(run.metrics)
    measured = {f"val_{name}" for name in get_task(task).validation_metrics}
    assert {"epoch", "train_loss", "val_loss", *measured, "rate", "seconds"} == set(row)
    network = oc.load(run.model)
    assert str(network.surface) == read_config(run.config)["surface"]
    assert network.preprocessing["task"] == task
    assert network.preprocessing["classes"] == (["bright", "dark"] if task == "classify" else ["class 0", "class 1"])
    preprocessing = Preprocessing.from_json(network.preprocessing["preparation"])
    assert preprocessing.surface == network.surface
    assert ("by_area" in json.loads(run.evaluation.read_text())) == (task == "segment" and surface != "plane")


def test_it_learns(tmp_path, segment_data, classify_data):
    given = {"epochs": 6, "repeat": 4, "width": 4, "learning_rate": 0.02}
    for task, data in (("segment", segment_data), ("classify", classify_data)):
        run = trained(tmp_path / task, task, data, **given)
        found = json.loads(run.evaluation.read_text())
        assert found["accuracy"] > 0.95
        assert found["iou"] > 0.9


def test_a_write_error_in_the_thread_of_tensorboard(tmp_path, segment_data, monkeypatch, capfd):
    def full(writer, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tensorboard.summary.writer.record_writer.RecordWriter.write", full)
    with pytest.raises(WriteError) as caught:
        trained(tmp_path / "run", "segment", segment_data, epochs=3)
    cure = f"free some space, then resume with: omniconv train --resume {tmp_path / 'run'}"
    assert str(caught.value) == f"{tmp_path / 'run/tensorboard'}: cannot be written (no space left on device); {cure}"
    assert "Traceback" not in capfd.readouterr().err


def test_nothing_held_out(tmp_path, segment_data):
    run = trained(tmp_path / "run", "segment", segment_data, validation=0.0, epochs=2)
    assert not run.evaluation.exists()
    rows = read_metrics(run.metrics)
    assert all("val_loss" not in row for row in rows)
    state = weights(run)
    best = oc.load(run.model).state_dict()
    assert all(torch.equal(best[name], state[f"network.{name}"]) for name in best)  # the network of the last epoch
    assert "No images were held out" in run.report.read_text()


def test_a_single_image(tmp_path):
    run = trained(tmp_path / "run", "segment", segment_folder(tmp_path / "data", 1), repeat=3)
    assert not run.evaluation.exists()
    assert run.model.is_file()


def test_a_folder_with_splits(tmp_path):
    for index, split in enumerate(("train", "val", "test")):
        classify_folder(tmp_path / "data" / split, 2 + index)
    found = json.loads(trained(tmp_path / "run", "classify", tmp_path / "data").evaluation.read_text())
    assert found["images"] == 6


def test_early_stopping(tmp_path, segment_data, monkeypatch):
    monkeypatch.setattr("torch.optim.AdamW.step", lambda self, closure=None: closure() if closure else None)
    monkeypatch.setattr("torch.nn.BatchNorm2d.forward", lambda self, x: x)  # nothing learns, so nothing gets better
    run = trained(tmp_path / "run", "segment", segment_data, epochs=9, patience=2)
    assert len(read_metrics(run.metrics)) == 3


def test_the_best_network_is_kept(tmp_path, segment_data):
    run = trained(tmp_path / "run", "segment", segment_data, epochs=6, learning_rate=0.05, width=4)
    best = max(row["val_iou"] for row in read_metrics(run.metrics))
    callbacks = torch.load(run.checkpoint, weights_only=True)["callbacks"]
    assert callbacks["BestNetwork"]["best"] == pytest.approx(best)


def test_resuming_a_finished_run_changes_nothing(tmp_path, segment_data):
    run = trained(tmp_path / "run", "segment", segment_data, epochs=2)
    before = run.model.read_bytes(), run.metrics.read_bytes(), run.config.read_bytes()
    resume_run(run.path, {}, quiet, False)
    assert (run.model.read_bytes(), run.metrics.read_bytes(), run.config.read_bytes()) == before


def test_resume_for_more_epochs(tmp_path, segment_data):
    run = trained(tmp_path / "run", "segment", segment_data, epochs=1)
    resume_run(run.path, {"epochs": 3}, quiet, False)
    assert [row["epoch"] for row in read_metrics(run.metrics)] == [0, 1, 2]
    assert read_config(run.config)["epochs"] == 3


def test_fewer_epochs_than_are_done(tmp_path, segment_data):
    run = trained(tmp_path / "run", "segment", segment_data, epochs=2)
    with pytest.raises(InputError, match=r"^epochs=1: must be at least 2, which are done; use epochs=2$"):
        resume_run(run.path, {"epochs": 1}, quiet, False)
    assert read_config(run.config)["epochs"] == 2  # so that the run can still go on


def test_a_checkpoint_cut_in_half(tmp_path, segment_data):
    run = trained(tmp_path / "run", "segment", segment_data)
    before = run.model.read_bytes()
    cut(run.checkpoint)
    with pytest.raises(FileError, match=r"last\.ckpt: is damaged; restore it from a copy"):
        resume_run(run.path, {"epochs": 2}, quiet, False)
    assert run.model.read_bytes() == before


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("name", ["metrics.csv", "model.safetensors", "last.ckpt"])
def test_a_full_disk_leaves_the_old_file_whole(tmp_path, segment_data, monkeypatch, call, name):
    run = trained(tmp_path / "run", "segment", segment_data)
    places = (run.metrics, run.model, run.checkpoint)
    kept = next(place for place in places if place.name == name)
    before = kept.read_bytes()
    original = getattr(os, call)

    def full(first, *others):
        path = os.readlink(f"/proc/self/fd/{first}") if isinstance(first, int) else str(first)
        if Path(path).name.startswith(f".{name}."):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(first, *others)

    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        patched.setattr("omniconv.training.callbacks.BestNetwork.load_state_dict", lambda self, state: None)
        with pytest.raises(FileError, match=rf"{name}: cannot be written \(no space left on device\)"):
            resume_run(run.path, {"epochs": 2}, quiet, False)
    assert kept.read_bytes() == before
    assert {path.name for path in kept.parent.iterdir() if path.name.startswith(".")} == set()
    resume_run(run.path, {}, quiet, False)
    assert len(read_metrics(run.metrics)) == 2


def test_metrics_is_a_table(uninterrupted):
    with uninterrupted.metrics.open(newline="") as file:
        header, *rows = csv.reader(file)
    quality = ["val_accuracy", "val_iou", "val_dice", "val_precision", "val_recall"]
    assert header == ["epoch", "train_loss", "val_loss", *quality, "rate", "seconds"]
    assert [row[0] for row in rows] == ["0", "1", "2", "3"]
    assert all(len(row) == len(header) for row in rows)


def test_gradients_are_accumulated_and_clipped(tmp_path):
    """Five batches in steps of two are three steps; steps of a vanishing gradient leave the weights as they are."""
    data, plain = segment_folder(tmp_path / "data"), {"validation": 0, "weight_decay": 0, "batch_size": 2, "repeat": 2}
    images = len(list((data / "images").iterdir()))
    steps = -(-2 * images // 2)
    first, free = (trained(tmp_path / str(clip), "segment", data, **plain, clip=clip) for clip in (0, 1e9))
    assert_equal_runs(first, free)
    # AdamW divides a gradient of norm 1e-20 by at least 1e-8: no weight moves by more than 1e-12 learning rates a step.
    still = weights(trained(tmp_path / "still", "segment", data, **plain, clip=1e-20, seed=1))
    again = weights(trained(tmp_path / "again", "segment", data, **plain, clip=1e-20, seed=1, accumulate=2))
    for name, value in still.items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(value, again[name], rtol=0, atol=2e-3 * 1e-12 * 2 * steps)
    assert any(not torch.equal(value, weights(first)[name]) for name, value in still.items())
    accumulated = trained(tmp_path / "accumulated", "segment", data, **plain, accumulate=2)
    counts = [torch.load(run.checkpoint, weights_only=True)["global_step"] for run in (first, accumulated)]
    assert counts == [steps, -(-steps // 2)]


@pytest.mark.parametrize(("name", "value"), [("accumulate", 2), ("clip", 1.0)])
def test_two_optimizers_neither_accumulate_nor_clip(tmp_path, name, value):
    data = classify_folder(tmp_path / "data")
    given = {"method": "gan", "width": 8, "depth": 1, "size": "16x16", name: value}
    with pytest.raises(
        InputError, match=f"^{name}={value}: is not possible for generate gan, which trains two networks"
    ):
        trained(tmp_path / "run", "generate", data, **given)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_another_optimizer_is_resumed_exactly(tmp_path, monkeypatch, optimizer):
    data = segment_folder(tmp_path / "data")
    given = {"optimizer": optimizer, "schedule": "onecycle", "epochs": 2}
    whole = trained(tmp_path / "whole", "segment", data, **given)
    moments = torch.load(whole.checkpoint, weights_only=True)["optimizer_states"][0]["state"][0]
    assert {"adam": "exp_avg_sq", "sgd": "momentum_buffer"}[optimizer] in moments
    stopped = interrupted_after(1, monkeypatch, tmp_path / "stopped", data, **given)
    assert_equal_runs(whole, resume_run(stopped.path, {}, quiet, False))

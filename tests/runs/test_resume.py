"""A resumed run equals an uninterrupted one: weights, optimizer, callbacks, early stopping, random numbers."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from kills import is_equal, model, state
from tiny import PLAIN_UNET, SMALL, cut, multilabel_folder, trained

from omniconv.errors import FileError, InputError
from omniconv.models import load, save
from omniconv.run_folder import RunFolder, read_metrics, read_optional_json, write_json
from omniconv.runs.resume import resume_run
from omniconv.runs.start import start_run
from omniconv.training import datasets
from omniconv.training.callbacks import EarlyStop, MetricsFile
from omniconv.training.module import TrainingModule

SLOW = pytest.mark.slow
GIVEN = {"epochs": 4, "repeat": 2, "batch_size": 2}
AUGMENTED = GIVEN | {
    "augment": ("flip", "tilt", "crop", "noise", "kornia:RandomGamma", "cutmix", "mixup"),
    "loss": "ce",
}


def quiet(text):
    pass


def interrupt(*arguments):
    raise KeyboardInterrupt


def interrupted_after(epoch, root, task, data, **settings):
    """Return a run that Ctrl-C ended right after the line of an epoch."""

    def stop(text):
        if text.startswith(f"epoch {epoch}/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"^resume with: omniconv train --resume "):
        start_run(SMALL | {"task": task, "data": str(data)} | settings, stop, out=str(root))
    return RunFolder(root)


def differing(first, second):
    """Return the parts of the state of two runs that are not equal to the bit."""
    one, other = state(first.path), state(second.path)
    return [part for part in one if part != "config" and not is_equal(one[part], other[part])]


@pytest.mark.parametrize("epoch", [1, 2, 3])
@pytest.mark.parametrize("task", ["segment", "classify"])
def test_all_state_is_that_of_an_uninterrupted_run(task, epoch, tmp_path, segment_data, classify_data):
    data = {"segment": segment_data, "classify": classify_data}[task]
    whole = trained(tmp_path / "whole", task, data, **AUGMENTED)
    run = interrupted_after(epoch, tmp_path / "run", task, data, **AUGMENTED)
    resume_run(run.path, {}, quiet, False)
    assert not differing(whole, run)


@pytest.fixture(scope="session")
def from_weights(tmp_path_factory, segment_run, segment_data):
    """A file of weights, settings that start from it with a frozen encoder, and a run with them."""
    folder = tmp_path_factory.mktemp("weights")
    weights = Path(shutil.copy(segment_run.model, folder / "model.safetensors"))
    given = GIVEN | PLAIN_UNET | {"weights": str(weights), "freeze": 2, "surface": "equirectangular"}
    return weights, given, trained(folder / "whole", "segment", segment_data, **given)


@pytest.mark.parametrize("epoch", [0, pytest.param(1, marks=SLOW), 2, pytest.param(3, marks=SLOW)])
def test_weights_and_frozen_encoders_are_those_of_an_uninterrupted_run(
    epoch, from_weights, tmp_path, segment_data, monkeypatch
):
    """Also where the file of the weights is gone when the run is resumed, before or after its first epoch."""
    weights, given, whole = from_weights
    if epoch:
        run = interrupted_after(epoch, tmp_path / "run", "segment", segment_data, **given)
    else:
        step = TrainingModule.training_step
        monkeypatch.setattr(TrainingModule, "training_step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "run", "segment", segment_data, **given)
        monkeypatch.setattr(TrainingModule, "training_step", step)
        run = RunFolder(tmp_path / "run")
        assert run.start.is_file()
    if epoch in (1, 2):
        frozen, given = torch.load(run.checkpoint)["state_dict"], load(weights).state_dict()
        changed = {key for key, value in given.items() if not torch.equal(value, frozen[f"network.{key}"])}
        assert {key.partition(".")[0] for key in changed} == {"decoder", "head"}
    weights.rename(weights.with_name("moved"))
    try:
        resume_run(run.path, {}, quiet, False)
    finally:
        weights.with_name("moved").rename(weights)
    assert not differing(whole, run)
    assert not run.start.exists()


@pytest.fixture
def drawing(monkeypatch):
    """Samples and steps that draw from the global random numbers of Python, NumPy and torch."""
    augment, step = datasets.augment, TrainingModule.training_step

    def noise():
        return random.random() + float(torch.rand(1)) + float(np.random.rand())  # noqa: NPY002

    def augment_with_noise(image, *arguments):
        image, target = augment(image, *arguments)
        return image + np.float32(0.1 * noise()), target

    def step_with_noise(self, batch, index):
        return step(self, batch, index) * (1 + 0.1 * noise())

    monkeypatch.setattr(datasets, "augment", augment_with_noise)
    monkeypatch.setattr(TrainingModule, "training_step", step_with_noise)


@pytest.mark.parametrize("workers", [0, 2])
def test_every_random_number_is_that_of_an_uninterrupted_run(drawing, workers, tmp_path, segment_data):
    given = GIVEN | {"augment": ("flip",)}
    whole = trained(tmp_path / "whole", "segment", segment_data, **given)
    run = interrupted_after(2, tmp_path / "run", "segment", segment_data, **given, workers=workers)
    resume_run(run.path, {}, quiet, False)
    assert not differing(whole, run)


@pytest.fixture
def nothing_improves(monkeypatch):
    monkeypatch.setattr("torch.optim.AdamW.step", lambda self, closure=None: closure() if closure else None)
    monkeypatch.setattr("torch.nn.BatchNorm2d.forward", lambda self, x: x)


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_early_stopping_is_that_of_an_uninterrupted_run(nothing_improves, epoch, tmp_path, segment_data):
    run = interrupted_after(epoch, tmp_path / "run", "segment", segment_data, epochs=9, patience=2)
    lines = []
    resume_run(run.path, {}, lines.append, False)
    assert len(read_metrics(run.metrics)) == 3
    assert "stopped early: val_iou has not improved for 2 epochs, the best was epoch 1" in "\n".join(lines)


def test_a_run_that_stopped_early_trains_on_with_more_patience_only(nothing_improves, tmp_path, segment_data):
    run = trained(tmp_path / "run", "segment", segment_data, epochs=9, patience=2)
    for given, epochs in (({}, 3), ({"epochs": 20}, 3), ({"patience": 4}, 5), ({"patience": 0, "epochs": 6}, 6)):
        resume_run(run.path, given, quiet, False)
        assert len(read_metrics(run.metrics)) == epochs


@pytest.mark.parametrize(
    ("values", "patience", "stops"),
    [
        ([0.5, 0.5], 1, True),
        ([0.5, 0.6, 0.6], 2, False),
        ([0.5, 0.6, 0.6, 0.1], 2, True),
        ([0.1, 0.2, 0.3], 1, False),
        ([float("nan")] * 5, 1, False),
        ([float("nan"), 0.5, float("nan")], 2, False),
        ([float("nan"), 0.5, float("nan"), float("nan")], 2, True),
        ([0.5, 0.5], 0, False),
        ([], 1, False),
    ],
)
def test_when_training_stops_early(values, patience, stops, tmp_path):
    from omniconv.tasks import get_task

    task = get_task("segment")
    stop = EarlyStop(MetricsFile(RunFolder(tmp_path), task), task, patience)
    assert (stop.reason([{"val_iou": value} for value in values]) is not None) == stops


@pytest.fixture
def run(segment_run, tmp_path):
    return RunFolder(shutil.copytree(segment_run.path, tmp_path / "run"))


def test_a_damaged_checkpoint_that_was_deleted(run):
    cut(run.checkpoint)
    with pytest.raises(FileError, match="or delete it to start anew"):
        resume_run(run.path, {}, quiet, False)
    before = state_without_seconds(run)
    run.checkpoint.unlink()
    lines = []
    resume_run(run.path, {}, lines.append, False)
    assert "0 of 2 epochs are done" in lines
    assert state_without_seconds(run) == before


def state_without_seconds(run):
    return model(run.model)[""], [{**row, "seconds": 0} for row in read_metrics(run.metrics)]


@pytest.mark.parametrize("names", [["data.json", "samples.png"], ["samples.png"]])
def test_a_run_that_was_killed_before_its_first_epoch(run, names, segment_run):
    for path in (run.checkpoint, run.metrics, run.model, run.evaluation, run.report, *map(run.path.joinpath, names)):
        path.unlink()
    shutil.rmtree(run.tensorboard)
    resume_run(run.path, {}, quiet, False)
    assert not differing(segment_run, run)


@pytest.mark.parametrize("names", [["metrics.csv"], ["model.safetensors"], ["evaluation.json", "report.html"]])
def test_a_run_that_was_killed_after_its_last_checkpoint(tmp_path, segment_data, names):
    whole = trained(tmp_path / "whole", "segment", segment_data)  # one epoch, which is the best
    run = RunFolder(shutil.copytree(whole.path, tmp_path / "run"))
    for name in names:
        (run.path / name).unlink()
    resume_run(run.path, {}, quiet, False)
    assert not differing(whole, run)


def test_the_network_of_a_longer_run_is_not_shown_with_the_measures_of_the_shorter_one(run, tmp_path):
    from omniconv.cli import main
    from omniconv.inference.predictor import Predictor

    assert main(["report", str(run.path)]) == 0
    assert "; the best epoch was selected" in run.report.read_text()
    network = Predictor(run.path, "cpu").model
    with torch.no_grad():
        next(network.parameters()).add_(1)
    save(network, run.model)  # as a resumed run does in a better epoch, before it is killed
    assert main(["report", str(run.path)]) == 0
    assert "was not measured yet" in run.report.read_text()
    assert "; the best epoch was selected" not in run.report.read_text()


def test_measures_of_earlier_versions_do_not_name_their_weights(run):
    from omniconv.cli import main

    evaluation = read_optional_json(run.evaluation, "evaluate again")
    del evaluation["weights"]
    write_json(run.evaluation, evaluation)
    assert main(["report", str(run.path)]) == 0
    assert "; the best epoch was selected" in run.report.read_text()


@pytest.mark.parametrize("name", ["config.yaml", "data.json", "model.safetensors"])
@pytest.mark.parametrize("other", ["classify_run", "sphere_run"])
def test_a_file_of_another_run_is_refused(run, request, other, name, capsys):
    from omniconv.cli import main

    shutil.copy(request.getfixturevalue(other).path / name, run.path)
    before = run.report.read_bytes(), run.metrics.read_bytes()
    if (other, name) != ("sphere_run", "data.json"):  # the samples fit a flat network, too
        assert main(["report", str(run.path)]) == 2
        assert capsys.readouterr().err.startswith(f"omniconv: {run.path}")
    with pytest.raises(InputError):
        resume_run(run.path, {"epochs": 3}, quiet, False)
    assert (run.report.read_bytes(), run.metrics.read_bytes()) == before


@pytest.mark.parametrize("offset", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_changed_bit_of_a_checkpoint(run, offset):
    content = bytearray(run.checkpoint.read_bytes())
    content[int(len(content) * offset)] ^= 1
    run.checkpoint.write_bytes(content)
    with pytest.raises(FileError, match=r"last\.ckpt: was damaged or changed after it was written"):
        resume_run(run.path, {"epochs": 3}, quiet, False)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("epoch", "1"),
        ("epoch", 7),
        ("callbacks", {}),
        ("callbacks", {"MetricsFile": {"rows": [1, 2]}, "BestNetwork": {"best": 0.5}}),
        ("state_dict", []),
        ("optimizer_states", [{}]),
        ("lr_schedulers", [5]),
        ("loops", {}),
    ],
)
def test_a_crafted_checkpoint(run, part, value):
    checkpoint = torch.load(run.checkpoint, weights_only=True)
    torch.save(checkpoint | {part: value}, run.checkpoint)
    with pytest.raises(FileError, match=r"last\.ckpt: (is damaged|is not|does not belong)"):
        resume_run(run.path, {"epochs": 3}, quiet, False)


def test_oversampling_is_that_of_an_uninterrupted_run(tmp_path):
    root, lines = multilabel_folder(tmp_path / "signs", 8), []
    given = GIVEN | {"task": "multilabel", "data": str(root), "oversample": 0.8, "validation": 0, "epochs": 3}
    whole = start_run(SMALL | given, lines.append, out=str(tmp_path / "whole"))
    rare = "red (in 50 % of the images) 1.3 times as often, green (in 25 % of the images) 1.8 times as often"
    assert f"  oversampling: images are drawn with {rare}; 21 images an epoch instead of 16" in lines
    run = interrupted_after(1, tmp_path / "run", **given)
    content = read_optional_json(run.data, "")
    assert content["repeat_factors"][2:5] == pytest.approx([1, 0.8**0.5 / 0.25**0.5, 1], abs=1e-6)
    resume_run(run.path, {}, quiet, False)
    assert not differing(whole, run)
    for factors, reason in (([1.0], "repeat_factors are not those of 8 samples"), ([0] * 8, "repeat_factors.0: Input")):
        write_json(run.data, content | {"repeat_factors": factors})
        with pytest.raises(FileError, match=reason):
            resume_run(run.path, {"epochs": 4}, quiet, False)

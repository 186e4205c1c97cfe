"""A training in two processes gives the weights and the metrics of a training in one, of every task."""

from __future__ import annotations

import pytest
from tiny import SMALL, classify_folder, picture, save, segment_folder

from omniconv.processes import launch
from omniconv.runs import start
from omniconv.tasks import get_task
from omniconv.training.checkpoints import AtomicCheckpointIO
from omniconv.training.datasets import EpochSampler

TINY = {"width": 4, "epochs": 2, "batch_size": 4, "size": "16x32", "augment": "flip,colour", "sample_every": 1}
SCENARIOS = {
    "weighted classes, ignored pixels, averaged weights": (
        "segment", {"balance": True, "ema": 0.01, "loss": "ce+bce+focal", "label_smoothing": 0.1, "workers": 1},
    ),
    "losses of regions": ("segment", {"loss": "dice+tversky+lovasz"}),
    "mesh": ("segment", {"surface": "icosphere:2", "augment": "turn", "size": None}),
    # Its batch norm of one mean per image is ill-conditioned in batches of two images.
    "dropout, ASPP": (
        "segment", {"model": "deeplab", "encoder": "plain", "depth": None, "batch_size": 10, "optimizer": "sgd"},
    ),
    "accumulated gradients, largest norm": (
        "classify", {"accumulate": 2, "clip": 0.1, "schedule": "onecycle", "optimizer": "sgd", "validation": 0.1},
    ),
    "edm": ("generate", {"ema": 0.01, "validation": 0.4}),
    "flow": ("generate", {"ema": 0.01}),
    "vae": ("generate", {}),
    "gan": ("generate", {"size": "16x32", "depth": 2}),
    "gated": ("inpaint", {"width": 2}),
    "partial": ("inpaint", {"width": 2}),
    "deepfill": ("inpaint", {"width": 2, "depth": 2}),
}  # fmt: skip


@pytest.mark.parametrize(("samples", "batch_size", "processes"), [(16, 4, 2), (15, 4, 2), (13, 6, 3), (25, 12, 4)])
def test_the_rows_of_all_processes_are_those_of_one(samples, batch_size, processes):
    """Batch by batch, and the last batch, too, unless it has fewer samples than there are processes."""
    options = {"seed": 3, "batch_size": batch_size, "smallest": processes}
    one = EpochSampler(samples, **options)
    own = [EpochSampler(samples, **options, rank=rank, processes=processes) for rank in range(processes)]
    for sampler in (one, *own):
        sampler.set_epoch(2)
    drawn, parts = list(one), [list(sampler) for sampler in own]
    assert [len(part) for part in parts] == [len(sampler) for sampler in own]
    at = [0] * processes
    for number, first in enumerate(range(0, one.used, batch_size)):
        batch = []
        for rank, sampler in enumerate(own):
            share = sampler.share(number)
            assert share.first == len(batch)
            batch += parts[rank][at[rank] : at[rank] + share.rows]
            at[rank] += share.rows
        assert batch == drawn[first : first + batch_size]
    assert at == [len(part) for part in parts]


def test_held_out_batches_are_dealt_out():
    own = [EpochSampler(11, shuffle=False, batch_size=2, rank=r, processes=2, share="batches") for r in range(2)]
    assert [[position for _, position in sampler] for sampler in own] == [[0, 1, 4, 5, 8, 9], [2, 3, 6, 7, 10]]
    assert [sampler.start(batch) for batch in range(3) for sampler in own] == [0, 2, 4, 6, 8, 10]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_train_as_one(tmp_path, monkeypatch):
    """All weights and moments to 1e-5, and all metrics; the last batch of an epoch has fewer images than the others."""

    def only_fit(run, log, progress_bar, group=None):
        start._fit(run, log, progress_bar, group)
        return run.folder

    monkeypatch.setattr(start, "finish_run", only_fit)
    data = {"segment": segment_folder(tmp_path / "segment", 13), "classify": classify_folder(tmp_path / "classify", 9)}
    data |= dict.fromkeys(("generate", "inpaint"), data["segment"] / "images")
    for index in range(0, 13, 3):
        _, labels = picture(index)
        labels[: 4 + index // 2, :9] = 255
        save(data["segment"] / "masks" / f"{index}.png", labels)
    given = {name: _settings(name) for name in SCENARIOS}
    one = {name: _train(settings, data, tmp_path / "one" / name) for name, settings in given.items()}
    with launch(2, "cpu") as group, monkeypatch.context() as patched:
        patched.setattr(group, "close", lambda: None)  # for the next training
        two = {name: _train(given[name], data, tmp_path / "two" / name, group) for name in given}
    assert not {name: found for name in given if (found := _differences(one[name], two[name]))}


def _settings(name):
    task, settings = SCENARIOS[name]
    method = {"method": name} if task in ("generate", "inpaint") else {}
    given = SMALL | TINY | method | settings | {"task": task}
    if "sample_every" not in get_task(task, method.get("method", "")).settings:
        del given["sample_every"]
    return {name: value for name, value in given.items() if value is not None}


def _train(settings, data, out, group=None):
    settings = settings | {"data": str(data[settings["task"]])} | ({"devices": 2} if group else {})
    return start._start(settings, lambda text: None, False, out=str(out), group=group)


def _differences(one, two):
    """Return what differs in the checkpoints of two runs."""
    first, second = (AtomicCheckpointIO().load_checkpoint(run.checkpoint) for run in (one, two))
    found = {
        name: float((value - second["state_dict"][name]).abs().max()) for name, value in first["state_dict"].items()
    }
    rows = zip(*(checkpoint["callbacks"]["MetricsFile"]["rows"] for checkpoint in (first, second)), strict=True)
    for row, other in rows:
        assert row.keys() == other.keys()
        del row["seconds"]
        found |= {name: abs(value - other[name]) / max(1, abs(value)) for name, value in row.items()}
    assert first.get("images_seen") == second.get("images_seen")
    return {name: value for name, value in found.items() if not value < 1e-5}

"""A resumed training of a generative network equals an uninterrupted one: averaged weights and adversary, too."""

from __future__ import annotations

import os
import signal

import pytest
from kills import is_equal, state
from tiny import trained

from omniconv.run_folder import RunFolder
from omniconv.runs.resume import resume_run
from omniconv.runs.start import start_run
from omniconv.training.module import TrainingModule

TINY = {
    "width": 4, "depth": 1, "epochs": 2, "batch_size": 4, "size": "8x16", "sample_every": 1, "ema": 0.01,
    "device": "cpu",
}  # fmt: skip
SETTINGS = {("generate", method): TINY for method in ("edm", "flow", "vae", "gan")}
SETTINGS[("inpaint", "gated")] = TINY
SETTINGS[("inpaint", "deepfill")] = TINY | {"width": 2, "depth": 2}
TASKS = [pytest.param(*names, marks=pytest.mark.slow if "deepfill" in names else ()) for names in SETTINGS]


@pytest.mark.parametrize(("task", "method"), TASKS)
def test_all_state_is_that_of_an_uninterrupted_run(task, method, tmp_path, classify_data, monkeypatch):
    """The run is ended by SIGTERM after the first of two steps of its second epoch."""
    monkeypatch.setattr("omniconv.runs.start.write_report", lambda *arguments: None)  # only the training is compared
    monkeypatch.setattr("omniconv.runs.start.evaluate", lambda *arguments: {"images": 0})
    for measures in ("generate.base.measures", "inpaint.base.Inpaint"):
        monkeypatch.setattr(f"omniconv.tasks.{measures}.quality_line", lambda *arguments: "")
        monkeypatch.setattr(f"omniconv.tasks.{measures}.quality_notes", lambda *arguments: [])
    settings = SETTINGS[task, method] | {"method": method}
    whole = trained(tmp_path / "whole", task, classify_data, **settings)
    original, steps = TrainingModule.on_train_batch_end, []

    def end_after_a_step(self, *arguments):
        original(self, *arguments)
        steps.append(self.current_epoch)
        if steps == [0, 0, 1]:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingModule, "on_train_batch_end", end_after_a_step)
        with pytest.raises(KeyboardInterrupt):
            start_run(
                settings | {"task": task, "data": str(classify_data)}, lambda text: None, out=str(tmp_path / "run")
            )
    assert steps == [0, 0, 1]
    run = RunFolder(tmp_path / "run")
    resume_run(run.path, {}, lambda text: None, False)
    one, other = state(whole.path), state(run.path)
    assert not [part for part in one if part != "config" and not is_equal(one[part], other[part])]

"""A resumed training of a generative network equals an uninterrupted one: averaged weights and adversary, too."""

from __future__ import annotations

import pytest
from kills import is_equal, state
from tiny import trained

from omniconv.run_folder import RunFolder
from omniconv.runs.resume import resume_run
from omniconv.runs.start import start_run

TINY = {"width": 4, "depth": 1, "epochs": 2, "batch_size": 4, "size": "8x16", "sample_every": 1, "device": "cpu"}


@pytest.mark.parametrize("method", ["edm", "vae", "gan"])
def test_all_state_is_that_of_an_uninterrupted_run(method, tmp_path, classify_data, monkeypatch):
    monkeypatch.setattr("omniconv.runs.start.write_report", lambda *arguments: None)  # only the training is compared
    monkeypatch.setattr("omniconv.runs.start.evaluate", lambda *arguments: {"images": 0})
    monkeypatch.setattr("omniconv.tasks.generate.base.measures.quality_line", lambda evaluation: "")
    monkeypatch.setattr("omniconv.tasks.generate.base.measures.quality_notes", lambda evaluation: [])
    whole = trained(tmp_path / "whole", "generate", classify_data, method=method, **TINY)

    def stop(text):
        if text.startswith("epoch 1/"):
            raise KeyboardInterrupt

    settings = TINY | {"task": "generate", "data": str(classify_data), "method": method}
    with pytest.raises(KeyboardInterrupt):
        start_run(settings, stop, out=str(tmp_path / "run"))
    run = RunFolder(tmp_path / "run")
    resume_run(run.path, {}, lambda text: None, False)
    one, other = state(whole.path), state(run.path)
    assert not [part for part in one if part != "config" and not is_equal(one[part], other[part])]

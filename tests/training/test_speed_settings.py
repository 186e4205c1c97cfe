from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch
from tiny import rows_without_seconds, trained

import omniconv as oc
from omniconv.errors import InputError
from omniconv.runs.resume import resume_run
from omniconv.surfaces import surface
from omniconv.training.fit import choose_workers
from omniconv.training.preflight import check_settings
from omniconv.training.settings import RunConfig


def chosen(monkeypatch, cores, augment, in_memory, name="plane"):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
    splits = SimpleNamespace(preprocessing=SimpleNamespace(surface=surface(name)))
    return choose_workers(RunConfig(augment=augment, workers="auto"), in_memory, splits)[0]


def test_automatic_workers(monkeypatch):
    assert chosen(monkeypatch, 4, "flip", True) == 0
    assert chosen(monkeypatch, 4, "flip", False) == 3
    assert chosen(monkeypatch, 4, "flip,tilt", True) == 3
    assert chosen(monkeypatch, 4, "turn", True, "icosphere:2") == 3
    assert chosen(monkeypatch, 64, "none", False) == 8
    assert chosen(monkeypatch, 1, "none", False) == 0


def test_workers_are_auto_or_a_number():
    assert RunConfig(workers="auto").workers == "auto"
    assert RunConfig(workers="3").workers == 3
    for wrong in ("many", -1, 65, 1.5, True, "1.0"):
        with pytest.raises(InputError, match=r"must be auto or a whole number from 0 to 64; use workers='auto'"):
            RunConfig(workers=wrong)


def test_compilation_without_a_compiler(monkeypatch):
    monkeypatch.setattr("omniconv.training.preflight.shutil.which", lambda name: None)
    with pytest.raises(
        InputError, match=r"compile=True: needs a C\+\+ compiler, and there is none .*; install one, such"
    ):
        check_settings(RunConfig(compile=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside torch's compiler
def test_a_failed_compilation(monkeypatch, tmp_path, segment_data):
    def fail(*arguments, **options):
        raise torch._dynamo.exc.BackendCompilerFailed(fail, RuntimeError("no header"), None)

    monkeypatch.setattr("torch._inductor.compile_fx.compile_fx", fail)
    with pytest.raises(InputError, match="compile=True: failed"):
        trained(tmp_path / "run", "segment", segment_data, compile=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["plane", "icosphere:2"])
def test_a_compiled_training_is_that_of_the_network(tmp_path, segment_data, name):
    given = {"surface": name, "batch_size": 2, "epochs": 2}
    plain, whole = (trained(tmp_path / str(c), "segment", segment_data, compile=c, **given) for c in (False, True))
    first, second = (torch.load(run.checkpoint, weights_only=True)["state_dict"] for run in (plain, whole))
    assert list(first) == list(second)
    assert all(torch.allclose(value, second[key], rtol=1e-3, atol=1e-4) for key, value in first.items())
    assert list(oc.load(whole.model).state_dict()) == list(oc.load(plain.model).state_dict())
    run = trained(tmp_path / "run", "segment", segment_data, compile=True, **(given | {"epochs": 1}))
    resume_run(run.path, {"epochs": 2}, lambda text: None, False)
    assert len(rows_without_seconds(run.metrics)) == 2

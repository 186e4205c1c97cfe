"""Behaviour of a separate process: imports, signals, closed pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from tiny import rows_without_seconds, trained, words

from omniconv.cli import main

pytestmark = pytest.mark.command

HEAVY = ("torch", "numpy", "scipy", "PIL", "lightning", "torchmetrics", "rich", "matplotlib")
LONG = {"epochs": 3, "repeat": 30, "batch_size": 2, "augment": ("flip",)}


def start(*arguments, **options):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "omniconv.cli", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options,
    )  # fmt: skip


def finish(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def start_long(here, data):
    """Start a training, and return when it has a checkpoint and is in its second epoch."""
    given = words(**(LONG | {"augment": "flip"}))
    process = start("train", "segment", data, "--out", here / "run", *given)
    deadline = time.monotonic() + 100
    while not (here / "run/checkpoints/last.ckpt").is_file():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"], ["predict", "-h"], ["trian"]])
def test_help_imports_nothing_heavy(arguments):
    program = (
        "import sys\nfrom omniconv.cli import main\n"
        f"main({arguments!r})\n"
        f"found = sorted(set({HEAVY!r}) & set(sys.modules))\n"
        "sys.exit(f'imported: {found}' if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_usage_error_of_a_process():
    code, out, err = finish(start("train", "segment", "nowhere", "--epochs", "two"))
    assert code == 2
    assert out == ""
    said = "omniconv: Invalid value for '--epochs': 'two' is not a valid integer; use --epochs 20"
    assert err.splitlines() == [said]


def test_resume_after_a_kill_equals_an_uninterrupted_run(here, segment_data, capsys):
    process = start_long(here, segment_data)
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    done = torch.load(here / "run/checkpoints/last.ckpt", weights_only=True)["epoch"] + 1
    assert 1 <= done < 3
    assert main(["train", "--resume", str(here / "run")]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == out[-1] == str(here / "run")
    assert out[1] == f"{done} of 3 epochs are done"
    whole = trained(here / "whole", "segment", segment_data, **LONG)
    assert rows_without_seconds(here / "run/metrics.csv") == rows_without_seconds(whole.metrics)
    paths = (here / "run/checkpoints/last.ckpt", whole.checkpoint)
    state, other = (torch.load(path, weights_only=True)["state_dict"] for path in paths)
    assert all(torch.equal(state[name], other[name]) for name in other)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_prints_the_resume_command(here, segment_data, number):
    process = start_long(here, segment_data)
    process.send_signal(number)
    code, out, err = finish(process)
    assert code == 130
    assert err == f"\nomniconv: interrupted; resume with: omniconv train --resume {here / 'run'}\n"
    assert "interrupted" not in out
    assert not list((here / "run").rglob(".*"))


def test_a_closed_output_pipe():
    process = start("--help")
    process.stdout.close()
    process.wait(timeout=60)
    err = process.stderr.read()
    process.stderr.close()
    assert "Traceback" not in err

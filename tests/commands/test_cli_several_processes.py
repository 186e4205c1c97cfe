"""Commands in several processes: started here and by torchrun, ended by signals, refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from tiny import words

from omniconv.cli import main
from omniconv.errors import InputError
from omniconv.processes import SINGLE, check_devices, launched_place, torch

CPU = torch.device("cpu")
TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node", "2")


def start(*arguments, launcher=()):
    command = [sys.executable, *launcher, "-m", "omniconv", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finish(process):
    out, err = process.communicate(timeout=400)
    return process.returncode, out, err


def start_long(here, data):
    """Start a training in two processes, and return when it has a checkpoint."""
    settings = words(epochs=200, batch_size=2, devices=2)
    process = start("train", "segment", data, "--out", here / "run", *settings)
    while not (here / "run/checkpoints/last.ckpt").is_file():
        assert process.poll() is None
        time.sleep(0.05)
    return process


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"devices": 0}, "--devices=0: must be a whole number from 1 to 1,024; use --devices 1"),
        ({"devices": 3}, "--batch-size=4: must be a multiple of the 3 processes that share it; use --batch-size 6"),
        ({"nodes": 2}, "--nodes=2: needs a launcher that starts the processes on each machine, and there is none; use"),
        (
            {"strategy": "fsdp"},
            "--strategy='fsdp': needs CUDA devices, and this training is on the CPU; use",
        ),
        ({"strategy": "dp"}, "--strategy='dp': must be one of auto, ddp, fsdp; did you mean ddp?"),
        ({"devices": 64, "batch_size": 64}, "--devices=64: are 64 processes for 4 training images; use fewer"),
    ],
)
def test_refused(capsys, here, segment_data, settings, message):
    assert main(["train", "segment", str(segment_data), "--out", "run", *words(**settings)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (here / "run").exists()


def test_more_devices_than_there_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    rule = "devices=2: needs 2 CUDA devices on each machine, and this one has 1; use devices=1"
    with pytest.raises(InputError, match=rule):
        check_devices(2, 1, torch.device("cuda"))


def test_places_of_launchers(monkeypatch):
    assert launched_place() is None
    assert check_devices(1, 1, CPU) == SINGLE
    torchrun = {
        "RANK": 5,
        "LOCAL_RANK": 1,
        "WORLD_SIZE": 8,
        "LOCAL_WORLD_SIZE": 4,
        "MASTER_ADDR": "a",
        "MASTER_PORT": 1,
    }
    slurm = {"SLURM_PROCID": 5, "SLURM_LOCALID": 1, "SLURM_STEP_NUM_TASKS": 8, "SLURM_STEP_NUM_NODES": 2}
    for launcher in (torchrun, slurm):
        with monkeypatch.context() as patched:
            for name, value in launcher.items():
                patched.setenv(name, str(value))
            place = launched_place()
            assert (place.rank, place.size, place.local_rank, place.local_size, place.nodes) == (5, 8, 1, 4, 2)
            assert check_devices(1, 1, CPU) == place
            with pytest.raises(InputError, match="devices=2: is not the number that the launcher started, 4; leave"):
                check_devices(2, 2, CPU, given=("devices",))
            for name in ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS"):
                patched.setenv(name, "many")
            with pytest.raises(InputError, match="are not those of a launcher"):
                launched_place()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("launcher", [(), TORCHRUN], ids=["devices", "torchrun"])
def test_predictions_and_measures_are_those_of_one_process(here, segment_run, segment_data, launcher):
    devices = ("--device", "cpu") if launcher else ("--device", "cpu", "--devices", "2")
    for name, rest, how in (("one", (), ()), ("two", devices, launcher)):
        run, images = segment_run.path, segment_data / "images"
        code, _, err = finish(start("predict", run, images, "--out", here / name, *rest, launcher=how))
        assert code == 0, err
        json = here / f"{name}.json"
        code, _, err = finish(start("evaluate", run, segment_data, "--json", json, *rest, launcher=how))
        assert code == 0, err
    files = sorted(path.relative_to(here / "one") for path in (here / "one").rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(here / "two") for path in (here / "two").rglob("*") if path.is_file())
    assert all((here / "one" / file).read_bytes() == (here / "two" / file).read_bytes() for file in files)
    assert (here / "one.json").read_text() == (here / "two.json").read_text()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_sigterm_ends_all_and_the_run_resumes_in_one_process(here, segment_data):
    process = start_long(here, segment_data)
    process.send_signal(signal.SIGTERM)
    code, out, err = finish(process)
    assert code == 130
    assert err.splitlines()[-1] == f"omniconv: interrupted; resume with: omniconv train --resume {here / 'run'}"
    done = len((here / "run/metrics.csv").read_text().splitlines()) - 1
    resumed = ("train", "--resume", here / "run", "--devices", "1", "--epochs", done + 1)
    code, out, err = finish(start(*resumed))
    assert code == 0, err
    assert f"{done} of {done + 1} epochs are done" in out


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_process_ends_all_with_one_line(here, segment_data):
    process = start_long(here, segment_data)
    (worker,) = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    os.kill(int(worker), signal.SIGKILL)
    code, _, err = finish(process)
    assert code == 2
    assert err.splitlines() == [
        "omniconv: --devices=2: was ended: process 1 by SIGKILL; look for lack of memory, or use fewer"
    ]

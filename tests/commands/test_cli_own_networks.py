"""Networks of the user's own in the commands: trained, predicted, audited, exported; run only when named or trusted."""

from __future__ import annotations

import sys

import pytest
from tiny import classify_folder

from omniconv.cli import main

COMMANDS = (
    ("predict", "RUN", "DATA", "--out", "found"),
    ("evaluate", "RUN", "DATA"),
    ("report", "RUN"),
    ("summary", "RUN"),
    ("audit", "RUN", "DATA/images/0.png", "--rotations", "1", "--bands", "2"),
    ("export", "RUN", "--format", "torch"),
    ("train", "--resume", "RUN", "--epochs", "2"),
)
CODE = """
import pathlib
import torch
from torch import nn

pathlib.Path("ran").touch()


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 1))


class Scores(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        return {"mean": x.mean(), "out": self.head(x.mean((2, 3)))}


def three():
    return nn.Conv2d(3, 3, 1)


def whole():
    return nn.Conv2d(3, 2, (16, 32))
"""


@pytest.fixture
def mine(here):
    """Write the networks into the working folder, and return the name of their module."""
    (here / "own_of_commands.py").write_text(CODE)
    yield "own_of_commands"
    sys.modules.pop("own_of_commands", None)


@pytest.fixture
def refused(here, capsys):
    """Return a function that runs a command, which must fail in one line and write nothing, and returns the line."""

    def files():
        ours = (path for path in here.rglob("*") if path.is_file() and path.suffix != ".pyc" and path.name != "ran")
        return {path: path.stat().st_mtime_ns for path in ours}

    def run(*words):
        before = files()
        assert main([str(word) for word in words]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert files() == before
        return lines[0]

    return run


def test_own_network_in_every_command(mine, here, segment_data, capsys, refused):
    named, data = f"{mine}:network", str(segment_data)
    words = [
        "--network",
        named,
        "--epochs",
        "1",
        "--batch-size",
        "4",
        "--device",
        "cpu",
        "--surface",
        "equirectangular",
    ]
    assert main(["train", "segment", data, *words, "--out", "run"]) == 0
    capsys.readouterr()
    (here / "ran").unlink()
    del sys.modules[mine]
    for command in COMMANDS:
        line = refused(*(word.replace("RUN", "run").replace("DATA", data) for word in command))
        text = f"has a network of your own, {named}, whose code is not run unasked; give --network {named} again, or"
        assert text in line, command
        assert line.endswith("--trust if you trust its source")
    assert not (here / "ran").exists()
    for number, command in enumerate(COMMANDS):
        allowed = ["--trust"] if number % 2 else ["--network", named]
        given = [word.replace("RUN", "run").replace("DATA", data) for word in command]
        assert main([*given, *allowed]) == 0, command
    assert (here / "ran").exists()
    assert (here / "found/labels/images/0.png").is_file()


def test_own_classifier(mine, here, tmp_path):
    data = str(classify_folder(tmp_path / "lights", 2))
    words = ["--network", f"{mine}:Scores", "--output", "out", "--epochs", "1", "--device", "cpu", "--out", "run"]
    assert main(["train", "classify", data, *words]) == 0
    assert main(["predict", "run", data, "--out", "found", "--trust"]) == 0
    assert (here / "found/predictions.csv").is_file()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("--network MINE:three", "returns a tensor (1, 3, 16, 32), not with 2 channels, one for each class"),
        ("--network MINE:whole --size 24", "cannot take an image of 3 × 24 × 24 (RuntimeError: "),
        ("--network MINE:Scores", "not an output for each pixel"),
        ("--network MINE:network --model unet", "--model='unet': cannot be given with a network of your own"),
        ("--network MINE:network --width 3", "--width=3: is not used by the model own_of_commands:network"),
        ("--network MINE:network --surface cubemap:8", "--surface='cubemap:8': is not possible for a flat network"),
        ("--network MINE:network --channels hsv", "--channels='hsv': must be one of rgb, bgr, grey"),
        ("--poles over", "--poles='over': is not used by the model unet"),
        ("--network nothing:network", "--network='nothing:network': cannot be made (ModuleNotFoundError"),
    ],
)
def test_wrong_networks_are_refused(mine, refused, segment_data, words, text):
    given = [word.replace("MINE", mine) for word in words.split()]
    assert text in refused("train", "segment", segment_data, *given, "--out", "run")


def test_tasks_with_methods_take_no_own_network(mine, refused, segment_data):
    line = refused("train", "generate", segment_data, "--network", f"{mine}:network", "--out", "run")
    assert "cannot be trained for the task generate, whose networks have methods of their own" in line

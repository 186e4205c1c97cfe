"""Networks of the user's own in the commands: trained, predicted, audited, exported; run only when named or trusted."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import classify_folder

import omniconv as oc
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


@pytest.fixture
def weights(mine, here):
    """Write weights of the network as training scripts do, below a key and a prefix, and return their file."""
    sys.path.insert(0, "")
    network = __import__(mine).network()
    sys.path.remove("")
    torch.save({"state_dict": {f"module.{key}": value for key, value in network.state_dict().items()}}, "net.pth")
    (here / "ran").unlink()
    return network


def test_converted_network_is_a_run(mine, here, weights, segment_data, capsys, refused):
    named, data = f"{mine}:network", str(segment_data)
    words = "--weights net.pth --range 255 --mean 104,117,123 --std 2 --channels bgr --size 16x32 --classes sea,land"
    panorama = f"{data}/images/0.png"
    assert main(["convert", named, *words.split(), "--panoramas", panorama, "--out", "run"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("1 panorama of 16x32: share of labels that differ from the flat network")
    assert said[-3:] == ["weights: 4 tensors from net.pth", "classes: sea, land", "run"]
    network = oc.load("run/model.safetensors", trust=True)
    torch.testing.assert_close(network.network.state_dict(), dict(weights.state_dict()))
    run = oc.open_run("run", network=named)
    assert run.classes == ("sea", "land")
    image = torch.randint(0, 256, (3, 16, 32), dtype=torch.uint8)
    x = (image.float().flip(0) - torch.tensor([104.0, 117.0, 123.0]).view(-1, 1, 1)) / 2
    expected = network.resize(network.network(x[None]), output_size=(16, 32))[0]
    logits = run.predictor.run_network(image.numpy().astype(np.float32) / 255)
    torch.testing.assert_close(logits, expected.detach(), rtol=1e-4, atol=1e-3)
    assert "is required, since the network of the run was converted, not trained" in refused(
        "evaluate", "run", "--trust"
    )
    assert "run: was converted, not trained; train its network in a new run" in refused("train", "--resume", "run")
    assert main(["evaluate", "run", data, "--json", "run/evaluation.json", "--trust"]) == 0
    assert main(["report", "run", "--trust"]) == 0
    page = Path("run/report.html").read_text()
    assert "5 images, on which the network was measured." in page
    assert "from the flat network on perspective views of 1 panorama" in page
    further = ["--from", "run", "--epochs", "1", "--batch-size", "4", "--learning-rate", "1e-9", "--out", "further"]
    assert f"run: has a network of your own, {named}, whose code is not" in refused("train", "segment", data, *further)
    assert main(["train", "segment", data, *further, "--trust"]) == 0
    trained = oc.open_run("further", trust=True)
    torch.testing.assert_close(trained.network.state_dict(), network.state_dict(), atol=1e-5, rtol=0)
    assert trained.predictor.preprocessing == run.predictor.preprocessing
    assert trained.network.arguments == network.arguments


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            "MINE:three --classes a,b",
            "returns a tensor (1, 3, 256, 512), not with 2 channels, one for each class; name",
        ),
        ("MINE:three --classes a,b,a", "--classes='a,b,a': names the class 'a' twice; write the names with commas"),
        ("MINE:three --classes none.txt", "none.txt: "),
        (
            "MINE:three --weights net.pth",
            "--weights='net.pth': are not those of the network, which has no place for module.3.weight (2, 4, 1, 1)",
        ),
        ("MINE:network --task generate", "cannot be trained for the task generate"),
        ("MINE:network --task classify", "not one output per image; use a task with an output for each pixel"),
        ("MINE:network --surface tangent:16 --size 24", "--size='24x24': is not that of equirectangular:height=16"),
        ("MINE:network --surface tangent:x", "--surface='tangent:x': must name the rows of the panoramas"),
        ("MINE:network --surface icosphere:3", "is not possible for a flat network; use --surface plane"),
        ("MINE:network --surface plane --panoramas net.pth", "choose the surface, which is given; leave out one of"),
        (
            "MINE:network --mean 1,2",
            "--mean='1.0,2.0': must be one number, or 3 with commas between them, in the units",
        ),
        ("MINE:network --std 0", "--std='0.0': must be one number, or 3 with commas between them, above 0"),
        ("MINE:network --range 3", "--range=3: must be 1 or 255, the value of white"),
        ("MINE:absent", "NETWORK='MINE:absent': cannot be made"),
        ("MINE:Scores --surface plane", "NETWORK='MINE:Scores': returns a tensor (), not an output for each image"),
        (
            "MINE:Scores --surface plane --output masks",
            "--output='masks': must be one of the network's outputs (mean, ",
        ),
    ],
)
def test_wrong_conversions_are_refused(mine, weights, refused, words, text):
    given = [word.replace("MINE", mine) for word in words.split()]
    assert text.replace("MINE", mine) in refused("convert", *given, "--out", "run")


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

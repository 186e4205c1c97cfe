"""A new model needs one file: defined and registered here, it passes the battery and runs in every command."""

from __future__ import annotations

import json

import numpy as np
import pytest
from model_battery import ModelBattery
from PIL import Image
from tiny import words
from torch import nn

import omniconv as oc
from omniconv.cli import main
from omniconv.models import MODELS, Model, register_model


class Pyramid(Model):
    """Sum of predictions at two sizes, the coarser one upsampled; it has a setting of its own, ``gain``."""

    output = "dense"
    total_stride = 2

    def __init__(self, in_channels, out_channels, surface=oc.Plane(), width=8, gain=1.0):  # noqa: B008
        super().__init__(surface)
        self.gain = gain
        self.fine = oc.nn.ConvBlock(in_channels, width, surface=surface)
        self.down = oc.nn.ConvBlock(width, width, stride=2, surface=surface)
        self.up = oc.nn.Upsample(surface=surface.coarser())
        self.heads = nn.ModuleList([oc.nn.Conv(width, out_channels, 1, surface=surface) for _ in range(2)])

    def forward(self, x):
        fine = self.fine(x)
        coarse = self.up(self.down(fine), output_size=x.shape[2:])
        return self.gain * (self.heads[0](fine) + self.heads[1](coarse))


@pytest.fixture(autouse=True)
def registered():
    register_model("pyramid", Pyramid)
    yield
    MODELS.pop("pyramid")


class TestPyramid(ModelBattery):
    @staticmethod
    def build(surface):
        return Pyramid(3, 2, surface, width=4, gain=0.5)


def test_registry_offers_it_to_the_tasks_that_it_serves():
    assert "pyramid" in oc.models.models_for("dense")
    assert "pyramid" not in oc.models.models_for("global")


@pytest.mark.parametrize("surface", [pytest.param("plane", marks=pytest.mark.slow), "equirectangular", "icosphere:2"])
def test_it_runs_in_every_command(here, segment_data, capsys, surface):
    given = words(model="pyramid", surface=surface, width=8, epochs=3, learning_rate=0.05, repeat=4)
    at = given.index("--depth")
    assert main(["train", "segment", str(segment_data), "--out", "run", *given]) == 2
    assert "--depth=1: is not used by the model pyramid; leave it out" in capsys.readouterr().err
    del given[at : at + 2]
    assert main(["train", "segment", str(segment_data), "--out", "run", *given]) == 0
    network = oc.load("run/model.safetensors")
    assert type(network) is Pyramid
    assert network.arguments == {
        "in_channels": 3, "out_channels": 2, "width": 8, "gain": 1.0, "surface": str(oc.surface(surface)),
    }  # fmt: skip

    assert main(["evaluate", "run", str(segment_data), "--json", "found.json"]) == 0
    assert json.loads((here / "found.json").read_text())["accuracy"] > 0.8  # the boxes are bright

    assert main(["predict", "run", str(segment_data / "images"), "--out", "out"]) == 0
    with Image.open(here / "out/labels/0.png") as labels:
        assert set(np.unique(labels)) <= {0, 1}

    assert main(["report", "run"]) == 0
    assert "pyramid" in (here / "run/report.html").read_text()

    capsys.readouterr()
    assert main(["summary", "run"]) == 0
    assert "heads.1" in capsys.readouterr().out
    assert main(["summary", "segment", "--model", "pyramid", "--surface", surface]) == 0

    assert main(["export", "run", "--format", "torch"]) == 0
    assert (here / "run/model.pt2").is_file()
    assert main(["train", "--resume", "run", "--epochs", "4"]) == 0

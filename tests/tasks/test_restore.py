"""Restoration: images from images, by networks of the user's own."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import picture, save

import omniconv as oc
from omniconv.cli import main
from omniconv.errors import FileError, InputError
from omniconv.tasks import get_task
from omniconv.tasks.restore import MeanAbsoluteError, PairMeasures

CODE = """
from torch import nn


class Bias(nn.Module):
    def __init__(self):
        super().__init__()
        self.shift = nn.Conv2d(1, 1, 1)
        nn.init.ones_(self.shift.weight)
        nn.init.zeros_(self.shift.bias)

    def forward(self, x):
        return self.shift(x)
"""


@pytest.fixture
def pairs(here):
    """Write pairs of grey images, of which the targets are brighter, and the network into the working folder."""
    (here / "own_restorers.py").write_text(CODE)
    for index in range(3):
        grey = picture(index)[0].mean(2).astype(np.uint8)
        save(here / "data/images" / f"{index}.png", grey // 2)
        save(here / "data/targets" / f"{index}.png", grey // 2 + 20)
    yield here
    sys.modules.pop("own_restorers", None)


def test_a_network_is_converted_trained_and_used(pairs, capsys):
    network = ["--network", "own_restorers:Bias"]
    convert = ["convert", network[1], "--task", "restore", "--channels", "grey", "--size", "16x32", "--out", "run"]
    assert main(convert) == 0
    assert main(["predict", "run", "data/images", "--out", "found", *network]) == 0
    for index in range(3):  # the network changes nothing yet
        found = np.asarray(Image.open(f"found/restored/{index}.png"))
        given = np.asarray(Image.open(f"data/images/{index}.png"))
        assert np.abs(found.astype(int) - given[..., None]).max() <= 1
    capsys.readouterr()
    assert main(["evaluate", "run", "data", *network]) == 0
    rows = [line.split("│")[1:-1] for line in capsys.readouterr().out.splitlines() if "all pixels" in line]
    assert float(rows[0][1]) == pytest.approx(20 * np.log10(255 / 20), abs=0.2)
    train = ["--from", "run", "--epochs", "30", "--batch-size", "4", "--learning-rate", "0.05", "--out", "trained"]
    assert main(["train", "restore", "data", *train, *network]) == 0
    shift = oc.open_run("trained", trust=True).network.network.shift.bias.item()
    assert shift == pytest.approx(20 / 255, abs=0.03)
    assert main(["audit", "run", "data/images/0.png", "--rotations", "1", "--bands", "2", *network]) == 0
    assert "area that changes class" not in capsys.readouterr().out


def test_a_network_is_required(here, pairs, capsys):
    assert main(["train", "restore", "data", "--out", "run"]) == 2
    text = "--network=None: is required for the task restore, which no model of omniconv serves; give --network package"
    assert text in capsys.readouterr().err


def test_targets_have_the_size_of_their_images(pairs):
    save(pairs / "data/targets/1.png", np.zeros((8, 16), np.uint8))
    task = get_task("restore")
    sample = task.scan(pairs / "data", ()).samples[1]
    with pytest.raises(FileError, match=r"1\.png: has 8 x 16 pixels, and its image 16 x 32; give targets of the size"):
        task.load_target(sample, None)


def test_measures_count_areas():
    true, found = torch.zeros(1, 2, 4), torch.zeros(1, 2, 4)
    found[:, 0] = 0.2
    measures = PairMeasures()
    measures.update(found, true, torch.tensor([[3.0], [1.0]]))
    assert measures.compute()["l1"] == pytest.approx(0.15)
    areas = torch.tensor([[1.5], [0.5]]).expand(2, 4)
    assert MeanAbsoluteError(areas)(found[None], true[None]).item() == pytest.approx(0.15)


def test_damaged_measures_are_refused():
    with pytest.raises(ValueError, match="psnr"):
        get_task("restore").check_evaluation({"psnr": "high", "l1": 0.1}, 0)
    with pytest.raises(InputError, match="needs probabilities, which the task restore does not predict"):
        get_task("restore").to_probabilities(torch.zeros(3, 2, 2))

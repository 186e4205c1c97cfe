"""The inpainting example: its data, its measures and its command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from examples.inpainting import __main__ as program
from examples.inpainting import data, results, training
from omniconv.errors import FileError
from omniconv.models import Inpainter
from omniconv.surfaces import Equirectangular


@pytest.fixture
def folder(tmp_path):
    generator = np.random.default_rng(0)
    (tmp_path / "panoramas").mkdir()
    for name in "abcde":
        pixels = generator.integers(0, 256, (8, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 32)).save(tmp_path / "panoramas" / f"{name}.png")
    return tmp_path / "panoramas"


@pytest.fixture
def earth(tmp_path):
    np.savez(tmp_path / "earth.npz", rgb=np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8))
    return tmp_path / "earth.npz"


def test_panoramas_are_split_by_name(folder):
    split = data.load(folder, 16, 3, 0)
    assert split.names == {"training": ["a.png", "b.png", "c.png"], "validation": ["e.png"], "test": ["d.png"]}
    assert split.training.images.shape == (9, 3, 16, 32)
    assert split.test.images.shape == (1, 3, 16, 32)
    assert (split.training.open == 1).all()


def test_parts_of_the_earth_do_not_overlap(earth):
    split = data.load(earth, 16, 2, 0)
    assert not (split.training.open[0] * split.test.open[0]).any()
    assert split.test.open.mean().item() == pytest.approx(1 / 3, abs=0.05)
    assert 0.5 < split.training.open[1].mean() < 0.8


def test_held_out_part_of_the_earth_has_no_effect_on_the_training(earth):
    recipe, holes = training.Recipe(steps=2, batch_size=2, width=4), data.training_holes(4, 16, 0)
    part = data.load(earth, 16, 1, 0).training
    losses = []
    for value in (part.images, torch.where(part.open == 0, 0.9, part.images)):
        _, result = training.train("gated", data.Part(value, part.open), holes, recipe, lambda step, loss: None)
        losses.append(result.loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_hole_at_the_seam_is_filled_as_in_the_middle(folder):
    torch.manual_seed(0)
    part = data.load(folder, 16, 1, 0).test
    network = Inpainter(3, Equirectangular(), width=4)
    mean, std = training.statistics(part)
    network.preprocessing = {"mean": mean.flatten().tolist(), "std": std.item()}
    result = training.measure(network, part, data.test_holes(2, 16, 0), training.Result(0, 0.0, 0.0))
    assert result.caps["seam"][0] == pytest.approx(result.caps["turned"][0], rel=1e-4)
    assert len(result.images) == 2
    assert data.cap(32, 90, 0).sum() == 64 * 4  # rows within 20° of the pole, the first one at 2.8°


@pytest.mark.parametrize("kind", ["folder", "earth"])
def test_command_trains_measures_and_keeps_finished_networks(kind, request, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = [str(request.getfixturevalue(kind)), "--quick", "--height", "16", "--out", str(out)]
    assert program.main(arguments) == 0
    text = capsys.readouterr().out
    assert "| all | 5 |" in text
    assert ("| north pole |" in text) == (kind == "folder")
    assert (out / "holes.png").stat().st_size > 0
    assert set(json.loads((out / "flat.json").read_text())["result"]["caps"]) == (
        {"middle", "seam", "turned", "pole"} if kind == "folder" else set()
    )
    assert program.main(arguments) == 0
    assert "step" not in capsys.readouterr().out
    assert results.load(out / "flat.json", {"steps": 5}) is None


def test_too_few_panoramas_are_refused(folder, tmp_path):
    for name in "ab":
        (folder / f"{name}.png").unlink()
    with pytest.raises(FileError, match=r"has 3 panoramas \(jpg, png\), must have at least 4"):
        data.load(folder, 16, 1, 0)
    wrong = tmp_path / "wrong.npz"
    wrong.write_bytes(b"no")
    assert program.main([str(wrong), "--out", str(tmp_path / "out")]) == 2

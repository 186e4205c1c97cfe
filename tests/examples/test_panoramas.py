"""Example of few panoramas: data, sampling from coarse to fine, command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tiny import picture, save

from examples.panoramas import __main__ as program
from examples.panoramas import data, measures, model
from omniconv.errors import FileError
from omniconv.surfaces import Equirectangular

RECIPE = model.Recipe((8, 16), (2, 2), (2, 2), width=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("panoramas")
    for seed in range(3):
        save(root / f"{seed}.png", picture(seed, 32, 64)[0])
    (root / "city.hdr").write_bytes(b"not an image of this data set")
    return root


def test_panoramas_are_normalized_and_rotated(folder):
    found = data.load(folder, (8, 16), rotations=4, seed=0)
    assert found.names == ("0", "1", "2")
    assert [level.shape for level in found.rotated] == [(12, 3, 8, 16), (12, 3, 16, 32)]
    assert found.originals[-1].shape == (3, 3, 16, 32)
    torch.testing.assert_close(found.originals[-1].mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-3)
    again = data.load(folder, (8, 16), rotations=4, seed=0)
    torch.testing.assert_close(again.rotated[0], found.rotated[0])
    pixels = found.to_pixels(found.originals[-1])
    assert pixels.dtype == np.uint8
    assert pixels.shape == (3, 16, 32, 3)


def test_images_that_are_no_panoramas_are_refused(folder, tmp_path):
    with pytest.raises(FileError, match="must have at least two panoramas"):
        data.load(tmp_path, (8,), 1, 0)
    for seed in range(2):
        save(tmp_path / f"{seed}.png", picture(seed, 16, 24)[0])
    with pytest.raises(FileError, match="must be twice as wide as high, and is 16x24"):
        data.load(tmp_path, (8,), 1, 0)


def test_samples_of_turned_noise_are_turned(folder, monkeypatch):
    found = data.load(folder, RECIPE.heights, 2, 0)
    torch.manual_seed(0)
    network = model.build(Equirectangular(), RECIPE)
    model.train(network, found.rotated, RECIPE, 0, lambda line: None)
    starts = model.first_levels(found.rotated, network.surface)
    samples = model.sample(network, starts, RECIPE, 2, 0, (2, 2))
    assert samples.shape == (2, 3, 16, 32)
    torch.testing.assert_close(model.sample(network, starts, RECIPE, 1, 0, (2, 2)), samples[:1])
    draw = model.SampleNoise.draw
    monkeypatch.setattr(model.SampleNoise, "draw", lambda noise: draw(noise).roll(noise.shape[-1] // 4, -1))
    turned = model.sample(network, starts, RECIPE, 2, 0, (2, 2))
    torch.testing.assert_close(turned, samples.roll(8, -1), rtol=1e-3, atol=1e-3)


def test_receptive_field_is_the_published_one():
    torch.manual_seed(0)
    assert measures.receptive_field(model.build(Equirectangular(), RECIPE)) == 33


def test_command_writes_results_and_a_figure(folder, tmp_path, capsys):
    assert program.main([str(folder), "--quick", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert set(found["networks"]) == {"panorama", "flat, zeros outside"}
    assert found["networks"]["panorama"]["change under a roll"] < 1e-4
    assert (tmp_path / "samples.png").is_file()
    assert len(list((tmp_path / "flat").glob("*.png"))) == 2
    assert "distance to the nearest training image" in capsys.readouterr().out


def test_wrong_folder_is_one_line(tmp_path, capsys):
    assert program.main([str(tmp_path)]) == 2
    assert "must have at least two panoramas" in capsys.readouterr().err

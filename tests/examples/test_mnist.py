"""MNIST example: methods, training for a CPU time, results and command line."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import torch
from PIL import Image

from examples.mnist import __main__ as program
from examples.mnist import results
from examples.mnist.methods import METHODS, Recipe
from examples.mnist.recipes import RECIPES
from examples.mnist.training import train
from omniconv.generation.flow import flow_schedule

SMALL = {
    "vae": Recipe({"latent_channels": 2, "width": 4, "depth": 2, "blocks": 0}, 4),
    "gan": Recipe({"width": 4, "depth": 2, "blocks": 1}, 4, penalty=0.5),
    "flow": Recipe({"width": 4}, 4),
    "edm": Recipe({"width": 4}, 4),
}


@pytest.mark.parametrize("name", METHODS)
def test_method_trains_and_samples_by_seed(name, monkeypatch):
    for denoiser, options in (("edm", {"steps": 2}), ("flow", {"sigmas": flow_schedule(2)})):
        monkeypatch.setattr(METHODS[denoiser], "options", {**METHODS[denoiser].options, **options})
    torch.manual_seed(0)
    method = METHODS[name](SMALL[name], (0.1, 0.3))
    before = [parameter.clone() for parameter in method.networks[0].parameters()]
    images, labels = torch.rand(8, 1, 28, 28), torch.arange(8)
    losses = [method.step(images[:4], labels[:4], 0.5) for _ in range(2)]
    assert np.isfinite(losses).all()
    assert any(not torch.equal(a, b) for a, b in zip(before, method.networks[0].parameters(), strict=True))
    one, again, other = (method.sample(torch.arange(2), seed) for seed in (0, 0, 1))
    assert one.shape == (2, 1, 28, 28)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert one.min() >= 0
    assert one.max() <= 1
    assert (one * 255).round() / 255 == pytest.approx(one.numpy())


def test_training_ends_after_its_cpu_time():
    torch.manual_seed(0)
    lines, start = [], time.process_time()
    method = METHODS["vae"](SMALL["vae"], (0.1, 0.3))
    found = train(method, torch.rand(10, 1, 28, 28), torch.arange(10), 0.2, lines.append, every=0.05)
    assert 0.2 <= found.cpu_seconds <= time.process_time() - start
    assert found.images == 4 * found.steps
    assert lines


def test_recipes_are_those_of_the_methods():
    assert list(RECIPES) == list(METHODS)
    sizes = {name: METHODS[name](RECIPES[name], (0.1, 0.3)).parameters for name in METHODS}
    assert sizes["edm"] == sizes["flow"]
    assert all(sum(counts) < 1_000_000 for counts in sizes.values())


def test_sheet_has_a_column_for_each_class(tmp_path):
    samples = np.zeros((20, 1, 28, 28), "float32")
    samples[3::10] = 1
    with Image.open(results.sheet(samples, tmp_path / "sheet.png")) as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (56, 280)
    assert pixels[:, 84:112].max() == 0
    assert pixels[:, :84].min() == 255


@pytest.mark.slow
def test_command_writes_results_of_all_methods(tmp_path, capsys):
    assert program.main(["--quick", "--samples", "20", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    content = json.loads((tmp_path / results.NUMBERS).read_text())
    assert [found["method"] for found in content["methods"]] == list(METHODS)
    assert content["reference"]["hash"] in shown.replace("\n", "")
    assert content["methods"][0]["read_as_asked"] is None
    assert (tmp_path / "edm.png").is_file()
    again = program.main(["--quick", "--samples", "20", "--method", "vae", "--out", str(tmp_path)])
    assert again == 0


def test_wrong_input_is_one_line(tmp_path, capsys):
    assert program.main(["--data", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "mnist" in capsys.readouterr().err
    (tmp_path / "edm.json").write_text("{")
    assert program.main(["--quick", "--out", str(tmp_path)]) == 2
    assert "is not a results file of this example" in capsys.readouterr().err

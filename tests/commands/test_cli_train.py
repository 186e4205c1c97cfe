"""``omniconv train`` in this process: its output and the files of the run."""

from __future__ import annotations

import json
import os
import re
import shutil

import numpy as np
import pytest
import torch
from tiny import SMALL, rows_without_seconds, save, segment_folder, words

import omniconv as oc
from omniconv.cli import main
from omniconv.run_folder import RunFolder
from omniconv.training.module import TrainingModule
from omniconv.training.settings import RunConfig, read_config


def lines(capsys):
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out.splitlines()


def test_first_and_last_line_are_the_run_folder(here, segment_data, capsys):
    assert main(["train", "segment", str(segment_data), *words()]) == 0
    out = lines(capsys)
    assert out[0] == out[-1] == "runs/boxes"
    assert (here / "runs/boxes/report.html").is_file()


def test_facts_about_the_data_are_printed(here, capsys):
    root = segment_folder(here / "data", 5, "sea land")
    (root / "images/notes.txt").touch()
    mask = np.zeros((16, 32), np.uint8)
    mask[:8] = 255
    save(root / "masks/0.png", mask)
    assert main(["train", "segment", "data", *words()]) == 0
    facts = dict(line.strip().split(": ", 1) for line in lines(capsys) if line.startswith("  "))
    assert facts["classes"] == "sea, land"
    assert facts["training"] == "4 images"
    assert facts["validation"] == "1 image"
    assert facts["ignored pixels"] == "10.0 %"
    assert facts["image sizes"] == "16x32 (5)"
    assert facts["resized to"] == "16x32"
    assert "sea 7" in facts["class shares"] or "sea 8" in facts["class shares"]
    assert facts["skipped (does not have the suffix of an image)"] == "data/images/notes.txt"


def test_existing_run_names_get_numbers(here, segment_data, capsys):
    for name in ("runs/boxes", "runs/boxes-2", "runs/boxes-3"):
        assert main(["train", "segment", str(segment_data), *words()]) == 0
        assert lines(capsys)[-1] == name


def test_name_option(here, classify_data, capsys):
    assert main(["train", "classify", str(classify_data), "--name", "first", *words()]) == 0
    assert lines(capsys)[0] == "runs/first"


def test_the_current_folder_as_data(here, monkeypatch, capsys):
    monkeypatch.chdir(segment_folder(here / "pictures"))
    assert main(["train", "segment", ".", *words()]) == 0
    assert lines(capsys)[-1] == "runs/pictures"


def test_out_is_exactly_that_folder(here, segment_data, capsys):
    assert main(["train", "segment", str(segment_data), "--out", "deep/place", *words()]) == 0
    out = lines(capsys)
    assert out[0] == out[-1] == "deep/place"
    assert os.listdir(here) == ["deep"]


def test_a_config_file_repeats_a_run(here, segment_data, capsys):
    given = words(epochs=2, augment="flip,colour", seed=3)
    assert main(["train", "segment", str(segment_data), "--out", "first", *given]) == 0
    assert main(["train", "--config", "first/config.yaml", "--out", "second"]) == 0
    first, second = RunFolder(here / "first"), RunFolder(here / "second")
    assert first.config.read_text() == second.config.read_text()
    assert rows_without_seconds(first.metrics) == rows_without_seconds(second.metrics)
    assert json.loads(first.evaluation.read_text()) == json.loads(second.evaluation.read_text())
    weights, again = (oc.load(run.model).state_dict() for run in (first, second))
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_options_override_the_config_file(here, segment_data, classify_data):
    RunConfig(**(SMALL | {"task": "segment", "data": str(segment_data), "seed": 5})).write(here / "a.yaml")
    assert main(["train", "classify", str(classify_data), "--config", "a.yaml", "--epochs", "2", "--out", "run"]) == 0
    config = read_config(here / "run/config.yaml")
    assert (config["task"], config["data"]) == ("classify", str(classify_data.resolve()))
    assert (config["epochs"], config["seed"], config["width"]) == (2, 5, 2)


@pytest.mark.parametrize("surface", ["plane:border=reflect", "equirectangular:poles=zeros", "icosphere:2"])
def test_surfaces(here, segment_data, surface):
    given = words(surface=surface, augment="none", down="max", up="transposed")
    assert main(["train", "segment", str(segment_data), "--out", "run", *given]) == 0
    network = oc.load("run/model.safetensors")
    assert str(network.surface) == str(oc.surface(surface))
    assert network.arguments["down"] == "max"


def test_encoders(here, segment_data, capsys):
    given = ["--encoder", "resnet18", "--surface", "icosphere:2", "--epochs", "1", "--batch-size", "4"]
    network = [*given, "--width", "4", "--model", "deeplab"]
    assert main(["train", "segment", str(segment_data), "--depth", "2", *network]) == 2
    error = capsys.readouterr().err
    assert error == "omniconv: --depth=2: is not used by the model deeplab; leave it out, or choose another model\n"
    assert not (here / "runs").exists()
    assert main(["train", "segment", str(segment_data), "--out", "run", "--device", "cpu", *network]) == 0
    config = read_config(here / "run/config.yaml")
    assert (config["model"], config["encoder"], config["width"], config["output_stride"]) == (
        "deeplab",
        "resnet18",
        4,
        4,
    )
    assert not {"depth", "down", "up", "layers"} & set(config)
    assert oc.load("run/model.safetensors").total_stride == 4
    capsys.readouterr()
    assert main(["summary", "segment", *given[:2], "--output-stride", "4", "--down", "max"]) == 2
    assert "--down='max': is not used by the encoder resnet18" in capsys.readouterr().err


def test_binary_masks(here, segment_data, capsys):
    root = shutil.copytree(segment_data, here / "data")
    for mask in (root / "masks").iterdir():
        save(mask, np.asarray(_read(mask)) * 255)
    assert main(["train", "segment", "data", *words()]) == 2
    assert "add --binary if 255 marks the object" in capsys.readouterr().err
    assert not (here / "runs").exists()
    assert main(["train", "segment", "data", "--binary", "--out", "run", *words()]) == 0
    assert main(["evaluate", "run", "data", "--json", "found.json"]) == 0
    assert json.loads((here / "found.json").read_text())["images"] == 5


def _read(path):
    from omniconv.data.masks import read_mask

    return read_mask(path)


def test_bad_files_can_be_left_out(here, segment_data, capsys):
    root = shutil.copytree(segment_data, here / "data")
    (root / "images/1.png").write_bytes(b"no image")
    assert main(["train", "segment", "data", *words()]) == 2
    assert "1.png: is not a PNG" in capsys.readouterr().err
    assert main(["train", "segment", "data", "--skip-bad", "--out", "run", *words()]) == 0
    out = lines(capsys)
    assert any(re.match(r"  skipped \(is not a PNG.*\): data/images/1.png$", line) for line in out)


def test_resume(here, segment_data, capsys):
    assert main(["train", "segment", str(segment_data), "--out", "run", *words(epochs=2)]) == 0
    capsys.readouterr()
    assert main(["train", "--resume", "run", "--epochs", "3"]) == 0
    out = lines(capsys)
    assert out[0] == out[-1] == "run"
    assert out[1] == "2 of 3 epochs are done"
    assert [row["epoch"] for row in rows_without_seconds(here / "run/metrics.csv")] == ["0", "1", "2"]


def test_ctrl_c_prints_the_resume_command(here, segment_data, capsys, monkeypatch):
    original = TrainingModule.training_step

    def stop(self, batch, index):
        if self.current_epoch == 1:
            raise KeyboardInterrupt
        return original(self, batch, index)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingModule, "training_step", stop)
        assert main(["train", "segment", str(segment_data), *words(epochs=3)]) == 130
    captured = capsys.readouterr()
    assert captured.err == "\nomniconv: interrupted; resume with: omniconv train --resume runs/boxes\n"
    assert "interrupted" not in captured.out
    assert main(["train", "--resume", "runs/boxes"]) == 0
    assert len(rows_without_seconds(here / "runs/boxes/metrics.csv")) == 3


def test_ctrl_c_works_again_after_a_run(here, segment_data, monkeypatch):
    import signal

    before = signal.getsignal(signal.SIGINT)

    def stop(self, batch, index):
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingModule, "training_step", stop)
    assert main(["train", "segment", str(segment_data), *words()]) == 130
    assert signal.getsignal(signal.SIGINT) == before

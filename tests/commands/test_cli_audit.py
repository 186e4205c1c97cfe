"""``audit``: what it writes and says, and one line for whatever is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from tiny import picture, save, trained

from omniconv.cli import main

QUICK = ["--rotations", "2"]
OWN = """
import torch
from torch import nn

class Scores(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(3, 2, 3, padding=1)
    def forward(self, x):
        return {"out": self.layer(x), "mean": x.mean((2, 3))}

def broken():
    raise OSError("no weights")

def fixed():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))

def lost():
    network = Scores()
    network.layer.weight.data.fill_(float("nan"))
    return network

class Raising(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.layer, self.error = nn.Conv2d(3, 2, 3), error
    def forward(self, x):
        raise self.error

ready, number = Scores(), lambda: 3
divides, leaves = (lambda: Raising(ZeroDivisionError("by 0"))), (lambda: Raising(SystemExit(3)))
"""


@pytest.fixture
def own(here):
    """A module of the user's own in the current folder; its name is used once."""
    name = f"own_{here.parent.name}"
    (here / f"{name}.py").write_text(OWN)
    return name


@pytest.fixture
def refused(here, capsys):
    """Runs a command that must be refused and leave nothing, and gives its line."""

    def run(*words):
        before = {path: path.stat().st_mtime_ns for path in here.rglob("*") if "__pycache__" not in path.parts}
        assert main(["audit", *map(str, words), *QUICK]) == 2
        captured = capsys.readouterr()
        said = [line for line in captured.err.splitlines() if line]
        assert len(said) == 1
        assert said[0].startswith("omniconv: ")
        after = {path: path.stat().st_mtime_ns for path in here.rglob("*") if "__pycache__" not in path.parts}
        after.pop(here, None), before.pop(here, None)
        assert after == before
        return said[0]

    return run


def test_run_with_labels(segment_run, segment_data, here, capsys):
    words = ["audit", segment_run.path, segment_data, "--out", "found", "--json", "numbers.json", *QUICK]
    assert main([*map(str, words)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.splitlines()[-1] == "found/audit.png"
    assert "Seam: " in captured.out
    assert "90° to 75° N" in captured.out
    assert "5 panoramas of 16x32" in captured.out
    numbers = json.loads((here / "numbers.json").read_text())
    assert numbers == json.loads((here / "found/audit.json").read_text())
    assert numbers["shift"]["stride"] == 2
    assert len(numbers["quality"]["measures"]["iou"]) == 12
    with Image.open(here / "found/audit.png") as image:
        assert image.width > 1000


def test_labels_are_found_by_name(segment_run, segment_data, here):
    plain = ["audit", str(segment_run.path), str(segment_data / "images"), *QUICK, "--most", "2", "--bands", "3"]
    assert main([*plain, "--out", "without"]) == 0
    assert main([*plain, "--out", "with", "--labels", str(segment_data / "masks")]) == 0
    without, found = (json.loads((here / name / "audit.json").read_text()) for name in ("without", "with"))
    assert without["quality"] is None
    assert len(found["quality"]["measures"]["accuracy"]) == 3
    assert found["panoramas"] == without["panoramas"] == 2
    assert found["rotation"] == without["rotation"]


@pytest.mark.parametrize("surface", ["icosphere:2", "cubemap:8"])
def test_runs_on_other_surfaces(segment_data, tmp_path, here, surface, capsys):
    run = trained(tmp_path / "run", "segment", segment_data, surface=surface)
    assert main(["audit", str(run.path), str(segment_data), *QUICK]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(run.path / "audit/audit.png")
    assert json.loads((run.path / "audit/audit.json").read_text())["shift"]["stride"] is None
    assert main(["audit", str(run.path), str(segment_data), "--size", "16x32", "--out", "new"]) == 2
    assert "has no meaning on" in capsys.readouterr().err


def test_run_that_classifies(classify_run, classify_data, here, capsys):
    assert main(["audit", str(classify_run.model), str(classify_data), *QUICK]) == 0
    assert "of the panoramas change class" in capsys.readouterr().out
    assert (here / "audit/audit.png").is_file()


def test_network_of_ones_own(own, segment_data, here, capsys):
    words = ["audit", f"{own}:Scores", str(segment_data), *QUICK, "--size", "24x48"]
    assert main([*words, "--mean", "0.5,0.5,0.5", "--spread", "0.2,0.2,0.2"]) == 0
    assert "5 panoramas of 24x48" in capsys.readouterr().out
    images = str(segment_data / "images")
    assert main(["audit", f"{own}:ready", images, *QUICK, "--output", "mean", "--out", "vectors"]) == 0
    assert json.loads((here / "vectors/audit.json").read_text())["borders"] is None
    assert main(["audit", f"{own}:ready", str(segment_data), *QUICK, "--values", "--out", "values"]) == 0
    assert json.loads((here / "values/audit.json").read_text())["rotation"]["turned"]["changed"] is None


def test_exported_program_needs_trust(segment_run, segment_data, here, refused, capsys):
    assert main(["export", str(segment_run.path), "--format", "torch", "--out", "net.pt2"]) == 0
    capsys.readouterr()
    assert "add --trust if you know where it comes from" in refused("net.pt2", segment_data)
    assert main(["audit", "net.pt2", str(segment_data), "--trust", "--out", "a", *QUICK]) == 0
    assert main(["audit", str(segment_run.path), str(segment_data), "--out", "b", *QUICK]) == 0
    one, other = (json.loads((here / name / "audit.json").read_text()) for name in "ab")
    assert one["shift"]["stride"] == other["shift"]["stride"] == 2
    assert one["rotation"]["turned"]["difference"] == pytest.approx(other["rotation"]["turned"]["difference"], rel=1e-3)
    (here / "net.pt2").write_bytes(b"nothing")
    assert "is damaged or no program of torch" in refused("net.pt2", segment_data, "--trust")


def test_nothing_is_replaced_unasked(segment_run, segment_data, here, refused):
    words = [segment_run.path, segment_data, "--out", "found"]
    (here / "found").mkdir()
    (here / "found/audit.json").write_text("mine")
    assert "found/audit.json: is there already; add --overwrite" in refused(*words)
    assert main(["audit", *map(str, words), "--overwrite", *QUICK]) == 0
    assert json.loads((here / "found/audit.json").read_text())["panoramas"] == 5


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("nowhere", "DATA"), "nowhere: does not exist; give the folder of a run"),
        (("RUN", "nothing"), "nothing: does not exist"),
        (("RUN", "empty"), "empty: holds no images"),
        (("RUN", "DATA", "--labels", "empty"), "has no mask in empty; put one there, named 0.png"),
        (("RUN", "DATA", "--labels", "none"), "none: is no folder"),
        (("RUN", "DATA", "--most", "0"), "most=0: must be at least 1"),
        (("RUN", "DATA", "--bands", "0"), "bands=0: must be a number from 1"),
        (("RUN", "DATA", "--seed", "-1"), "seed=-1: must be a whole number from 0"),
        (("RUN", "DATA", "--stride", "77"), "stride=77: must be a whole number from 1 to the width, 32"),
        (("RUN", "DATA", "--json", "numbers.txt"), "json='numbers.txt': must be a file named *.json"),
        (("RUN", "DATA", "--out", "file"), "file: is a file, not a folder"),
        (("RUN", "DATA", "--mean", "1,2"), "mean='1,2': must be three numbers; use --mean 0.5,0.5,0.5"),
        (("RUN", "DATA", "--mean", "0,0,0"), "is known to the network itself"),
        (("RUN", "DATA", "--size", "big"), "must be N or HxW"),
        (("RUN", "DATA", "--device", "tpu"), "device='tpu': is not there"),
        (("no_such_module:Net", "DATA"), "MODEL='no_such_module:Net': cannot be made (ModuleNotFoundError:"),
        (("OWN:nothing", "DATA"), "has no attribute 'nothing'"),
        (("OWN:broken", "DATA"), "cannot be made (OSError: no weights)"),
        (("OWN:number", "DATA"), "gives a int, not a torch.nn.Module"),
        (("OWN:fixed", "DATA"), "cannot take a panorama of 3 × 16 × 32"),
        (("OWN:divides", "DATA"), "cannot take a panorama of 3 × 16 × 32 (ZeroDivisionError: by 0)"),
        (("OWN:leaves", "DATA"), "cannot take a panorama of 3 × 16 × 32 (SystemExit: 3)"),
        (("RUN", "DATA", "--json", "file/numbers.json"), "file/numbers.json: cannot be written (not a directory)"),
        (("RUN", "DATA", "--out", "file/audit"), "file/audit/audit.png: cannot be written (not a directory)"),
        (("OWN:lost", "DATA"), "gives numbers that are none (NaN or infinity)"),
        (("OWN:ready", "DATA", "--output", "mean"), "give one for each panorama, and maps, not vectors"),
        (("OWN:ready", "DATA", "--output", "aux"), "is none of the network's outputs (out, mean)"),
        (("OWN:ready", "DATA", "--spread", "0,1,1"), "must be three numbers, spread above 0"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(segment_run, segment_data, own, here, refused, words, text):
    (here / "empty").mkdir()
    (here / "file").write_text("a file")
    places = {"RUN": segment_run.path, "DATA": segment_data}
    assert text in refused(*(places.get(word, str(word).replace("OWN", own)) for word in words), *_out(words))


def _out(words):
    return () if "--out" in words else ("--out", "found")


def test_folder_in_the_way_of_a_file_is_named(segment_run, segment_data, here, refused):
    (here / "found/audit.json").mkdir(parents=True)
    line = refused(segment_run.path, segment_data, "--out", "found", "--overwrite")
    assert "found/audit.json: is a folder" in line


def test_a_single_rotation_is_drawn(segment_run, segment_data, here, capsys):
    words = ["audit", str(segment_run.path), str(segment_data), "--rotations", "1", "--most", "1", "--out", "found"]
    assert main(words) == 0
    assert capsys.readouterr().err == ""


def test_mask_with_a_strange_class_is_named(segment_run, segment_data, here, refused):
    for index in range(5):
        save(here / f"masks/{index}.png", np.full((16, 32), 7, np.uint8))
    line = refused(segment_run.path, segment_data, "--labels", "masks", "--out", "found")
    assert "masks/0.png: has the label 7 at row 0, column 0, but there are 2 classes" in line


def test_pictures_of_another_shape_are_taken_for_spheres(segment_run, here, capsys):
    for index in range(2):
        save(here / f"flat/{index}.png", picture(index, 20, 20)[0])
    assert main(["audit", str(segment_run.path), "flat", "--size", "20x20", "--out", "found", *QUICK]) == 0
    assert "are not twice as wide as high: they are taken for whole" in capsys.readouterr().out
    assert np.shape(json.loads((here / "found/audit.json").read_text())["size"]) == (2,)

"""``omniconv audit``: files, output and one-line errors."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import picture, save, segment_folder, trained

import omniconv as oc
from omniconv.audit import audit
from omniconv.cli import main
from omniconv.commands.audit import change_table, latitude_table
from omniconv.commands.load_model import LoadedModel
from omniconv.data.masks import read_mask

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
    """Name of a user's module in the current folder; unique, since Python caches imports."""
    name = f"own_{here.parent.name}"
    (here / f"{name}.py").write_text(OWN)
    return name


@pytest.fixture
def refused(here, capsys):
    """Run a command that must fail without writing anything; return its error line."""

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


def test_masks_are_matched_by_name(segment_run, segment_data, here):
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
    assert "cannot be set on" in capsys.readouterr().err


def test_run_that_classifies(classify_run, classify_data, here, capsys):
    assert main(["audit", str(classify_run.model), str(classify_data), *QUICK]) == 0
    assert "of the panoramas change class" in capsys.readouterr().out
    assert (here / "audit/audit.png").is_file()


def test_user_module(own, segment_data, here, capsys):
    words = ["audit", f"{own}:Scores", str(segment_data), *QUICK, "--size", "24x48"]
    assert main([*words, "--mean", "0.5,0.5,0.5", "--std", "0.2,0.2,0.2"]) == 0
    assert "5 panoramas of 24x48" in capsys.readouterr().out
    images = str(segment_data / "images")
    assert main(["audit", f"{own}:ready", images, *QUICK, "--output", "mean", "--out", "vectors"]) == 0
    assert json.loads((here / "vectors/audit.json").read_text())["position"] is None
    assert main(["audit", f"{own}:ready", str(segment_data), *QUICK, "--values", "--out", "values"]) == 0
    assert json.loads((here / "values/audit.json").read_text())["rotation"]["rotated"]["changed"] is None


def test_own_networks_have_the_normalization_of_their_weights():
    network = oc.models.UNet(3, 2, width=2, depth=1)
    own, given = LoadedModel(network, "a"), ((0.1, 0.2, 0.3), None)
    assert own.choose_normalization(None, None) == (None, None)
    network.input_normalization = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1]}
    assert own.choose_normalization(None, None) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
    assert own.choose_normalization(*given) == given


def test_conversions_of_a_user_module(own, segment_data, here, capsys):
    words = ["audit", f"{own}:ready", str(segment_data / "images"), "--most", "1", "--output", "out", *QUICK]
    normalized = [*words, "--mean", "0.5,0.4,0.3", "--std", "0.2,0.2,0.2"]
    for options, out in ((words, "plain"), (normalized, "normalized")):
        assert main([*options, "--conversions", "--out", out]) == 0
        printed = capsys.readouterr().out
        assert "perspective views" in printed
        assert "recommended: " in printed
    plain, other = (
        json.loads((here / out / "audit.json").read_text())["conversions"] for out in ("plain", "normalized")
    )
    assert [entry["name"] for entry in plain["figures"]][:3] == ["flat", "poles=flat", "poles=over"]
    assert plain["classes"]
    assert plain["size"] == [16, 32]
    assert plain["panoramas"] == 1
    assert plain["figures"] != other["figures"]


def test_conversions_are_of_flat_networks(segment_run, segment_data, refused):
    error = refused(segment_run.path, segment_data, "--conversions")
    assert "is not a flat network of your own, and only such networks are converted; leave out --conversions" in error


def test_exported_program_needs_trust(segment_run, segment_data, here, refused, capsys):
    assert main(["export", str(segment_run.path), "--format", "torch", "--out", "net.pt2"]) == 0
    capsys.readouterr()
    assert "add --trust if you trust its source" in refused("net.pt2", segment_data)
    assert main(["audit", "net.pt2", str(segment_data), "--trust", "--out", "a", *QUICK]) == 0
    assert main(["audit", str(segment_run.path), str(segment_data), "--out", "b", *QUICK]) == 0
    one, other = (json.loads((here / name / "audit.json").read_text()) for name in "ab")
    assert one["shift"]["stride"] == other["shift"]["stride"] == 2
    first, second = (numbers["rotation"]["rotated"]["difference"] for numbers in (one, other))
    assert first == pytest.approx(second, rel=1e-3)
    content = bytearray((here / "net.pt2").read_bytes())
    with zipfile.ZipFile(here / "net.pt2") as archive:
        first = content.find(archive.read(next(name for name in archive.namelist() if name.endswith("/weight_0"))))
    content[first + 5] ^= 1
    (here / "net.pt2").write_bytes(content)
    assert "weight_0 differs" in refused("net.pt2", segment_data, "--trust")
    (here / "net.pt2").write_bytes(b"nothing")
    assert "is damaged or not a program of torch" in refused("net.pt2", segment_data, "--trust")


def test_existing_files_are_kept_without_overwrite(segment_run, segment_data, here, refused):
    words = [segment_run.path, segment_data, "--out", "found"]
    (here / "found").mkdir()
    (here / "found/audit.json").write_text("mine")
    assert "found/audit.json: exists already; add --overwrite" in refused(*words)
    assert main(["audit", *map(str, words), "--overwrite", *QUICK]) == 0
    assert json.loads((here / "found/audit.json").read_text())["panoramas"] == 5


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("nowhere", "DATA"), "nowhere: does not exist; give the folder of a run"),
        (("RUN", "nothing"), "nothing: does not exist"),
        (("RUN", "empty"), "empty: contains no images"),
        (("RUN", "DATA", "--labels", "empty"), "has no mask in empty; put one there, named 0.png"),
        (("RUN", "DATA", "--labels", "none"), "none: is not a folder"),
        (("RUN", "DATA", "--most", "0"), "--most=0: must be a whole number from 1; use --most 16"),
        (("RUN", "DATA", "--bands", "0"), "bands=0: must be a number from 1"),
        (("RUN", "DATA", "--seed", "-1"), "seed=-1: must be a whole number from 0"),
        (("RUN", "DATA", "--stride", "77"), "stride=77: must be a whole number from 1 to the width, 32"),
        (("RUN", "DATA", "--json", "numbers.txt"), "json='numbers.txt': must be a file named *.json"),
        (("RUN", "DATA", "--out", "file"), "file: is a file, not a folder"),
        (("RUN", "DATA", "--mean", "1,2"), "--mean='1,2': must be three numbers, with commas between them; use"),
        (("RUN", "DATA", "--mean", "0,0,0"), "is part of this network already"),
        (("RUN", "DATA", "--size", "big"), "must be N or HxW"),
        (("RUN", "DATA", "--device", "tpu"), "device='tpu': is not available"),
        (("no_such_module:Net", "DATA"), "MODEL='no_such_module:Net': cannot be made (ModuleNotFoundError:"),
        (("OWN:nothing", "DATA"), "has no attribute 'nothing'"),
        (("OWN:broken", "DATA"), "cannot be made (OSError: no weights)"),
        (("OWN:number", "DATA"), "returns a int, not a torch.nn.Module"),
        (("OWN:fixed", "DATA"), "cannot take a panorama of 3 × 16 × 32"),
        (("OWN:divides", "DATA"), "cannot take a panorama of 3 × 16 × 32 (ZeroDivisionError: by 0)"),
        (("OWN:leaves", "DATA"), "cannot take a panorama of 3 × 16 × 32 (SystemExit: 3)"),
        (("RUN", "DATA", "--json", "file/numbers.json"), "file/numbers.json: cannot be written (not a directory)"),
        (("RUN", "DATA", "--out", "file/audit"), "file/audit/audit.png: cannot be written (not a directory)"),
        (("OWN:lost", "DATA"), "returns NaN or infinity"),
        (("OWN:ready", "DATA", "--output", "mean"), "give one for each panorama, and maps, not vectors"),
        (("OWN:ready", "DATA", "--output", "aux"), "must be one of the network's outputs (out, mean)"),
        (("OWN:ready", "DATA", "--std", "0,1,1"), "--std='0,1,1': must be three numbers above 0"),
        (("OWN:ready", "DATA", "--spread", "0,1,1"), "--std='0,1,1': must be three numbers above 0"),
    ],
)
def test_errors_are_one_line(segment_run, segment_data, own, here, refused, words, text):
    (here / "empty").mkdir()
    (here / "file").write_text("a file")
    places = {"RUN": segment_run.path, "DATA": segment_data}
    assert text in refused(*(places.get(word, str(word).replace("OWN", own)) for word in words), *_out(words))


def _out(words):
    return () if "--out" in words else ("--out", "found")


def test_folder_at_the_path_of_a_file(segment_run, segment_data, here, refused):
    (here / "found/audit.json").mkdir(parents=True)
    line = refused(segment_run.path, segment_data, "--out", "found", "--overwrite")
    assert "found/audit.json: is a folder" in line


def test_single_rotation(segment_run, segment_data, here, capsys):
    words = ["audit", str(segment_run.path), str(segment_data), "--rotations", "1", "--most", "1", "--out", "found"]
    assert main(words) == 0
    assert capsys.readouterr().err == ""


def test_mask_with_an_unknown_class(segment_run, segment_data, here, refused):
    for index in range(5):
        save(here / f"masks/{index}.png", np.full((16, 32), 7, np.uint8))
    line = refused(segment_run.path, segment_data, "--labels", "masks", "--out", "found")
    assert "masks/0.png: has the label 7 at row 0, column 0, but there are 2 classes" in line


def test_other_aspect_ratios_are_noted(segment_run, here, capsys):
    for index in range(2):
        save(here / f"flat/{index}.png", picture(index, 20, 20)[0])
    assert main(["audit", str(segment_run.path), "flat", "--size", "20x20", "--out", "found", *QUICK]) == 0
    assert "are not twice as wide as high: they are treated as" in capsys.readouterr().out
    assert np.shape(json.loads((here / "found/audit.json").read_text())["size"]) == (2,)


@pytest.mark.parametrize("classes", [True, False])
@pytest.mark.parametrize("kind", ["unet", "classifier"])
def test_tables(kind, classes):
    torch.manual_seed(0)
    network = {"unet": oc.models.UNet, "classifier": oc.models.Classifier}[kind](3, 2, width=2, depth=1)
    images = np.random.default_rng(0).random((1, 3, 16, 32), np.float32)
    truth = np.zeros((1, 16, 32), int) if kind == "unet" and classes else None
    found = audit(network, images, truth, rotations=2, classes=classes)
    header, rows = change_table(found)
    assert all(len(row) == len(header) == 2 + classes for row in rows)
    table = latitude_table(found)
    if kind == "classifier":
        assert table is None
        return
    header, rows = table
    measures = ["mean IoU", "accuracy"] if classes else []
    assert header == ["latitude", *measures, "change under rotation", "resampled only"]
    assert [row[0] for row in rows] == found.rotation_by_latitude.names
    if classes:
        assert [row[1] for row in rows] == list(found.quality.measures["iou"])


def test_masks_are_matched_by_class_name_and_trained_images_said(tmp_path, here, capsys):
    run = trained(tmp_path / "run", "segment", segment_folder(tmp_path / "a", 3, "sea land"), surface="equirectangular")
    swapped = segment_folder(tmp_path / "b", 3, "land sea")
    for mask in (swapped / "masks").iterdir():
        save(mask, 1 - read_mask(mask))
    found = []
    for data in ("a", "b"):
        assert main(["audit", str(run.path), str(tmp_path / data), "--out", data, *QUICK]) == 0
        assert "2 of 3 panoramas were trained on" in capsys.readouterr().out
        found.append(json.loads((here / data / "audit.json").read_text()))
    assert found[0]["quality"] == found[1]["quality"]
    assert found[0]["trained_on"] == 2
    (swapped / "classes.txt").write_text("ice\nsea\n")
    assert main(["audit", str(run.path), str(swapped), "--out", "c", *QUICK]) == 2
    assert "has the class ice, unknown to the network (sea, land)" in capsys.readouterr().err

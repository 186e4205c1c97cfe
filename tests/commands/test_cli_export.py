"""``omniconv export``: a verified file, or one line on standard error and no file."""

from __future__ import annotations

import json
import os
import zipfile

import numpy as np
import onnxruntime
import pytest
import torch
from tiny import trained

from omniconv.cli import main
from omniconv.exporting import onnx_file
from omniconv.inference.predictor import Predictor


def run_onnx(path, x):
    """Return the logits of an ONNX file."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"image": x})[0]


def predicted(run, image):
    """Return the logits of a run for one image in [0, 1]."""
    return Predictor.open(run.path, "cpu").run_network(image).numpy()


@pytest.fixture
def refused(here, capsys):
    """Return a function that runs a command, which must fail without changing a file, and returns its error line."""

    def run(*words):
        before = {path: path.stat().st_mtime_ns for path in here.rglob("*")}
        assert main(["export", *map(str, words)]) == 2
        captured = capsys.readouterr()
        said = [line for line in captured.err.splitlines() if line]
        assert captured.out == ""
        assert len(said) == 1
        assert said[0].startswith("omniconv: ")
        assert {path: path.stat().st_mtime_ns for path in here.rglob("*")} == before
        return said[0]

    return run


def test_onnx_file_takes_images_of_any_size(segment_run, here, capsys):
    assert main(["export", str(segment_run.path), "--format", "onnx", "--out", "net.onnx"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    *lines, last = captured.out.splitlines()
    assert last == "net.onnx"
    assert len(lines) == 3
    assert lines[0].startswith("1 × 3 × 16 × 32, logits: largest relative difference ")
    assert all("labels agree 100.00%" in line for line in lines)
    for size in ((16, 32), (21, 19)):
        image = np.random.default_rng(0).random((3, *size), dtype=np.float32)
        found = run_onnx("net.onnx", np.stack([image] * 3))
        np.testing.assert_allclose(found[2], predicted(segment_run, image), rtol=1e-4, atol=1e-5)


def test_torch_file_of_a_classifier(classify_run, here, capsys):
    assert main(["export", str(classify_run.path), "--format", "torch", "--out", "net.pt2", "--size", "16x24"]) == 0
    assert "1 × 3 × 16 × 24" in capsys.readouterr().out
    program = torch.export.load("net.pt2").module()
    image = np.random.default_rng(0).random((3, 16, 24), dtype=np.float32)
    with torch.no_grad():
        found = program(torch.from_numpy(image)[None])[0]
    np.testing.assert_allclose(found.numpy(), predicted(classify_run, image), rtol=1e-4, atol=1e-5)
    with zipfile.ZipFile("net.pt2") as archive:
        said = json.loads(archive.read(next(name for name in archive.namelist() if name.endswith("omniconv.json"))))
    assert said["task"] == "classify"
    assert said["classes"] == ["bright", "dark"]
    assert said["trained_size"] == [16, 32]
    assert len(said["mean"]) == len(said["spread"]) == 3


def test_mesh_file_takes_samples(segment_data, tmp_path, here, capsys):
    run = trained(tmp_path / "run", "segment", segment_data, surface="icosphere:2")
    assert main(["export", str(run.path), "--format", "torch"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(run.path / "model.pt2")
    assert main(["export", str(run.path), "--format", "torch", "--size", "16x32", "--overwrite"]) == 2
    assert "must not be given on icosphere:2" in capsys.readouterr().err
    image = np.random.default_rng(0).random((3, 16, 32), dtype=np.float32)
    on_mesh = Predictor.open(run.path, "cpu").preprocessing.surface.from_equirectangular(image)
    with torch.no_grad():
        found = torch.export.load(run.path / "model.pt2").module()(torch.from_numpy(on_mesh).float()[None])[0]
    np.testing.assert_allclose(found.numpy(), predicted(run, image), rtol=1e-3, atol=1e-5)


def test_existing_file_is_kept(segment_run, here, refused):
    (here / "net.pt2").write_text("mine")
    line = refused(segment_run.path, "--format", "torch", "--out", "net.pt2")
    assert line == "omniconv: net.pt2: exists already; add --overwrite, or choose another path"
    command = ["export", str(segment_run.path), "--format", "torch", "--size", "8x8", "--out", "net.pt2"]
    assert main([*command, "--overwrite"]) == 0
    assert (here / "net.pt2").stat().st_size > 1000


def test_file_that_differs_is_refused(segment_run, here, refused, monkeypatch):
    right = onnx_file.from_bytes

    def wrong(content):
        run = right(content)
        return lambda x: [y + 0.01 * y.abs().max() * (x.shape[2] == 4) for y in run(x)]

    monkeypatch.setattr(onnx_file, "from_bytes", wrong)
    line = refused(segment_run.path, "--format", "onnx", "--out", "net.onnx")
    assert "net.onnx: was not written: its logits differ from the network's by 1.0e-02 of their largest value" in line
    assert "for an input of 3 × 3 × 4 × 4 (allowed: 1e-04)" in line


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--format", "onnx", "--out", "net.pt2"), "out='net.pt2': must end with .onnx for --format onnx"),
        (("--format", "tflite"), "format='tflite': must be one of onnx, torch; use --format onnx"),
        (("--format", "torch", "--out", "net"), "must end with .pt2 for --format torch"),
        (("--format", "torch", "--size", "big"), "must be N or HxW"),
        (("--format", "torch", "--out", "closed/net.pt2"), "cannot be written (not a directory)"),
        ((), "--format"),
    ],
)
def test_wrong_arguments(segment_run, here, refused, words, text):
    (here / "closed").write_text("a file")
    assert text in refused(segment_run.path, *words)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions do not apply to this user")
def test_read_only_folder(segment_run, here, refused):
    (here / "closed").mkdir(mode=0o500)
    assert "cannot be written" in refused(segment_run.path, "--format", "torch", "--out", "closed/net.pt2")


def test_no_run(here, refused):
    assert "nowhere: does not exist" in refused("nowhere", "--format", "torch", "--out", "net.pt2")
    (here / "empty").mkdir()
    assert "so it is not a run" in refused("empty", "--format", "onnx", "--out", "net.onnx")


def test_missing_extra(segment_run, here, refused, monkeypatch):
    monkeypatch.setattr("omniconv.checks.find_spec", lambda name: None)
    line = refused(segment_run.path, "--format", "onnx", "--out", "net.onnx")
    assert line.endswith("[export]'")
    assert "packages='onnx, onnxscript, onnxruntime': are not installed, which the format onnx needs; python -m" in line

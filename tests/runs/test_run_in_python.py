"""Runs in Python: opened by any of their files, they answer as ``omniconv predict`` does."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import SMALL, classify_folder, save

import omniconv as oc
from omniconv.cli import main
from omniconv.errors import FileError, InputError


def pixels(path):
    with Image.open(path) as image:
        return np.array(image)


@pytest.mark.parametrize("run", ["segment_run", "sphere_run"])
def test_predictions_equal_the_files_of_the_command(run, request, segment_data, tmp_path):
    folder, photo = request.getfixturevalue(run).path, segment_data / "images/1.png"
    assert main(["predict", str(folder), str(photo), "--out", str(tmp_path), "--device", "cpu"]) == 0
    expected = pixels(tmp_path / "labels/1.png")
    opened, array = oc.open_run(folder, device="cpu"), pixels(photo)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    with Image.open(photo) as image:
        for same in (photo, str(photo), image, array, array / 255, tensor, tensor / 255):
            assert np.array_equal(opened.predict(same), expected)
    assert np.array_equal(oc.Predictor(opened, device="cpu")(array), expected)


def test_every_file_of_a_run_opens_it(segment_run, monkeypatch):
    for file in ("", "model.safetensors", "config.yaml", "metrics.csv", "checkpoints", "checkpoints/last.ckpt"):
        run = oc.open_run(segment_run.path / file)
        assert run.path == segment_run.path
    assert run.classes == ("class 0", "class 1")
    assert (run.config.task, len(run.metrics), run.evaluation["images"]) == ("segment", 2, 1)
    assert isinstance(run.network, oc.models.UNet)
    assert not run.network.training
    monkeypatch.chdir(segment_run.path / "checkpoints")
    assert oc.open_run("last.ckpt").path == segment_run.path


def test_a_model_file_alone_predicts(segment_run, segment_data, tmp_path):
    file = shutil.copy(segment_run.model, tmp_path / "mine.safetensors")
    run, photo = oc.open_run(file), segment_data / "images/0.png"
    assert np.array_equal(run.predict(photo), oc.open_run(segment_run.path).predict(photo))
    assert (run.metrics, run.evaluation) == ([], None)
    with pytest.raises(FileError, match="is not in a run, so its settings are not known"):
        run.config  # noqa: B018


@pytest.mark.parametrize(
    ("image", "rule"),
    [
        (np.zeros((1, 16, 32, 3), np.uint8), "give one image, without a batch axis"),
        (np.full((16, 32, 3), 209.0), "must be uint8 from 0 to 255, or floating point from 0 to 1"),
        (np.full((16, 32, 3), np.nan), "must be uint8"),
        (np.full((16, 32, 3), 7), "int64 from 7 to 7': must be uint8"),
        (torch.zeros(16, 32, 3), "must be a path, a Pillow image"),
        (3, "'int of shape"),
        (torch.zeros(3, 16, 32, device="meta"), "^image='strided tensor on meta': must be dense and have values"),
        (torch.zeros(3, 16, 32).to_sparse(), "^image='sparse_coo tensor on cpu': must be dense"),
        (np.zeros((1, 32, 3), np.uint8), r"^image='ndarray of shape \(1, 32, 3\)': must have at least 2 rows"),
    ],
)
def test_other_images_are_refused(segment_run, image, rule):
    with pytest.raises(InputError, match=rule):
        oc.open_run(segment_run.path, device="cpu").predict(image)


def test_paths_that_are_no_run(tmp_path, segment_run, segment_data):
    with pytest.raises(FileError, match="does not exist; give the folder of a run"):
        oc.open_run(tmp_path / "none")
    with pytest.raises(FileError, match=r"has no config\.yaml, so it is not a run"):
        oc.open_run(segment_data / "images/0.png")
    with pytest.raises(FileError, match=r"is a folder; give its model\.safetensors, or use oc\.open_run\("):
        oc.load(segment_run.path)
    with pytest.raises(InputError, match="device='gpu': is not available"):
        oc.open_run(segment_run.path, device="gpu")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"task": None}, "^task=None: must be one of .*classify.*; use task='segment'"),
        ({"task": ""}, "^task='': must be one of"),
        ({"data": ["a"]}, r"^data=\['a'\]: must be a string or a path"),
        ({"out": 3}, "^out=3: must be a string or a path"),
        ({"out": "a\0"}, r"^a\\x00: holds a NUL character"),
    ],
)
def test_arguments_of_other_types_are_refused(classify_data, given, text):
    with pytest.raises(InputError, match=text):
        oc.train(**({"task": "classify", "data": classify_data} | SMALL | given))


def test_training_in_python(tmp_path):
    lines = []
    run = oc.train("classify", classify_folder(tmp_path / "data"), out=tmp_path / "run", log=lines.append, **SMALL)
    assert lines[0] == str(run.path)
    assert "model.safetensors" in {path.name for path in run.path.iterdir()}
    grey = save(tmp_path / "grey.png", np.full((16, 32), 200, np.uint8))
    probabilities = run.predict(pixels(grey))
    assert probabilities.shape == (2,)
    np.testing.assert_allclose(probabilities, run.predict(grey))
    np.testing.assert_allclose(probabilities.sum(), 1, rtol=1e-5)

"""Answers of ``oc.Predictor``: labels, probabilities, files and pictures of one prediction."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from tiny import picture

import omniconv as oc
from omniconv.cli import main
from omniconv.errors import FileError


def png(content):
    with Image.open(io.BytesIO(content)) as image:
        return np.array(image.convert("RGB"))


@pytest.mark.parametrize("run", ["segment_run", "sphere_run"])
def test_the_labels_are_the_most_probable_classes(run, request, segment_data):
    predictor = oc.Predictor(request.getfixturevalue(run).path, device="cpu")
    photo = segment_data / "images/1.png"
    answer = predictor(str(photo))
    assert (answer.name, answer.classes, answer.values) == ("1.png", ("class 0", "class 1"), None)
    assert np.array_equal(answer.labels, predictor.predict(photo))
    assert np.array_equal(np.asarray(answer), answer.labels)
    assert answer.probabilities.shape == (2, *answer.labels.shape)
    np.testing.assert_allclose(answer.probabilities.sum(0), 1, atol=1e-6)
    chosen = np.take_along_axis(answer.probabilities, answer.labels[None].astype(int), 0)
    assert (chosen >= answer.probabilities.max(0) - 1e-6).all()  # equal but for the rounding of the softmax
    assert png(answer._repr_png_()).ndim == 3


def test_an_answer_of_a_classifier(classify_run, classify_data, tmp_path):
    predictor = oc.Predictor(classify_run.path, device="cpu")
    first, second = predictor([classify_data / "dark/0.png", picture(3, 16, 32)[0]])
    assert (first.name, second.name) == ("0.png", "image")
    assert np.array_equal(first.probabilities, predictor.predict(classify_data / "dark/0.png"))
    assert first.labels.shape == ()
    assert first.labels == first.probabilities.argmax()
    table = second.save(tmp_path / "out")[0]
    assert table.read_text().splitlines()[1].startswith("image,")
    assert png(second._repr_png_()).size
    with pytest.raises(FileError, match=r"cannot hold a prediction of the task classify; give a \.npy file, or a fold"):
        second.save(tmp_path / "a.png")


def test_files_of_an_answer_are_those_of_the_command(segment_run, segment_data, tmp_path):
    photo = segment_data / "images/1.png"
    assert main(["predict", str(segment_run.path), str(photo), "--out", str(tmp_path / "a"), "--device", "cpu"]) == 0
    answer = oc.Predictor(segment_run.path, device="cpu")(photo)
    answer.save(tmp_path / "b")
    answer.save(tmp_path / "1.png")
    answer.save(tmp_path / "1.npy")
    labels = (tmp_path / "a/labels/1.png").read_bytes()
    assert labels == (tmp_path / "b/labels/1.png").read_bytes() == (tmp_path / "1.png").read_bytes()
    assert (tmp_path / "a/overlays/1.png").read_bytes() == (tmp_path / "b/overlays/1.png").read_bytes()
    assert np.array_equal(np.load(tmp_path / "1.npy"), answer.labels)
    with pytest.raises(FileError, match=r"1\.jpg: cannot hold a prediction of the task segment; give a \.png or \.npy"):
        answer.save(tmp_path / "1.jpg")

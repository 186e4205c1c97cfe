from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import cut, picture, save, trained

import omniconv as oc
from omniconv.errors import FileError, InputError
from omniconv.inference.predictor import Predictor, choose_device
from omniconv.models import UNet


def opened(run):
    return Predictor.open(run.path, "cpu")


@pytest.fixture(scope="module")
def mesh_run(tmp_path_factory, segment_data):
    return trained(tmp_path_factory.mktemp("run") / "mesh", "segment", segment_data, surface="icosphere:2")


@pytest.mark.parametrize("size", [(16, 32), (17, 33), (9, 40), (64, 31), (2, 2)])
@pytest.mark.parametrize("name", ["segment_run", "sphere_run", "mesh_run"])
def test_labels_have_the_size_of_the_file(request, tmp_path, name, size):
    predictor = opened(request.getfixturevalue(name))
    labels = predictor.predict(save(tmp_path / "a.png", picture(3, *size)[0]))
    assert labels.shape == size
    assert labels.dtype == np.uint8
    assert set(np.unique(labels)) <= {0, 1}


def test_predictions_follow_the_exif_orientation(segment_run, tmp_path):
    upright = Path(save(tmp_path / "upright.png", picture(3)[0]))
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(picture(3)[0], 1))).save(tmp_path / "side.png", exif=exif)
    predictor = opened(segment_run)
    assert np.array_equal(predictor.predict(upright), predictor.predict(tmp_path / "side.png"))


def test_probabilities(classify_run, classify_data):
    predictor = opened(classify_run)
    found = predictor.predict(classify_data / "dark/0.png")
    assert predictor.classes == ("bright", "dark")
    assert found.shape == (2,)
    assert found.sum() == pytest.approx(1, abs=1e-6)
    assert found.min() >= 0


@pytest.mark.parametrize("scale", [1, 2])
def test_a_turned_panorama_gives_turned_labels(sphere_run, tmp_path, scale):
    predictor = opened(sphere_run)
    image = picture(1, 16 * scale, 32 * scale)[0]
    labels = predictor.predict(save(tmp_path / "a.png", image))
    assert 0.05 < labels.mean() < 0.95
    for columns in (2, 10, 16, 30):
        turned = save(tmp_path / "b.png", np.roll(image, columns * scale, axis=1))
        assert np.array_equal(predictor.predict(turned), np.roll(labels, columns * scale, axis=1))


def test_labels_are_those_of_the_largest_logits(segment_run):
    predictor = opened(segment_run)
    logits = torch.randn(5, 16, 32, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(predictor.task.predict(logits, (16, 32), predictor.preprocessing), logits.argmax(0).numpy())


def test_enlarged_labels_come_from_enlarged_logits(segment_run):
    logits = torch.zeros(2, 16, 32)
    logits[1, :, 16:] = 1
    logits[0, :, :16] = 1
    predictor = opened(segment_run)
    labels = predictor.task.predict(logits, (48, 96), predictor.preprocessing)
    assert np.array_equal(labels, np.broadcast_to(np.arange(96) >= 48, (48, 96)))


def test_a_file_of_weights_is_enough(segment_run, segment_data, tmp_path):
    alone = Path(shutil.copy(segment_run.model, tmp_path / "some.safetensors"))
    image = segment_data / "images/0.png"
    assert np.array_equal(Predictor.open(alone, "cpu").predict(image), opened(segment_run).predict(image))


def test_the_same_twice(segment_run, segment_data):
    predictor = opened(segment_run)
    first, second = (predictor.predict(segment_data / "images/0.png") for _ in range(2))
    assert np.array_equal(first, second)


def test_no_network_yet(segment_run, tmp_path):
    shutil.copy(segment_run.config, tmp_path / "config.yaml")
    with pytest.raises(FileError, match=r"has no trained network yet; train it: omniconv train --resume "):
        Predictor.open(tmp_path)


def test_a_network_cut_in_half(segment_run, tmp_path):
    alone = cut(Path(shutil.copy(segment_run.model, tmp_path / "model.safetensors")))
    with pytest.raises(FileError, match="is damaged or not a safetensors file"):
        Predictor.open(alone)


def test_a_network_without_preprocessing(tmp_path):
    oc.save(UNet(3, 2, width=2, depth=1), tmp_path / "bare.safetensors")
    with pytest.raises(InputError, match=r"model='UNet': was saved without its preprocessing"):
        Predictor.open(tmp_path / "bare.safetensors", "cpu")


def test_a_network_that_knows_only_the_normalization_of_its_weights():
    network = UNet(3, 2, width=2, depth=1)
    network.input_normalization = {"mean": [0.5] * 3, "std": [0.25] * 3}
    with pytest.raises(InputError, match=r"use the model.safetensors of a run, or train it from its weights"):
        Predictor(network, "cpu")


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("size", [10**6, 10**6]), ("size", [16.5, 32]), ("size", [16]), ("size", "16x32"),
        ("mean", [0.5, float("nan"), 1]), ("spread", [0.1, 0, 0.1]), ("spread", [0.1, 10**400, 0.1]),
        ("surface", "icosphere:9"), ("surface", 3),
    ],
)  # fmt: skip
def test_preprocessing_out_of_range_raises(segment_run, part, value):
    model = oc.load(segment_run.model)
    model.preprocessing["preparation"][part] = value
    with pytest.raises(
        InputError, match=r"preprocessing=.*: was not written by a training run \(.*\); copy the file"
    ) as error:
        Predictor(model, "cpu")
    assert "\n" not in str(error.value)


def test_preprocessing_of_another_type_raises(segment_run):
    model = oc.load(segment_run.model)
    model.preprocessing["preparation"] = []
    with pytest.raises(InputError, match="was not written by a training run"):
        Predictor(model, "cpu")


def test_outputs_that_are_not_finite_raise(segment_run, segment_data):
    model = oc.load(segment_run.model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1e30)  # finite, but a product of two is not
    with pytest.raises(InputError, match="model='UNet': returns NaN or infinity; train it again"):
        Predictor(model, "cpu").predict(segment_data / "images" / "0.png")


def test_devices(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    assert choose_device("auto").type == choose_device("cpu").type == "cpu"
    for name in ("cuda", "mps", "tpu"):
        with pytest.raises(InputError, match=rf"device='{name}': is not available; use device='auto' or device='cpu'"):
            choose_device(name)

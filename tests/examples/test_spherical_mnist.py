"""Spherical MNIST example: projection, file formats, training and command line."""

from __future__ import annotations

import gzip
import json
import math
import re

import numpy as np
import pytest
import torch

import omniconv as oc
from examples.spherical_mnist import __main__ as program
from examples.spherical_mnist import data, figure, network, projection, results, training
from omniconv.errors import FileError

CENTRE = np.array([0, -1.0, 0])  # of the digit


def slow_value(image, direction):
    """Value of an image in one direction, by the steps of the published code."""
    x, y, z = direction
    across, up, ahead = x, z, -y  # turned by a quarter about x
    row = (math.atan2(ahead, math.hypot(across, up)) + math.pi / 2) / (math.pi / 119)
    column = (math.atan2(up, across) + math.pi) / (2 * math.pi / 120)
    first, left = min(int(row), 118), int(column)
    total = 0.0
    for line, share in ((first, first + 1 - row), (first + 1, row - first)):
        for place, part in ((left, left + 1 - column), (left + 1, column - left)):
            total += share * part * slow_grid_value(image, line, place % 120)
    return total


def slow_grid_value(image, row, column):
    colatitude, azimuth = row * math.pi / 120, column * math.pi / 60
    x, y = math.sin(colatitude) * math.cos(azimuth), math.sin(colatitude) * math.sin(azimuth)
    z = math.cos(colatitude) + 1  # the sphere stands on the plane
    ray = -z / (z - 2.001)
    down, right = (28 * (ray * each + each + 1.5) / 3 for each in (x, y))
    top, left = int(down), int(right)
    total = 0.0
    for line, share in ((top - 1, top + 1 - down), (top + 1, down - top + 1)):
        for place, part in ((left - 1, left + 1 - right), (left + 1, right - left + 1)):
            if 0 <= line < 28 and 0 <= place < 28:
                total += share * part * image[line, place]
    return total


def angles_from_the_digit(surface):
    return np.degrees(np.arccos(np.clip(surface.directions() @ CENTRE, -1, 1)))


def test_network_has_the_published_number_of_parameters():
    assert network.parameter_count(network.DigitClassifier(oc.Icosphere(4))) == results.PUBLISHED_PARAMETERS == 61658


def test_projection_equals_the_published_steps():
    surface, image = oc.Icosphere(3), np.random.default_rng(0).uniform(size=(28, 28))
    found = projection.vertices_from_pixels(surface.directions()) @ image.ravel()
    wanted = [slow_value(image, direction) for direction in surface.directions()]
    np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_projection_ends_at_the_border_of_the_digit():
    surface = oc.Icosphere(4)
    seen = projection.vertices_from_pixels(surface.directions()).sum(axis=1)
    angles = angles_from_the_digit(surface)
    np.testing.assert_allclose(seen[angles < 68], 4, rtol=1e-9)  # 2 · atan(0.75) = 73.7 degrees along an axis
    assert (seen[(angles > 103) & (angles < 179)] == 0).all()  # 93.4 degrees at the corners, and two pixels more
    assert seen[angles > 179] == pytest.approx(4)  # the ray through the pole itself hits the middle of the digit


def test_top_of_the_digit_points_east_and_it_is_not_mirrored():
    surface = oc.Icosphere(4)
    image = np.zeros((28, 28), np.uint8)
    image[3:8, 12:16] = 255  # above the middle: to the east, seen from outside
    image[18:20, 18:20] = 120  # below and to the right of it: to the west and to the south
    signal = projection.Projection(surface)(image[None])[0, 0].numpy()
    signal[angles_from_the_digit(surface) > 179] = signal.min()
    brightest = surface.directions()[signal.argmax()]
    assert brightest[0] > 0.5
    assert abs(brightest[2]) < 0.2
    grey = (signal > signal.min() + 0.2) & (surface.directions()[:, 0] < 0)
    assert (surface.directions()[grey][:, 2] < 0).all()
    assert grey.sum() > 5


def test_signals_are_normalized_by_their_own_maximum():
    project = projection.Projection(oc.Icosphere(2))
    images = np.random.default_rng(0).integers(0, 50, (3, 28, 28)).astype(np.uint8)
    signals = project(images)
    assert signals.shape == (3, 1, 162)
    assert signals.dtype == torch.float32
    torch.testing.assert_close(signals.amax((1, 2)), torch.full((3,), (1 - 0.1307) / 0.3081))
    torch.testing.assert_close(project(4 * images), signals)
    assert project(np.zeros((1, 28, 28), np.uint8)).isfinite().all()


def synthetic(count, seed=0):
    """Pictures with a bright bar in one of ten rows: easy to read."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 10, count)
    images = generator.integers(0, 40, (count, 28, 28)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 + 2 * label : 6 + 2 * label] = 255
    return data.Digits(images, labels)


def write_npz(folder, train=64, test=32):
    for part, count in (("train", train), ("test", test)):
        digits = synthetic(count)
        np.savez(folder / f"mnist_{part}.npz", x=digits.images, y=digits.labels.astype(np.uint8))


def idx_bytes(array):
    head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return head + array.astype(np.uint8).tobytes()


def write_idx(folder, zipped, dotted):
    for part, count in (("train", 20), ("t10k", 10)):
        digits = synthetic(count)
        for kind, array in (("images-idx3", digits.images), ("labels-idx1", digits.labels)):
            name = f"{part}-{kind.replace('-', '.') if dotted else kind}-ubyte"
            content = idx_bytes(array)
            (folder / f"{name}{'.gz' * zipped}").write_bytes(gzip.compress(content) if zipped else content)


@pytest.mark.parametrize(("zipped", "dotted"), [(False, False), (True, False), (False, True)])
def test_idx_files_are_read(tmp_path, zipped, dotted):
    write_idx(tmp_path, zipped, dotted)
    train, test = data.load(tmp_path)
    assert (len(train), len(test)) == (20, 10)
    np.testing.assert_array_equal(train.images, synthetic(20).images)
    np.testing.assert_array_equal(test.labels, synthetic(10).labels)
    assert train.first(5).images.shape == (5, 28, 28)


def test_npz_files_are_read(tmp_path):
    write_npz(tmp_path)
    train, test = data.load(tmp_path)
    assert (len(train), len(test)) == (64, 32)
    np.testing.assert_array_equal(train.images, synthetic(64).images)
    assert train.labels.dtype == np.int64


def test_digits_of_scikit_learn():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    train, test = data.load(None)
    assert (len(train), len(test)) == (1437, 360)
    assert train.images.shape == (1437, 28, 28)
    assert set(test.labels) == set(range(10))
    assert train.images.dtype == np.uint8
    assert (train.images[:, :4] == 0).all()
    assert train.images.max() == 255


def damaged(folder, name, content):
    write_idx(folder, False, False)
    (folder / name).write_bytes(content)


def zipped_badly(folder):
    write_idx(folder, True, False)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"no gzip")


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda folder: None, "has no train-images-idx3-ubyte, nor .npz files; give a folder with mnist_train.npz"),
        (
            lambda folder: damaged(folder, "t10k-images-idx3-ubyte", b"\0\0\x08\3"),
            "is not a complete idx file",
        ),
        (lambda folder: damaged(folder, "t10k-images-idx3-ubyte", b""), "is not a complete idx file"),
        (
            lambda folder: damaged(folder, "t10k-labels-idx1-ubyte", idx_bytes(np.zeros(3))),
            "and labels (3,), not uint8 (n, 28, 28)",
        ),
        (lambda folder: damaged(folder, "t10k-labels-idx1-ubyte", idx_bytes(np.full(10, 11))), "are not 0 to 9"),
        (lambda folder: zipped_badly(folder), "cannot be read; download it"),
        (
            lambda folder: (folder / "mnist_train.npz").write_bytes(b"no zip"),
            "is not an npz file with the arrays",
        ),
        (lambda folder: np.savez(folder / "mnist_train.npz", z=1), "is not an npz file with the arrays"),
        (lambda folder: np.savez(folder / "mnist_train.npz", x=np.zeros((2, 8, 8)), y=np.zeros(2)), "not uint8"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, spoil, text):
    spoil(tmp_path)
    with pytest.raises(FileError, match=re.escape(text)) as caught:
        data.load(tmp_path)
    assert "\n" not in str(caught.value)


def fitted(train, test, epochs, halving=False):
    torch.manual_seed(0)
    surface = oc.Icosphere(3)
    recipe = training.Recipe(epochs, batch_size=32, halving=halving)
    classifier = network.DigitClassifier(surface, channels=4)
    found = training.Training(classifier, projection.Projection(surface), recipe, torch.device("cpu"))
    return found.fit(train, test, lambda epoch: None)


def test_network_learns():
    found = fitted(synthetic(400), synthetic(100, seed=1), epochs=3)
    last = found.epochs[-1]
    assert last.test > 0.4, found.epochs
    assert last.test == (found.predictions == synthetic(100, seed=1).labels).mean()
    assert last.loss < found.epochs[0].loss
    assert 0 < found.step_seconds < last.seconds


def test_training_is_repeatable():
    first, second = (fitted(synthetic(64), synthetic(16), 1) for _ in range(2))
    assert [epoch.loss for epoch in first.epochs] == [epoch.loss for epoch in second.epochs]
    np.testing.assert_array_equal(first.predictions, second.predictions)


def test_learning_rate_schedules():
    published, ours = training.Recipe(100, halving=True), training.Recipe(4)
    assert [published.factor(done) for done in (0, 9.9, 10, 25)] == [1, 1, 0.5, 0.25]
    assert [round(ours.factor(done), 6) for done in (0, 2, 4)] == [1, 0.5, 0]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--epochs", "0"], "Invalid value for '--epochs'"),
        (["--lr", "0"], "Invalid value for '--lr'"),
        (["--laplacian", "flat"], "Invalid value for '--laplacian'"),
        (["--data", "nowhere"], "Directory 'nowhere' does not exist"),
        (["--data", "."], "has no train-images-idx3-ubyte, nor .npz files"),
        (["--speed", "9"], "No such option"),
    ],
)
def test_wrong_options_are_one_line(words, text, capsys, here):
    assert program.main(words) == 2
    told = capsys.readouterr()
    assert not told.out
    assert told.err.count("\n") == 1
    assert text in told.err


def test_batch_larger_than_the_data_is_refused(tmp_path, capsys):
    write_npz(tmp_path)
    assert program.main(["--data", str(tmp_path), "--batch", "100"]) == 2
    assert "--batch 100: there are 64 training digits" in capsys.readouterr().err


def test_command_writes_results_and_keeps_those_of_the_other_laplacian(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(program, "LEVEL", 2)
    monkeypatch.setattr(figure, "LEVEL", 2)
    monkeypatch.setattr(figure, "PANORAMA_HEIGHT", 32)
    monkeypatch.setattr(figure, "SIZE", 32)
    write_npz(tmp_path)
    words = ["--data", str(tmp_path), "--batch", "16", "--epochs", "1", "--out", str(tmp_path / "found")]
    for laplacian in ("raw", "mass", "raw"):
        assert program.main([*words, "--laplacian", laplacian]) == 0
    found = json.loads((tmp_path / "found/results.json").read_text())
    assert [each["laplacian"] for each in found] == ["mass", "raw"]
    assert all(each["parameters"] == 61658 and each["published"] == 0.9923 for each in found)
    assert len(found[0]["wrong"]) == round(32 * (1 - found[0]["accuracy"]))
    assert (tmp_path / "found/digits.png").read_bytes().startswith(b"\x89PNG")
    told = capsys.readouterr().out
    assert "61,658 parameters" in told
    assert "(published 99.23 %)" in told


def test_other_file_of_that_name_is_kept(tmp_path, capsys):
    write_npz(tmp_path)
    (tmp_path / "results.json").write_text('{"mine": 1}')
    assert program.main(["--data", str(tmp_path), "--batch", "16", "--out", str(tmp_path)]) == 2
    assert "is not a results file of this example" in capsys.readouterr().err
    assert (tmp_path / "results.json").read_text() == '{"mine": 1}'

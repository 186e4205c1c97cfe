from __future__ import annotations

import numpy as np
import pytest

from omniconv.errors import InputError
from omniconv.metrics import authenticity, copied_share, copies, nearest_images
from omniconv.surfaces import Equirectangular, Icosphere, Plane


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def slow_search(samples, training, weights, rolls):
    """Least weighted root mean squared difference over all rolls, pair by pair."""
    width = samples.shape[-1]
    moved = [np.roll(training, s, axis=-1) for s in (range(width) if rolls else [0])]
    differences = [((samples[:, None] - t[None]) ** 2).mean(2) for t in moved]
    return np.sqrt(np.min([(d * weights).sum((-2, -1)) for d in differences], axis=0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [12, 13])
@pytest.mark.parametrize("block", [copies.BLOCK_ELEMENTS, 100])
def test_panoramas_are_compared_over_all_rolls_by_area(monkeypatch, dtype, width, block):
    monkeypatch.setattr(copies, "BLOCK_ELEMENTS", block)
    samples, training = normal(5, 2, 6, width), normal(7, 2, 6, width, seed=1)
    training += 50
    samples += 50
    areas = Equirectangular().areas((6, width))
    expected = np.sort(slow_search(samples, training, areas / areas.sum(), rolls=True), axis=1)
    found = nearest_images(samples.astype(dtype), training.astype(dtype), Equirectangular())
    assert found.distance == pytest.approx(expected[:, 0], rel=1e-5)
    assert found.second == pytest.approx(expected[:, 1], rel=1e-5)


def test_flat_images_are_compared_as_they_are():
    samples, training = normal(5, 2, 6, 6), normal(7, 2, 6, 6, seed=1)
    expected = slow_search(samples, training, 1 / 36, rolls=False)
    found = nearest_images(samples, training)
    assert found.indices.tolist() == expected.argmin(1).tolist()
    assert found.distance == pytest.approx(expected.min(1), rel=1e-9)
    assert not found.roll.any()


def test_rolled_copies_are_found_with_their_roll():
    training = normal(9, 1, 8, 16).astype("float32")
    samples = np.stack([np.roll(training[i], 3 * i, axis=-1) for i in range(4)])
    found = nearest_images(samples, training, Equirectangular())
    assert found.indices.tolist() == [0, 1, 2, 3]
    assert found.roll.tolist() == [0, 3, 6, 9]
    assert found.distance == pytest.approx(0, abs=1e-6)
    assert copied_share(found) == pytest.approx(1)
    assert nearest_images(samples, training, Equirectangular(), rolls=False).distance[1:].min() > 0.5


def test_distances_on_panoramas_do_not_change_with_the_yaw():
    samples, training = normal(4, 1, 8, 16), normal(6, 1, 8, 16, seed=1)
    one = nearest_images(samples, training, Equirectangular())
    turned = nearest_images(np.roll(samples, 5, axis=-1), training, Equirectangular())
    assert turned.indices.tolist() == one.indices.tolist()
    assert turned.distance == pytest.approx(one.distance, rel=1e-9)
    assert ((turned.roll - one.roll) % 16).tolist() == [5] * 4


def test_images_on_meshes_are_weighted_by_area():
    surface = Icosphere(1)
    samples, training = normal(3, 2, 42), normal(5, 2, 42, seed=1)
    weights = surface.areas() / surface.areas().sum()
    expected = np.sqrt((((samples[:, None] - training[None]) ** 2).mean(2) * weights).sum(-1))
    assert nearest_images(samples, training, surface).distance == pytest.approx(expected.min(1), rel=1e-9)


def test_authenticity_equals_its_definition():
    samples, training = normal(30, 1, 3, 3), normal(20, 1, 3, 3, seed=1)
    distance = lambda x, y: np.sqrt(((x[:, None] - y[None]) ** 2).sum((2, 3, 4)))  # noqa: E731
    among = distance(training, training) + np.diag(np.full(20, np.inf))
    across = distance(samples, training)
    expected = (across.min(1) > among.min(1)[across.argmin(1)]).mean()
    assert authenticity(samples, training) == pytest.approx(expected)


def test_copies_are_not_authentic_and_other_images_are():
    training = normal(30, 1, 8, 16)
    assert authenticity(np.roll(training[:9], 4, axis=-1) + 1e-3, training, Equirectangular()) == pytest.approx(0)
    assert authenticity(10 * training, training) == pytest.approx(1)


def test_duplicates_in_the_training_images_are_not_called_copies_by_the_ratio():
    training = np.repeat(normal(3, 1, 4, 4), 2, axis=0)
    found = nearest_images(training[:1], training)
    assert found.ratio == pytest.approx(1)
    assert np.isinf(nearest_images(training, training[:1]).second).all()


@pytest.mark.parametrize(
    ("samples", "training", "surface", "text"),
    [
        (np.zeros((2, 1, 4, 4)), np.zeros((2, 1, 4, 5)), Plane(), r"training=\(2, 1, 4, 5\): must end in \(1, 4, 4\)"),
        (np.zeros((0, 1, 4, 4)), np.zeros((2, 1, 4, 4)), Plane(), r"samples=\(0, 1, 4, 4\): must be \(n, channels"),
        (np.zeros((2, 1, 4, 4)), np.zeros((2, 1, 42)), Icosphere(1), r"samples=\(2, 1, 4, 4\): must be \(n, channels"),
        (np.full((2, 1, 4, 4), np.inf), np.zeros((2, 1, 4, 4)), Plane(), r"samples=.*has NaN or infinity"),
    ],
)
def test_wrong_images_are_refused(samples, training, surface, text):
    with pytest.raises(InputError, match=text):
        nearest_images(samples, training, surface)


def test_authenticity_needs_two_training_images():
    with pytest.raises(InputError, match=r"training=\(1, 1, 4, 4\): must have at least two images"):
        authenticity(np.zeros((2, 1, 4, 4)), np.zeros((1, 1, 4, 4)))

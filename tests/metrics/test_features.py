from __future__ import annotations

import numpy as np
import pytest
import torch

from omniconv.errors import FileError, InputError
from omniconv.metrics import FeatureNetwork, floor_halves, frechet_distance, train_features
from omniconv.models import Classifier, save
from omniconv.surfaces import Cubemap, Equirectangular, Healpix, Icosahedron, Icosphere, Plane

SURFACES = [
    (Plane(), (16, 16)),
    (Equirectangular(), (16, 32)),
    (Equirectangular(height=16, kernels="tangent"), (16, 32)),
    (Cubemap(8), (6, 8, 8)),
    (Healpix(4), (192,)),
    (Icosphere(2), (162,)),
    (Icosahedron(2), (5, 9, 5)),
]


def images(n=24, grid=(16, 16), channels=2, seed=0):
    """Two classes of noise, the second one brighter."""
    noise = np.random.default_rng(seed).normal(size=(n, channels, *grid))
    return (noise + 3 * (np.arange(n) % 2).reshape(-1, *[1] * (len(grid) + 1))).astype("float32")


@pytest.mark.parametrize(("surface", "grid"), SURFACES, ids=lambda value: str(value))
@pytest.mark.parametrize("labelled", [True, False])
def test_features_are_64_numbers_on_every_surface(surface, grid, labelled):
    grid = grid if surface.any_size else surface.shape
    x = images(grid=grid, n=8)
    network = train_features(x, surface, np.arange(8) % 2 if labelled else None, budget=1e6)
    assert network.kind == ("classifier" if labelled else "autoencoder")
    assert network(x).shape == (8, 64)
    assert np.isfinite(network(x)).all()


@pytest.mark.parametrize("labels", [None, np.arange(24) % 2])
def test_the_same_seed_gives_the_same_network_and_another_one_another(labels):
    one, again, other = (train_features(images(), labels=labels, seed=seed, budget=1e6) for seed in (0, 0, 1))
    assert one.hash == again.hash
    assert one.hash != other.hash
    assert one(images()) == pytest.approx(again(images()))


def test_few_images_are_read_at_most_100_times():
    assert train_features(images(n=2, grid=(8, 8))).settings["steps"] == 101


def test_random_numbers_of_the_caller_stay_as_they_are():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_features(images(n=4), budget=1e5)
    assert torch.equal(torch.rand(3), expected)


def test_classes_are_learnt_and_images_far_away_are_at_a_larger_distance():
    network = train_features(images(64, (8, 8)), labels=np.arange(64) % 2, budget=2e9)
    x = images(64, (8, 8), seed=1)
    assert (network.classify(x) == np.arange(64) % 2).mean() > 0.95
    floor = frechet_distance(*floor_halves(network(x)))
    assert frechet_distance(network(x), network(x + 6)) > 3 * floor


@pytest.mark.parametrize("labels", [None, np.arange(24) % 2])
def test_features_of_panoramas_do_not_change_with_the_yaw(labels):
    x = images(grid=(16, 32))
    network = train_features(x, Equirectangular(), labels, budget=1e6)
    assert network(np.roll(x, 12, axis=-1)) == pytest.approx(network(x), abs=1e-4)


def test_a_saved_network_has_the_same_features_and_hash(tmp_path):
    network = train_features(images(), budget=1e6)
    network.save(tmp_path / "features.safetensors")
    loaded = FeatureNetwork.load(tmp_path / "features.safetensors")
    assert loaded.hash == network.hash
    assert loaded.settings == network.settings
    assert loaded(images()) == pytest.approx(network(images()))


def test_features_do_not_depend_on_the_batch_or_on_training_mode():
    network = train_features(images(), budget=1e6)
    network.network.train()
    assert network(images())[:3] == pytest.approx(network(images()[:3]), abs=1e-5)
    assert network.network.training


def test_constant_images_and_labels_of_one_class_are_accepted():
    network = train_features(np.ones((4, 1, 16, 16)), labels=np.zeros(4, dtype=int), budget=1e5)
    assert network.kind == "autoencoder"
    assert np.isfinite(network(np.ones((4, 1, 16, 16)))).all()


def test_wrong_input_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"images=\(1, 2, 16, 16\): must be at least two images"):
        train_features(images(1))
    with pytest.raises(InputError, match=r"labels=\(3,\): must be 4 whole numbers from 0"):
        train_features(images(4), labels=[0, 1, 0])
    with pytest.raises(InputError, match="budget=0: must be above 0"):
        train_features(images(4), budget=0)
    with pytest.raises(InputError, match=r"network=.Classifier.: must be a network of train_features"):
        FeatureNetwork(Classifier(1, 2, width=4, depth=1))
    with pytest.raises(InputError, match=r"network=.autoencoder.: knows no classes"):
        train_features(images(4), budget=1e5).classify(images(4))
    save(Classifier(1, 2, width=4, depth=1), tmp_path / "other.safetensors")
    with pytest.raises(FileError, match="has no network for features"):
        FeatureNetwork.load(tmp_path / "other.safetensors")

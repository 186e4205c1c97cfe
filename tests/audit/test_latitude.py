"""Quality by latitude: errors count in their own band, pixels with their area."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from panoramas import convolution, waves
from torch import nn

from omniconv.audit import by_latitude
from omniconv.audit.latitude import band_edges, row_areas
from omniconv.errors import InputError


def labels(count=2, height=24, width=48, classes=3, seed=0):
    return np.random.default_rng(seed).integers(classes, size=(count, height, width))


@pytest.mark.parametrize("edges", [[90, -90], [90, 60, 30, -12.5, -90], [33.3, 1, -70]])
@pytest.mark.parametrize("height", [1, 2, 7, 24])
def test_areas_are_exact(edges, height):
    sines = np.sin(np.radians(edges))
    np.testing.assert_allclose(row_areas(height, edges).sum(axis=0), (sines[:-1] - sines[1:]) / 2, atol=1e-15)


@pytest.mark.parametrize("band", range(6))
def test_errors_count_in_their_own_band(band):
    truth = labels()
    wrong = truth.copy()
    wrong[:, 4 * band : 4 * band + 4] = (truth[:, 4 * band : 4 * band + 4] + 1) % 3
    found = by_latitude(wrong, truth, bands=6)
    for name in ("accuracy", "iou"):
        assert found.measures[name] == pytest.approx([float(place != band) for place in range(6)])
    assert found.areas == pytest.approx([1.0] * 6)


def test_accuracy_is_weighted_by_area():
    truth = np.zeros((1, 8, 16), int)
    predicted = truth.copy()
    predicted[:, 0] = 1
    found = by_latitude(predicted, truth, bands=[90, 0, -90])
    shares = row_areas(8, [90, 0, -90])
    assert found.measures["accuracy"] == pytest.approx((1 - shares[0, 0] / shares[:, 0].sum(), 1))


def test_row_cut_by_an_edge_counts_in_both_bands():
    truth = np.zeros((1, 2, 4), int)
    found = by_latitude(truth + np.array([[[1], [0]]]), truth, bands=[90, 30, -30, -90])
    assert found.measures["accuracy"] == pytest.approx((0, 0.5, 1))


def test_ignored_pixels():
    truth = labels()
    truth[:, :4], truth[:, 4:8, ::2] = 255, 255
    found = by_latitude(np.where(truth == 255, 0, truth), truth, bands=6)
    assert np.isnan(found.measures["accuracy"][0])
    assert found.measures["accuracy"][1:] == pytest.approx([1.0] * 5)
    assert found.areas == pytest.approx((0.0, 0.5, 1.0, 1.0, 1.0, 1.0))


def test_values_have_an_rmse():
    truth = np.random.default_rng(0).normal(size=(2, 12, 24))
    predicted = truth.copy()
    predicted[:, :2] += 3.0
    truth[0, -2:] = np.nan
    found = by_latitude(predicted, truth, bands=6)
    assert found.measures["rmse"] == pytest.approx((3, 0, 0, 0, 0, 0))
    assert found.areas == pytest.approx((1, 1, 1, 1, 1, 0.5))
    assert found.main == "rmse"


def test_scores_are_resized_to_the_truth():
    scores = np.zeros((1, 2, 6, 12))
    scores[:, 0], scores[:, 1, :3] = 0.5, 1
    truth = np.repeat([1, 0], 12)[None, :, None] * np.ones((1, 1, 48), int)
    found = by_latitude(scores, truth.astype(np.int64), bands=2)
    assert found.measures["accuracy"] == pytest.approx((1, 1))


def test_network_is_measured_on_panoramas():
    images = waves(height=24, width=48)
    network = convolution(outputs=3)
    with torch.no_grad():
        own = network(torch.from_numpy(images)).argmax(1).numpy()
    assert by_latitude(network, own, images).measures["accuracy"] == pytest.approx([1.0] * 12)
    below = nn.Sequential(nn.Conv2d(3, 1, 1))
    with torch.no_grad():
        above = (below(torch.from_numpy(images))[:, 0] > 0).long()
    assert by_latitude(below, above, images).measures["accuracy"] == pytest.approx([1.0] * 12)


@pytest.mark.parametrize("bands", [0, True, [90], [90, 91], [10, 10], "many", None])
def test_unusable_bands_are_refused(bands):
    with pytest.raises(InputError, match=r"bands=.*must be a number from 1, or two or more different latitudes"):
        band_edges(bands)


def test_bands_have_names():
    found = by_latitude(labels(), labels(), bands=[-90, -10, 20, 90])
    assert found.names == ["90° to 20° N", "20° N to 10° S", "10° to 90° S"]


@pytest.mark.parametrize(
    ("prediction", "truth", "text"),
    [
        (labels(), None, "truth=None: is needed to measure predictions"),
        (labels(), labels()[0], "truth=.*must be integer classes \\(B, H, W\\)"),
        (labels().astype(float), labels(), "prediction=.*must be scores or values \\(B, K, H, W\\)"),
        (labels(3), labels(), "must be as many maps as the truth has, 2"),
        (np.zeros((2, 4, 1, 1)), labels(), "give one for each panorama, and maps, not vectors"),
        (np.zeros((2, 2, 24, 48)), labels(), "truth=2: must be a class of the predictions, 0 to 1"),
        (np.zeros((2, 2, 24, 48)), np.zeros((2, 3, 24, 48)), "must have the channels of the truth, 3"),
        (labels() - 1, labels(), "must be classes from 0"),
    ],
)
def test_mismatched_arguments_are_refused(prediction, truth, text):
    with pytest.raises(InputError, match=text):
        by_latitude(prediction, truth)

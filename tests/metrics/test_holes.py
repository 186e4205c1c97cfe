"""Measures of filled holes: l1, PSNR and SSIM against direct formulas, by area, by blocks of rows."""

import math

import numpy as np
import pytest
import torch

from omniconv.data import images
from omniconv.metrics.holes import HoleMeasures, hole_l1, hole_share, measure_batch, measure_pictures, psnr, ssim
from omniconv.surfaces import Healpix, panorama


@pytest.fixture
def pair():
    random = np.random.default_rng(0)
    true = random.integers(0, 256, (20, 40, 3)).astype(np.uint8)
    hole = np.zeros((20, 40), bool)
    hole[3:9, 5:30] = True
    filled = np.where(hole[..., None], random.integers(0, 256, true.shape).astype(np.uint8), true)
    return filled, true, hole


def test_pictures_are_measured_as_batches(pair):
    filled, true, hole = pair
    tensors = [torch.from_numpy(np.moveaxis(part, -1, 0) / 255)[None] for part in (filled, true)]
    share, measures = measure_pictures(filled, true, hole)
    expected_share, expected = measure_batch(*tensors, torch.from_numpy(hole)[None, None])
    assert torch.allclose(share.double(), expected_share)
    assert torch.allclose(measures[:, :2], expected[:, :2], rtol=1e-5)
    error = (filled.astype(float) - true) / 255
    assert share.item() == pytest.approx(hole.mean())
    assert measures[0, 0].item() == pytest.approx(np.abs(error[hole]).mean(), rel=1e-5)
    assert measures[0, 1].item() == pytest.approx(-10 * math.log10((error**2).mean()), rel=1e-5)


def test_blocks_of_rows_do_not_change_the_measures(pair, monkeypatch):
    areas = panorama.pixel_areas(20, 1)
    for wraps in (False, True):
        whole = measure_pictures(*pair, areas, wraps)
        monkeypatch.setattr(images, "BLOCK_PIXELS", 40 * 3 * 3)
        blocks = measure_pictures(*pair, areas, wraps)
        monkeypatch.undo()
        assert torch.allclose(whole[0], blocks[0])
        assert torch.allclose(whole[1], blocks[1], rtol=1e-6)


def test_on_a_sphere_samples_count_by_area(pair):
    filled, true, hole = pair
    areas = panorama.pixel_areas(20, 1)
    weights = np.broadcast_to(areas, hole.shape)
    share, measures = measure_pictures(filled, true, hole, areas)
    error = np.abs(filled.astype(float) - true).mean(-1) / 255
    assert share.item() == pytest.approx(weights[hole].sum() / weights.sum())
    assert measures[0, 0].item() == pytest.approx((weights * error)[hole].sum() / weights[hole].sum(), rel=1e-5)


def test_measures_of_a_panorama_do_not_change_with_a_roll(pair):
    areas = panorama.pixel_areas(20, 1)
    rolled = [np.roll(part, 13, axis=1) for part in pair]
    assert torch.allclose(measure_pictures(*pair, areas, True)[1], measure_pictures(*rolled, areas, True)[1], rtol=1e-6)


def test_samples_outside_of_an_image_do_not_count():
    true, surface = torch.rand(2, 3, 48), Healpix(2)
    hole, valid = torch.zeros(2, 1, 48, dtype=torch.bool), torch.ones(2, 1, 48, dtype=torch.bool)
    hole[..., :6], valid[..., 24:] = True, False
    filled = torch.where(hole | ~valid, 0, true)
    areas = torch.from_numpy(surface.areas())
    assert hole_share(hole, areas, valid).tolist() == pytest.approx([0.25, 0.25])
    inner = psnr(filled[..., :24], true[..., :24], areas[:24])
    assert torch.allclose(psnr(filled, true, areas, valid), inner)
    assert torch.isnan(hole_l1(true, true, hole & ~hole)).all()


def test_equal_images_have_100_decibels_and_similarity_1(pair):
    _, true, hole = pair
    measures = measure_pictures(true, true, hole)[1][0]
    assert measures.tolist() == pytest.approx([0, 100, 1])
    assert math.isnan(ssim(torch.rand(3, 8, 40), torch.rand(3, 8, 40)))


def test_means_by_share_leave_out_images_without_a_hole():
    measures = HoleMeasures()
    rows = [[0.1, 20, 0.9], [0.3, 30, math.nan], [math.nan, 100, 1], [0.2, 40, 0.5]]
    measures.update(torch.tensor([0.05, 0.55, 0.0, 1.0]), torch.tensor(rows, dtype=torch.float64))
    found = measures.compute()
    assert found["l1"] == pytest.approx(0.2)
    assert found["psnr"] == pytest.approx(30)
    assert found["ssim"] == pytest.approx(0.7)
    assert [part["images"] for part in found["by_share"]] == [1, 0, 0, 0, 0, 1, 0, 0, 0, 1]
    assert found["by_share"][5]["ssim"] is None
    assert (found["by_share"][5]["from"], found["by_share"][5]["to"]) == (50, 60)

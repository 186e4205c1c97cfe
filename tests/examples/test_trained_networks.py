"""The example of trained networks: its networks, and its measures."""

from __future__ import annotations

import numpy as np
import torch

import omniconv as oc
from examples.trained_networks.__main__ import psnr_by_place
from examples.trained_networks.networks import PNET_STRIDE, DnCNN, PNet


def test_networks_have_the_published_sizes():
    assert sum(parameter.numel() for parameter in DnCNN().parameters()) == 555_137
    assert sum(parameter.numel() for parameter in PNet().parameters()) == 6_632


@torch.no_grad()
def test_heat_map_rolls_with_the_panorama():
    network = oc.convert.to_equirectangular(PNet())
    x = torch.rand(1, 3, 16, 32)
    first, second = (network(image)["scores"] for image in (x, x.roll(3 * PNET_STRIDE, -1)))
    assert first.shape == (1, 2, 8, 16)
    torch.testing.assert_close(first.roll(3, -1), second)


def test_psnr_at_the_seam():
    true = np.zeros((4, 64), np.uint8)
    found = true + np.uint8(1)
    found[:, :8] = found[:, -8:] = 2
    measured = psnr_by_place([found], [true])
    assert measured["at the seam"] == round(20 * np.log10(255 / 2), 2)
    assert measured["elsewhere"] == round(20 * np.log10(255), 2)

from __future__ import annotations

from itertools import product

import pytest
import torch

import omniconv as oc
from omniconv.exporting import export
from omniconv.models import Classifier, Denoiser, UNet

DOWN, UP = ("stride", "max", "average"), ("linear", "transposed")
SURFACES = (
    oc.Plane(1), oc.Plane(), oc.Plane(border="reflect"), oc.Plane(border="circular"), oc.Equirectangular(),
    oc.Equirectangular("replicate"), oc.Icosphere(2), oc.Icosahedron(2), oc.Healpix(4), oc.Cubemap(8),
    oc.Equirectangular(height=8, kernels="tangent"), oc.Equirectangular(height=8, kernels="rows"),
)  # fmt: skip
ENDINGS = ("onnx", "pt2")


def exported(network, path):
    assert export(network, path).worst.relative_error < 1e-4
    return path


@pytest.mark.parametrize(
    ("surface", "given"),
    [
        pytest.param(oc.Equirectangular(), {"down": "max"}, marks=pytest.mark.slow),
        (oc.Plane(), {"down": "average", "up": "transposed"}),
        (oc.Icosphere(1), {"up": "transposed"}),
        (oc.Equirectangular(height=4, kernels="tangent"), {"down": "max"}),
        pytest.param(oc.Equirectangular(height=8, kernels="rows"), {"up": "transposed"}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_small_network(tmp_path, surface, given):
    torch.manual_seed(0)
    exported(UNet(3, 2, surface, width=2, depth=1, **given), tmp_path / "a.onnx")


def test_panorama_networks(tmp_path):
    torch.manual_seed(0)
    exported(UNet(3, 2, oc.Equirectangular(), width=2, depth=1), tmp_path / "a.pt2")
    exported(Classifier(3, 2, oc.Equirectangular(), width=2, depth=1), tmp_path / "a.onnx")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize("ending", ENDINGS)
def test_every_network_on_every_surface(tmp_path, surface, ending):
    torch.manual_seed(0)
    for down, up in product(DOWN, UP):
        exported(UNet(3, 2, surface, width=2, depth=2, down=down, up=up), tmp_path / f"{down}{up}.{ending}")
        exported(Classifier(3, 5, surface, width=2, depth=2, down=down), tmp_path / f"{down}{up}c.{ending}")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("surface", [oc.Plane(), oc.Equirectangular()], ids=str)
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_denoiser_on_blocks_of_samples_takes_odd_sizes(tmp_path, surface, ending):
    torch.manual_seed(0)
    network = Denoiser(2, surface, width=8, patch=2)
    torch.nn.init.normal_(network.network.last.conv.weight)  # the output of a new network is 0
    written = export(network, tmp_path / f"a.{ending}")
    assert any(size % 2 for one in written.differences for size in one.shape[2:])
    assert written.worst.relative_error < 1e-4


@pytest.mark.slow
def test_volumes(tmp_path):
    torch.manual_seed(0)
    for ending in ENDINGS:
        exported(UNet(1, 2, oc.Plane(3, border="circular"), width=2, depth=2), tmp_path / f"a.{ending}")


@pytest.mark.slow
def test_deeplab_on_panoramas_takes_any_size(tmp_path):
    network = oc.models.DeepLab(3, 2, oc.Equirectangular(), encoder="resnet18", width=4, channels=8)
    assert oc.export(network, tmp_path / "a.pt2").worst.relative_error < 1e-4

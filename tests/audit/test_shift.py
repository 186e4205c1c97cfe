"""Change when the seam is moved: none without border effects, else largest at the cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from panoramas import Constant, convolution, waves
from torch import nn

import omniconv as oc
from omniconv.audit import shift_error
from omniconv.audit.total_stride import total_stride
from omniconv.errors import InputError


def unet(surface, classes=3, depth=2):
    torch.manual_seed(0)
    return oc.models.UNet(3, classes, surface=surface, width=4, depth=depth)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("surface", [oc.Equirectangular(), oc.Equirectangular(height=16, kernels="tangent")], ids=str)
def test_equirectangular_network_has_no_seam(surface, depth):
    found = shift_error(unet(surface, depth=depth), waves())
    assert found.stride == 2**depth
    assert all(shift % found.stride == 0 for shift in found.exact.shifts)
    assert found.exact.difference.everywhere < 1e-5
    assert all(shift % found.stride for shift in found.between.shifts)
    assert found.between.difference.everywhere > 1e-4


@pytest.mark.parametrize("make", [lambda: unet(oc.Plane(), classes=1), lambda: convolution(outputs=1)])
def test_zero_padding_makes_a_seam(make):
    found = shift_error(make(), waves(height=32, width=64))
    curve = found.exact.difference
    assert found.exact.changed is None
    assert curve.everywhere > 1e-3
    assert curve.at_seam > 3 * curve.elsewhere
    assert curve.seam_share > 0.9
    assert curve.reach < 45


def test_one_convolution_changes_one_column():
    found = shift_error(convolution(outputs=1), waves(), stride=1)
    first, *others = found.exact.difference.by_distance
    assert first > 1e-3
    assert np.nanmax(others) < 1e-6
    assert found.between is None
    assert found.degrees[0] == pytest.approx(180 / 32)


def test_difference_equals_a_direct_computation():
    images, network = waves(count=1), convolution(outputs=1)
    found = shift_error(network, images, shifts=[10], stride=1)
    with torch.no_grad():
        upright, rolled = (network(torch.from_numpy(x)).double().numpy() for x in (images, np.roll(images, 10, -1)))
    areas = oc.Equirectangular().areas((16, 32)) / (4 * np.pi)
    squares = ((np.roll(rolled, -10, -1) - upright) ** 2)[0, 0]
    variance = (areas * (upright - (areas * upright).sum()) ** 2).sum()
    assert found.exact.difference.everywhere == pytest.approx(np.sqrt((areas * squares).sum() / variance))
    assert set(np.flatnonzero(squares.max(axis=0) > 1e-10)) == {0, 21, 22, 31}


def test_changed_classes_are_weighted_by_area():
    class Marks(nn.Module):
        def forward(self, x):
            mark = torch.zeros(1, 1, *x.shape[2:])
            mark[..., :4, 0] = 1
            return torch.cat([mark, 0.5 * torch.ones_like(mark)], 1)

    found = shift_error(Marks(), waves(count=1), shifts=[16], stride=1)
    areas = oc.Equirectangular().areas((16, 32))
    assert found.exact.changed.everywhere == pytest.approx(2 * areas[:4, 0].sum() / (4 * np.pi))


@pytest.mark.parametrize("network", [nn.Identity(), nn.Conv2d(3, 5, 1), Constant()])
def test_pointwise_networks_have_neither_seam_nor_stride(network):
    found = shift_error(network, waves())
    assert found.stride == 1
    assert found.between is None
    assert found.exact.difference.everywhere < 1e-6
    assert found.exact.difference.seam_share != found.exact.difference.seam_share or found.exact.changed is not None


@pytest.mark.parametrize(
    ("network", "stride"),
    [
        (nn.Sequential(convolution(stride=2), nn.MaxPool2d(2), nn.AvgPool2d(2)), 8),
        (nn.Sequential(convolution(stride=2), nn.Upsample(scale_factor=2)), 2),
        (nn.Sequential(convolution(), nn.AdaptiveAvgPool2d(2), nn.Flatten()), 1),
        (nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 4, 1), nn.PixelShuffle(2)), 2),
        (nn.Conv2d(3, 4, (1, 9), (1, 3), (0, 4)), 3),
        (lambda x: nn.functional.max_pool2d(x, 2), 2),
        (nn.Sequential(nn.Upsample(scale_factor=0.25), nn.Upsample(scale_factor=4)), 4),
        (oc.convert.to_tangent(nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 2, 3, 2, 1)), 16), 4),
        (nn.Sequential(unet(oc.Equirectangular(height=16, kernels="tangent"))), 4),
        (nn.Sequential(unet(oc.Equirectangular(height=16, kernels="rows"))), 4),
        (unet(oc.Plane(), depth=3), 8),
        (unet(oc.Icosphere(2)), None),
        (unet(oc.Cubemap(8)), None),
    ],
)
def test_total_stride(network, stride):
    assert total_stride(network, waves()[0]) == stride


def test_coarse_outputs_are_rolled_by_integer_columns():
    network = nn.Sequential(
        convolution("circular", stride=2), nn.ReLU(), nn.Conv2d(4, 1, 3, 2, 1, padding_mode="circular")
    )
    found = shift_error(network, waves())
    assert found.stride == 4
    assert found.exact.difference.everywhere < 1e-6
    assert found.between is None
    assert len(found.degrees) == 4
    with pytest.raises(InputError, match="whole numbers of columns, a multiple of 4 as the output's columns are"):
        shift_error(network, waves(), shifts=[2])


@pytest.mark.parametrize("surface", [oc.Icosphere(2), oc.Icosahedron(2), oc.Healpix(4), oc.Cubemap(8)], ids=str)
def test_networks_on_other_surfaces_take_panoramas(surface):
    found = shift_error(unet(surface, classes=1, depth=1), waves(count=1))
    assert found.exact is None
    assert found.stride is None
    assert found.seam is found.between
    assert np.isfinite(found.between.difference.everywhere)


def test_one_output_per_image():
    torch.manual_seed(0)
    found = shift_error(oc.models.Classifier(3, 4, width=4, depth=1), waves())
    assert found.degrees == ()
    assert found.exact.difference.everywhere > 0
    assert found.exact.difference.at_seam is None
    torch.manual_seed(0)
    spherical = oc.models.Classifier(3, 4, surface=oc.Equirectangular(), width=4, depth=1)
    assert shift_error(spherical, waves()).exact.difference.everywhere < 1e-5


def test_network_is_not_changed():
    network = nn.Sequential(convolution(), nn.BatchNorm2d(4), nn.Dropout())
    network[1].eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first, second = shift_error(network, waves()), shift_error(network, waves())
    assert repr(first) == repr(second)
    assert [part.training for part in network] == [True, False, True]
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"shifts": [32]}, "shifts=32: must be whole numbers of columns, not a multiple of 32"),
        ({"shifts": [1.5]}, "shifts=1.5: must be whole numbers of columns"),
        ({"shifts": []}, "must contain a roll for 32 columns"),
        ({"stride": 0}, "stride=0: must be a whole number from 1 to the width, 32"),
        ({"classes": "yes"}, "classes='yes': must be True, False or None"),
    ],
)
def test_unusable_arguments_are_refused(given, text):
    with pytest.raises(InputError, match=text):
        shift_error(convolution(), waves(), **given)


def test_output_that_lost_columns_is_refused():
    with pytest.raises(InputError, match="returns 30 columns for a panorama of 32: one must be a multiple"):
        shift_error(nn.Conv2d(3, 4, 3), waves())

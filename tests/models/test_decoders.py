from __future__ import annotations

import re
from functools import partial

import pytest
import torch
from model_battery import QUICK_SURFACES, ModelBattery

import omniconv as oc
from omniconv.errors import InputError
from omniconv.models import FPN, DeepLab, LinkNet, SegNet, UNet
from omniconv.surfaces import Cubemap, Equirectangular, Healpix, Icosahedron, Icosphere


class TestFPN(ModelBattery):
    quick_surfaces = QUICK_SURFACES

    @staticmethod
    def build(surface):
        return FPN(3, 2, surface, "plain", 4, width=4, pyramid_channels=8, head_channels=8, dropout=0.0)


class TestLinkNet(ModelBattery):
    quick_surfaces = QUICK_SURFACES

    @staticmethod
    def build(surface):
        return LinkNet(3, 2, surface, "plain", 4, width=4, head_channels=4)


class TestDeepLab(ModelBattery):
    quick_surfaces = QUICK_SURFACES

    @staticmethod
    def build(surface):
        options = {"rates": (1, 2), "separable": True, "channels": 8, "width": 4, "dropout": 0.0}
        return DeepLab(3, 2, surface, "plain", output_stride=4, **options)


class TestSegNet(ModelBattery):
    quick_surfaces = QUICK_SURFACES

    @staticmethod
    def build(surface):
        return SegNet(3, 2, surface, width=4, depth=2)


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("model", "arguments", "count"),
    [
        (FPN, {"encoder": "resnet18", "out_channels": 1}, 13_047_233),
        (FPN, {"encoder": "resnet34", "out_channels": 1}, 23_155_393),
        (FPN, {"encoder": "resnet50", "out_channels": 1}, 26_116_033),
        (LinkNet, {"out_channels": 21}, 11_535_957),
        (DeepLab, {"version": "v3", "output_stride": 8, "out_channels": 21}, 39_638_869),
        (DeepLab, {"out_channels": 21}, 39_761_845),
        (DeepLab, {"encoder": "resnet101", "out_channels": 21}, 58_753_973),
        (DeepLab, {"separable": True, "out_channels": 1}, 26_677_585),
        (DeepLab, {"encoder": "resnet18", "separable": True, "out_channels": 1}, 12_329_297),
        (DeepLab, {"encoder": "resnet18", "version": "v3", "out_channels": 1}, 15_898_945),
        (SegNet, {"out_channels": 11}, 29_449_355),
        (SegNet, {"out_channels": 21}, 29_455_125),
        (SegNet, {"basic": True, "out_channels": 11}, 1_416_587),
    ],
)
def test_published_networks_have_their_number_of_parameters(model, arguments, count):
    with torch.device("meta"):
        network = model(3, **arguments)
    assert parameters(network) == count


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_unet_on_a_resnet_has_its_number_of_parameters(name):
    counts = {"resnet18": 14_328_209, "resnet34": 24_436_369, "resnet50": 32_521_105}
    with torch.device("meta"):
        assert parameters(UNet(3, 1, encoder=name, head_kernel=3)) == counts[name]


ON_RESNET = {
    "unet": partial(UNet, width=4),
    "unet dilated": partial(UNet, width=4, output_stride=8),
    "unet transposed": partial(UNet, width=4, up="transposed"),
    "fpn": partial(FPN, width=4, pyramid_channels=8, head_channels=8),
    "linknet": partial(LinkNet, width=4, head_channels=4),
    "deeplab v3": partial(DeepLab, width=4, version="v3", channels=8, output_stride=8),
    "deeplab v3+": partial(DeepLab, width=4, channels=8, output_stride=16),
}
on_resnet = pytest.mark.parametrize("build", ON_RESNET.values(), ids=ON_RESNET)


@on_resnet
def test_networks_on_a_resnet_commute_with_rolls_by_their_total_stride(build):
    torch.manual_seed(0)
    network = build(3, 2, Equirectangular(), encoder="resnet18").double().eval()
    x = torch.randn(1, 3, 36, 64, dtype=torch.float64)
    with torch.no_grad():
        y = network(x)
        assert y.shape == (1, 2, 36, 64)
        turned = network(x.roll(network.total_stride, -1))
    torch.testing.assert_close(turned, y.roll(network.total_stride, -1), rtol=0, atol=1e-9 * float(y.abs().max()))


@on_resnet
@pytest.mark.parametrize("size", [(37, 51), (64, 32), (33, 33)])
def test_networks_on_a_resnet_take_any_size(build, size):
    network = build(3, 2, encoder="resnet18").eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, *size)).shape == (1, 2, *size)


SLOW_SPHERES = [pytest.param(surface, marks=pytest.mark.slow) for surface in (Icosahedron(2), Healpix(4), Cubemap(8))]


@pytest.mark.parametrize("surface", [Icosphere(2), *SLOW_SPHERES], ids=str)
@on_resnet
def test_networks_on_a_resnet_work_on_spheres(build, surface):
    network = build(3, 2, surface, encoder="resnet18", output_stride=4)
    y = network(torch.randn(2, 3, *surface.shape))
    assert y.shape == (2, 2, *surface.shape)
    y.square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("basic", [False, True])
@pytest.mark.parametrize("size", [(8, 16), (11, 16)])
def test_segnet_commutes_with_rolls_by_its_total_stride(basic, size):
    torch.manual_seed(0)
    network = SegNet(3, 2, Equirectangular(), width=4, depth=2, basic=basic).double().eval()
    x = torch.randn(1, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(x.roll(4, -1)), network(x).roll(4, -1), rtol=0, atol=1e-9)


def test_segnet_puts_values_where_the_maxima_were():
    network = SegNet(1, 1, width=1, depth=1, basic=True).eval()
    for layer in network.modules():  # identity but for the head and the pooling
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eps = 0.0
        if isinstance(layer, oc.nn.Conv):
            torch.nn.init.dirac_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
    x = torch.tensor([[1.0, 5.0, 2.0], [3.0, 4.0, 8.0], [6.0, 7.0, 9.0]])[None, None]
    wanted = torch.tensor([[0.0, 5.0, 0.0], [0.0, 0.0, 8.0], [0.0, 7.0, 9.0]])[None, None]
    with torch.no_grad():
        torch.testing.assert_close(network(x), wanted)


def test_published_rates_follow_the_output_stride():
    with torch.device("meta"):
        rates = {
            stride: [branch[0].dilation for branch in DeepLab(3, 2, width=4, output_stride=stride).pyramid.branches[1:]]
            for stride in (8, 16)
        }
    assert rates == {8: [12, 24, 36], 16: [6, 12, 18]}


@pytest.mark.parametrize(
    ("model", "arguments", "text"),
    [
        (DeepLab, {"version": "v2"}, "version='v2': must be one of v3, v3+"),
        (DeepLab, {"rates": ()}, "rates=(): must hold at least one dilation; use rates=(6, 12, 18)"),
        (DeepLab, {"output_stride": 5}, "output_stride=5: must be one of 4, 8, 16, 32"),
        (FPN, {"encoder": "resnet19"}, "encoder='resnet19': must be one of"),
        (FPN, {"dropout": 1.0}, "dropout=1.0: must be a number from 0 to below 1; use 0.1"),
        (FPN, {"pyramid_channels": 0}, "pyramid_channels=0: must be a whole number from 1"),
        (LinkNet, {"surface": Icosphere(3)}, "output_stride=32: needs 5 coarser levels"),
        (LinkNet, {"head_channels": 1.5}, "head_channels=1.5: must be a whole number from 1"),
        (SegNet, {"depth": 6}, "depth=6: must be at most 5; use depth=5"),
        (SegNet, {"surface": Icosphere(3)}, "depth=5: must be at most 3, the number of coarser levels"),
        (SegNet, {"basic": "yes"}, "basic='yes': must be"),
        (
            UNet,
            {"encoder": "resnet18", "depth": 3},
            "depth=3: is not an argument of the encoder resnet18; leave it out",
        ),
    ],
)
def test_wrong_arguments_raise(model, arguments, text):
    with pytest.raises(InputError, match=re.escape(text)):
        model(**{"in_channels": 3, "out_channels": 2, **arguments})

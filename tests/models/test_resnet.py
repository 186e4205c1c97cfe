from __future__ import annotations

import pytest
import torch
from model_battery import QUICK_SURFACES, ModelBattery, every_surface
from plain_resnet import PlainResNet, randomized

import omniconv as oc
from omniconv.errors import InputError
from omniconv.models import ResNet
from omniconv.models.encoders.registry import ENCODERS, make_encoder
from omniconv.models.encoders.resnet import LAYOUTS, ResNetEncoder
from omniconv.surfaces import Cubemap, Equirectangular, Healpix, Icosahedron, Icosphere, Plane

TORCHVISION_SHAPES = (
    Plane(), Plane(border="circular"), Equirectangular(), Equirectangular(height=32, kernels="tangent"), Cubemap(32),
)  # fmt: skip
"""Surfaces whose weights have the shapes of a flat network."""


REFLECTING = Plane(2, border="reflect")


class ResNetBattery(ModelBattery):
    quick_surfaces = (*QUICK_SURFACES, Icosahedron(2), Cubemap(8))
    layers = 18

    @classmethod
    def build(cls, surface):
        return ResNet(3, 2, surface, cls.layers, width=4, output_stride=4)

    def grid(self, surface, odd=False):
        """Reflection needs more than 8 samples at stride 4, the dilation of the last stage."""
        if surface == REFLECTING:
            return (45, 37) if odd else (40, 44)
        return super().grid(surface, odd)


class TestResNet(ResNetBattery):
    pass


@pytest.mark.slow  # 30 s; the other battery and the comparison with torch cover its parts
class TestBottleneckResNet(ResNetBattery):
    layers = 50


def reference(layers, width=4, output_stride=32, classes=2):
    block, depths = LAYOUTS[layers]
    return PlainResNet(3, classes, depths, block.expansion, width, output_stride)


@pytest.mark.parametrize(
    ("layers", "parameters", "keys"),
    [(18, 11_689_512, 122), (34, 21_797_672, 218), (50, 25_557_032, 320), (101, 44_549_160, 626)],
)
def test_published_number_of_parameters_and_keys(layers, parameters, keys):
    with torch.device("meta"):
        network = ResNet(3, 1000, layers=layers)
        encoder = make_encoder(f"resnet{layers}", 3, Plane())
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert len(network.state_dict()) == keys
    without_classes = parameters - (network.fc.in_features + 1) * 1000
    assert sum(parameter.numel() for parameter in encoder.parameters()) == without_classes


@pytest.mark.parametrize("layers", LAYOUTS)
@pytest.mark.parametrize("surface", TORCHVISION_SHAPES, ids=str)
def test_names_and_shapes_are_those_of_torchvision(surface, layers):
    with torch.device("meta"):
        network, flat = ResNet(3, 2, surface, layers, width=4), reference(layers)
    shapes = {key: value.shape for key, value in flat.state_dict().items()}
    assert {key: value.shape for key, value in network.state_dict().items()} == shapes


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("layers", [18, 50])
@pytest.mark.parametrize("size", [(64, 96), (45, 61)])
def test_on_a_plane_outputs_and_gradients_are_those_of_torch(layers, output_stride, size):
    flat = randomized(reference(layers, output_stride=output_stride)).double()
    network = ResNet(3, 2, Plane(), layers, 4, output_stride).double()
    network.load_state_dict(flat.state_dict(), strict=True)
    x = torch.randn(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for mode in (True, False):
        network.train(mode), flat.train(mode)
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        outputs = [one(of) for one, of in zip((network, flat), inputs, strict=True)]
        torch.testing.assert_close(*outputs, rtol=1e-9, atol=1e-9)
        for output in outputs:
            output.square().sum().backward()
        torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=1e-7, atol=1e-9)
        for (name, one), other in zip(network.named_parameters(), flat.parameters(), strict=True):
            scale = float(other.grad.abs().max())
            torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=1e-9 * max(scale, 1), msg=name)
        network.zero_grad(), flat.zero_grad()


@pytest.mark.parametrize("output_stride", [4, 8, 16, 32])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_signals_of_an_encoder_are_as_described(name, output_stride):
    encoder = make_encoder(name, 3, Plane(), output_stride, width=4).eval()
    signals = encoder(torch.zeros(1, 3, 64, 96))
    assert [signal.shape[1] for signal in signals] == encoder.channels
    assert [(64 // signal.shape[2], 96 // signal.shape[3]) for signal in signals] == [(s, s) for s in encoder.strides]
    assert encoder.strides == [min(stride, output_stride) for stride in (2, 4, 8, 16, 32)]
    assert encoder.total_stride == output_stride


@every_surface
def test_signals_are_on_the_surfaces_of_the_encoder(surface):
    encoder = ResNetEncoder(3, surface, width=4, output_stride=4).eval()
    with torch.no_grad():
        signals = encoder(torch.randn(1, 3, *ResNetBattery().grid(surface)))
    for signal, level in zip(signals, encoder.surfaces, strict=True):
        assert surface.any_size or signal.shape[2:] == level.shape


def test_plain_encoder_has_strides_too():
    encoder = make_encoder("plain", 3, Plane(), width=4, depth=2)
    assert encoder.strides == [1, 2, 4]
    assert [signal.shape[-1] for signal in encoder(torch.zeros(1, 3, 8, 8))] == [8, 4, 2]
    assert make_encoder("plain", 3, Plane(), 16).total_stride == 16


def test_dilated_stages_keep_every_weight():
    """Dilation replaces strides: a network of any output stride has the same parameters."""
    networks = [ResNet(3, 2, layers=50, width=4, output_stride=stride) for stride in (8, 16, 32)]
    assert len({tuple((k, v.shape) for k, v in network.state_dict().items()) for network in networks}) == 1


@pytest.mark.parametrize("poles", ["over", "zeros"])
def test_output_is_invariant_to_rolls_by_the_total_stride(poles):
    model = ResNet(2, 3, Equirectangular(poles), width=4, output_stride=8).double()
    x = torch.randn(2, 2, 16, 32, dtype=torch.float64)
    for mode in (model.train(), model.eval()):
        torch.testing.assert_close(mode(x.roll(8, -1)), mode(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("surface", "kernel", "pool"),
    [
        (Plane(), 7, 3), (Cubemap(32), 7, 3), (Equirectangular(height=32, kernels="tangent"), 7, 3),
        (Healpix(32), 7, 2), (Icosphere(5), 3, 2), (Icosahedron(5), 3, 2),
    ],
    ids=str,
)  # fmt: skip
def test_stem_has_the_published_kernels_where_the_surface_has_them(surface, kernel, pool):
    with torch.device("meta"):
        encoder = make_encoder("resnet18", 3, surface, width=4)
    assert (encoder.conv1.kernel_size, encoder.maxpool.kernel_size) == (kernel, pool)


def test_dilation_is_halved_until_it_fits_the_surface():
    network = ResNet(3, 2, Icosphere(3), width=4, output_stride=8)
    assert {layer.dilation for layer in network.modules() if isinstance(layer, oc.nn.Conv)} == {1}
    network = ResNet(3, 2, Healpix(16), width=4, output_stride=8)
    assert network.layer4[1].conv2.dilation == 2  # 4 reaches beyond the next base face of nside 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"layers": 20}, "layers=20: must be one of 18, 34, 50, 101; use layers=18"),
        ({"output_stride": 12}, "output_stride=12: must be one of 4, 8, 16, 32; use output_stride=32"),
        (
            {"surface": Icosphere(3)},
            "needs 5 coarser levels, and icosphere:3,laplacian=mass has 3; use output_stride=8 or a finer surface",
        ),
        ({"surface": Healpix(2)}, "output_stride=32: needs 5 coarser levels, and healpix:2 has 1; use a finer surface"),
        ({"width": 0}, "width=0: must be a whole number from 1 to 1024; use width=32"),
        ({"in_channels": 0}, "in_channels=0: must be a whole number from 1"),
        ({"out_channels": 0}, "out_channels=0: must be a whole number from 1"),
        ({"surface": "plane"}, "surface='plane': must be a surface"),
    ],
)
def test_wrong_arguments_raise(arguments, text):
    with pytest.raises(InputError, match=text):
        ResNet(**{"in_channels": 3, "out_channels": 2, **arguments})


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("resnet19", {}, "encoder='resnet19': must be one of plain, resnet18, .*; did you mean resnet1"),
        (3, {}, "encoder=3: must be one of plain"),
        ("resnet18", {"depth": 3}, "depth=3: is not an argument of the encoder resnet18; leave it out"),
        ("plain", {"depth": 2, "output_stride": 8}, "output_stride=8: is not that of depth=2, 4; leave one of the two"),
        ("plain", {"output_stride": 6}, "output_stride=6: must be a power of two from 2; use output_stride=8"),
    ],
)
def test_wrong_arguments_of_make_encoder_raise(name, options, text):
    with pytest.raises(InputError, match=text):
        make_encoder(name, 3, Plane(), **options)


def test_every_listed_encoder_has_the_attributes():
    with torch.device("meta"):
        for name in ENCODERS:
            encoder = make_encoder(name, 3, Plane())
            assert len(encoder.channels) == len(encoder.surfaces) == len(encoder.strides)
            assert encoder.total_stride == encoder.strides[-1]

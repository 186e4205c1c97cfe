"""``torch.jit.trace`` traces every layer, for the sizes of its example."""

from __future__ import annotations

import pytest
import torch

import omniconv as oc
from omniconv.errors import InputError

SURFACES = [
    oc.Plane(1, "circular"), oc.Plane(2, "reflect"), oc.Plane(2, ("replicate", "circular")), oc.Plane(3), oc.Cubemap(4),
    oc.Equirectangular(), oc.Equirectangular(height=8, kernels="tangent"), oc.Icosphere(1), oc.Icosahedron(1),
    oc.Healpix(2),
]  # fmt: skip
MODES = ["zeros", "reflect", "replicate", "circular"]
KINDS = {
    "Conv": (2, 2), "ConvTranspose": (2, 2), "GatedConv": (2, 2), "CoordConv": (2, 2), "SeparableConv": (2, 2),
    "MaxPool": (), "AvgPool": (), "LpPool": (), "GlobalAvgPool": (), "Upsample": (), "Downsample": (),
    "ASPP": (2, 2, (1,)), "DoubleConv": (2, 2), "ResidualBlock": (2, 2), "OutputHead": (2, 2),
}  # fmt: skip
pytestmark = pytest.mark.filterwarnings(
    "ignore::torch.jit.TracerWarning", "ignore:.torch.jit.trace. is deprecated", "ignore:.torch.jit.trace_method. is"
)


def check(layer, *examples):
    """Compare the traced layer with the layer, also on other inputs of the same size."""
    layer = layer.eval()
    traced = torch.jit.trace(layer, examples, check_trace=False)
    others = [example + 1 if example.is_floating_point() else example for example in examples]
    for given in (examples, others):
        torch.testing.assert_close(traced(*given), layer(*given))


@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_on_every_surface(kind, surface):
    check(getattr(oc.nn, kind)(*KINDS[kind], surface=surface), torch.rand(2, 2, *[size or 6 for size in surface.shape]))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(("stride", "padding"), [(1, 1), (2, (1, 2)), (2, "same_upper")])
def test_every_padding_of_flat_layers(kind, rank, mode, stride, padding):
    padding = [padding] * rank if isinstance(padding, tuple) else padding
    layer = getattr(oc.nn, f"{kind}{rank}d")(2, 3, 3, stride, padding, padding_mode=mode)
    check(layer, torch.rand(2, 2, *[6] * rank))
    check(layer, torch.rand(2, *[6] * rank))


@pytest.mark.parametrize("mode", MODES)
def test_padding_by_itself(mode):
    check(oc.nn.Pad([(2, 1), (0, 3)], mode), torch.rand(1, 2, 4, 5))


def test_unpooling_and_resampling():
    values, switches = oc.nn.MaxPool(return_switches=True)(torch.rand(1, 2, 6, 6))
    check(oc.nn.MaxUnpool(), values, switches)
    check(oc.nn.Resample(oc.Cubemap(4), oc.Icosphere(1)), torch.rand(1, 2, 6, 4, 4))


@pytest.mark.parametrize("kind", [oc.models.UNet, oc.models.Classifier])
@pytest.mark.parametrize("surface", SURFACES, ids=str)
def test_whole_networks(kind, surface):
    check(kind(2, 3, surface, width=2, depth=1), torch.rand(2, 2, *[size or 9 for size in surface.shape]))


def test_torch_says_that_sizes_are_fixed():
    layer = oc.nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")
    with pytest.warns(torch.jit.TracerWarning, match="Converting a tensor to a Python integer"):
        torch.jit.trace(layer, torch.rand(1, 1, 4, 4), check_trace=False)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
@pytest.mark.parametrize("kind", KINDS)
def test_scripting_and_symbolic_tracing_are_refused(kind):
    layer = getattr(oc.nn, kind)(*KINDS[kind], surface=oc.Equirectangular())
    with pytest.raises(InputError, match=r"torch\.jit\.script cannot compile; use torch.export.export"):
        torch.jit.script(layer)
    with pytest.raises(InputError, match=r"is a proxy of torch.fx.symbolic_trace.*; use torch.export.export"):
        torch.fx.symbolic_trace(layer)

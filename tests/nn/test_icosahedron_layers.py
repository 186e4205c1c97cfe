from __future__ import annotations

import copy
import re

import pytest
import torch
from dense_reference import dense_convolution
from torch import nn

from omniconv.arithmetic import parameters
from omniconv.errors import InputError
from omniconv.models import Classifier, UNet, load, save
from omniconv.nn import (
    ASPP,
    AvgPool,
    Conv,
    ConvTranspose,
    CoordConv,
    Downsample,
    GatedConv,
    GlobalAvgPool,
    LpPool,
    MaxPool,
    MaxUnpool,
    SeparableConv,
    Upsample,
)
from omniconv.summaries import summary
from omniconv.surfaces import Icosahedron

SPHERE = Icosahedron(2)
LAYERS = {
    "conv": lambda: Conv(4, 6, surface=SPHERE),
    "grouped conv": lambda: Conv(4, 6, groups=2, surface=SPHERE),
    "pointwise conv": lambda: Conv(4, 6, 1, surface=SPHERE),
    "strided conv": lambda: Conv(4, 6, stride=2, surface=SPHERE),
    "transposed conv": lambda: ConvTranspose(4, 6, surface=SPHERE),
    "transposed conv of stride 1": lambda: ConvTranspose(4, 6, stride=1, surface=SPHERE),
    "gated conv": lambda: GatedConv(4, 6, surface=SPHERE),
    "separable conv": lambda: SeparableConv(4, 6, surface=SPHERE),
    "coordinate conv": lambda: CoordConv(4, 6, radius=True, surface=SPHERE),
    "max pool": lambda: MaxPool(surface=SPHERE),
    "average pool": lambda: AvgPool(surface=SPHERE),
    "norm pool": lambda: LpPool(surface=SPHERE),
    "global pool": lambda: GlobalAvgPool(surface=SPHERE),
    "upsample": lambda: Upsample(surface=SPHERE),
    "nearest upsample": lambda: Upsample(mode="nearest", surface=SPHERE),
    "downsample": lambda: Downsample(surface=SPHERE),
    "aspp of rate 1": lambda: ASPP(4, 6, rates=(1,), surface=SPHERE),
    "u-net": lambda: UNet(4, 6, SPHERE, width=4, depth=2).eval(),
    "u-net with pools": lambda: UNet(4, 6, SPHERE, width=4, depth=2, down="max", up="transposed").eval(),
    "classifier": lambda: Classifier(4, 6, SPHERE, width=4, depth=2).eval(),
}
every_layer = pytest.mark.parametrize("build", LAYERS.values(), ids=LAYERS)


def signal(level=2, channels=4, batch=2):
    return torch.randn(batch, channels, 20 * 4**level, dtype=torch.float64)


def turned(x):
    """Rotate a signal by 72° about the poles, which permutes the five base faces of each block."""
    return x.unflatten(-1, (4, 5, -1)).roll(1, -2).flatten(-3)


def dense(stencil):
    return [torch.from_numpy(operator.toarray()) for operator in stencil.operators]


@every_layer
def test_forward_and_backward_have_the_promised_shapes(build):
    layer, x = build().double(), signal().requires_grad_()
    y = layer(x)
    samples = {1: [], 80: [80], 320: [320], 1280: [1280]}[y.shape[2] if y.ndim == 3 else 1]
    assert list(y.shape) == [2, 6 if list(layer.parameters()) else 4, *samples]
    if y.ndim == 3 and hasattr(layer, "output_surface"):
        assert layer.output_surface.shape == tuple(samples)
    y.square().sum().backward()
    for tensor in (x, *layer.parameters()):
        assert torch.isfinite(tensor.grad).all()
        assert (tensor.grad != 0).any()


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "coordinate conv"])  # that one knows longitude
def test_turning_by_72_degrees_turns_the_answer(name):
    layer, x = LAYERS[name]().double().eval(), signal()
    answer = layer(x)
    wanted = turned(answer) if answer.ndim == 3 else answer
    torch.testing.assert_close(layer(turned(x)), wanted)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("level", [1, 2])
def test_conv_is_the_reference_in_output_and_gradients(level, stride, groups):
    sphere = Icosahedron(level)
    layer = Conv(4, 6, stride=stride, groups=groups, surface=sphere).double()
    operators = dense(sphere.conv_neighbours(stride=stride))
    x = signal(level).requires_grad_()
    fast = layer(x)
    parts = [
        dense_convolution(part.transpose(1, 2), weight, operators).transpose(1, 2)
        for part, weight in zip(x.chunk(groups, 1), layer.weight.chunk(groups, 0), strict=True)
    ]
    slow = torch.cat(parts, 1) + layer.bias[:, None]
    torch.testing.assert_close(fast, slow)
    rise = torch.randn_like(fast)
    for one, other in zip(*(torch.autograd.grad(y, (x, *layer.parameters()), rise) for y in (fast, slow)), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("kernel_size", "taps"), [(1, 1), (3, 10)])
def test_weights_are_ten_taps(kernel_size, taps, groups):
    for layer in (Conv(4, 6, kernel_size, groups=groups, surface=SPHERE),
                  ConvTranspose(4, 6, kernel_size, groups=groups, surface=SPHERE)):  # fmt: skip
        assert layer.weight.shape == (6, 4 // groups, taps)
        assert sum(p.numel() for p in layer.parameters()) == parameters(4, 6, taps, groups)
        assert set(layer.state_dict()) == {"weight", "bias"}


def published_network():
    """Return the network of the published MNIST example, at level 3."""
    fine, middle, coarse = Icosahedron(3), Icosahedron(2), Icosahedron(1)
    return nn.Sequential(
        Conv(1, 16, surface=fine), nn.ReLU(), MaxPool(surface=fine),
        Conv(16, 32, surface=middle), nn.ReLU(), MaxPool(surface=middle),
        Conv(32, 10, surface=coarse), nn.ReLU(), GlobalAvgPool(surface=coarse),
    )  # fmt: skip


def test_published_network_has_the_published_parameters():
    network = published_network()
    assert sum(p.numel() for p in network.parameters()) == 8538
    x = torch.randn(3, 1, 1280)
    assert network(x).shape == (3, 10)
    torch.testing.assert_close(network(turned(x)), network(x))


def test_max_pool_is_the_largest_of_four_neighbours_in_memory():
    x = signal()
    values, switches = MaxPool(return_switches=True, surface=SPHERE)(x)
    assert (values == x.unflatten(2, (-1, 4)).amax(3)).all()
    assert (x.gather(2, switches) == values).all()
    assert (MaxPool(surface=SPHERE)(x) == values).all()


def test_unpooling_puts_the_largest_back_and_zeros_elsewhere():
    x = signal().abs() + 0.1
    values, switches = MaxPool(return_switches=True, surface=SPHERE)(x)
    back = MaxUnpool(surface=Icosahedron(1))(values, switches)
    largest = x.unflatten(2, (-1, 4)).amax(3, keepdim=True) == x.unflatten(2, (-1, 4))
    assert (back == torch.where(largest.flatten(2), x, 0)).all()
    assert (MaxPool(surface=SPHERE)(back) == values).all()


def test_average_pool_keeps_the_mean_over_the_sphere():
    x = signal()
    pooled = AvgPool(surface=SPHERE).double()(x)
    fine, coarse = GlobalAvgPool(surface=SPHERE).double(), GlobalAvgPool(surface=Icosahedron(1)).double()
    torch.testing.assert_close(coarse(pooled), fine(x), rtol=1e-6, atol=1e-8)  # weights are kept in float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", ["max pool", "average pool", "upsample", "nearest upsample", "downsample"])
def test_constants_stay_constant(name, dtype):
    layer = LAYERS[name]().to(dtype)
    found = layer(torch.full((1, 2, 320), 0.75, dtype=dtype))
    atol = {torch.float32: 1e-6, torch.float64: 1e-14, torch.bfloat16: 1e-2}[dtype]
    torch.testing.assert_close(found, torch.full_like(found, 0.75), rtol=0, atol=atol)


def test_a_step_up_and_down_gives_the_signal_back():
    x = signal()
    up, down = Upsample(mode="nearest", surface=SPHERE).double(), AvgPool(surface=SPHERE.finer()).double()
    torch.testing.assert_close(down(up(x)), x)


def test_nearest_step_down_picks_the_central_children():
    x = signal()
    assert (Downsample(mode="nearest", surface=SPHERE).double()(x) == x[..., ::4]).all()


def test_tables_are_copied_with_their_layer():
    layer, x = Conv(4, 2, surface=SPHERE), signal().float()
    assert (copy.deepcopy(layer)(x) == layer(x)).all()


@pytest.mark.parametrize("build", [LAYERS["u-net with pools"], LAYERS["classifier"]])
def test_networks_are_saved_and_loaded(build, tmp_path):
    network, x = build(), signal().float()
    save(network, tmp_path / "network.safetensors")
    again = load(tmp_path / "network.safetensors")
    assert again.surface == SPHERE
    assert torch.equal(again(x), network(x))


def test_summary_counts_the_published_network():
    assert "8,538" in str(summary(published_network(), (1, 1280)))


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda: Conv(1, 2, dilation=2, surface=SPHERE), "dilation=2: must be 1 on an icosahedron"),
        (lambda: Conv(1, 2, 5, surface=SPHERE), "kernel_size=5: must be 3 (the ten taps) or 1 (the face alone)"),
        (lambda: Conv(1, 2, padding=1, surface=SPHERE), "padding=1: must be 'same'"),
        (lambda: ASPP(1, 2, surface=SPHERE), "dilation=6: must be 1 on an icosahedron; use a coarser level"),
        (lambda: MaxPool(3, 2, surface=SPHERE), "kernel_size=3: must be 2 on an icosahedron"),
        (lambda: MaxPool(2, 1, surface=SPHERE), "stride=1: must be 2 on an icosahedron"),
        (lambda: Upsample(3, surface=SPHERE), "scale_factor=3: must be 2 on an icosahedron"),
        (lambda: UNet(1, 2, SPHERE, depth=3), "depth=3: must be at most 2, the number of coarser levels of"),
        (lambda: Conv(1, 2, surface=SPHERE)(torch.zeros(1, 1, 80)), "must be (batch, channels, 320), a signal on"),
    ],
)
def test_what_has_no_meaning_on_faces_is_refused(ask, text):
    with pytest.raises(InputError, match=re.escape(text)):
        ask()

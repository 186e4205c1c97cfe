from __future__ import annotations

import copy
import re

import numpy as np
import pytest
import torch
from dense_reference import dense_convolution
from torch import nn

from omniconv.errors import InputError
from omniconv.exporting.program import with_standard_ops
from omniconv.models import Classifier, UNet
from omniconv.nn import (
    ASPP,
    AvgPool,
    Conv,
    ConvTranspose,
    CoordConv,
    Downsample,
    GatedConv,
    LpPool,
    MaxPool,
    SeparableConv,
    Upsample,
)
from omniconv.summaries import summary
from omniconv.surfaces import Equirectangular, panorama


def tangent(height):
    return Equirectangular(height=height, kernels="tangent")


SURFACE = tangent(8)


def signal(channels=4, batch=2, surface=SURFACE):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, channels, *surface.shape, generator=generator, dtype=torch.float64)


def smooth(height, channels=3):
    """Waves of a few turns, ``(1, channels, H, 2 · H)``."""
    directions = panorama.pixel_directions(height, 2 * height)
    rates = np.random.default_rng(0).uniform(-2, 2, (3, channels))
    return torch.from_numpy(np.sin(directions @ rates + 0.5)).movedim(-1, 0)[None]


def dense(stencil):
    return [torch.from_numpy(operator.toarray()) for operator in stencil.operators]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("kernel_size", "stride", "dilation"), [(3, 1, 1), (3, 2, 1), ((5, 3), 1, (1, 2)), (1, 2, 1), (3, 1, 6)]
)
def test_conv_and_its_gradients_are_the_reference(kernel_size, stride, dilation, groups):
    layer = Conv(4, 6, kernel_size, stride, dilation=dilation, groups=groups, surface=SURFACE).double()
    stencil = SURFACE.conv_neighbours(kernel_size, stride, dilation)
    operators = dense(stencil)

    def reference(x):
        parts = zip(x.flatten(2).chunk(groups, 1), layer.weight.flatten(2).chunk(groups, 0), strict=True)
        rows = [dense_convolution(part.transpose(1, 2), weight, operators) for part, weight in parts]
        return (torch.cat(rows, 2).transpose(1, 2) + layer.bias[:, None]).unflatten(2, stencil.output_shape)

    results = []
    for convolve in (layer, reference):
        x = signal().requires_grad_()
        y = convolve(x)
        results.append([y, *torch.autograd.grad(y.sin().sum(), (x, layer.weight, layer.bias))])
    for fast, slow in zip(*results, strict=True):
        torch.testing.assert_close(fast, slow)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kernel_size", [1, 3, (3, 5)])
def test_weights_are_those_of_flat_layers(kernel_size, groups):
    for ours, flat in ((Conv, nn.Conv2d), (ConvTranspose, nn.ConvTranspose2d)):
        layer = ours(4, 6, kernel_size, stride=2, groups=groups, surface=SURFACE)
        layer.load_state_dict(flat(4, 6, kernel_size, groups=groups).state_dict())
        assert torch.isfinite(layer(signal().float())).all()


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize(("kernel_size", "stride", "dilation"), [(3, 1, 1), (3, 2, 1), (5, 1, 1), (3, 1, 2), (1, 2, 1)])
def test_near_the_equator_it_is_the_flat_convolution(kernel_size, stride, dilation, groups):
    reach = kernel_size // 2 * dilation
    flat = nn.Conv2d(3, 6, kernel_size, stride, reach, dilation, groups, padding_mode="circular").double()
    errors = []
    for height in (32, 64):
        layer = Conv(3, 6, kernel_size, stride, dilation=dilation, groups=groups, surface=tangent(height)).double()
        layer.load_state_dict(flat.state_dict())
        x, row = smooth(height), height // 2 // stride
        errors.append((layer(x) - flat(x))[:, :, row].abs().max().item())
    assert errors[0] < 0.02
    assert errors[1] < max(errors[0] / 4, 1e-12)


@pytest.mark.parametrize("groups", [1, 3])
def test_near_the_equator_it_is_the_flat_transposed_convolution(groups):
    flat = nn.ConvTranspose2d(3, 6, 3, 2, 1, output_padding=1, groups=groups).double()
    errors = []
    for height in (32, 64):
        layer = ConvTranspose(3, 6, groups=groups, surface=tangent(height)).double()
        layer.load_state_dict(flat.state_dict())
        x = smooth(height)
        errors.append((layer(x) - flat(x))[:, :, height - 1 : height + 1, 2:-2].abs().max().item())
    assert errors[1] < errors[0] / 3.5 < 0.01


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("kernel_size", "stride"), [(1, 1), (3, 1), ((3, 5), 1), (1, 2), (3, 2), (5, 2)])
def test_transposed_convolution_is_the_adjoint(kernel_size, stride, groups):
    fine = SURFACE if stride == 1 else SURFACE.finer()
    there = Conv(6, 4, kernel_size, stride, groups=groups, bias=False, surface=fine).double()
    back = ConvTranspose(4, 6, kernel_size, stride, groups=groups, bias=False, surface=SURFACE).double()
    back.load_state_dict(there.state_dict())
    x, y = signal(6, surface=fine), signal(4)
    assert back.output_surface == fine
    torch.testing.assert_close((there(x) * y).sum(), (x * back(y)).sum())


@pytest.mark.parametrize("build", [
    lambda: Conv(4, 3, surface=SURFACE), lambda: Conv(4, 3, 5, dilation=2, surface=SURFACE),
    lambda: Conv(4, 3, stride=2, surface=SURFACE), lambda: ConvTranspose(4, 3, surface=SURFACE),
    lambda: MaxPool(surface=SURFACE), lambda: MaxPool(3, 2, surface=SURFACE), lambda: AvgPool(surface=SURFACE),
    lambda: Upsample(surface=SURFACE), lambda: UNet(4, 2, width=4, depth=2, surface=SURFACE).eval(),
])  # fmt: skip
def test_layers_commute_with_turns(build):
    layer = build().double()
    there = layer(signal().roll(4, dims=3))
    wanted = layer(signal())
    torch.testing.assert_close(there, wanted.roll(4 * wanted.shape[3] // 16, dims=3), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    "layer", [AvgPool(surface=SURFACE), AvgPool(3, 2, surface=SURFACE), MaxPool(surface=SURFACE),
              MaxPool(3, 1, surface=SURFACE), Upsample(surface=SURFACE), Downsample(surface=SURFACE)], ids=str,
)  # fmt: skip
def test_constants_stay_constant(layer, dtype):
    found = copy.deepcopy(layer).to(dtype)(torch.full((1, 2, 8, 16), 0.75, dtype=dtype))
    torch.testing.assert_close(found, torch.full_like(found, 0.75))


def test_nine_equal_weights_keep_a_constant():
    layer = Conv(1, 1, bias=False, surface=SURFACE).double()
    nn.init.constant_(layer.weight, 1 / 9)
    ones = torch.ones(1, 1, 8, 16, dtype=torch.float64)
    torch.testing.assert_close(layer(ones), ones)


@pytest.mark.parametrize("build", [
    lambda place: Conv(1, 2, surface=place), lambda place: Conv(2, 2, stride=2, groups=2, surface=place),
    lambda place: ConvTranspose(1, 2, surface=place), lambda place: MaxPool(surface=place),
    lambda place: AvgPool(3, 1, surface=place), lambda place: LpPool(p=3.0, surface=place),
    lambda place: Upsample(surface=place),
])  # fmt: skip
def test_gradients_are_those_of_small_differences(build):
    place = tangent(4)
    layer = build(place).double()
    x = signal(getattr(layer, "in_channels", 1), 1, place).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,))


LAYERS = {
    "conv": lambda: Conv(4, 6, surface=SURFACE),
    "strided": lambda: Conv(4, 6, stride=2, surface=SURFACE),
    "grouped": lambda: Conv(4, 6, (3, 5), dilation=(2, 1), groups=2, surface=SURFACE),
    "pointwise": lambda: Conv(4, 6, 1, surface=SURFACE),
    "pointwise strided": lambda: Conv(4, 6, 1, stride=2, surface=SURFACE),
    "transposed": lambda: ConvTranspose(4, 6, surface=SURFACE),
    "transposed pointwise": lambda: ConvTranspose(4, 6, 1, surface=SURFACE),
    "gated": lambda: GatedConv(4, 6, surface=SURFACE),
    "separable": lambda: SeparableConv(4, 6, surface=SURFACE),
    "coordinates": lambda: CoordConv(4, 6, radius=True, surface=SURFACE),
    "coordinates strided": lambda: CoordConv(4, 6, stride=2, surface=SURFACE),
    "pyramid": lambda: ASPP(4, 6, rates=(1, 2, 18), surface=SURFACE),
    "max": lambda: MaxPool(surface=SURFACE),
    "max of three": lambda: MaxPool(3, 2, surface=SURFACE),
    "mean": lambda: AvgPool(surface=SURFACE),
    "norm": lambda: LpPool(p=3.0, surface=SURFACE),
    "root norm": lambda: LpPool(3, 1, p=0.5, surface=SURFACE),
    "grow": lambda: Upsample(surface=SURFACE),
    "grow nearest": lambda: Upsample(mode="nearest", surface=SURFACE),
    "shrink": lambda: Downsample(surface=SURFACE),
    "unet": lambda: UNet(4, 2, width=4, depth=2, up="transposed", down="max", surface=SURFACE),
    "unet to one row": lambda: UNet(4, 2, width=4, depth=3, surface=SURFACE),
    "classifier": lambda: Classifier(4, 5, width=4, depth=2, down="average", surface=SURFACE),
}


@pytest.mark.parametrize("build", LAYERS.values(), ids=LAYERS)
def test_every_layer_runs_forward_and_backward(build):
    layer, x = build(), signal().float().requires_grad_()
    y = layer(x)
    lies = getattr(layer, "output_surface", SURFACE)
    assert y.shape == ((2, 5) if isinstance(layer, Classifier) else (2, y.shape[1], *lies.shape))
    y.square().sum().backward()
    for gradient in (x.grad, *(parameter.grad for parameter in layer.parameters())):
        assert torch.isfinite(gradient).all()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("down", ["stride", "average"])
def test_a_network_sees_as_far_as_on_the_grid(down):
    found, wanted = (
        summary(UNet(4, 2, width=4, depth=2, down=down, surface=place), (4, 8, 16)).receptive_field
        for place in (SURFACE, Equirectangular())
    )
    assert found == wanted


def test_what_is_exported_is_the_network():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool = MaxPool(return_switches=True, surface=SURFACE)
            self.up = ConvTranspose(4, 4, surface=SURFACE.coarser())

        def forward(self, x):
            values, switches = self.pool(x)
            return self.up(values), switches

    network = Both().double()
    for found, wanted in zip(with_standard_ops(network)(signal()), network(signal()), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda: Conv(1, 1, padding=1, surface=SURFACE), "padding=1: must be 'same'"),
        (lambda: Conv(1, 1, 4, surface=SURFACE), "kernel_size=(4, 4): must be odd"),
        (lambda: Conv(1, 1, stride=(1, 2), surface=SURFACE), "stride=(1, 2): must be 1 or 2"),
        (lambda: MaxPool(3, surface=SURFACE), "stride=3: must be 1 or 2 with kernels='tangent'"),
        (lambda: UNet(1, 1, width=4, depth=4, surface=SURFACE), "depth=4: must be at most 3"),
        (lambda: UNet(1, 1, width=4, depth=2, surface=tangent(10)), "depth=2: must be at most 1"),
        (
            lambda: Conv(1, 1, surface=SURFACE)(torch.zeros(1, 1, 8, 15)),
            "must be (batch, channels, 8, 16)",
        ),
        (
            lambda: ConvTranspose(1, 1, surface=SURFACE)(torch.zeros(1, 1, 8, 16), output_size=(15, 32)),
            "must be (16, 32)",
        ),
    ],
)
def test_what_has_no_meaning_is_refused(ask, text):
    with pytest.raises(InputError, match=re.escape(text)):
        ask()

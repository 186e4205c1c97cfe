"""Argument mistakes end in one-line errors; NumPy integers, pickling and higher derivatives work."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
import torch

import omniconv as oc
from omniconv.errors import InputError

SPHERE = oc.Icosphere(1)


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (lambda: oc.nn.Conv(2, 2, surface="plane"), "surface='plane': must be a surface; use oc.Plane()"),
        (lambda: oc.nn.MaxPool(2.0), "kernel_size=2.0: must be a whole number from 1"),
        (lambda: oc.nn.AvgPool(2, stride=2.0), "stride=2.0: must be a whole number from 1"),
        (lambda: oc.nn.MaxUnpool(None), "kernel_size=None: must be a whole number from 1"),
        (lambda: oc.nn.Conv2d(1, 1, 3, padding_mode=None), "padding_mode=None: must be one mode or one for each axis"),
        (lambda: oc.nn.Conv2d(1, 1, 3, padding_mode=("zeros", None)), "must be one mode or one for each axis"),
        (lambda: oc.nn.GatedConv(2, -3), "out_channels=-3: must be a whole number from 1"),
        (lambda: oc.nn.CoordConv(0, 2), "in_channels=0: must be a whole number from 1"),
        (lambda: oc.nn.CoordConv(2, 2)(torch.zeros(1, 3, 5, 5)), "must have 2 channels on axis 1"),
        (lambda: oc.nn.CoordConv(2, 2)(torch.zeros(1, 2, 5, 5).long()), "must have a floating-point dtype"),
        (lambda: oc.nn.GlobalAvgPool(SPHERE)(torch.zeros(1, 2, 1)), "must be (batch, channels, 42), a signal on"),
        (lambda: oc.nn.GlobalAvgPool()(torch.zeros(1, 1, 0, 3)), "must have at least one sample"),
        (lambda: oc.nn.ConvTranspose2d(1, 1, 3, padding=5)(torch.zeros(1, 1, 4, 4)), "pad less"),
    ],
)
def test_errors_name_the_argument(act, text):
    with pytest.raises(InputError, match=re.escape(text)):
        act()


def test_numpy_integers_are_accepted():
    conv = oc.nn.Conv2d(1, 1, np.int64(3), padding=np.int64(1), stride=(np.int32(2), 1))
    assert conv.kernel_size == (3, 3)
    assert conv(torch.zeros(1, 1, 6, 6)).shape == (1, 1, 3, 6)


def test_output_size_may_be_one_number():
    x = torch.zeros(1, 1, 3, 3)
    assert oc.nn.ConvTranspose2d(1, 1, 3, 2, 1)(x, output_size=6).shape == (1, 1, 6, 6)
    values, switches = oc.nn.MaxPool(2, return_switches=True)(torch.rand(1, 1, 5, 5))
    assert oc.nn.MaxUnpool(2)(values, switches, output_size=5).shape == (1, 1, 5, 5)


@pytest.mark.parametrize("kind", [oc.nn.MaxPool, oc.nn.AvgPool, oc.nn.LpPool, oc.nn.Upsample])
@pytest.mark.parametrize("surface", [oc.Plane(1), oc.Plane(2), oc.Plane(3), oc.Equirectangular(), SPHERE], ids=str)
def test_layers_can_be_pickled(kind, surface):
    layer = pickle.loads(pickle.dumps(kind(surface=surface)))
    x = torch.rand(1, 1, *[size or 8 for size in surface.shape])
    assert torch.equal(layer(x), kind(surface=surface)(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_uneven_downsampling_in_half_precision(dtype):
    x = torch.rand(1, 2, 9, 9)
    half = oc.nn.Downsample()(x.to(dtype))
    assert half.dtype == dtype
    torch.testing.assert_close(half.float(), oc.nn.Downsample()(x), rtol=0, atol=1e-2)


def test_flags_take_bools_and_integers():
    ones = torch.ones(1, 1, 2, 2)
    by_flag = [oc.nn.AvgPool(3, 1, 1, ceil_mode=True, count_include_pad=flag)(ones) for flag in (True, 2)]
    assert torch.equal(*by_flag)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # torch's own, in forward mode
@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose", "AvgPool", "Upsample", "GatedConv"])
def test_forward_and_second_derivatives_on_a_mesh(kind):
    layer = getattr(oc.nn, kind)
    layer = layer(1, 2, surface=SPHERE) if "Conv" in kind else layer(surface=SPHERE)
    layer.double()
    x = torch.rand(1, 1, 42, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,), check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(layer, (x,), fast_mode=True)
    value, tangent = torch.func.jvp(layer, (x.detach(),), (torch.ones_like(x),))
    step = 1e-6
    moved = layer(x.detach() + step)
    torch.testing.assert_close(tangent, (moved - value) / step, rtol=1e-4, atol=1e-4)
    per_sample = torch.func.vmap(torch.func.grad(lambda sample: layer(sample[None]).square().sum()))(x.detach())
    assert per_sample.shape == (1, 1, 42)


def test_second_derivatives_by_weight_on_a_mesh():
    layer = oc.nn.Conv(2, 3, surface=SPHERE).double()
    x = torch.rand(1, 2, 42, dtype=torch.float64, requires_grad=True)

    def function(x, weight, bias):
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    inputs = x, *(parameter.detach().requires_grad_() for parameter in (layer.weight, layer.bias))
    assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)

from __future__ import annotations

import copy
import io

import pytest
import torch
from model_battery import SHAPES, every_surface
from torch import nn

from omniconv.nn import Conv, SpectralNormConv
from omniconv.surfaces import Equirectangular, Icosphere, Plane

quick_surfaces = pytest.mark.parametrize("surface", [Plane(2), Equirectangular(), Icosphere(1)], ids=str)
GRIDS = {Plane(2): (4, 6), Equirectangular(): (4, 8), Icosphere(1): (42,)}


def largest(weight):
    return torch.linalg.matrix_norm(weight.flatten(1), 2)


@every_surface
def test_weight_has_norm_1_after_a_few_steps(surface):
    conv, x = SpectralNormConv(3, 4, surface=surface), torch.randn(1, 3, *SHAPES[surface])
    with torch.no_grad():
        for _ in range(50):
            conv(x)
    torch.testing.assert_close(largest(conv.eval().normalized_weight()), torch.tensor(1.0), rtol=1e-2, atol=0)
    assert conv.stride == 1
    plain = Conv(3, 4, surface=surface)
    with torch.no_grad():
        plain.weight.copy_(conv.normalized_weight())
        plain.bias.copy_(conv.bias)
    torch.testing.assert_close(conv(x), plain(x))


def test_output_is_that_of_torchs_parametrization():
    conv = SpectralNormConv(3, 5)
    known = nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 5, 3, padding=1))
    with torch.no_grad():
        known.parametrizations.weight.original.copy_(conv.weight)
        known.bias.copy_(conv.bias)
        right = conv.weight.flatten(1).mT @ conv.running_singular
        known.parametrizations.weight[0]._v.copy_(right / right.norm())
    x = torch.randn(2, 3, 6, 5)
    torch.testing.assert_close(conv(x), known(x))
    torch.testing.assert_close(conv.running_singular, known.parametrizations.weight[0]._u)
    (own,), (theirs,) = (
        torch.autograd.grad(layer(x).square().sum(), weight)
        for layer, weight in ((conv, conv.weight), (known, known.parametrizations.weight.original))
    )
    torch.testing.assert_close(own, theirs, rtol=1e-4, atol=1e-5)


@quick_surfaces
def test_one_iteration_for_each_call_in_training_none_in_evaluation(surface):
    conv, x = SpectralNormConv(3, 4, surface=surface), torch.randn(1, 3, *GRIDS[surface])
    nn.init.normal_(conv.weight)
    before = conv.running_singular.clone()
    conv.eval()(x)
    assert torch.equal(conv.running_singular, before)
    conv.train()(x)
    assert not torch.equal(conv.running_singular, before)


@quick_surfaces
def test_two_calls_before_the_backward_pass(surface):
    conv, x = SpectralNormConv(3, 4, surface=surface), torch.randn(1, 3, *GRIDS[surface], requires_grad=True)
    (conv(x).sum() - conv(2 * x).square().sum()).backward()
    assert torch.isfinite(conv.weight.grad).all()


@quick_surfaces
def test_gradient_penalties_differentiate_twice(surface):
    conv = SpectralNormConv(3, 4, surface=surface).double().eval()
    x = torch.randn(1, 3, *GRIDS[surface], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(conv(x).square().sum(), x, create_graph=True)
    gradient.square().sum().backward()
    assert torch.isfinite(conv.weight.grad).all()
    step = torch.randn_like(conv.weight)

    def penalty(amount):
        with torch.no_grad():
            conv.weight.add_(step, alpha=amount)
        left = torch.autograd.grad(conv(x).square().sum(), x)[0].square().sum()
        with torch.no_grad():
            conv.weight.sub_(step, alpha=amount)
        return left

    # In evaluation the singular vector is fixed, so that the penalty is a smooth function of the weight.
    slope = (penalty(1e-6) - penalty(-1e-6)) / 2e-6
    torch.testing.assert_close((conv.weight.grad * step).sum(), slope, rtol=1e-2, atol=1e-6)


def test_copies_and_state_keep_the_statistics():
    conv = SpectralNormConv(3, 4)
    assert set(conv.state_dict()) == {"weight", "bias", "running_singular"}
    again = copy.deepcopy(conv)
    torch.save(conv.state_dict(), file := io.BytesIO())
    file.seek(0)
    loaded = SpectralNormConv(3, 4)
    loaded.load_state_dict(torch.load(file))
    x = torch.randn(1, 3, 4, 4)
    assert torch.equal(again.eval()(x), conv.eval()(x))
    assert torch.equal(loaded.eval()(x), conv(x))


@pytest.mark.slow
@quick_surfaces
def test_compiled_layer_gives_the_same(surface):
    torch._dynamo.reset()
    conv, x = SpectralNormConv(3, 4, surface=surface), torch.randn(1, 3, *GRIDS[surface])
    compiled = torch.compile(copy.deepcopy(conv), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), conv(x))
    torch.testing.assert_close(compiled.running_singular, conv.running_singular)


def test_autocast_keeps_the_norm_in_single_precision():
    conv, x = SpectralNormConv(3, 4), torch.randn(1, 3, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        weight = conv.eval().normalized_weight()
        assert conv(x).dtype == torch.bfloat16
    torch.testing.assert_close(weight, conv.normalized_weight(), rtol=1e-6, atol=0)


def test_meta_device_and_half_precision():
    with torch.device("meta"):
        assert SpectralNormConv(3, 4).running_singular.is_meta
    assert SpectralNormConv(3, 4).bfloat16()(torch.zeros(1, 3, 4, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16

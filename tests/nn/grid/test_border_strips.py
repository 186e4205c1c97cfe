"""Convolutions that add border strips to zero padding equal those of a padded copy, in values and derivatives."""

from __future__ import annotations

import pytest
import torch
from grid_reference import borders
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import omniconv as oc
from omniconv.errors import InputError
from omniconv.nn.grid import axis, border_strips
from omniconv.nn.grid.conv import make_grid_conv, make_grid_conv_transpose


@pytest.fixture
def strips_for_small_signals(monkeypatch):
    """Use border strips for signals of any size."""
    monkeypatch.setattr(border_strips, "MIN_ELEMENTS", 0)
    monkeypatch.setattr(axis, "MAX_SURPLUS", 99)


def results(layer, *tensors):
    """Return the output of a layer and the gradients of its inputs and parameters."""
    y = layer(*tensors)
    y_gradient = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    return y, *torch.autograd.grad(y, tensors, y_gradient)


def with_padding(layer, *tensors):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(border_strips, "MIN_ELEMENTS", 2**60)
        return results(layer, *tensors)


def with_border_strips(layer, *tensors):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(border_strips, "MIN_ELEMENTS", 0)
        patch.setattr(axis, "MAX_SURPLUS", 99)
        patch.setattr(axis, "CHUNK_ELEMENTS", 1)
        return results(layer, *tensors)


def noise(*shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


@st.composite
def cases(draw):
    ndim = draw(st.integers(1, 3))

    def each(least, most):
        return draw(st.tuples(*[st.integers(least, most)] * ndim))

    border = draw(borders(ndim, draw(st.sampled_from([0.0, 1.5]))))
    window = each(1, 4), each(1, 3)
    sides = [(before, after) for before, after in zip(each(0, 3), each(0, 3), strict=True)]
    padding = draw(st.sampled_from(["same", "same_upper", "same_lower", "valid", each(0, 4), sides]))
    arguments = border, *window, padding, each(1, 3), draw(st.sampled_from([1, 2]))
    return arguments, each(2, 8 if ndim < 3 else 5)


@settings(deadline=None, max_examples=300)
@given(cases())
def test_border_strips_equal_padding(case):
    arguments, size = case
    groups = arguments[-1]
    x, weight, bias = noise(2, 2 * groups, *size), noise(2 * groups, 2, *arguments[1]), noise(2 * groups)
    try:
        convolution = make_grid_conv(*arguments)
        padded = with_padding(convolution, x, weight, bias)
    except InputError:
        assume(False)
    torch.testing.assert_close(with_border_strips(convolution, x, weight, bias), padded)
    back = make_grid_conv_transpose(*arguments, 0)
    y = noise(*padded[0].shape)

    def transposed(*tensors):
        return back(*tensors, size)

    torch.testing.assert_close(
        with_border_strips(transposed, y, weight, bias), with_padding(transposed, y, weight, bias)
    )


LAYERS = {
    "convolution": lambda: oc.nn.Conv2d(2, 2, 3, padding=1, padding_mode=(("circular", "reflect"), "circular")),
    "transposed": lambda: oc.nn.ConvTranspose2d(2, 2, 3, stride=2, padding=(1, (0, 1)), padding_mode="circular"),
    "over the poles": lambda: oc.nn.Conv(2, 2, surface=oc.Equirectangular()),
    "one side": lambda: oc.nn.Conv2d(2, 2, 3, padding=[(2, 0), (1, 1)]),
}


def of_parameters(layer):
    """Return a layer as a function of its input and its parameters, and the parameters."""
    names, values = zip(*layer.double().named_parameters(), strict=True)

    def function(x, *parameters):
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (x,))

    return function, [value.detach().requires_grad_() for value in values]


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # torch's own, in forward mode
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.usefixtures("strips_for_small_signals")
def test_forward_and_second_derivatives(name):
    function, parameters = of_parameters(LAYERS[name]())
    inputs = noise(1, 2, 4, 6), *parameters
    assert torch.autograd.gradcheck(function, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.usefixtures("strips_for_small_signals")
def test_functorch_transforms_use_padding(name):
    layer = LAYERS[name]().double()
    x = noise(3, 2, 4, 6).detach()

    def energy(sample):
        return layer(sample[None]).square().sum()

    one_by_one = torch.stack([torch.func.grad(energy)(sample) for sample in x])
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(energy))(x), one_by_one)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.usefixtures("strips_for_small_signals")
def test_input_is_not_changed(name):
    layer, x = LAYERS[name](), torch.randn(2, 2, 6, 8)
    before = x.clone()
    with torch.inference_mode():
        without = layer(x)
    y = layer(x)
    y.sum().backward()
    assert torch.equal(x, before)
    torch.testing.assert_close(y, without)
    assert y.is_contiguous()


@pytest.mark.usefixtures("strips_for_small_signals")
@pytest.mark.parametrize("name", LAYERS)
def test_compiled_and_exported_programs_use_padding(name):
    layer, x = LAYERS[name](), torch.randn(2, 2, 6, 8)
    torch.testing.assert_close(torch.compile(layer, backend="eager", fullgraph=True)(x), layer(x))
    assert "GatherStrips" not in str(torch.export.export(layer, (x,)).graph)


def test_large_signals_use_border_strips():
    conv = oc.nn.Conv2d(16, 4, 3, padding="same", padding_mode="circular")
    large = conv(torch.zeros(1, 16, 256, 256))
    small = conv(torch.zeros(1, 16, 32, 32))
    assert type(large.grad_fn).__name__ == "_ScatterAddStripsBackward"
    assert type(small.grad_fn).__name__ == "ConvolutionBackward0"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_uses_padding(dtype):
    conv = oc.nn.Conv2d(16, 4, 3, padding="same", padding_mode="circular", dtype=dtype)
    y = conv(torch.zeros(1, 16, 256, 256, dtype=dtype))
    assert type(y.grad_fn).__name__ == "ConvolutionBackward0"
    assert y.dtype == dtype

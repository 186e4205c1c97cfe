from __future__ import annotations

import numpy as np
import pytest
import torch
from grid_reference import PADDING_NAMES, amounts_for, borders, reference_convolution
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from omniconv.arithmetic import output_size
from omniconv.errors import InputError
from omniconv.nn import Conv
from omniconv.nn.arguments import GridWindow
from omniconv.nn.grid.conv import GridConv
from omniconv.surfaces import Border, Equirectangular, Icosphere, Plane

TORCH_CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POLES = ("over", "zeros", "replicate", "reflect")


def axes(ndim, least, most):
    return st.tuples(*[st.integers(least, most)] * ndim)


@st.composite
def cases(draw):
    ndim = draw(st.integers(1, 3))
    border = draw(borders(ndim))
    shape = draw(axes(ndim, 3, 6 if ndim < 3 else 4))
    padding = draw(st.one_of(st.sampled_from(PADDING_NAMES), amounts_for(border, shape, most=4)))
    kernel, stride, dilation = draw(axes(ndim, 1, 3)), draw(axes(ndim, 1, 3)), draw(axes(ndim, 1, 2))
    return border, shape, padding, kernel, stride, dilation, draw(st.sampled_from([1, 2]))


def run_if_it_fits(layer, x, *arguments):
    """Drop examples without room for the kernel or with a too long reflection, which other tests cover."""
    try:
        return layer(x, *arguments)
    except InputError:
        assume(False)


@settings(deadline=None, max_examples=120)
@given(case=cases())
def test_conv_equals_reference(case):
    border, shape, padding, kernel, stride, dilation, groups = case
    generator = np.random.default_rng(0)
    x, bias = generator.normal(size=(2, 2, *shape)), generator.normal(size=4)
    weight = generator.normal(size=(4, 2 // groups, *kernel))
    layer = GridConv(border, GridWindow(padding, kernel, stride, dilation), groups)
    found = run_if_it_fits(layer, *map(torch.from_numpy, (x, weight, bias)))
    wanted = reference_convolution(x, weight, bias, stride, padding, dilation, groups, border)
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    rules = [padding] * border.ndim if isinstance(padding, str) else padding
    sizes = zip(shape, kernel, stride, rules, dilation, strict=True)
    assert list(found.shape[2:]) == [output_size(*one) for one in sizes]


@settings(deadline=None, max_examples=60)
@given(
    ndim=st.integers(1, 3), mode=st.sampled_from(["zeros", "reflect", "replicate", "circular"]), data=st.data(),
    groups=st.sampled_from([1, 2]), bias=st.booleans(),
)  # fmt: skip
def test_conv_equals_torch(ndim, mode, data, groups, bias):
    kernel, stride, dilation, padding = (data.draw(axes(ndim, *limits)) for limits in ((1, 3), (1, 3), (1, 2), (0, 3)))
    arguments = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "bias": bias}
    theirs = TORCH_CONV[ndim](2, 4, kernel, padding_mode=mode, **arguments)
    ours = Conv(2, 4, kernel, surface=Plane(ndim, mode), **arguments)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 2, *data.draw(axes(ndim, 5, 7)))
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dilation", [1, 2])
def test_named_padding_equals_torch(padding, kernel, dilation):
    theirs = nn.Conv2d(2, 3, kernel, padding=padding, dilation=dilation, padding_mode="circular")
    ours = Conv(2, 3, kernel, padding=padding, dilation=dilation, surface=Plane(border="circular"))
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(1, 2, 9, 10)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize(
    ("padding", "size", "outputs"),
    [
        ("same", 4, [3.0, 9.0]),  # 0 1 2 | 2 3 4
        ("same_upper", 4, [6.0, 7.0]),  # 1 2 3 | 3 4 0: TensorFlow's, one to the right
        ("same_lower", 4, [3.0, 9.0]),
        ("same", 5, [3.0, 9.0, 9.0]),
        ("same_upper", 5, [3.0, 9.0, 9.0]),
        ("valid", 5, [6.0, 12.0]),
    ],
)
def test_worked_sizes_of_same(padding, size, outputs):
    layer = Conv(1, 1, 3, stride=2, padding=padding, bias=False, surface=Plane(1))
    nn.init.ones_(layer.weight)
    assert layer(torch.arange(1.0, size + 1).view(1, 1, -1)).flatten().tolist() == outputs


def test_worked_example_on_a_picture():
    picture = torch.tensor([[1.0, 2, 3, 4, 5], [6, 7, 8, 2, 3], [2, 5, 9, 9, 5], [4, 8, 8, 2, 1]])
    layer = Conv(1, 1, 3, padding="valid", bias=False)
    layer.weight.data = torch.tensor([[[[1.0, 1, 1], [2, 1, 2], [3, 2, 1]]]])
    found = layer(picture[None, None])[0, 0]
    assert found.shape == (2, 3)
    assert found[0, 0] == 66
    assert found[0, 0] == 1 + 2 + 3 + 12 + 7 + 16 + 6 + 10 + 9


@pytest.mark.parametrize(("border", "outputs"), [("circular", [-1, 0, 2, -1, -1, 1]), ("zeros", [-2, 0, 2, -1, -1, 2])])
def test_worked_example_on_a_ring(border, outputs):
    layer = Conv(1, 1, 3, bias=False, surface=Plane(1, border))
    layer.weight.data = torch.tensor([[[1.0, 0, -1]]])
    assert layer(torch.tensor([[[1.0, 2, 1, 0, 2, 1]]])).flatten().tolist() == outputs


@pytest.mark.parametrize("poles", POLES)
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [2, 3, 5])
def test_conv_commutes_with_rolls(poles, stride, kernel):
    layer = Conv(2, 3, kernel, stride, dilation=2, surface=Equirectangular(poles)).double()
    x = torch.randn(1, 2, 11, 12, dtype=torch.float64)
    torch.testing.assert_close(layer(x.roll(2 * stride, -1)), layer(x).roll(2, -1), rtol=0, atol=1e-12)


def test_initialisation_is_torchs():
    torch.manual_seed(0)
    layer = Conv(8, 512, 3, groups=2)
    assert layer.weight.detach().abs().max().item() == pytest.approx((4 * 9) ** -0.5, rel=1e-2)
    assert layer.bias.detach().abs().max().item() == pytest.approx((4 * 9) ** -0.5, rel=1e-1)


@pytest.mark.parametrize(
    ("surface", "stride", "after"),
    [
        (Icosphere(2), 1, Icosphere(2)), (Icosphere(2), (1,), Icosphere(2)), (Icosphere(2), 2, Icosphere(1)),
        (Icosphere(0), (1,), Icosphere(0)), (Plane(), (2, 1), Plane()),
    ],
)  # fmt: skip
def test_output_surface(surface, stride, after):
    assert Conv(1, 1, stride=stride, surface=surface).output_surface == after


def test_repr_names_the_arguments():
    assert "stride=2" in repr(Conv(1, 2, 3, 2))
    assert "icosphere:3" in repr(Conv(1, 2, surface=Icosphere(3)))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"groups": 2, "in_channels": 3}, "groups=2: must divide in_channels=3 and out_channels=4; use groups=1"),
        ({"in_channels": 0}, "in_channels=0: must be a whole number from 1"),
        ({"out_channels": 2.0}, "out_channels=2.0: must be a whole number from 1"),
        ({"kernel_size": 0}, "kernel_size=0: must be a whole number from 1, or 2 of them"),
        ({"kernel_size": 2.5}, "kernel_size=2.5: must be a whole number from 1"),
        ({"kernel_size": (3, 3, 3)}, r"kernel_size=\(3, 3, 3\): must be a whole number from 1, or 2 of them"),
        ({"stride": (1, 0)}, r"stride=\(1, 0\): must be a whole number"),
        ({"dilation": "2"}, "dilation='2': must be a whole number"),
        ({"padding": "full"}, "padding='full': must be a number, a pair or one of valid, same, same_upper, same_lower"),
        ({"padding": -1}, "padding=-1: must be a whole number from 0"),
        ({"padding": 1.5}, r"padding=1.5: must have 2 numbers or \(before, after\) pairs from 0"),
        ({"padding": (1, -1)}, r"padding=\(1, -1\): must have 2 numbers"),
        ({"padding": (1, 1, 1)}, r"padding=\(1, 1, 1\): must have 2 numbers"),
        ({"padding": ((1, 1), (1,))}, r"must have 2 numbers or \(before, after\) pairs"),
        ({"padding": ("same", "valid")}, r"must have 2 numbers or \(before, after\) pairs"),
        ({"padding": (1.5, 1)}, r"must have 2 numbers or \(before, after\) pairs"),
        ({"surface": Icosphere(1), "padding": 1}, "padding=1: must be 'same' on a mesh, which has no edge"),
        ({"surface": Icosphere(1), "kernel_size": 5}, "kernel_size=5: must be 3"),
        ({"surface": Icosphere(1), "dilation": 2}, "dilation=2: must be 1 on an icosphere"),
        ({"surface": Icosphere(0), "stride": 2}, "level=0: has no coarser level"),
    ],
)
def test_invalid_arguments_are_refused(arguments, text):
    with pytest.raises(InputError, match=text):
        Conv(**{"in_channels": 2, "out_channels": 4, **arguments})


@pytest.mark.parametrize(
    ("layer", "shape", "text"),
    [
        (Conv(3, 4), (3, 8, 8), r"input=\(3, 8, 8\): must have 4 axes: \(batch, channels, height, width\)"),
        (Conv(3, 4, surface=Plane(1)), (1, 3, 8, 8), r"must have 3 axes: \(batch, channels, length or samples\)"),
        (Conv(3, 4), (1, 4, 8, 8), "must have 3 channels on axis 1; check the layer before it"),
        (Conv(3, 4, 5, padding=1), (1, 3, 9, 2), "is smaller on grid axis 1 than the kernel, which spans 5"),
        (Conv(3, 4, 3, padding=0, surface=Equirectangular()), (1, 3, 2, 9), "smaller on grid axis 0 than the kernel"),
        (Conv(3, 4, 5, surface=Plane(border="reflect")), (1, 3, 2, 9), r"smaller than the axis \(2 samples\)"),
        (Conv(3, 4, surface=Icosphere(1)), (1, 3, 12), r"must be \(batch, channels, 42\), a signal on"),
        (Conv(3, 4, 1, surface=Icosphere(1)), (1, 3, 12), r"must be \(batch, channels, 42\), a signal on"),
    ],
)
def test_invalid_input_is_refused(layer, shape, text):
    with pytest.raises(InputError, match=text):
        layer(torch.zeros(shape))


def test_constant_border_is_padded_before_the_backend():
    layer = GridConv(Border.of("zeros", 1, value=5.0), GridWindow(1, (3,), (1,), (1,)), groups=1)
    assert layer(torch.zeros(1, 1, 3), torch.ones(1, 1, 3), None).flatten().tolist() == [5, 0, 5]

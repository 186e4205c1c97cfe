from __future__ import annotations

import pytest
import torch
from grid_reference import PADDING_NAMES, PLAIN_MODES
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from omniconv.arithmetic import output_size
from omniconv.errors import InputError
from omniconv.nn import Conv, ConvTranspose
from omniconv.surfaces import Equirectangular, Icosphere, Plane

TORCH_TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
PLANES = [Plane(ndim, mode) for ndim in (1, 2, 3) for mode in PLAIN_MODES]
PANORAMAS = [Equirectangular(poles) for poles in ("over", "zeros", "replicate", "reflect")]


def axes(ndim, least, most):
    return st.tuples(*[st.integers(least, most)] * ndim)


@settings(deadline=None, max_examples=60)
@given(ndim=st.integers(1, 3), data=st.data(), groups=st.sampled_from([1, 2]), bias=st.booleans())
def test_transposed_conv_equals_torch(ndim, data, groups, bias):
    kernel, stride, dilation = (data.draw(axes(ndim, *limits)) for limits in ((1, 4), (1, 3), (1, 2)))
    padding = tuple(data.draw(st.integers(0, d * (k - 1))) for k, d in zip(kernel, dilation, strict=True))
    extra = tuple(data.draw(st.integers(0, step - 1)) for step in stride)
    arguments = {"stride": stride, "padding": padding, "output_padding": extra, "dilation": dilation, "groups": groups}
    shape = data.draw(axes(ndim, 2, 5))
    rules = list(zip(shape, kernel, stride, padding, dilation, extra, strict=True))
    assume(all((n - 1) * s - 2 * p + d * (k - 1) + 1 + e > 0 for n, k, s, p, d, e in rules))
    theirs = TORCH_TRANSPOSED[ndim](4, 2, kernel, bias=bias, **arguments)
    ours = ConvTranspose(4, 2, kernel, bias=bias, surface=Plane(ndim), **arguments)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 4, *shape)
    found = ours(x)
    torch.testing.assert_close(found, theirs(x))
    assert list(found.shape[2:]) == [output_size(n, k, s, p, d, True, e) for n, k, s, p, d, e in rules]


@settings(deadline=None, max_examples=200)
@given(
    surface=st.sampled_from(PLANES + PANORAMAS * 3), data=st.data(), groups=st.sampled_from([1, 2]),
    named=st.sampled_from([*PADDING_NAMES, None]),
)  # fmt: skip
def test_transposed_conv_is_the_adjoint_of_conv(surface, data, groups, named):
    ndim = surface.ndim
    kernel, stride, dilation = (data.draw(axes(ndim, *limits)) for limits in ((1, 4), (1, 3), (1, 2)))
    padding = named or data.draw(st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * ndim))
    arguments = {"padding": padding, "dilation": dilation, "groups": groups, "bias": False, "surface": surface}
    conv = Conv(2, 4, kernel, stride, **arguments).double()
    transposed = ConvTranspose(4, 2, kernel, stride, **arguments).double()
    transposed.weight = conv.weight
    x = torch.randn(2, 2, *data.draw(axes(ndim, 3, 7 if ndim < 3 else 4)), dtype=torch.float64)
    try:
        forth = conv(x)
    except InputError:
        assume(False)
    y = torch.randn_like(forth)
    back = transposed(y, output_size=x.shape[2:])
    assert back.shape == x.shape
    torch.testing.assert_close((forth * y).sum(), (x * back).sum(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("border", "outputs"), [("circular", [2, 2, -1, 4, -1, 6]), ("zeros", [-1, 2, -1, 4, -1, 6])])
def test_worked_example_on_a_ring(border, outputs):
    layer = ConvTranspose(1, 1, 3, 2, "same_upper", bias=False, surface=Plane(1, border))
    layer.weight.data = torch.tensor([[[-1.0, 2, 1]]])
    assert layer(torch.tensor([[[1.0, 2, 3]]])).flatten().tolist() == outputs


@pytest.mark.parametrize("name", ["same", "same_upper", "same_lower"])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (4, 2), (3, 3), (2, 3), (5, 1)])
def test_same_multiplies_the_size(name, kernel, stride):
    layer = ConvTranspose(1, 1, kernel, stride, name)
    assert layer(torch.zeros(1, 1, 4, 5)).shape == (1, 1, 4 * stride, 5 * stride)


@pytest.mark.parametrize("name", ["same", "same_upper", "same_lower"])
@pytest.mark.parametrize("surface", PANORAMAS[:2], ids=str)
def test_output_size_may_be_any_that_convolves_to_the_input(name, surface):
    conv, up = Conv(1, 1, 4, 3, name, surface=surface), ConvTranspose(1, 1, 4, 3, name, surface=surface)
    for size in range(3, 12):
        coarse = conv(torch.zeros(1, 1, size, 9)).shape[2:]
        assert up(torch.zeros(1, 1, *coarse), output_size=(size, 9)).shape == (1, 1, size, 9)


@pytest.mark.parametrize("surface", PANORAMAS, ids=str)
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (4, 3), (7, 2)])
@pytest.mark.parametrize("name", ["same", "same_upper"])
def test_transposed_conv_commutes_with_rolls(surface, kernel, stride, name):
    layer = ConvTranspose(2, 3, kernel, stride, name, surface=surface).double()
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(layer(x.roll(1, -1)), layer(x).roll(stride, -1), rtol=0, atol=1e-12)


def test_bias_is_added_once():
    for surface in (Plane(), Plane(border="circular"), *PANORAMAS, Icosphere(1)):
        layer = ConvTranspose(1, 1, 3, 2, surface=surface)
        nn.init.zeros_(layer.weight)
        nn.init.constant_(layer.bias, 2.5)
        shape = (42,) if surface == Icosphere(1) else (4, 4)
        assert (layer(torch.ones(1, 1, *shape)) == 2.5).all()


@pytest.mark.parametrize(("stride", "after"), [(1, Icosphere(1)), ((1,), Icosphere(1)), (2, Icosphere(2))])
def test_output_surface(stride, after):
    assert ConvTranspose(1, 1, stride=stride, surface=Icosphere(1)).output_surface == after


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"output_padding": 1}, "output_padding=1: must be 0 with padding=same, which gives size · stride"),
        ({"output_padding": 2, "padding": 1}, "output_padding=2: must be smaller than stride=2"),
        ({"output_padding": -1, "padding": 1}, "output_padding=-1: must be a whole number from 0"),
        ({"groups": 3}, "groups=3: must divide in_channels=4 and out_channels=2"),
        ({"padding": "full"}, "padding='full': must be a number, a pair or one of"),
        ({"surface": Icosphere(1), "stride": 3}, "stride=3: must be 1 or 2 on an icosphere"),
        ({"surface": Icosphere(1), "padding": "valid"}, "padding='valid': must be 'same' on a mesh"),
    ],
)
def test_invalid_arguments_are_refused(arguments, text):
    with pytest.raises(InputError, match=text):
        ConvTranspose(4, 2, **arguments)


@pytest.mark.parametrize(
    ("layer", "wanted", "text"),
    [
        (ConvTranspose(1, 1), (9, 6), r"output_size=\(9, 6\): cannot come from \(3, 3\) at stride 2; ask for 5 to 6"),
        (ConvTranspose(1, 1, 2, 2, "same_upper"), (8, 6), "ask for 5 to 6 on that axis"),
        (ConvTranspose(1, 1, 3, 2, 1), (4, 6), "ask for 5 to 6 on that axis"),
        (ConvTranspose(1, 1, 3, 2, 0), (4, 6), "ask for 7 to 8 on that axis"),
        (ConvTranspose(1, 1), (6,), r"output_size=\(6,\): must be a whole number from 1, or 2 of them"),
    ],
)
def test_impossible_output_size_is_refused(layer, wanted, text):
    with pytest.raises(InputError, match=text):
        layer(torch.zeros(1, 1, 3, 3), output_size=wanted)


def test_mesh_has_one_output_size():
    layer = ConvTranspose(1, 1, surface=Icosphere(0))
    assert layer(torch.zeros(1, 1, 12), output_size=(42,)).shape == (1, 1, 42)
    with pytest.raises(InputError, match=r"output_size=\(41,\): must be \(42,\) on this surface; leave it out"):
        layer(torch.zeros(1, 1, 12), output_size=(41,))

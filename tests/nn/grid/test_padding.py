from __future__ import annotations

import numpy as np
import pytest
import torch
from grid_reference import amounts_for, borders, reference_pad
from hypothesis import given, settings
from hypothesis import strategies as st

from omniconv.errors import InputError
from omniconv.nn.grid.padding import pad, pad_adjoint
from omniconv.surfaces import Border

NUMPY_NAMES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap", "zeros": "constant"}


@st.composite
def cases(draw, value=0.0):
    """Draw a border, a grid and amounts, most of them within the axis and some far beyond it."""
    ndim = draw(st.integers(1, 3))
    border = draw(borders(ndim, value))
    shape = tuple(draw(st.integers(1, 5)) for _ in range(ndim))
    return border, shape, draw(amounts_for(border, shape, most=draw(st.sampled_from([2, 13 if ndim < 3 else 4]))))


def random_signal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=(2, 3, *shape))


@pytest.mark.parametrize("mode", NUMPY_NAMES)
@pytest.mark.parametrize("amounts", [((2, 3), (0, 1)), ((0, 0), (4, 0)), ((3, 3), (5, 5))])
def test_pad_equals_numpy(mode, amounts):
    x = random_signal((4, 6))
    wanted = np.pad(x, ((0, 0), (0, 0), *amounts), mode=NUMPY_NAMES[mode])
    np.testing.assert_array_equal(pad(torch.from_numpy(x), amounts, Border.of(mode, 2)), wanted)


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("amount", [4, 11])
def test_circular_padding_may_exceed_the_axis(size, amount):
    x = random_signal((size,))
    wanted = np.pad(x, ((0, 0), (0, 0), (amount, amount)), mode="wrap")
    np.testing.assert_array_equal(pad(torch.from_numpy(x), [(amount, amount)], Border.of("circular", 1)), wanted)


@settings(deadline=None, max_examples=120)
@given(case=cases(value=0.5))
def test_pad_equals_reference(case):
    border, shape, amounts = case
    x = random_signal(shape)
    np.testing.assert_array_equal(pad(torch.from_numpy(x), amounts, border), reference_pad(x, amounts, border))


@settings(deadline=None, max_examples=120)
@given(case=cases())
def test_pad_adjoint_is_the_adjoint_of_pad(case):
    border, shape, amounts = case
    x = torch.from_numpy(random_signal(shape))
    padded = pad(x, amounts, border)
    y = torch.from_numpy(random_signal(padded.shape[2:], seed=1))
    torch.testing.assert_close(
        (padded * y).sum(), (x * pad_adjoint(y.clone(), amounts, border)).sum(), rtol=1e-11, atol=1e-11
    )


@settings(deadline=None, max_examples=40)
@given(case=cases())
def test_gradient_of_pad_adjoint_is_pad(case):
    border, shape, amounts = case
    padded = [size + sum(sides) for size, sides in zip(shape, amounts, strict=True)]
    y = torch.from_numpy(random_signal(padded)).requires_grad_()
    x = torch.from_numpy(random_signal(shape, seed=1))
    (gradient,) = torch.autograd.grad(pad_adjoint(y * 1, amounts, border), y, x)
    torch.testing.assert_close(gradient, pad(x, amounts, border))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 4), (3, 5), (4, 1), (2, 7)])
@pytest.mark.parametrize("amount", [1, 3, 9])
def test_pole_is_mirrored_rows_rolled_by_half_the_width(height, width, amount):
    border = Border.of(("pole", "circular"), 2)
    x = random_signal((height, width))
    amounts = ((amount, amount), (0, 0))
    padded = pad(torch.from_numpy(x), amounts, border).numpy()
    np.testing.assert_array_equal(padded, reference_pad(x, amounts, border))
    np.testing.assert_array_equal(padded[..., amount - 1, :], np.roll(x[..., 0, :], width // 2, -1))
    np.testing.assert_array_equal(padded[..., amount + height, :], np.roll(x[..., -1, :], width // 2, -1))


def test_no_padding_returns_the_signal_itself():
    x = torch.zeros(1, 1, 4, 4)
    assert pad(x, [(0, 0), (0, 0)], Border.of("reflect", 2)) is x


def test_constant_is_the_border_value():
    padded = pad(torch.zeros(1, 1, 2), [(1, 2)], Border.of("zeros", 1, value=-3.0))
    assert padded.tolist() == [[[-3.0, 0, 0, -3, -3]]]


@pytest.mark.parametrize("amounts", [(4, 0), (0, 4), (9, 9)])
def test_reflection_as_long_as_the_axis_is_refused(amounts):
    text = r"padding=\d: must be smaller than the axis \(4 samples\) to be reflected; pad less, or use 'replicate'"
    with pytest.raises(InputError, match=text):
        pad(torch.zeros(1, 1, 4), [amounts], Border.of("reflect", 1))


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bfloat16, torch.float16])
def test_dtype_is_kept(dtype):
    x = torch.arange(4).view(1, 1, 2, 2).to(dtype)
    assert pad(x, [(1, 1), (3, 1)], Border.of(("pole", "circular"), 2)).dtype == dtype

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omniconv import arithmetic
from omniconv.errors import InputError

SAME = ("same", "same_upper", "same_lower")
small = st.integers(1, 7)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "upper", "symmetric"),
    [
        (8, 3, 2, (0, 1), (1, 1)),
        (7, 3, 2, (1, 1), (1, 1)),
        (224, 7, 2, (2, 3), (3, 3)),
        (224, 11, 4, (3, 4), (5, 5)),
        (5, 2, 1, (0, 1), (0, 1)),
        (5, 2, 2, (0, 1), (0, 1)),
        (6, 2, 2, (0, 0), (0, 1)),
        (6, 1, 3, (0, 0), (0, 0)),
    ],
)
def test_same_upper_is_that_of_tensorflow(size, kernel, stride, upper, symmetric):
    assert arithmetic.padding_amounts("same_upper", size, kernel, stride) == upper
    assert arithmetic.padding_amounts("same_lower", size, kernel, stride) == upper[::-1]
    assert arithmetic.padding_amounts("same", size, kernel, stride) == symmetric


@settings(deadline=None, max_examples=60)
@given(size=st.integers(1, 60), kernel=small, stride=small, dilation=st.integers(1, 3), name=st.sampled_from(SAME))
def test_every_same_gives_size_over_stride_rounded_up(size, kernel, stride, dilation, name):
    assert arithmetic.output_size(size, kernel, stride, name, dilation) == -(-size // stride)
    assert arithmetic.output_size(size, kernel, stride, name, dilation, transposed=True) == size * stride


@settings(deadline=None, max_examples=60)
@given(
    size=st.integers(1, 30), kernel=small, stride=small, dilation=st.integers(1, 3), padding=st.integers(0, 4),
    more=st.integers(0, 6), transposed=st.booleans(),
)  # fmt: skip
def test_sizes_are_those_of_torch(size, kernel, stride, dilation, padding, more, transposed):
    x, weight = torch.zeros(1, 1, size), torch.zeros(1, 1, kernel)
    extra = {"transposed": True, "output_padding": more % stride} if transposed else {}
    try:
        if transposed:
            found = torch.conv_transpose1d(x, weight, None, stride, padding, more % stride, 1, dilation).shape[2]
        else:
            found = torch.conv1d(x, weight, None, stride, padding, dilation).shape[2]
    except RuntimeError:
        with pytest.raises(InputError, match="leaves no output"):
            arithmetic.output_size(size, kernel, stride, padding, dilation, **extra)
    else:
        assert arithmetic.output_size(size, kernel, stride, padding, dilation, **extra) == found


@settings(deadline=None, max_examples=30)
@given(layers=st.lists(st.tuples(small, st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=3))
def test_receptive_field_is_what_a_gradient_reaches(layers):
    size = 2 * arithmetic.receptive_field(layers)
    x = torch.ones(1, 1, size, dtype=torch.float64, requires_grad=True)
    y = x
    for kernel, stride, dilation in layers:
        y = torch.conv1d(y, torch.ones(1, 1, kernel, dtype=torch.float64), None, stride, 0, dilation)
    y[0, 0, 0].backward()
    seen = x.grad[0, 0].nonzero()
    assert int(seen.max() - seen.min()) + 1 == arithmetic.receptive_field(layers)


@settings(deadline=None, max_examples=60)
@given(
    size=st.integers(1, 40), kernel=small, stride=small, dilation=st.integers(1, 3),
    padding=st.one_of(st.integers(0, 4), st.tuples(st.integers(0, 4), st.integers(0, 4)), st.just("valid")),
    more=st.integers(0, 6),
)  # fmt: skip
def test_a_transposed_size_convolves_back(size, kernel, stride, dilation, padding, more):
    arguments = (kernel, stride, padding, dilation)
    try:
        wider = arithmetic.output_size(size, *arguments, transposed=True, output_padding=more % stride)
    except InputError:
        return
    assert arithmetic.output_size(wider, *arguments) == size


@settings(deadline=None, max_examples=60)
@given(
    size=st.integers(1, 40), kernel=small, stride=small, dilation=st.integers(1, 3),
    padding=st.one_of(st.tuples(st.integers(0, 4), st.integers(0, 4)), st.sampled_from([*SAME, "valid"])),
)  # fmt: skip
def test_sizes_count_the_windows_that_fit(size, kernel, stride, dilation, padding):
    before, after = arithmetic.padding_amounts(padding, size, kernel, stride, dilation)
    last = size + after - arithmetic.span(kernel, dilation)
    windows = [start for start in range(-before, last + 1) if (start + before) % stride == 0]
    if windows:
        assert arithmetic.output_size(size, kernel, stride, padding, dilation) == len(windows)
    else:
        with pytest.raises(InputError, match="leaves no output"):
            arithmetic.output_size(size, kernel, stride, padding, dilation)


def test_published_receptive_fields():
    blocks = [[(3, 1)] * count + [(2, 2)] for count in (2, 2, 3, 3, 3)]
    vgg16 = [layer for block in blocks for layer in block]
    assert (arithmetic.receptive_field(vgg16[:-1]), arithmetic.receptive_field(vgg16)) == (196, 212)
    assert arithmetic.receptive_field([(7, 2), (3, 2)]) == 11  # the stem of ResNet-50


def test_parameters_and_multiply_adds_count_what_torch_holds():
    layer = torch.nn.Conv2d(8, 12, (3, 5), groups=4)
    assert arithmetic.parameters(8, 12, (3, 5), groups=4) == sum(p.numel() for p in layer.parameters())
    assert arithmetic.multiply_adds(8, 12, (3, 5), (10, 20), groups=4) == layer.weight.numel() * 200


@pytest.mark.parametrize("transposed", [False, True])
def test_unknown_padding_is_refused(transposed):
    with pytest.raises(InputError, match="padding='full': must be a number, a pair or one of valid, same,"):
        arithmetic.output_size(4, 3, 2, "full", transposed=transposed)


@pytest.mark.parametrize("name", ["size", "kernel_size", "stride", "dilation"])
def test_arguments_below_one_are_refused(name):
    with pytest.raises(InputError, match=f"{name}=0: must be a whole number from 1; use {name}=1 or more"):
        arithmetic.output_size(**{"size": 4, "kernel_size": 3, "stride": 1, "dilation": 1, name: 0})

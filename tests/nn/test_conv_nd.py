from __future__ import annotations

import copy
import itertools
import pickle

import pytest
import torch
from torch import nn

import omniconv as oc
from omniconv.errors import InputError

RANKS = (1, 2, 3)
MODES = ("zeros", "reflect", "replicate", "circular")


def pair(name, rank, *arguments, **options):
    """Return the layer of torch and that of omniconv with the same weights."""
    theirs = getattr(nn, f"{name}{rank}d")(*arguments, **options)
    ours = getattr(oc.nn, f"{name}{rank}d")(*arguments, **options)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def assert_alike(theirs, ours, *signals):
    for x in signals:
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        outputs = [layer(x) for layer, x in zip((theirs, ours), inputs, strict=True)]
        torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-4, atol=1e-5)
        outgoing = torch.randn_like(outputs[0])
        expected, got = (
            torch.autograd.grad(y, [x, *layer.parameters()], outgoing)
            for y, x, layer in zip(outputs, inputs, (theirs, ours), strict=True)
        )
        for one, other in zip(expected, got, strict=True):
            torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rank", RANKS)
def test_convolutions_equal_torch(rank, mode):
    for kernel, stride, padding, dilation, groups in itertools.product((1, 2, 3), (1, 2), (0, 1, 2), (1, 2), (1, 2)):
        theirs, ours = pair("Conv", rank, 4, 6, kernel, stride, padding, dilation, groups, padding_mode=mode)
        assert isinstance(ours, type(theirs))
        assert_alike(theirs, ours, torch.randn(2, 4, *(7, 6, 5)[:rank]))


@pytest.mark.parametrize("rank", RANKS)
def test_transposed_convolutions_equal_torch(rank):
    for kernel, stride, padding, extra, groups, dilation in itertools.product(
        (1, 2, 3), (1, 2, 3), (0, 1), (0, 1, 2), (1, 2), (1, 3)
    ):
        if extra >= max(stride, dilation) or (dilation * (kernel - 1) + extra + 1 <= 2 * padding):
            continue
        theirs, ours = pair("ConvTranspose", rank, 4, 6, kernel, stride, padding, extra, groups, True, dilation)
        assert isinstance(ours, type(theirs))
        assert_alike(theirs, ours, torch.randn(2, 4, *(4, 5, 3)[:rank]))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # torch copies there, and says so once
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
def test_same_equals_torch_where_torch_has_it(kernel, dilation):
    theirs, ours = pair("Conv", 2, 3, 2, kernel, padding="same", dilation=dilation)
    assert_alike(theirs, ours, torch.randn(1, 3, 9, 8))


@pytest.mark.parametrize("rank", RANKS)
def test_batch_axis_is_optional(rank):
    x = torch.randn(2, *(5, 6, 7)[:rank])
    for name in ("Conv", "ConvTranspose"):
        theirs, ours = pair(name, rank, 2, 3, 3)
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_output_size_is_taken_as_torch_takes_it():
    theirs, ours = pair("ConvTranspose", 2, 2, 3, 3, 2, 1)
    x = torch.randn(1, 2, 4, 5)
    for size in ([8, 10], [1, 3, 7, 10]):
        torch.testing.assert_close(ours(x, size), theirs(x, size), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtypes(dtype):
    theirs, ours = pair("Conv", 2, 3, 4, 3, padding=1, padding_mode="circular", dtype=dtype)
    x = torch.randn(1, 3, 6, 6, dtype=dtype)
    assert ours(x).dtype == dtype
    torch.testing.assert_close(ours(x), theirs(x))


def test_each_side_has_its_own_amount_and_mode():
    conv = oc.nn.Conv1d(1, 1, 3, padding=[(2, 1)], padding_mode=[("circular", "replicate")], bias=False)
    conv.weight.data = torch.tensor([[[1.0, 10.0, 100.0]]])
    padded = [3.0, 4, 1, 2, 3, 4, 4]
    expected = [a + 10 * b + 100 * c for a, b, c in zip(padded, padded[1:], padded[2:], strict=False)]
    assert conv(torch.tensor([[[1.0, 2, 3, 4]]])).flatten().tolist() == expected


def test_zeros_may_be_another_constant():
    conv = oc.nn.Conv1d(1, 1, 1, padding=1, padding_value=7.0, bias=False)
    conv.weight.data.fill_(2)
    assert conv(torch.tensor([[[1.0]]])).flatten().tolist() == [14, 2, 14]


@pytest.mark.parametrize("name", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("rank", RANKS)
def test_layers_copy_print_and_pickle(name, rank):
    layer = getattr(oc.nn, f"{name}{rank}d")(2, 2, 3, padding="same", padding_mode="circular")
    again = pickle.loads(pickle.dumps(copy.deepcopy(layer)))
    x = torch.randn(1, 2, *(5, 6, 7)[:rank])
    torch.testing.assert_close(again(x), layer(x))
    assert "padding=same" in repr(layer)
    assert list(layer.state_dict()) == ["weight", "bias"]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: oc.nn.Conv2d(3, 4, 3, groups=2), "groups=2: must divide in_channels=3"),
        (lambda: oc.nn.Conv2d(3, 4, 3, padding="smae"), "padding='smae': must be a number"),
        (lambda: oc.nn.Conv2d(3, 4, 3, padding=(1, 2, 3)), "padding=\\(1, 2, 3\\): must have 2 numbers"),
        (lambda: oc.nn.Conv2d(3, 4, 3, padding_mode="wrap"), "padding_mode='wrap': must be one of"),
        (lambda: oc.nn.Conv2d(3, 4, 0), "kernel_size=0: must be a whole number from 1"),
        (lambda: oc.nn.ConvTranspose1d(2, 2, 3, 2, output_padding=2), "output_padding=2: must be smaller than stride"),
        (lambda: oc.nn.Conv2d(3, 4, 3)(torch.zeros(1, 2, 5, 5)), "must have 3 channels on axis 1"),
        (lambda: oc.nn.Conv2d(3, 4, 3)(torch.zeros(3, 5)), "must have 4 axes"),
        (lambda: oc.nn.Conv2d(3, 4, 3, padding=5, padding_mode="reflect")(torch.zeros(1, 3, 5, 5)), "to be reflected"),
    ],
)
def test_errors_name_argument_value_rule_and_cure(make, text):
    with pytest.raises(InputError, match=text):
        make()

"""Convolutions against PyTorch in three dtypes: outputs, gradients and state_dict."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_pairs import assert_alike, each_precision, each_rank, signal, torch_layer

import omniconv as oc

MODES = ("zeros", "reflect", "replicate", "circular")
each_mode = pytest.mark.parametrize("mode", MODES)
CONVOLUTIONS = (  # kernel, stride, padding, dilation, groups
    (3, 1, 1, 1, 1), (3, 2, 1, 1, 2), (2, 1, 0, 2, 1), (1, 2, 0, 1, 1), (3, 1, 2, 2, 4), (4, 3, 2, 1, 1),
)  # fmt: skip
TRANSPOSED = (  # kernel, stride, padding, output_padding, groups, dilation
    (3, 1, 1, 0, 1, 1), (3, 2, 1, 1, 2, 1), (4, 2, 1, 0, 1, 1), (2, 3, 0, 2, 4, 1), (3, 1, 1, 1, 1, 2),
)  # fmt: skip


def pair(name, rank, *arguments, **options):
    """Return the layer of torch and that of omniconv with the same weights."""
    theirs = torch_layer(name, rank, *arguments, **options)
    ours = getattr(oc.nn, f"{name}{rank}d")(*arguments, **options)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


@each_precision
@each_rank
@each_mode
def test_convolutions(rank, mode, dtype):
    """With a border other than zeros the gradient of the input is summed in another order."""
    for arguments in CONVOLUTIONS:
        both = pair("Conv", rank, 4, 8, *arguments, padding_mode=mode, dtype=dtype)
        assert_alike(signal(rank, dtype), *both, loose=() if mode == "zeros" else (1,))


@each_precision
@each_rank
@each_mode
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_convolutions_with_named_padding(rank, mode, padding, dtype):
    both = pair("Conv", rank, 4, 8, 3, padding=padding, dilation=2, padding_mode=mode, dtype=dtype)
    assert_alike(signal(rank, dtype), *both, loose=() if mode == "zeros" or padding == "valid" else (1,))


@each_precision
@each_rank
def test_transposed_convolutions(rank, dtype):
    for *arguments, dilation in TRANSPOSED:
        both = pair("ConvTranspose", rank, 4, 8, *arguments, True, dilation, dtype=dtype)
        assert_alike(signal(rank, dtype), *both)


@each_rank
@pytest.mark.parametrize("name", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("bias", [True, False])
def test_state_goes_both_ways(name, rank, bias):
    theirs, ours = (getattr(module, f"{name}{rank}d")(4, 6, 3, groups=2, bias=bias) for module in (nn, oc.nn))
    assert isinstance(ours, type(theirs))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = signal(rank, torch.float32)
    for giver, taker in ((theirs, ours), (ours, theirs)):
        for parameter in giver.parameters():
            nn.init.normal_(parameter)
        assert not torch.equal(taker(x), giver(x))
        taker.load_state_dict(giver.state_dict())
        assert torch.equal(taker(x), giver(x))


def test_state_of_a_network_goes_both_ways():
    theirs, ours = (
        nn.Sequential(module.Conv2d(4, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(), module.ConvTranspose2d(6, 4, 2, 2))
        for module in (nn, oc.nn)
    )
    x = signal(2, torch.float32)
    ours.load_state_dict(theirs.state_dict())
    assert torch.equal(ours(x), theirs(x))
    theirs.load_state_dict(ours.state_dict())

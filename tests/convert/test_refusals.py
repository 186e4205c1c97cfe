from __future__ import annotations

import re

import pytest
import torch
from networks import EveryFunction
from torch import nn
from turning import picture

import omniconv as oc
from omniconv.errors import InputError

CONVERSIONS = {
    "equirectangular": oc.convert.to_equirectangular,
    "tangent": lambda model, **options: oc.convert.to_tangent(model, 16, **options),
}


class Mesh(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = oc.nn.Conv(3, 4, surface=oc.Equirectangular())

    def forward(self, x):
        return self.conv(x)


@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=list(CONVERSIONS))
@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("resnet50", "model='resnet50': must be a torch.nn.Module; give the network itself"),
        (nn.Conv2d, "must be a torch.nn.Module; give the network itself"),
        (
            nn.Sequential(nn.Linear(3, 4), nn.ReLU()),
            "model='Sequential': has no convolution, pooling, padding or resiz",
        ),
        (nn.Conv1d(3, 4, 3), "model='Conv1d': has no convolution, pooling"),
        (nn.Conv3d(3, 4, 3), "model='Conv3d': has no convolution, pooling"),
        (
            Mesh(),
            "model='conv': is omniconv's Conv, whose edges are settled when it is built; build it with surface=oc.",
        ),
        (oc.nn.Conv2d(3, 4, 3, padding=1), "model='model': is omniconv's Conv2d"),
        (nn.Sequential(nn.LazyConv2d(4, 3)), "model='0': does not know its sizes yet, and becomes another class"),
    ],
    ids=str,
)
def test_what_is_no_network_of_pictures_is_refused(convert, model, text):
    with pytest.raises(InputError, match=re.escape(text)):
        convert(model)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=list(CONVERSIONS))
def test_scripted_network_is_refused_by_name(convert):
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), torch.jit.script(nn.Conv2d(4, 4, 3)))
    with pytest.raises(InputError, match="model='1': is scripted: its functions cannot be seen; convert it before"):
        convert(network)


def test_network_whose_forward_was_replaced_is_refused():
    network = nn.Conv2d(3, 4, 3, padding=1)
    network.forward = network.forward
    with pytest.raises(
        InputError, match=r"model='Conv2d': has a forward put on the object, .*; convert it before it is"
    ):
        oc.convert.to_equirectangular(network)


def test_unknown_poles_are_refused_before_anything_changes():
    network = nn.Conv2d(3, 4, 3, padding=1)
    with pytest.raises(InputError, match="poles='under': must be one of over, zeros, replicate, reflect"):
        oc.convert.to_equirectangular(network, poles="under")
    assert type(network) is nn.Conv2d


@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=list(CONVERSIONS))
def test_pictures_of_whole_numbers_are_refused(convert):
    network = convert(nn.Conv2d(3, 4, 3, padding=1))
    with pytest.raises(InputError, match=r"input=torch.int64: must be of a floating-point kind; use x.float\(\)"):
        network(torch.zeros(1, 3, 16, 32, dtype=torch.long))


@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=list(CONVERSIONS))
def test_a_picture_without_a_batch_is_taken_as_torch_does(convert):
    network = convert(nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.MaxPool2d(2)).double())
    x = picture()
    torch.testing.assert_close(network(x[0]), network(x)[0])


def test_pictures_of_any_size_go_where_no_stride_forbids_it():
    network = oc.convert.to_equirectangular(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 5, padding=2)))
    x = torch.rand(1, 3, 7, 11)
    torch.testing.assert_close(network(x.roll(4, -1)), network(x).roll(4, -1))


@pytest.mark.parametrize("height", [0, -4, 2.5, "64", None])
def test_height_that_is_none_is_refused(height):
    network = nn.Conv2d(3, 4, 3, padding=1)
    with pytest.raises(InputError, match=r"height=.*must be a whole number from 1"):
        oc.convert.to_tangent(network, height)
    assert type(network) is nn.Conv2d


def test_height_that_the_strides_do_not_fit_is_refused_with_one_that_does():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1))
    with pytest.raises(
        InputError, match="height=36: is 9 at '2', which halves it; use a multiple of 8, for example 32"
    ):
        oc.convert.to_tangent(network, 36)
    assert type(network[0]) is nn.Conv2d
    assert oc.convert.to_tangent(network, 40)(torch.rand(1, 3, 40, 80)).shape == (1, 4, 5, 10)


def test_what_is_no_whole_panorama_has_no_touching_planes():
    network = oc.convert.to_tangent(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1)), 16)
    with pytest.raises(
        InputError, match=r"input=\(1, 3, 16, 16\): must have twice as many columns as rows for '0'; give"
    ):
        network(torch.rand(1, 3, 16, 16))


def test_networks_without_layers_need_an_example_for_their_report():
    with pytest.raises(InputError, match="example=None: must be given where a network has no Conv2d"):
        oc.convert.to_equirectangular(EveryFunction(), report=True)
    uneven = nn.Sequential(nn.Conv2d(3, 4, 1, 4), nn.Upsample((4, 4)))
    with pytest.raises(InputError, match=r"example=.*has the 12 columns that the network turns by; give a wider one"):
        oc.convert.to_equirectangular(uneven, report=True, size=(12, 12))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_converted_network_is_not_scripted_as_a_flat_one():
    network = oc.convert.to_equirectangular(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1)))
    with pytest.raises(InputError, match=r"model='Sequential': is converted, and torch\.jit\.script would compile"):
        torch.jit.script(network)


def test_what_is_no_network_cannot_be_reverted():
    with pytest.raises(InputError, match=r"model=None: must be a torch\.nn\.Module"):
        oc.convert.revert(None)


@pytest.mark.parametrize("example", [torch.full((1, 3, 16, 32), torch.nan), torch.zeros(0, 3, 16, 32)])
def test_example_that_tells_nothing_is_refused(example):
    with pytest.raises(InputError, match="must be pictures of finite numbers, one at least"):
        oc.convert.to_equirectangular(nn.Conv2d(3, 4, 3, padding=1), report=True, example=example)

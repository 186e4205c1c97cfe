"""Errors of the conversions: argument, rule and cure in one line."""

from __future__ import annotations

import re
import threading

import pytest
import torch
import torch.nn.functional as F
from flat_networks import EveryFunction
from roll_equivariance import noise_image
from torch import nn

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
            "model='Sequential': has no 2-d convolution, pooling, padding or resiz",
        ),
        (nn.Conv1d(3, 4, 3), "model='Conv1d': has no 2-d convolution, pooling"),
        (nn.Conv3d(3, 4, 3), "model='Conv3d': has no 2-d convolution, pooling"),
        (
            Mesh(),
            "model='conv': is omniconv's Conv, whose padding is fixed at construction; build it with surface=oc.",
        ),
        (oc.nn.Conv2d(3, 4, 3, padding=1), "model='model': is omniconv's Conv2d"),
        (nn.Sequential(nn.LazyConv2d(4, 3)), "model='0': is a lazy module without parameters; run it once"),
    ],
    ids=str,
)
def test_models_that_are_no_image_networks_raise(convert, model, text):
    with pytest.raises(InputError, match=re.escape(text)):
        convert(model)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=list(CONVERSIONS))
def test_scripted_module_raises_with_its_name(convert):
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), torch.jit.script(nn.Conv2d(4, 4, 3)))
    with pytest.raises(
        InputError, match="model='1': is scripted, so its function calls cannot be replaced; convert it before"
    ):
        convert(network)


def test_instance_attribute_forward_raises():
    network = nn.Conv2d(3, 4, 3, padding=1)
    network.forward = network.forward
    with pytest.raises(
        InputError, match=r"model='Conv2d': has an instance attribute 'forward', .*; convert it before it is"
    ):
        oc.convert.to_equirectangular(network)


def test_unknown_poles_raise_before_anything_changes():
    network = nn.Conv2d(3, 4, 3, padding=1)
    with pytest.raises(InputError, match="poles='under': must be one of flat, over, zeros, replicate, reflect"):
        oc.convert.to_equirectangular(network, poles="under")
    assert type(network) is nn.Conv2d


@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=list(CONVERSIONS))
def test_integer_images_raise(convert):
    network = convert(nn.Conv2d(3, 4, 3, padding=1))
    with pytest.raises(InputError, match=r"input=torch.int64: must have a floating-point dtype; use x.float\(\)"):
        network(torch.zeros(1, 3, 16, 32, dtype=torch.long))


@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=list(CONVERSIONS))
def test_unbatched_image_is_accepted_as_in_torch(convert):
    network = convert(nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.MaxPool2d(2)).double())
    x = noise_image()
    torch.testing.assert_close(network(x[0]), network(x)[0])


def test_any_size_is_accepted_without_strides():
    network = oc.convert.to_equirectangular(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 5, padding=2)))
    x = torch.rand(1, 3, 7, 11)
    torch.testing.assert_close(network(x.roll(4, -1)), network(x).roll(4, -1))


@pytest.mark.parametrize("height", [0, -4, 2.5, "64", None])
def test_invalid_height_raises(height):
    network = nn.Conv2d(3, 4, 3, padding=1)
    with pytest.raises(InputError, match=r"height=.*must be a whole number from 1"):
        oc.convert.to_tangent(network, height)
    assert type(network) is nn.Conv2d


def test_height_that_strides_do_not_divide_raises_with_one_that_they_do():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1))
    with pytest.raises(
        InputError, match="height=36: becomes 9 rows at '2', which has stride 2; use a multiple of 8, for example 32"
    ):
        oc.convert.to_tangent(network, 36)
    assert type(network[0]) is nn.Conv2d
    assert oc.convert.to_tangent(network, 40)(torch.rand(1, 3, 40, 80)).shape == (1, 4, 5, 10)


def test_input_that_is_not_2_to_1_raises():
    network = oc.convert.to_tangent(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1)), 16)
    with pytest.raises(
        InputError, match=r"input=\(1, 3, 16, 16\): must have twice as many columns as rows at '0'; give"
    ):
        network(torch.rand(1, 3, 16, 16))


def test_report_without_a_usable_example_raises():
    with pytest.raises(InputError, match="example=None: must be given, as the network has no Conv2d"):
        oc.convert.to_equirectangular(EveryFunction(), report=True)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_scripting_a_converted_network_raises():
    network = oc.convert.to_equirectangular(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1)))
    with pytest.raises(InputError, match=r"model='Sequential': is converted, and torch\.jit\.script would compile"):
        torch.jit.script(network)


@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=list(CONVERSIONS))
def test_network_that_cannot_be_copied_raises_and_stays_as_it_was(convert):
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1))
    network.lock = threading.Lock()
    with pytest.raises(InputError, match=r"model='Sequential': cannot be copied \(.*lock.*\); .*use copy=False"):
        convert(network, copy=True)
    with pytest.raises(InputError, match=r"cannot be copied.*leave out report=True"):
        convert(network, report=True)
    assert type(network) is nn.Sequential
    converted = oc.convert.to_equirectangular(network)
    x = noise_image(dtype=torch.float32)
    y = converted(x)
    with pytest.raises(InputError, match="cannot be copied"):
        oc.convert.to_equirectangular(network, poles="zeros", report=True)
    torch.testing.assert_close(network(x), y)  # still converted, with the former poles


@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=list(CONVERSIONS))
def test_symbolic_trace_of_a_converted_network_raises(convert):
    class Functional(nn.Conv2d):
        def forward(self, x):
            return F.max_pool2d(super().forward(x), 3, 1, 1)

    graph = torch.fx.symbolic_trace(convert(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())))
    assert graph(noise_image(dtype=torch.float32)).shape == (2, 4, 16, 32)  # calls of torch's layers are recorded
    with pytest.raises(InputError, match="cannot record conv2d of a converted network; convert the graph of the flat"):
        torch.fx.symbolic_trace(convert(Functional(3, 4, 3, padding=1)))


def test_revert_of_something_else_raises():
    with pytest.raises(InputError, match=r"model=None: must be a torch\.nn\.Module"):
        oc.convert.revert(None)


@pytest.mark.parametrize("example", [torch.full((1, 3, 16, 32), torch.nan), torch.zeros(0, 3, 16, 32)])
def test_empty_or_non_finite_example_raises(example):
    with pytest.raises(InputError, match="must be non-empty and finite"):
        oc.convert.to_equirectangular(nn.Conv2d(3, 4, 3, padding=1), report=True, example=example)

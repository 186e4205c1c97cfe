"""Adapter from modules, functions and predictors to functions of a panorama."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from panoramas import Named, convolution, waves
from torch import nn

import omniconv as oc
from omniconv.audit import shift_error
from omniconv.audit.model_adapter import panorama_function
from omniconv.errors import InputError
from omniconv.inference.predictor import Predictor


class Returns(nn.Module):
    """Returns a fixed result."""

    def __init__(self, result):
        super().__init__()
        self.result = result

    def forward(self, x):
        return self.result


def shape_of(model, output=None, image=None):
    with panorama_function(model, output) as function:
        return function(waves()[0] if image is None else image).shape


@pytest.mark.parametrize(("output", "shape"), [(None, (4, 16, 32)), ("out", (4, 16, 32)), ("aux", (2, 16, 32))])
def test_output_by_key(output, shape):
    assert shape_of(Named(), output) == shape


def test_output_by_index():
    pair = (torch.zeros(1, 2, 4, 8), torch.zeros(1, 7))
    assert shape_of(Returns(pair)) == (2, 4, 8)
    assert shape_of(Returns(pair), 1) == (7, 1, 1)
    assert shape_of(Returns(torch.zeros(1, 4, 8))) == (1, 4, 8)


@pytest.mark.parametrize(
    ("result", "output", "text"),
    [
        (torch.zeros(1, 2, 4, 8), "out", "output='out': must be one of the network's outputs \\(a single tensor\\)"),
        ({"out": torch.zeros(1, 2)}, "aux", "output='aux': must be one of the network's outputs \\(out\\)"),
        ({"out": None}, None, "model='dict': is returned by the network and contains no tensor"),
        ("label", None, "model='str'"),
        (torch.zeros(2, 3, 4, 8), None, "returns float32 of shape \\(2, 3, 4, 8\\) for one panorama; return"),
        (torch.zeros(1, 4, 8, dtype=torch.int64), None, "returns int64 of shape"),
        (torch.zeros(1, 1, 1, 4, 8), None, "of shape \\(1, 1, 1, 4, 8\\)"),
        (torch.full((1, 2, 4, 8), torch.nan), None, "returns NaN or infinity"),
    ],
)
def test_unusable_outputs_are_refused(result, output, text):
    with pytest.raises(InputError, match=text):
        shape_of(Returns(result), output)


def test_wrong_panorama_size_or_channels():
    fixed = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    with pytest.raises(InputError, match=r"model='Sequential': cannot take a panorama of 3 × 16 × 32 \(RuntimeError: "):
        shape_of(fixed)
    with pytest.raises(InputError, match="cannot take a panorama of 3 × 16 × 32"):
        shape_of(convolution(channels=5))


def test_networks_of_other_ranks_are_refused():
    network = oc.models.UNet(3, 2, surface=oc.Plane(ndim=1), width=2, depth=1)
    with pytest.raises(InputError, match="takes signals of 1 axes, not panoramas"):
        shape_of(network)
    with pytest.raises(InputError, match="model='str': must be a module"):
        shape_of("resnet50")


@pytest.mark.parametrize(
    ("panoramas", "text"),
    [
        (np.zeros((2, 16, 32, 3), np.uint8), "panoramas='uint8 .*must be floating-point images"),
        (np.zeros((0, 3, 16, 32)), "at least one"),
        (np.zeros((16, 32)), "must be floating-point images"),
        (np.full((1, 3, 16, 32), np.nan), "must not contain NaN or infinity"),
        (np.zeros((1, 3, 1, 32)), "at least 2 pixels high and wide"),
    ],
)
def test_unusable_panoramas_are_refused(panoramas, text):
    with pytest.raises(InputError, match=text):
        shift_error(nn.Identity(), panoramas)


def test_network_keeps_its_dtype():
    assert shape_of(convolution().double()) == (4, 16, 32)
    assert shape_of(convolution().bfloat16()) == (4, 16, 32)


def test_functions_and_predictors_are_accepted(segment_run):
    assert shape_of(lambda x: [x * 2]) == (3, 16, 32)
    predictor = Predictor.open(segment_run.path, "cpu")
    with panorama_function(predictor) as function:
        np.testing.assert_allclose(function(waves()[0]), predictor.run_network(waves()[0]), rtol=1e-6)
    assert shift_error(predictor, waves()).stride == 2

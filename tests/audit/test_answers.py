"""Any network becomes a function of panoramas, or is refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from panoramas import Named, convolution, waves
from torch import nn

import omniconv as oc
from omniconv.audit import shift_error
from omniconv.audit.model_adapter import answering
from omniconv.errors import InputError
from omniconv.inference.predictor import Predictor


class Gives(nn.Module):
    """Gives what it was made with."""

    def __init__(self, result):
        super().__init__()
        self.result = result

    def forward(self, x):
        return self.result


def shape_of(model, output=None, image=None):
    with answering(model, output) as answer:
        return answer(waves()[0] if image is None else image).shape


@pytest.mark.parametrize(("output", "shape"), [(None, (4, 16, 32)), ("out", (4, 16, 32)), ("aux", (2, 16, 32))])
def test_outputs_have_names(output, shape):
    assert shape_of(Named(), output) == shape


def test_outputs_have_places():
    pair = (torch.zeros(1, 2, 4, 8), torch.zeros(1, 7))
    assert shape_of(Gives(pair)) == (2, 4, 8)
    assert shape_of(Gives(pair), 1) == (7, 1, 1)
    assert shape_of(Gives(torch.zeros(1, 4, 8))) == (1, 4, 8)


@pytest.mark.parametrize(
    ("result", "output", "text"),
    [
        (torch.zeros(1, 2, 4, 8), "out", "output='out': is none of the network's outputs \\(one tensor alone\\)"),
        ({"out": torch.zeros(1, 2)}, "aux", "output='aux': is none of the network's outputs \\(out\\)"),
        ({"out": None}, None, "model='dict': is what the network gives, and it holds no tensor"),
        ("label", None, "model='str'"),
        (torch.zeros(2, 3, 4, 8), None, "gives float32 of shape \\(2, 3, 4, 8\\) for one panorama; let it give"),
        (torch.zeros(1, 4, 8, dtype=torch.int64), None, "gives int64 of shape"),
        (torch.zeros(1, 1, 1, 4, 8), None, "of shape \\(1, 1, 1, 4, 8\\)"),
        (torch.full((1, 2, 4, 8), torch.nan), None, "gives numbers that are none \\(NaN or infinity\\)"),
    ],
)
def test_answers_that_cannot_be_used(result, output, text):
    with pytest.raises(InputError, match=text):
        shape_of(Gives(result), output)


def test_network_of_another_size_says_so():
    fixed = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    with pytest.raises(InputError, match=r"model='Sequential': cannot take a panorama of 3 × 16 × 32 \(RuntimeError: "):
        shape_of(fixed)
    with pytest.raises(InputError, match="cannot take a panorama of 3 × 16 × 32"):
        shape_of(convolution(channels=5))


def test_signals_of_other_axes_are_refused():
    network = oc.models.UNet(3, 2, surface=oc.Plane(ndim=1), width=2, depth=1)
    with pytest.raises(InputError, match="takes signals of 1 axes, not panoramas"):
        shape_of(network)
    with pytest.raises(InputError, match="model='str': must be a module"):
        shape_of("resnet50")


@pytest.mark.parametrize(
    ("panoramas", "text"),
    [
        (np.zeros((2, 16, 32, 3), np.uint8), "panoramas='uint8 .*must be floating-point pictures"),
        (np.zeros((0, 3, 16, 32)), "at least one"),
        (np.zeros((16, 32)), "must be floating-point pictures"),
        (np.full((1, 3, 16, 32), np.nan), "hold NaN or infinity"),
        (np.zeros((1, 3, 1, 32)), "at least 2 pixels high and wide"),
    ],
)
def test_panoramas_that_are_none(panoramas, text):
    with pytest.raises(InputError, match=text):
        shift_error(nn.Identity(), panoramas)


def test_precision_of_the_network_is_kept():
    assert shape_of(convolution().double()) == (4, 16, 32)
    assert shape_of(convolution().bfloat16()) == (4, 16, 32)


def test_functions_and_predictors_are_networks(segment_run):
    assert shape_of(lambda x: [x * 2]) == (3, 16, 32)
    predictor = Predictor.open(segment_run.path, "cpu")
    with answering(predictor) as answer:
        np.testing.assert_allclose(answer(waves()[0]), predictor.logits(waves()[0]), rtol=1e-6)
    assert shift_error(predictor, waves()).stride == 2

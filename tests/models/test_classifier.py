from __future__ import annotations

import pytest
import torch
from model_battery import ModelBattery

from omniconv.errors import InputError
from omniconv.models import Classifier
from omniconv.surfaces import Equirectangular, Icosphere


class TestClassifier(ModelBattery):
    @staticmethod
    def build(surface):
        return Classifier(3, 2, surface, width=4, depth=2)


@pytest.mark.parametrize("down", ["stride", "max", "average"])
@pytest.mark.parametrize("poles", ["over", "zeros", "replicate", "reflect"])
def test_output_is_invariant_to_rolls_by_the_total_stride(down, poles):
    model = Classifier(2, 3, Equirectangular(poles), width=4, depth=2, down=down).double()
    x = torch.randn(2, 2, 12, 16, dtype=torch.float64)
    for mode in (model.train(), model.eval()):
        torch.testing.assert_close(mode(x.roll(4, -1)), mode(x), rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 17, 40])
def test_any_size_is_accepted(size):
    model = Classifier(1, 4, width=2, depth=3).eval()
    assert model(torch.zeros(2, 1, size, size + 1)).shape == (2, 4)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"out_channels": 0}, "out_channels=0: must be a whole number from 1"),
        ({"in_channels": 0}, "in_channels=0: must be a whole number from 1"),
        ({"width": 0}, "width=0: must be a whole number from 1 to 1024; use width=32"),
        ({"depth": 0}, "depth=0: must be a whole number from 1 to 10; use depth=3"),
        (
            {"depth": 3, "surface": Icosphere(2)},
            "depth=3: must be at most 2, the number of coarser levels of icosphere",
        ),
        ({"down": "pool"}, "down='pool': must be one of stride, max, average"),
        ({"activation": "swish"}, "activation='swish': must be one of"),
        ({"normalization": "layer"}, "normalization='layer': must be one of batch, group, weight, none"),
    ],
)
def test_wrong_arguments_raise(arguments, text):
    with pytest.raises(InputError, match=text):
        Classifier(**{"in_channels": 3, "out_channels": 2, **arguments})

from __future__ import annotations

import pytest
import torch
from flat_networks import SEAMLESS
from roll_equivariance import main_output, noise_image, randomized, roll_error

import omniconv as oc


@pytest.mark.parametrize("poles", ["flat", "over", "zeros", "replicate", "reflect"])
@pytest.mark.parametrize("kind", list(SEAMLESS), ids=lambda kind: kind.__name__)
def test_converted_network_is_equivariant_to_rolls(kind, poles):
    torch.manual_seed(0)
    flat = randomized(kind())
    x, stride = noise_image(height=32, width=64), SEAMLESS[kind]
    before = roll_error(flat, x, stride)
    network = oc.convert.to_equirectangular(flat, poles=poles)
    for multiple in (1, 3):
        assert roll_error(network, x, multiple * stride) < 1e-10
    if main_output(network(x)).ndim == 4:
        assert before > 1e-3

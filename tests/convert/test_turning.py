from __future__ import annotations

import pytest
import torch
from networks import SEAMLESS
from turning import lively, main_output, picture, turn_error

import omniconv as oc


@pytest.mark.parametrize("poles", ["over", "zeros", "replicate", "reflect"])
@pytest.mark.parametrize("kind", list(SEAMLESS), ids=lambda kind: kind.__name__)
def test_network_turns_with_the_panorama(kind, poles):
    torch.manual_seed(0)
    flat = lively(kind())
    x, stride = picture(height=32, width=64), SEAMLESS[kind]
    before = turn_error(flat, x, stride)
    network = oc.convert.to_equirectangular(flat, poles=poles)
    for turns in (1, 3):
        assert turn_error(network, x, turns * stride) < 1e-10
    if main_output(network(x)).ndim == 4:
        assert before > 1e-3

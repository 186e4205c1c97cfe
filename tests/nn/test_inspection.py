"""Functions that look at a network leave the network and the caller's random numbers as they were."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

import omniconv as oc
from omniconv.errors import InputError
from omniconv.nn.inspection import copy_network, named_outputs


class Noisy(nn.Sequential):
    """Draws random numbers of every kind whenever it runs."""

    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 2, 1))

    def forward(self, x):
        random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
        return super().forward(x)


def caller_state():
    return (
        random.getstate(), [str(part) for part in np.random.get_state()], torch.get_rng_state().tolist(),  # noqa: NPY002
        torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads(), torch.is_inference_mode_enabled(),
    )  # fmt: skip


def network_state(network):
    return [m.training for m in network.modules()], {name: x.clone() for name, x in network.state_dict().items()}


EXAMPLE = torch.rand(2, 3, 16, 32, generator=torch.Generator().manual_seed(0))
PANORAMAS = EXAMPLE.numpy()
LOOKS = {
    "summary": lambda network, path: oc.summary(network, (3, 16, 32)),
    "export": lambda network, path: oc.export(network, path / "a.pt2", example=EXAMPLE),
    "export onnx": lambda network, path: oc.export(network, path / "a.onnx", EXAMPLE, any_size=False),
    "shift_error": lambda network, path: oc.audit.shift_error(network, PANORAMAS),
    "rotation_consistency": lambda network, path: oc.audit.rotation_consistency(network, PANORAMAS, rotations=1),
    "border_effects": lambda network, path: oc.audit.border_effects(network, PANORAMAS, rotations=1),
    "audit": lambda network, path: oc.audit.audit(network, PANORAMAS, rotations=1),
    "report of a conversion": lambda network, path: oc.convert.to_equirectangular(
        network, copy=True, report=True, size=(16, 32)
    ),
    "to_tangent": lambda network, path: oc.convert.to_tangent(network, 16, copy=True),
}


@pytest.mark.parametrize("look", LOOKS)
def test_looking_changes_nothing(look, tmp_path):
    network = Noisy()
    network[1].eval()
    before, (modes, weights) = caller_state(), network_state(network)
    LOOKS[look](network, tmp_path)
    assert caller_state() == before
    modes_after, weights_after = network_state(network)
    assert modes_after == modes
    for name, tensor in weights.items():
        torch.testing.assert_close(weights_after[name], tensor, rtol=0, atol=0)


def old_weight_norm():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1))
    with pytest.warns(FutureWarning):
        nn.utils.weight_norm(network[0])
    network(torch.rand(1, 3, 16, 32))
    return network


COPIES = {
    "to_equirectangular": lambda network, path: oc.convert.to_equirectangular(network, copy=True),
    "to_tangent": lambda network, path: oc.convert.to_tangent(network, 16, copy=True),
    "report": lambda network, path: oc.convert.to_equirectangular(network, report=True, size=(16, 32)),
    "export": lambda network, path: oc.export(network, path / "a.pt2", example=EXAMPLE),
}


@pytest.mark.parametrize("copy", COPIES)
def test_computed_tensors_are_named_when_they_cannot_be_copied(copy, tmp_path):
    line = r"model='Sequential': cannot be copied: 0\.weight is a computed tensor, as .*weight_norm and prune leave it"
    with pytest.raises(InputError, match=line) as caught:
        COPIES[copy](old_weight_norm(), tmp_path)
    assert ("copy=False" in str(caught.value)) == copy.startswith("to_")
    assert not list(tmp_path.iterdir())


def test_networks_that_cannot_be_copied_are_refused():
    network = nn.Conv2d(1, 1, 1)
    network.lock = threading.Lock()
    with pytest.raises(InputError, match=r"model='Conv2d': cannot be copied \(.*lock.*\); remove the attribute"):
        copy_network(network)


@dataclass
class Output:
    sample: torch.Tensor
    extra: object = None


class Returning(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.conv, self.wrap = nn.Conv2d(3, 2, 3, padding=1), wrap

    def forward(self, x):
        return self.wrap(self.conv(x))


@pytest.mark.parametrize("wrap", [Output, lambda y: {"sample": {"inner": [y]}}, lambda y: (None, [y])])
def test_outputs_in_any_container_are_looked_at(wrap, tmp_path):
    network = Returning(wrap)
    assert oc.summary(network, (3, 16, 32)).receptive_field == (3, 3)
    assert oc.audit.shift_error(network, PANORAMAS).stride == 1
    assert oc.export(network, tmp_path / "a.pt2", EXAMPLE).worst.relative_error < 1e-5
    assert oc.convert.to_equirectangular(network, report=True, size=(16, 32))[1]


def test_outputs_are_named_by_their_keys():
    x = torch.zeros(1)
    assert list(named_outputs({"a": x, "b": {"c": [x, None, x]}})) == ["a", "b.c_0", "b.c_2"]
    for output, rule in (
        ({"a": x, "n": 3}, "model='n': is in the network's output and has the type int"),
        ({}, "contains no tensor"),
        ({"a": {"b": x}, "a.b": x}, "is the name of two"),
    ):
        with pytest.raises(InputError, match=rule):
            named_outputs(output)

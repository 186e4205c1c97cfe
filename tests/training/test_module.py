from __future__ import annotations

import itertools

import pytest
import torch

from omniconv.models import Classifier, UNet
from omniconv.training.module import TrainingModule, learning_rate_factor
from omniconv.training.settings import RunConfig


def test_areas_count_for_dense_outputs():
    network = UNet(3, 3, width=2, depth=1)
    module = TrainingModule(network, RunConfig(task="segment"), 3, torch.ones(4, 6))
    assert torch.equal(module.areas, torch.ones(4, 6))
    assert not any("areas" in name for name in module.state_dict())


def test_areas_do_not_count_for_global_outputs():
    module = TrainingModule(Classifier(3, 3, width=2, depth=1), RunConfig(task="classify"), 3, torch.ones(4, 6))
    assert module.areas is None


@pytest.mark.parametrize("steps", [1, 2, 10, 100, 1000])
def test_the_rate_rises_then_falls(steps):
    factors = [learning_rate_factor(step, steps) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    top = factors.index(max(factors))
    assert max(factors) == 1
    assert top <= max(1, 0.05 * steps)
    assert all(before < after for before, after in itertools.pairwise(factors[: top + 1]))
    assert all(before >= after for before, after in itertools.pairwise(factors[top:]))


def test_the_rate_ends_at_a_hundredth():
    assert learning_rate_factor(1000, 1000) == pytest.approx(0.01)
    assert learning_rate_factor(5000, 1000) == pytest.approx(0.01)

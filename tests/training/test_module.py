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


@pytest.mark.parametrize("steps", [5, 10, 101])
def test_one_cycle_is_torchs(steps):
    optimizer = torch.optim.SGD([torch.zeros(1)], 1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, steps, cycle_momentum=False)
    for step in range(steps):
        assert learning_rate_factor(step, steps, "onecycle") == pytest.approx(schedule.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        if step < steps - 1:
            schedule.step()


def test_a_constant_rate_rises_as_the_cosine_does():
    constant, cosine = (
        [learning_rate_factor(step, 100, name) for step in range(100)] for name in ("constant", "cosine")
    )
    assert constant[:5] == cosine[:5]
    assert constant[5:] == [1.0] * 95


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_one_cycle_of_few_steps(steps):
    assert all(0 < learning_rate_factor(step, steps, "onecycle") <= 1 for step in range(steps + 2))

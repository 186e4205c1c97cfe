from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from omniconv.data.masks import IGNORE_INDEX
from omniconv.models import UNet
from omniconv.training.module import TrainingModule, rate_factor
from omniconv.training.settings import RunConfig


def module(areas=None, **settings):
    return TrainingModule(UNet(3, 3, width=2, depth=1), RunConfig(**settings), 3, areas)


@pytest.fixture
def answers():
    random = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 4, 6, generator=random), torch.randint(3, (2, 4, 6), generator=random)


def test_is_the_mean_cross_entropy(answers):
    assert float(module().loss(*answers)) == pytest.approx(float(F.cross_entropy(*answers)), rel=1e-6)


def test_ignores_what_is_ignored(answers):
    logits, labels = answers
    labels[0] = labels[1, :2] = IGNORE_INDEX
    expected = F.cross_entropy(logits[1, :, 2:][None], labels[1, 2:][None])
    assert float(module().loss(logits, labels)) == pytest.approx(float(expected), rel=1e-6)
    assert float(module(torch.ones(4, 6)).loss(logits, labels)) == pytest.approx(float(expected), rel=1e-6)
    logits.requires_grad_()
    module().loss(logits, labels).backward()
    assert not logits.grad[0].any()
    assert logits.grad[1, :, 2:].all()


def test_nothing_but_ignored_is_zero_with_a_gradient(answers):
    logits = answers[0].requires_grad_()
    loss = module().loss(logits, torch.full((2, 4, 6), IGNORE_INDEX))
    loss.backward()
    assert loss == 0
    assert not logits.grad.any()


def test_weighs_by_area(answers):
    logits, labels = answers
    areas = torch.tensor([0.5, 1.5, 1.5, 0.5])[:, None].expand(4, 6)
    losses = F.cross_entropy(logits, labels, reduction="none")
    expected = (losses * areas).sum() / (2 * areas.sum())
    assert float(module(areas).loss(logits, labels)) == pytest.approx(float(expected), rel=1e-6)
    assert float(module(areas).loss(logits, labels)) != pytest.approx(float(losses.mean()), rel=1e-3)


def test_classes_have_no_area():
    found = module(torch.ones(4, 6), task="classify")
    assert found.areas is None
    assert found.loss(torch.zeros(2, 3), torch.tensor([0, 2])) == pytest.approx(math.log(3))


def test_areas_are_no_weights():
    assert not any("areas" in name for name in module(torch.ones(4, 6)).state_dict())


def test_mixed_precision_is_summed_in_full(answers):
    logits, labels = answers
    assert module().loss(logits.bfloat16(), labels).dtype == torch.float32


@pytest.mark.parametrize("steps", [1, 2, 10, 100, 1000])
def test_the_rate_rises_then_falls(steps):
    factors = [rate_factor(step, steps) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    top = factors.index(max(factors))
    assert max(factors) == 1
    assert top <= max(1, 0.05 * steps)
    assert all(before < after for before, after in itertools.pairwise(factors[: top + 1]))
    assert all(before >= after for before, after in itertools.pairwise(factors[top:]))


def test_the_rate_ends_at_a_hundredth():
    assert rate_factor(1000, 1000) == pytest.approx(0.01)
    assert rate_factor(5000, 1000) == pytest.approx(0.01)


def test_what_decides():
    assert module().measure == "iou"
    assert module(task="classify").measure == "accuracy"

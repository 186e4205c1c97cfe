from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from omniconv.data.masks import IGNORE_INDEX
from omniconv.tasks import get_task
from omniconv.tasks.losses import CrossEntropy, balancing_weights


def criterion(areas=None, class_weights=None):
    return CrossEntropy(areas, class_weights, IGNORE_INDEX)


@pytest.fixture
def answers():
    random = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 4, 6, generator=random), torch.randint(3, (2, 4, 6), generator=random)


def test_is_the_mean_cross_entropy(answers):
    assert float(criterion()(*answers)) == pytest.approx(float(F.cross_entropy(*answers)), rel=1e-6)


def test_ignores_what_is_ignored(answers):
    logits, labels = answers
    labels[0] = labels[1, :2] = IGNORE_INDEX
    expected = F.cross_entropy(logits[1, :, 2:][None], labels[1, 2:][None])
    assert float(criterion()(logits, labels)) == pytest.approx(float(expected), rel=1e-6)
    assert float(criterion(torch.ones(4, 6))(logits, labels)) == pytest.approx(float(expected), rel=1e-6)
    logits.requires_grad_()
    criterion()(logits, labels).backward()
    assert not logits.grad[0].any()
    assert logits.grad[1, :, 2:].all()


def test_nothing_but_ignored_is_zero_with_a_gradient(answers):
    logits = answers[0].requires_grad_()
    loss = criterion()(logits, torch.full((2, 4, 6), IGNORE_INDEX))
    loss.backward()
    assert loss == 0
    assert not logits.grad.any()


def test_weighs_by_area(answers):
    logits, labels = answers
    areas = torch.tensor([0.5, 1.5, 1.5, 0.5])[:, None].expand(4, 6)
    losses = F.cross_entropy(logits, labels, reduction="none")
    expected = (losses * areas).sum() / (2 * areas.sum())
    assert float(criterion(areas)(logits, labels)) == pytest.approx(float(expected), rel=1e-6)
    assert float(criterion(areas)(logits, labels)) != pytest.approx(float(losses.mean()), rel=1e-3)


def test_weighs_by_class(answers):
    logits, labels = answers
    weights = torch.tensor([1.0, 2.0, 5.0])
    expected = F.cross_entropy(logits, labels, weights)
    assert float(criterion(class_weights=weights)(logits, labels)) == pytest.approx(float(expected), rel=1e-6)


def test_rare_classes_weigh_more():
    found = balancing_weights((0.9, 0.1))
    assert found.tolist() == pytest.approx([1 / math.log(1.92), 1 / math.log(1.12)])


def test_a_task_without_ignored_labels_learns_class_255():
    logits, labels = torch.randn(2, 300, generator=torch.Generator().manual_seed(0)), torch.tensor([255, 3])
    found = get_task("classify").criterion(None, None)(logits, labels)
    assert float(found) == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-6)


def test_weights_are_no_parameters():
    assert not criterion(torch.ones(4, 6), torch.ones(3)).state_dict()


def test_mixed_precision_is_summed_in_full(answers):
    logits, labels = answers
    assert criterion()(logits.bfloat16(), labels).dtype == torch.float32

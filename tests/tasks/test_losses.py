from __future__ import annotations

import math
import re

import pytest
import torch
import torch.nn.functional as F

from omniconv.data.masks import IGNORE_INDEX
from omniconv.errors import InputError
from omniconv.models import UNet
from omniconv.tasks import get_task
from omniconv.tasks.losses import (
    LOSSES,
    SAMPLE_LOSSES,
    LabelLoss,
    balancing_weights,
    binary_cross_entropy,
    cross_entropy,
    dice_loss,
    focal_loss,
    lovasz_loss,
    tversky_loss,
)
from omniconv.tasks.metrics import Confusion
from omniconv.training.module import TrainingModule
from omniconv.training.settings import RunConfig


def criterion(areas=None, class_weights=None):
    return LabelLoss("ce", areas, class_weights, IGNORE_INDEX)


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


def reference_lovasz(probability, labels, areas, ignored):
    """Berman et al., algorithm 1, class by class, with the IoU of areas."""
    losses = []
    for index in range(probability.shape[1]):
        kept = labels != ignored
        fg, p = (labels == index)[kept].double(), probability[:, index][kept]
        weights = areas.expand_as(labels)[kept].double()
        if not fg.any():
            continue
        errors = (fg - p).abs()
        order = errors.argsort(descending=True)
        total, wrong = (fg * weights).sum(), torch.zeros_like(fg, dtype=torch.bool)
        previous, loss = 0.0, 0.0
        for position in order.tolist():
            wrong[position] = True
            lost = (fg * weights * wrong).sum()
            grown = ((1 - fg) * weights * wrong).sum()
            jaccard = 1 - (total - lost) / (total + grown)
            loss, previous = loss + errors[position] * (jaccard - previous), jaccard
        losses.append(loss)
    return torch.stack(losses).mean()


def region_sums(logits, labels, areas, ignored):
    """Return true positives, false positives and false negatives of each class, as sums of probabilities."""
    kept = (labels != ignored).double() * areas
    probability = logits.double().softmax(1)
    one_hot = F.one_hot(labels.where(labels != ignored, 0), logits.shape[1]).movedim(-1, 1).double()
    axes = (0, 2, 3)
    positive = (probability * one_hot * kept[:, None]).sum(axes)
    return positive, (probability * kept[:, None]).sum(axes) - positive, (one_hot * kept[:, None]).sum(axes) - positive


@pytest.fixture
def labelled(answers):
    logits, labels = answers
    labels[0, 0] = IGNORE_INDEX
    return logits, labels, torch.tensor([0.5, 1.5, 1.5, 0.5])[:, None]


def test_dice_and_tversky_are_means_over_classes_of_weighted_sums(labelled):
    positive, extra, missed = region_sums(*labelled, IGNORE_INDEX)
    wanted = (1 - 2 * positive / (2 * positive + extra + missed)).mean()
    assert float(dice_loss(*labelled, ignore_index=IGNORE_INDEX)) == pytest.approx(float(wanted), rel=1e-5)
    wanted = (1 - positive / (positive + 0.3 * extra + 0.7 * missed)).mean()
    assert float(tversky_loss(*labelled, ignore_index=IGNORE_INDEX)) == pytest.approx(float(wanted), rel=1e-5)


def test_lovasz_is_the_published_algorithm_with_areas(labelled):
    logits, labels, areas = labelled
    wanted = reference_lovasz(logits.double().softmax(1), labels, areas, IGNORE_INDEX)
    assert float(lovasz_loss(logits, labels, areas, ignore_index=IGNORE_INDEX)) == pytest.approx(
        float(wanted), rel=1e-5
    )


def test_lovasz_of_certain_predictions_is_one_minus_the_mean_iou(answers):
    labels = answers[1]
    predicted = labels.roll(1, -1)
    logits = 60 * F.one_hot(predicted, 3).movedim(-1, 1).float()
    confusion = Confusion(3)
    confusion.update(predicted, labels)
    assert float(lovasz_loss(logits, labels)) == pytest.approx(1 - confusion.compute()["iou"], rel=1e-5)
    wanted = [2 * iou / (1 + iou) for iou in confusion.compute()["iou_by_class"]]
    assert float(dice_loss(logits, labels)) == pytest.approx(1 - sum(wanted) / 3, rel=1e-4)


def test_focal_loss_without_exponent_is_the_cross_entropy(labelled):
    weights = torch.tensor([1.0, 2.0, 5.0])
    found = focal_loss(*labelled, weights, IGNORE_INDEX, exponent=0.0)
    assert float(found) == pytest.approx(float(cross_entropy(*labelled, weights, IGNORE_INDEX)), rel=1e-6)


def test_focal_loss_counts_easy_samples_less():
    probability = torch.tensor([[0.9, 0.1], [0.4, 0.6]])
    wanted = -(0.1**2 * math.log(0.9) + 0.6**2 * math.log(0.4)) / 2
    assert float(focal_loss(probability.log(), torch.zeros(2, dtype=torch.long))) == pytest.approx(wanted, rel=1e-5)


def test_binary_cross_entropy_is_torchs_over_all_classes(answers):
    logits, labels = answers
    target = F.one_hot(labels, 3).movedim(-1, 1).float()
    wanted = F.binary_cross_entropy_with_logits(logits, target)
    assert float(binary_cross_entropy(logits, labels)) == pytest.approx(float(wanted), rel=1e-6)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 5.0])])
def test_label_smoothing_is_torchs(answers, weights):
    logits, labels = answers
    labels[0, :2] = IGNORE_INDEX
    wanted = F.cross_entropy(logits, labels, weights, ignore_index=IGNORE_INDEX, label_smoothing=0.1)
    found = cross_entropy(logits, labels, None, weights, IGNORE_INDEX, label_smoothing=0.1)
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_ignored_samples_change_nothing_and_get_no_gradient(labelled, name):
    logits, labels, areas = labelled
    other = logits.clone()
    other[0, :, 0] += torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    options = {"areas": areas, "ignore_index": IGNORE_INDEX}
    torch.testing.assert_close(LOSSES[name](other, labels, **options), LOSSES[name](logits, labels, **options))
    LOSSES[name](logits.requires_grad_(), labels, **options).backward()
    assert not logits.grad[0, :, 0].any()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.any()


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_zero_where_nothing_is_labelled_and_small_where_all_is_right(answers, name):
    logits, labels = answers
    nothing = LOSSES[name](logits.requires_grad_(), torch.full_like(labels, IGNORE_INDEX), ignore_index=IGNORE_INDEX)
    nothing.backward()
    assert nothing == 0
    assert not logits.grad.any()
    right = 40 * (2 * F.one_hot(labels, 3).movedim(-1, 1).float() - 1)
    assert float(LOSSES[name](right, labels)) < 1e-5


@pytest.mark.parametrize("name", LOSSES)
def test_splitting_a_sample_into_two_of_half_its_area_changes_nothing(answers, name):
    logits, labels = answers
    areas = torch.ones(4, 12)
    areas[:, :] = 0.5
    fine = logits.repeat_interleave(2, -1), labels.repeat_interleave(2, -1), areas
    torch.testing.assert_close(LOSSES[name](*fine), LOSSES[name](logits, labels, torch.ones(4, 6)))


def test_sum_of_losses(answers):
    found = LabelLoss("ce+dice+lovasz")(*answers)
    torch.testing.assert_close(found, cross_entropy(*answers) + dice_loss(*answers) + lovasz_loss(*answers))


def test_tasks_take_the_losses_that_have_a_meaning_for_them(answers):
    logits, labels = answers
    found = get_task("segment").criterion(None, None, loss="ce+dice", label_smoothing=0.1)(logits, labels)
    torch.testing.assert_close(found, cross_entropy(logits, labels, label_smoothing=0.1) + dice_loss(logits, labels))
    default = get_task("classify").criterion(None, None)(logits[..., 0, 0], labels[:, 0, 0])
    torch.testing.assert_close(default, cross_entropy(logits[..., 0, 0], labels[:, 0, 0]))
    for name in set(LOSSES) - set(SAMPLE_LOSSES):
        with pytest.raises(
            InputError, match=rf"loss='ce\+{name}': must be one of ce, bce, focal, or a sum of them, for"
        ):
            get_task("classify").criterion(None, None, loss=f"ce+{name}")


def test_training_uses_the_loss_of_its_settings(answers):
    config = RunConfig(loss="dice", balance=True)
    module = TrainingModule(UNet(3, 3, width=2, depth=1), config, 3, torch.ones(4, 6), (0.5, 0.3, 0.2))
    expected = dice_loss(*answers, torch.ones(4, 6), balancing_weights((0.5, 0.3, 0.2)))
    torch.testing.assert_close(module.criterion(*answers), expected)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"names": "ce+dize"},
            f"loss='ce+dize': must be one of {', '.join(LOSSES)}, or a sum of them; did you mean dice?",
        ),
        ({"names": "ce+ce"}, "loss='ce+ce': names a loss twice; name each once"),
        ({"names": "dice", "label_smoothing": 0.1}, "label_smoothing=0.1: is not used by the loss dice; use loss='ce'"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0: must be a number from 0 to below 1; use 0.1"),
    ],
)
def test_wrong_losses_raise(arguments, text):
    with pytest.raises(InputError, match=re.escape(text)):
        LabelLoss(**arguments)

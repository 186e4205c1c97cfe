from __future__ import annotations

import pytest
import torch
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_jaccard_index

from omniconv.data.masks import IGNORE_INDEX
from omniconv.tasks.metrics import Confusion, label_measures


def random_labels(classes, seed=0, shape=(3, 11, 13)):
    random = torch.Generator().manual_seed(seed)
    true = torch.randint(classes, shape, generator=random, dtype=torch.uint8)
    predicted = torch.where(torch.rand(shape, generator=random) < 0.6, true, (true + 1) % classes)
    true[torch.rand(shape, generator=random) < 0.1] = IGNORE_INDEX
    return predicted, true


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_agrees_with_torchmetrics(classes, dtype):
    predicted, true = (labels.to(dtype) for labels in random_labels(classes))
    confusion = Confusion(classes)
    for picture, truth in zip(predicted, true, strict=True):
        confusion.update(picture, truth)
    found = confusion.compute()
    given = {"num_classes": classes, "ignore_index": IGNORE_INDEX}
    iou = multiclass_jaccard_index(predicted.long(), true.long(), average="none", **given)
    assert found["iou_by_class"] == pytest.approx(iou.tolist(), abs=1e-6)
    assert found["iou"] == pytest.approx(float(iou.mean()), abs=1e-6)
    accuracy = multiclass_accuracy(predicted.long(), true.long(), average="micro", **given)
    assert found["accuracy"] == pytest.approx(float(accuracy), abs=1e-6)


def test_areas_weigh_as_repetition_does():
    predicted, true = random_labels(3)
    weights = torch.randint(1, 4, true.shape, generator=torch.Generator().manual_seed(1))
    by_area, repeated = Confusion(3), Confusion(3)
    by_area.update(predicted, true, weights.double())
    for times in range(1, 4):
        for _ in range(times):
            repeated.update(predicted[weights == times], true[weights == times])
    assert torch.equal(by_area.counts, repeated.counts)


def test_areas_broadcast_over_the_batch():
    predicted, true = random_labels(2)
    areas = torch.linspace(0.1, 2, 11)[:, None].expand(11, 13)
    one, three = Confusion(2), Confusion(2)
    one.update(predicted, true, areas)
    for picture, truth in zip(predicted, true, strict=True):
        three.update(picture, truth, areas)
    assert torch.allclose(one.counts, three.counts)


def test_a_class_that_is_nowhere_is_left_out():
    confusion = Confusion(3)
    confusion.update(torch.tensor([0, 1, 0]), torch.tensor([0, 1, 1]))
    found = confusion.compute()
    assert found["iou_by_class"][:2] == [0.5, 0.5]
    assert found["iou_by_class"][2] is None
    assert found["iou"] == 0.5


def test_a_class_that_is_only_predicted_counts_as_zero():
    confusion = Confusion(3)
    confusion.update(torch.tensor([0, 2]), torch.tensor([0, 0]))
    found = confusion.compute()
    assert found["iou_by_class"][0] == 0.5
    assert found["iou_by_class"][2] == 0
    assert found["iou"] == 0.25


def test_nothing_but_ignored():
    confusion = Confusion(2)
    confusion.update(torch.zeros(4), torch.full((4,), IGNORE_INDEX))
    assert confusion.counts.sum() == 0
    assert confusion.compute() == {"accuracy": None, "iou": None, "iou_by_class": [None, None]}


def test_every_label_may_be_a_class():
    confusion = Confusion(300, ignore_index=None)
    confusion.update(torch.tensor([255, 299]), torch.tensor([255, 0]))
    assert confusion.counts[255, 255] == confusion.counts[0, 299] == 1


def test_rows_are_true_and_columns_predicted():
    confusion = Confusion(2)
    confusion.update(torch.tensor([1, 1, 0]), torch.tensor([0, 0, 0]))
    assert confusion.counts.tolist() == [[1, 2], [0, 0]]


def test_perfect():
    found = label_measures(torch.diag(torch.tensor([3.0, 5.0])))
    assert found == {"accuracy": 1.0, "iou": 1.0, "iou_by_class": [1.0, 1.0]}

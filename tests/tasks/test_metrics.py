from __future__ import annotations

import pytest
import torch
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_auroc,
    multiclass_calibration_error,
    multiclass_f1_score,
    multiclass_jaccard_index,
    multiclass_precision,
    multiclass_recall,
    multiclass_specificity,
)

from omniconv.data.masks import IGNORE_INDEX
from omniconv.tasks.metrics import (
    CALIBRATION_BINS,
    CLASS_MEASURES,
    Confusion,
    ProbabilityMeasures,
    auroc_thresholds,
    label_measures,
)

PEERS = {
    "iou": multiclass_jaccard_index,
    "dice": multiclass_f1_score,
    "precision": multiclass_precision,
    "recall": multiclass_recall,
    "specificity": multiclass_specificity,
}


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
    assert PEERS.keys() == set(CLASS_MEASURES)
    for name, peer in PEERS.items():
        by_class = peer(predicted.long(), true.long(), average="none", **given)
        assert found[f"{name}_by_class"] == pytest.approx(by_class.tolist(), abs=1e-6)
        mean = peer(predicted.long(), true.long(), average="macro", **given)
        assert found[name] == pytest.approx(float(mean), abs=1e-6)
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
    assert set(map(str, confusion.compute().values())) == {"None", "[None, None]"}


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
    assert set(map(str, found.values())) == {"1.0", "[1.0, 1.0]"}


def random_areas(classes):
    return torch.rand(classes, classes, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def test_an_order_of_the_classes_changes_no_mean():
    counts, order = random_areas(5), [3, 0, 4, 1, 2]
    before, after = label_measures(counts), label_measures(counts[order][:, order])
    assert after["accuracy"] == pytest.approx(before["accuracy"], abs=1e-12)  # sums of 25 numbers below 1
    for name in CLASS_MEASURES:
        assert after[name] == pytest.approx(before[name], abs=1e-12)
        assert after[f"{name}_by_class"] == pytest.approx([before[f"{name}_by_class"][index] for index in order])


def test_merging_other_classes_changes_no_measure_of_a_class():
    counts = random_areas(4)
    rows = torch.stack([counts[0], counts[1], counts[2] + counts[3]])
    merged = torch.stack([rows[:, 0], rows[:, 1], rows[:, 2] + rows[:, 3]], 1)
    before, after = label_measures(counts), label_measures(merged)
    for name in CLASS_MEASURES:
        assert after[f"{name}_by_class"][:2] == pytest.approx(before[f"{name}_by_class"][:2], abs=1e-6)


@pytest.mark.parametrize(
    ("counts", "name", "wanted"),
    [
        ([[3.0, 0.0], [1.0, 0.0]], "precision", [0.75, None]),
        ([[3.0, 1.0], [0.0, 0.0]], "recall", [0.75, None]),
        ([[0.1, 0.2], [0.0, 0.0]], "specificity", [None, 0.333333]),
    ],
)
def test_a_quotient_of_nothing_is_none_and_not_in_the_mean(counts, name, wanted):
    found = label_measures(torch.tensor(counts, dtype=torch.float64))
    assert found[f"{name}_by_class"] == wanted
    assert found[name] == pytest.approx(next(value for value in wanted if value is not None), abs=1e-6)


def test_a_class_that_is_nowhere_has_no_measure():
    counts = torch.zeros(3, 3)
    counts[:2, :2] = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
    found, alone = label_measures(counts), label_measures(counts[:2, :2])
    for name in CLASS_MEASURES:
        assert found[f"{name}_by_class"] == [*alone[f"{name}_by_class"], None]
        assert found[name] == alone[name]


def random_probabilities(classes, count=400, sharpness=3.0):
    random = torch.Generator().manual_seed(3)
    true = torch.randint(classes, (count,), generator=random)
    logits = sharpness * torch.randn(count, classes, generator=random)
    logits[torch.arange(count), true] += sharpness
    return logits.softmax(1), true


def measured(classes, *batches):
    metric = ProbabilityMeasures(classes)
    for probabilities, true in batches:
        metric.update(probabilities, true)
    return metric.compute()


@pytest.mark.parametrize(("classes", "k"), [(2, None), (3, 2), (5, 2), (6, 5)])
def test_probabilities_agree_with_torchmetrics(classes, k):
    probabilities, true = random_probabilities(classes)
    found = measured(classes, *zip(probabilities.split(150), true.split(150), strict=True))
    assert found.get("top_k") == k
    if k:
        wanted = multiclass_accuracy(probabilities, true, classes, average="micro", top_k=k)
        assert found["top_k_accuracy"] == pytest.approx(float(wanted), abs=1e-6)
    # Rounded down to the thresholds, probabilities have the ties of the bins, and the exact area is the binned one.
    thresholds = auroc_thresholds()
    binned = thresholds[torch.bucketize(probabilities, thresholds, right=True) - 1]
    area = multiclass_auroc(binned, true, classes, average="none")
    assert found["auroc_by_class"] == pytest.approx(area.tolist(), abs=1e-5)
    exact = multiclass_auroc(probabilities, true, classes)
    assert found["auroc"] == pytest.approx(float(exact), abs=0.005)
    wanted = multiclass_calibration_error(probabilities, true, classes, n_bins=CALIBRATION_BINS)
    assert found["calibration_error"] == pytest.approx(float(wanted), abs=1e-5)


def test_an_order_of_the_classes_changes_no_measure_of_probabilities():
    probabilities, true = random_probabilities(6)
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    before, after = measured(6, (probabilities, true)), measured(6, (probabilities[:, order], order.argsort()[true]))
    assert after["auroc_by_class"] == pytest.approx([before["auroc_by_class"][index] for index in order])
    for name in ("top_k_accuracy", "auroc", "calibration_error"):
        assert after[name] == pytest.approx(before[name])


def test_probabilities_rounded_to_one_are_ties():
    certain = torch.tensor([[1.0, 0.0]]).expand(4, 2)
    found = measured(2, (certain, torch.tensor([0, 0, 1, 1])))
    assert found["auroc_by_class"] == [0.5, 0.5]
    assert found["calibration_error"] == 0.5
    assert found["reliability"]["images"] == [0] * (CALIBRATION_BINS - 1) + [4]


def test_a_class_of_no_or_of_all_images_has_no_auroc():
    probabilities, _ = random_probabilities(3, 5)
    found = measured(3, (probabilities, torch.ones(5, dtype=torch.int64)))
    assert (found["auroc"], found["auroc_by_class"]) == (None, [None] * 3)


def test_a_reset_forgets_all_probabilities():
    metric = ProbabilityMeasures(3)
    metric.update(*random_probabilities(3))
    metric.reset()
    metric.update(*random_probabilities(3, 7))
    assert metric.compute() == measured(3, random_probabilities(3, 7))

"""Multi-label classification: losses, measures, and every command."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import classify_folder, multilabel_folder, picture, save, words

import omniconv as oc
from omniconv.cli import main
from omniconv.data.layouts.dataset_folder import Sample
from omniconv.errors import FileError, InputError
from omniconv.inference.evaluation import read_evaluation
from omniconv.inference.predictor import Predictor
from omniconv.tasks import get_task
from omniconv.tasks.losses import MultiLabelLoss, balancing_weights, multilabel_cross_entropy
from omniconv.tasks.metrics import MultiLabelMeasures

TASK = get_task("multilabel")
CLASSES = ("red", "green")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return multilabel_folder(tmp_path_factory.mktemp("multilabel") / "signs")


def random_labels(seed, images=40, classes=3, known=True):
    random = np.random.default_rng(seed)
    labels = random.integers(0 if known else -1, 2, (images, classes))
    return torch.from_numpy(random.normal(size=(images, classes)).astype(np.float32)), torch.from_numpy(labels)


def test_the_loss_is_that_of_torch_over_the_known_labels():
    logits, labels = random_labels(0)
    torch.testing.assert_close(
        MultiLabelLoss()(logits, labels), F.binary_cross_entropy_with_logits(logits, labels.float())
    )
    logits, labels = random_labels(1, known=False)
    some = labels >= 0
    expected = F.binary_cross_entropy_with_logits(logits[some], labels[some].float())
    torch.testing.assert_close(MultiLabelLoss()(logits, labels), expected)


def test_the_focal_loss_is_its_formula():
    logits, labels = random_labels(2, known=False)
    p = torch.where(labels == 1, logits.sigmoid(), 1 - logits.sigmoid())
    expected = (-((1 - p) ** 2) * p.log())[labels >= 0].mean()
    torch.testing.assert_close(MultiLabelLoss("focal")(logits, labels), expected)
    torch.testing.assert_close(MultiLabelLoss("bce+focal")(logits, labels), MultiLabelLoss()(logits, labels) + expected)


def test_unknown_labels_have_no_gradient():
    logits = torch.tensor([[200.0, -300.0], [0.0, 1.0]], requires_grad=True)
    labels = torch.tensor([[1, -1], [-1, 0]])
    for name in ("bce", "focal"):
        (gradient,) = torch.autograd.grad(MultiLabelLoss(name)(logits, labels), logits)
        assert gradient.isfinite().all()
        assert gradient[1, 1] > 0
        assert not gradient[labels < 0].any()
        (gradient,) = torch.autograd.grad(MultiLabelLoss(name)(logits, torch.full_like(labels, -1)), logits)
        assert not gradient.any()


def test_balance_weights_both_labels_of_each_class():
    logits, labels = random_labels(3)
    frequencies = (0.1, 0.5, 0.9)
    weights = torch.where(
        labels == 1, balancing_weights(frequencies), balancing_weights([1 - share for share in frequencies])
    )
    losses = F.binary_cross_entropy_with_logits(logits, labels.float(), reduction="none")
    expected = (losses * weights).sum() / weights.sum()
    torch.testing.assert_close(MultiLabelLoss("bce", frequencies)(logits, labels), expected)
    assert multilabel_cross_entropy(logits, labels).item() != pytest.approx(expected.item())


@pytest.mark.parametrize("known", [True, False])
def test_measures_are_those_of_torchmetrics(known):
    from torchmetrics.functional import classification as reference

    logits, labels = random_labels(4, known=known)
    probabilities, measures = logits.sigmoid(), MultiLabelMeasures(3)
    for part in (slice(0, 7), slice(7, 40)):
        measures.update(probabilities[part], labels[part])
    found, given = measures.compute(), {"num_labels": 3, "ignore_index": -1, "average": None}
    for name in ("average_precision", "auroc", "f1_score", "precision", "recall"):
        expected = getattr(reference, f"multilabel_{name}")(probabilities, labels, **given).tolist()
        assert found[f"{name.removesuffix('_score')}_by_class"] == pytest.approx(expected, abs=1e-5)
        assert found[name.removesuffix("_score")] == pytest.approx(np.mean(expected), abs=1e-5)
    wrong = ((probabilities >= 0.5) != (labels == 1)) & (labels >= 0)
    assert found["hamming_loss"] == pytest.approx((wrong.sum() / (labels >= 0).sum()).item())
    assert found["exact_match"] == pytest.approx((~wrong.any(1))[(labels >= 0).any(1)].float().mean().item())
    if known:
        hamming = reference.multilabel_hamming_distance(probabilities, labels, num_labels=3)
        exact = reference.multilabel_exact_match(probabilities, labels, num_labels=3)
        assert (found["hamming_loss"], found["exact_match"]) == pytest.approx((hamming.item(), exact.item()))


def test_a_measure_over_nothing_is_none():
    measures = MultiLabelMeasures(3)
    measures.update(torch.tensor([[0.9, 0.1, 0.2]]), torch.tensor([[1, 0, -1]]))
    found = measures.compute()
    assert found["average_precision_by_class"] == [1.0, None, None]
    assert found["auroc_by_class"] == [None] * 3
    assert found["f1_by_class"] == [1.0, None, None]
    assert found["counts"] == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    measures.reset()
    measures.update(torch.tensor([[0.9, 0.1, 0.2]]), torch.full((1, 3), -1))
    found = measures.compute()
    assert {found[name] for name in ("average_precision", "f1", "exact_match", "hamming_loss")} == {None}
    assert TASK.quality_notes({"classes": ["a", "b", "c"], **found}) == [
        "No image with a known label: nothing was measured."
    ]


@pytest.mark.parametrize("surface", ["plane", "icosphere:1", pytest.param("cubemap:8", marks=pytest.mark.slow)])
def test_every_command(here, data, capsys, surface):
    given = words(surface=surface, epochs=2, loss="bce+focal", oversample=0.5, validation=0.3)
    assert main(["train", "multilabel", str(data), "--out", "run", "--balance", *given]) == 0
    out = capsys.readouterr().out
    assert "images with each class: red 50.0 %, green 33.3 %" in out
    assert "on the held-out images that selected it: mean average precision" in out

    assert main(["predict", "run", str(data), "--out", "out"]) == 0
    with (here / "out/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    predictor = Predictor.open(here / "run", "cpu")
    for row in rows[:2]:
        probabilities = predictor.predict(row["image"])
        assert [float(row[name]) for name in CLASSES] == pytest.approx(probabilities, abs=1e-6)
        chosen = [name for name, value in zip(CLASSES, probabilities, strict=True) if value >= 0.5]
        assert row["predicted"] == ";".join(chosen)
        answer = predictor(row["image"])
        assert answer.labels.tolist() == [name in chosen for name in CLASSES]
        assert answer.probabilities == pytest.approx(probabilities)
    assert (here / "out/overview.png").is_file()

    assert main(["evaluate", "run", str(data), "--json", "found.json"]) == 0
    found = json.loads((here / "found.json").read_text())
    assert found["images"] == 10
    assert [sum(counts) for counts in found["counts"]] == [10, 9]
    assert main(["report", "run"]) == 0
    assert "average precision" in (here / "run/report.html").read_text()
    if surface == "plane":
        assert main(["evaluate", "run", str(data), "--tta"]) == 0
        assert main(["export", "run", "--format", "torch"]) == 0
        assert main(["train", "--resume", "run", "--epochs", "3"]) == 0


def test_an_evaluation_is_checked(tmp_path):
    measures = MultiLabelMeasures(2)
    measures.update(torch.tensor([[0.9, 0.1]]), torch.tensor([[1, 0]]))
    content = {"task": "multilabel", "classes": list(CLASSES), "images": 1, **TASK.evaluation(measures)}
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(content))
    assert read_evaluation(path, TASK, CLASSES) == content
    for change in ({"counts": [[1, 2, 3]] * 2}, {"f1_by_class": [0.5]}, {"hamming_loss": 2}):
        path.write_text(json.dumps(content | change))
        with pytest.raises(FileError, match="is damaged"):
            read_evaluation(path, TASK, CLASSES)


def test_it_learns(tmp_path, data):
    settings = {"width": 8, "depth": 2, "batch_size": 5, "learning_rate": 0.02, "validation": 0, "augment": "none"}
    run = oc.train("multilabel", data, out=tmp_path / "run", log=lambda text: None, epochs=15, **settings)
    measures = MultiLabelMeasures(2)
    for sample in TASK.scan(data, ()).samples:
        predicted, true = TASK.compare(run.predict(sample.image), np.array(sample.target))
        measures.update(predicted, true)
    assert measures.compute()["average_precision"] > 0.9


def test_samples_are_split_by_their_rarest_class(data):
    targets = [(1, 0, 0), (1, 1, 0), (1, 1, 1), (0, -1, 0), (1, -1, 0)]
    samples = [Sample(data / f"{index}.png", target) for index, target in enumerate(targets)]
    assert list(TASK.split_groups(samples).values()) == [0, 1, 2, None, 0]


def test_classes_are_matched_by_name(data):
    labels = TASK.relabel(np.array([1, 0]), [3, 1])
    assert labels.tolist() == [-1, 0, -1, 1]
    predicted, true = TASK.compare(np.zeros(5, np.float32), labels)
    assert (tuple(predicted.shape), true.tolist()) == ((1, 5), [[-1, 0, -1, 1, -1]])
    with pytest.raises(FileError, match=r"has the labels \(2, 0\), but there are 2 classes, each 0, 1 or unknown"):
        TASK.count_target(Sample(data / "0.png", (2, 0)), np.array([2, 0]), CLASSES)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (["--loss", "dice"], "--loss='dice': must be one of bce, focal, or a sum of them, for the task multilabel"),
        (["--loss", "ce+bce"], "--loss='ce+bce': must be one of bce, focal, or a sum of them, for the task multilabel"),
        (["--label-smoothing", "0.1"], "--label-smoothing=0.1: is not used by the task multilabel"),
        (["--oversample", "2"], "--oversample=2.0: must be a number from 0 to 1"),
    ],
)  # fmt: skip
def test_settings_without_a_meaning(here, data, capsys, given, error):
    assert main(["train", "multilabel", str(data), *given]) == 2
    assert f"omniconv: {error}" in capsys.readouterr().err
    assert not (here / "runs").exists()


def test_equal_labels_are_refused(here, data, capsys):
    for name in ("0", "1"):
        save(here / f"data/{name}.png", picture(int(name))[0])
    for rows, error in (
        ("0.png,1,0\n1.png,1,0\n", "has equal labels for all images, so that there is nothing to learn; add images"),
        ("0.png,1,\n1.png,,0\n", "has equal labels for all images"),
        ("0.png,,\n1.png,,\n", "has no known label; write 0 or 1 for some images"),
    ):
        (here / "data/labels.csv").write_text(f"image,a,b\n{rows}")
        assert main(["train", "multilabel", "data", *words()]) == 2
        assert capsys.readouterr().err.startswith(f"omniconv: data/labels.csv: {error}")
    assert not (here / "runs").exists()


def test_the_layout_is_told_from_others(here, data, segment_data, capsys):
    classify_folder(here / "lights")
    multilabel_folder(here / "signs/images").joinpath("labels.csv").rename(here / "signs/labels.csv")
    refused = {
        (
            "classify",
            "signs",
        ): "signs: looks like a data set for the task multilabel, not classify; use: omniconv",
        ("multilabel", "lights"): "lights: looks like a data set for the task classify, not multilabel",
        ("multilabel", str(segment_data)): f"{segment_data}: looks like a data set for the task segment, not",
    }
    for (task, folder), error in refused.items():
        assert main(["train", task, folder, *words()]) == 2
        assert capsys.readouterr().err.startswith(f"omniconv: {error}")
    (here / "lights/labels.csv").write_text("stem,brightness\n")  # of another kind
    assert main(["train", "classify", "lights", *words()]) == 0


def test_unknown_losses_name_the_nearest():
    with pytest.raises(InputError, match=re.escape("must be one of ce, bce, focal, dice, tversky, lovasz, or a sum")):
        TASK.criterion(None, None, loss="bcee")

"""Not-so-Clevr example: data, published numbers of parameters, training and command line."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from examples.coordconv import __main__ as program
from examples.coordconv import data, networks, recipes, results, tasks, training

COUNTS = [
    (networks.CoordinateClassifier(), 7553),
    (networks.CoordinateRenderer(), 11850),
    (networks.CoordinateRenderer(1), 8074),
    (networks.Deconvolution(2, 1), 46465),
    (networks.Deconvolution(3, 1), 103585),
    (networks.Deconvolution(3, 2), 409921),
    (networks.Deconvolution(3, 3), 919009),
    (networks.Deconvolution(4, 3), 1632001),
    (networks.coordinate_regressor(), 906),
    (networks.dense_regressor(), 72850),
    (networks.convolutional_regressor(), 12914),
    (networks.convolutional_regressor(2), 49890),
]
SOME = torch.tensor([[4, 4], [4, 59], [20, 33], [59, 4]])


@pytest.mark.parametrize(("network", "published"), COUNTS)
def test_networks_have_as_many_parameters_as_the_published_ones(network, published):
    assert networks.parameter_count(network) == published


@pytest.mark.parametrize(
    ("task", "shape"), [("classification", (1, 64, 64)), ("regression", (2,)), ("rendering", (1, 64, 64))]
)
@pytest.mark.parametrize("split", data.SPLITS)
@pytest.mark.parametrize("kind", tasks.NETWORKS)
def test_output_shapes(task, split, kind, shape):
    network = recipes.network_for(task, kind, split, 1)
    output = network(tasks.TASKS[task].inputs(SOME, True))
    assert output.shape == (len(SOME), *shape)
    assert tasks.TASKS[task].score(output, SOME).shape == (len(SOME),)


@pytest.mark.parametrize(("name", "train", "test"), [("uniform", 2368, 768), ("quadrant", 2407, 729)])
def test_splits_have_the_published_sizes_and_are_disjoint(name, train, test):
    split = data.split(name)
    learnt, held_out = (set(map(tuple, part.tolist())) for part in (split.train, split.test))
    assert (len(learnt), len(held_out)) == (train, test)
    assert not learnt & held_out
    assert learnt | held_out == {(x, y) for x in range(4, 60) for y in range(4, 60)}


def test_quadrant_is_the_lower_right_corner():
    test = data.split("quadrant").test
    assert test.min() == 33
    assert test.max() == 59


def test_squares_are_one_hots_convolved_with_ones():
    positions = data.centres()[::97]
    hots, drawn = data.one_hots(positions), data.squares(positions)
    assert torch.equal(drawn, F.conv2d(hots, torch.ones(1, 1, 9, 9), padding=4))
    assert torch.equal(drawn.sum((1, 2, 3)), torch.full((len(positions),), 81.0))
    assert torch.equal(drawn.unique(), torch.tensor([0.0, 1.0]))


def test_thinned_split_keeps_its_test_positions():
    thin = data.split("uniform").thinned(7)
    assert len(thin.positions) == 448
    assert set(map(tuple, thin.test.tolist())) <= set(map(tuple, data.split("uniform").test.tolist()))


def test_x_is_the_column():
    assert data.one_hots(torch.tensor([[10, 50]]))[0, 0, 50, 10] == 1


def test_perfect_outputs_have_the_best_score():
    perfect = {"classification": data.one_hots(SOME), "regression": SOME / 64, "rendering": data.squares(SOME) - 0.5}
    for name, output in perfect.items():
        task = tasks.TASKS[name]
        score = task.score(output, SOME)
        assert task.is_fitted(score.mean().item()), name
        assert (task.quality(score) > 0.99).all(), name
        assert not task.is_fitted(task.score(-output, SOME).mean().item()), name


def fitted(task, kind, network=None, count=1, **changes):
    """A short training on every ``count``-th position."""
    torch.manual_seed(0)
    split = data.split("quadrant").thinned(count)
    recipe = replace(recipes.OURS[task, kind], **changes)
    network = network or recipes.network_for(task, kind, split.name, 1)
    return training.fit(network, tasks.TASKS[task], split, recipe, torch.device("cpu"), lambda epoch: None)


def test_coordconv_regression_generalises_to_the_quadrant():
    found = fitted("regression", "coordconv", count=2, epochs=2, schedule="none")
    assert min(epoch.test for epoch in found.epochs) < 2, found.epochs


def test_zero_coordinate_weights():
    network = networks.zero_coordinate_weights(networks.he_normal(networks.coordinate_regressor()))
    weight = network[0].conv.weight
    assert (weight[:, :1] != 0).all()
    assert (weight[:, 1:] == 0).all()


@pytest.mark.parametrize("kind", tasks.NETWORKS)
def test_classification_learns(kind):
    classifier = networks.CoordinateClassifier((8, 8)) if kind == "coordconv" else None
    found = fitted("classification", kind, classifier, count=16, epochs=3, batch_size=8, eval_every=3)
    first, *_, last = found.epochs
    assert last.loss < first.loss
    assert first.test is None
    assert last.test is not None


def test_training_stops_once_fitted(monkeypatch):
    monkeypatch.setitem(tasks.TASKS, "regression", replace(tasks.TASKS["regression"], level=1000.0))
    found = fitted("regression", "convolution", count=64, epochs=50, patience=2)
    assert len(found.epochs) == 2
    assert found.fitted is found.epochs[0]


def test_training_is_repeatable():
    first, second = (fitted("regression", "convolution", count=64, epochs=2) for _ in range(2))
    assert [epoch.loss for epoch in first.epochs] == [epoch.loss for epoch in second.epochs]
    assert torch.equal(first.scores, second.scores)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--task", "naming"], "Invalid value for '--task': 'naming' is not one of"),
        (["--split", "half"], "Invalid value for '--split'"),
        (["--epochs", "0"], "Invalid value for '--epochs'"),
        (["--quick", "--published"], "exclude each other: leave one out"),
        (["--device", "abacus"], "--device"),
        (["--speed", "9"], "No such option"),
    ],
)
def test_wrong_options_are_one_line(words, text, capsys):
    assert program.main(words) == 2
    told = capsys.readouterr()
    assert not told.out
    assert told.err.count("\n") == 1
    assert text in told.err


@pytest.mark.parametrize(
    ("taken", "text"),
    [("found", "cannot be written"), ("found/results.json/", "is a folder"), ("found/positions.png/", "is a folder")],
)
def test_unwritable_output_is_refused_before_training(taken, text, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(program, "_run", pytest.fail)
    if taken.endswith("/"):
        (tmp_path / taken).mkdir(parents=True)
    else:
        (tmp_path / taken).write_text("a file")
    assert program.main(["--out", str(tmp_path / "found/" if taken.endswith("/") else tmp_path / "found/deeper")]) == 2
    told = capsys.readouterr()
    assert not told.out
    assert told.err.count("\n") == 1
    assert text in told.err


def test_command_writes_numbers_and_a_figure(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(program, "QUICK_STEP", 50)
    words = ["--task", "regression", "--split", "uniform", "--quick", "--out", str(tmp_path / "found")]
    assert program.main(words) == 0
    lines = json.loads((tmp_path / "found/results.json").read_text())
    assert [(line["network"], line["parameters"], line["epochs"]) for line in lines] == [
        ("convolution", 72850, 1), ("coordconv", 906, 1),
    ]  # fmt: skip
    assert (tmp_path / "found/positions.png").read_bytes().startswith(b"\x89PNG")
    assert "72,850" in capsys.readouterr().out
    assert len(results.load(tmp_path / "found")) == 2

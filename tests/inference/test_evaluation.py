from __future__ import annotations

import numpy as np
import pytest
from tiny import classify_folder, save, scan, segment_folder

from omniconv.data.masks import IGNORE_INDEX, read_mask
from omniconv.errors import FileError
from omniconv.inference.evaluation import evaluate
from omniconv.inference.predictor import Predictor
from omniconv.surfaces import panorama


def opened(run):
    return Predictor.open(run.path, "cpu")


def by_hand(predictor, folder, weigh):
    """Return the confusion matrix, counted pixel by pixel."""
    table = np.zeros((2, 2))
    for sample in folder.samples:
        predicted, true = predictor.predict(sample.image), read_mask(sample.target)
        weights = weigh(*true.shape)
        for row, column in np.ndindex(true.shape):
            if true[row, column] != IGNORE_INDEX:
                table[true[row, column], predicted[row, column]] += weights[row, column]
    return table


def iou(table):
    return [table[k, k] / (table[k].sum() + table[:, k].sum() - table[k, k]) for k in range(2)]


@pytest.fixture
def other_sizes(tmp_path):
    root = segment_folder(tmp_path / "data", 2, height=13, width=27)
    segment_folder(tmp_path / "data/more", 1)
    for part in ("images", "masks"):
        (tmp_path / "data/more" / part / "0.png").rename(root / part / "large.png")
    mask = read_mask(root / "masks/1.png")
    mask[:4, :9] = IGNORE_INDEX
    save(root / "masks/1.png", mask)
    return scan("segment", root)


def test_equals_a_hand_count(segment_run, other_sizes):
    predictor = opened(segment_run)
    steps = []
    found = evaluate(predictor, other_sizes, lambda: steps.append(1))
    table = by_hand(predictor, other_sizes, lambda height, width: np.ones((height, width)))
    assert found["confusion"] == table.tolist()
    assert table.sum() == 2 * 13 * 27 + 16 * 32 - 36
    assert found["accuracy"] == pytest.approx(np.trace(table) / table.sum())
    assert found["iou_by_class"] == pytest.approx(iou(table), abs=1e-6)
    assert found["iou"] == pytest.approx(np.mean(iou(table)))
    assert found["images"] == len(steps) == 3
    assert "by_area" not in found


def test_by_area_equals_a_hand_count(sphere_run, other_sizes):
    predictor = opened(sphere_run)
    found = evaluate(predictor, other_sizes)["by_area"]
    table = by_hand(predictor, other_sizes, panorama.pixel_areas)
    assert found["accuracy"] == pytest.approx(np.trace(table) / table.sum())
    assert found["iou_by_class"] == pytest.approx(iou(table), abs=1e-6)


@pytest.mark.parametrize("name", ["segment_run", "sphere_run"])
def test_a_perfect_network_scores_one(request, name, other_sizes, monkeypatch):
    predictor = opened(request.getfixturevalue(name))
    masks = {sample.image: read_mask(sample.target) for sample in other_sizes.samples}
    monkeypatch.setattr(predictor, "predict", lambda path: np.where(masks[path] == IGNORE_INDEX, 0, masks[path]))
    found = evaluate(predictor, other_sizes)
    for part in [found] + ([found["by_area"]] if name == "sphere_run" else []):
        assert part["accuracy"] == part["iou"] == 1.0
        assert part["iou_by_class"] == [1.0, 1.0]


def test_classes_by_hand(classify_run, classify_data, monkeypatch):
    predictor = opened(classify_run)
    answers = {"bright": [0.9, 0.1], "dark": [0.4, 0.6]}
    monkeypatch.setattr(
        predictor,
        "predict",
        lambda path: np.array(answers["bright" if path.name == "0.png" else path.parent.name]),
    )
    found = evaluate(predictor, scan("classify", classify_data))
    assert found["confusion"] == [[4, 0], [1, 3]]
    assert found["accuracy"] == 7 / 8
    assert found["iou_by_class"] == [0.8, 0.75]


def test_other_classes_are_refused(classify_run, segment_run, tmp_path):
    folder = classify_folder(tmp_path / "a", 1)
    (folder / "dark").rename(folder / "dim")
    with pytest.raises(FileError, match=r"has the classes bright, dim, but the network has bright, dark; use data"):
        evaluate(opened(classify_run), scan("classify", folder))
    named = scan("segment", segment_folder(tmp_path / "b", 1, "sea land"))
    with pytest.raises(FileError, match=r"has the classes sea, land, but the network has class 0, class 1"):
        evaluate(opened(segment_run), named)


def test_labels_beyond_the_network_are_refused(segment_run, tmp_path):
    root = segment_folder(tmp_path, 2)
    save(root / "masks/1.png", read_mask(root / "masks/1.png") * 2)
    with pytest.raises(FileError, match=r"1\.png: has the label 2 at row \d+, column \d+, but there are 2 classes"):
        evaluate(opened(segment_run), scan("segment", root))

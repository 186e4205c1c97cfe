"""Counts of objects in evaluation and prediction."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import save

from omniconv.cli import main
from omniconv.data.images import read_header
from omniconv.data.masks import read_mask
from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import FileError
from omniconv.inference.evaluation import read_evaluation
from omniconv.metrics.objects import Wrapping, count_objects
from omniconv.surfaces import surface
from omniconv.tasks import get_task
from omniconv.tasks.objects import ObjectMeasures, object_grid, object_table

FLAT = Preprocessing(surface("plane"), (8, 16))
SPHERE = Preprocessing(surface("icosphere:1"), (8, 16))


@pytest.fixture
def header(tmp_path):
    return read_header(save(tmp_path / "a.png", np.zeros((8, 16, 3), np.uint8)))


def test_measures_over_images(header):
    true = np.zeros((8, 16), np.uint8)
    true[1:3, 1:3] = true[1:3, 6:8] = true[5:7, 1:3] = 1
    predicted = np.roll(true, 1, axis=1)  # an IoU of 1/3
    predicted[5:7] = true[5:7]
    predicted[5, 12] = 1
    measures = ObjectMeasures(2)
    measures.update(predicted, true, header, FLAT)
    measures.update(true, true, header, FLAT)
    found = measures.compute()["objects"]
    assert found == {
        "min_object": 0, "true": [2, 6], "predicted": [2, 7], "matched": [2, 4], "count_error": [0, 0.5],
    }  # fmt: skip
    ((caption, (names, rows)),) = object_table({"classes": ["rest", "cell"], "objects": found})
    assert caption.startswith("Objects: connected pixels of a class; found ones have an IoU of at least 0.5")
    assert names[4:] == ["count error per image", "precision", "recall", "F1"]
    assert rows[1] == ["cell", 6, 7, 4, 0.5, 4 / 7, 4 / 6, 8 / 13]
    assert rows[2][:5] == ["all, mean", 8, 9, 6, 0.25]
    without_specks = ObjectMeasures(2, min_object=2)
    without_specks.update(predicted, true, header, FLAT)
    assert without_specks.compute()["objects"]["predicted"] == [1, 3]


def test_ignored_images_have_no_objects(header):
    measures = ObjectMeasures(2)
    measures.update(np.zeros((8, 16), np.uint8), np.full((8, 16), 255, np.uint8), header, FLAT)
    ((_, (_, rows)),) = object_table({"classes": ["a", "b"], **measures.compute()})
    assert rows[0] == ["a", 0, 0, 0, 0, None, None, None]
    assert object_table({"classes": ["a", "b"]}) == []


def test_edges_of_panoramas_and_of_their_parts(header, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "data")
    from xmp import crop_fields, packet, save_with

    assert object_grid(header, FLAT) == {}
    grid = object_grid(header, SPHERE)
    assert grid["panorama"] == Wrapping(True, True, True)
    assert grid["areas"][[3, 4]] == pytest.approx([1, 1], abs=0.03)
    assert grid["areas"].sum() * 2 * np.pi**2 / 8 == pytest.approx(4 * np.pi)
    parts = {(0, 4, 16): Wrapping(True, True, False), (4, 4, 8): Wrapping(False, False, True)}
    for (top, rows, columns), wrapping in parts.items():
        file = tmp_path / f"{top}.png"
        fields = crop_fields((8, 16), top, 0, (rows, columns))
        save_with(file, Image.fromarray(np.zeros((rows, columns, 3), np.uint8)), packet(fields))
        found = object_grid(read_header(file), SPHERE)
        assert found["panorama"] == wrapping
        assert np.allclose(found["areas"], grid["areas"][top : top + rows])


@pytest.mark.parametrize("name", ["segment_run", "sphere_run"])
def test_commands_count_objects(here, request, segment_data, capsys, name):
    run = request.getfixturevalue(name).path
    spherical = name == "sphere_run"
    assert main(["predict", str(run), str(segment_data / "images"), "--out", "out"]) == 0
    with (here / "out/counts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["class 0", "class 1"] * 5
    areas = Preprocessing(surface("icosphere:1"), (16, 32)).pixel_areas(read_header(segment_data / "images/0.png"))
    for index, row in enumerate(rows):
        image = segment_data / "images" / f"{index // 2}.png"
        labels = read_mask(here / "out/labels" / image.name)
        assert row["image"] == str(image)
        assert int(row["objects"]) == count_objects(labels, 2, panorama=spherical)[index % 2]
        weights = np.broadcast_to(areas if spherical else np.ones((16, 1)), labels.shape)
        assert float(row["share"]) == pytest.approx(weights[labels == index % 2].sum() / weights.sum(), abs=1e-6)
    assert main(["evaluate", str(run), str(segment_data), "--json", "found.json", "--min-object", "3"]) == 0
    found = json.loads((here / "found.json").read_text())
    assert found["objects"]["min_object"] == 3
    assert found["objects"]["true"][1] == 5
    assert set(found["unseen"]["objects"]) == set(found["objects"])
    assert "Objects below 3 pixels are left out." in capsys.readouterr().out
    assert "found ones have an IoU of at least 0.5" in (run / "report.html").read_text()


def test_the_smallest_object_is_a_setting_of_segmentation(here, classify_run, segment_run, classify_data, capsys):
    for command in (["evaluate"], ["predict", "--out", "out"]):
        given = [command[0], str(classify_run.path), str(classify_data), *command[1:], "--min-object", "3"]
        assert main(given) == 2
        assert capsys.readouterr().err == (
            "omniconv: --min-object=3.0: is not used by the task classify; leave it out\n"
        )
    assert main(["evaluate", str(segment_run.path), "--min-object", "-1"]) == 2
    assert "--min-object=-1.0: must be a number from 0 to 1,000,000,000" in capsys.readouterr().err
    assert not (here / "out").exists()


def test_counts_in_an_evaluation_are_checked(segment_run, tmp_path):
    task, classes = get_task("segment"), ("class 0", "class 1")
    content = read_evaluation(segment_run.evaluation, task, classes)
    changes = {
        "its measures are not those of 2 classes": {"true": [1]},
        "objects.matched.0: Input should be greater than or equal to 0": {"matched": [-1, 0]},
    }
    for reason, change in changes.items():
        (tmp_path / "evaluation.json").write_text(json.dumps(content | {"objects": content["objects"] | change}))
        with pytest.raises(FileError, match=re.escape(reason)):
            read_evaluation(tmp_path / "evaluation.json", task, classes)
    earlier = {key: value for key, value in content.items() if key != "objects"}
    (tmp_path / "evaluation.json").write_text(json.dumps(earlier))
    assert task.further_tables(read_evaluation(tmp_path / "evaluation.json", task, classes)) == []

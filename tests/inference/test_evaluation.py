from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import classify_folder, save, scan, segment_folder, trained

from omniconv.data.masks import IGNORE_INDEX, read_mask
from omniconv.errors import FileError
from omniconv.inference.evaluation import describe_overlap, evaluate, read_evaluation, trained_images
from omniconv.inference.predictor import Predictor
from omniconv.report.page import Page
from omniconv.surfaces import panorama
from omniconv.tasks import get_task
from omniconv.training.dataset_splits import read_splits


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
    assert found["auroc_by_class"] == [0.875, 0.875]  # one dark image of four ties with all bright ones
    # 0.9 is right in 4 of 5 images, 0.6 in all 3
    assert found["calibration_error"] == pytest.approx((abs(4 - 5 * 0.9) + abs(3 - 3 * 0.6)) / 8)
    assert sum(found["reliability"]["images"]) == 8


def test_an_evaluation_without_probabilities_is_read_and_shown(classify_run, tmp_path):
    task, classes = get_task("classify"), ("bright", "dark")
    content = read_evaluation(classify_run.evaluation, task, classes)
    header, rows = task.quality_table(content)
    assert [row[0] for row in rows] == [*classes, "mean", "all (accuracy)", "all (calibration error, 15 bins)"]
    names = ("task", "classes", "images", "accuracy", "iou", "iou_by_class", "confusion")
    earlier = {name: content[name] for name in names}
    (tmp_path / "evaluation.json").write_text(json.dumps(earlier))
    again = task.quality_table(read_evaluation(tmp_path / "evaluation.json", task, classes))[1]
    assert [row[0] for row in again] == [row[0] for row in rows[:4]]
    column = header.index("AUROC")
    assert [row[column] for row in again[:3]] == [None] * 3
    for row, wanted in zip(again[:3], rows[:3], strict=True):
        assert row[:column] == pytest.approx(wanted[:column])
    page = Page("Run")
    task.draw_quality(page, earlier)
    assert page.html().count("<svg") == 1
    task.draw_quality(page, content)
    assert page.html().count("<svg") == 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content.update(auroc_by_class=[0.5]), r"its measures are not those of 2 classes"),
        (lambda content: content.update(calibration_error=2.0), r"calibration_error: Input should be less than"),
        (lambda content: content["reliability"].pop("images"), r"reliability.images: Field required"),
        (
            lambda content: content["reliability"]["accuracy"].pop(),
            r"reliability.accuracy: List should have at",
        ),
    ],
)
def test_the_measures_of_probabilities_are_checked(classify_run, tmp_path, change, reason):
    content = json.loads(classify_run.evaluation.read_text())
    change(content)
    (tmp_path / "evaluation.json").write_text(json.dumps(content))
    with pytest.raises(FileError, match=rf"is damaged \({reason}"):
        read_evaluation(tmp_path / "evaluation.json", get_task("classify"), ("bright", "dark"))


def test_unknown_classes_are_refused_by_name(classify_run, segment_run, tmp_path):
    folder = classify_folder(tmp_path / "a", 1)
    (folder / "dark").rename(folder / "dim")
    with pytest.raises(
        FileError, match=r"has the class dim, unknown to the network \(bright, dark\); rename or remove"
    ):
        evaluate(opened(classify_run), scan("classify", folder))
    named = scan("segment", segment_folder(tmp_path / "b", 1, "sea land"))
    with pytest.raises(FileError, match=r"has the classes sea, land, unknown to the network \(class 0, class 1\)"):
        evaluate(opened(segment_run), named)


@pytest.mark.parametrize("emptied", [True, False])
def test_a_folder_that_lacks_a_class_is_measured(classify_run, classify_data, tmp_path, emptied):
    folder = Path(shutil.copytree(classify_data, tmp_path / "data"))
    shutil.rmtree(folder / "bright")
    if emptied:
        (folder / "bright").mkdir()
    found = evaluate(opened(classify_run), scan("classify", folder))
    whole = evaluate(opened(classify_run), scan("classify", classify_data))
    assert found["images"] == 4
    assert found["confusion"] == [[0, 0], whole["confusion"][1]]
    rows = {row[0]: row[1:] for row in get_task("classify").quality_table(found)[1]}
    assert rows["bright"][0] is None
    assert rows["bright"][-1] == "0"
    assert rows["dark"][0] == found["accuracy"] == whole["confusion"][1][1] / 4


def test_classes_in_another_order_are_matched_by_name(classify_run, classify_data, tmp_path):
    folder = Path(shutil.copytree(classify_data, tmp_path / "data"))
    (folder / "classes.txt").write_text("dark\nbright\n")
    samples = scan("classify", folder)
    assert samples.classes == ("dark", "bright")
    whole = evaluate(opened(classify_run), scan("classify", classify_data))
    assert evaluate(opened(classify_run), samples) == whole


def test_labels_of_named_classes_are_matched_by_name(tmp_path):
    run = trained(tmp_path / "run", "segment", segment_folder(tmp_path / "a", 4, "sea land"))
    predictor = opened(run)
    other = segment_folder(tmp_path / "b", 4, "land sea")
    for mask in (other / "masks").iterdir():
        labels = 1 - read_mask(mask)
        labels[0, :3] = IGNORE_INDEX
        save(mask, labels)
    again = segment_folder(tmp_path / "c", 4)
    for mask in (again / "masks").iterdir():
        labels = read_mask(mask)
        labels[0, :3] = IGNORE_INDEX
        save(mask, labels)
    assert evaluate(predictor, scan("segment", other)) == evaluate(predictor, scan("segment", again))


def test_unlabelled_images_have_no_measures(segment_run, tmp_path):
    root = segment_folder(tmp_path, 2)
    for mask in (root / "masks").iterdir():
        save(mask, np.full((16, 32), IGNORE_INDEX, np.uint8))
    found = evaluate(opened(segment_run), scan("segment", root))
    assert (found["accuracy"], found["iou"], found["iou_by_class"]) == (None, None, [None, None])
    task = get_task("segment")
    assert task.quality_line(found) == "accuracy –, mean IoU – (class 0 –, class 1 –)"
    assert task.quality_notes(found) == ["No pixels with a label: nothing was measured."]


def test_images_that_were_trained_on_are_recognised_by_content(segment_run, segment_data, tmp_path):
    predictor = opened(segment_run)
    root = segment_folder(tmp_path / "data", 7)  # 5 of them are those of the run
    for part in ("images", "masks"):
        for file in (root / part).iterdir():
            file.rename(file.with_name(f"other-{file.name}"))
    samples = scan("segment", root)
    images = [sample.image for sample in samples.samples]
    for run in (segment_run.path, segment_run.model):
        trained_on = trained_images(run, images)
        assert len(trained_on) == 4
    found = evaluate(predictor, samples, trained_on=trained_on)
    assert (found["images"], found["trained_on"]) == (7, 4)
    others = replace(samples, samples=tuple(s for s in samples.samples if s.image not in trained_on))
    alone = evaluate(predictor, others)
    assert found["unseen"] == {name: alone[name] for name in found["unseen"]}
    assert found["unseen"]["images"] == 3
    assert describe_overlap(found).startswith("4 of 7 images were trained on")


def test_nothing_is_left_if_all_images_were_trained_on(segment_run, segment_data, tmp_path):
    seen = read_splits(segment_run.data).training
    found = evaluate(
        opened(segment_run), seen, trained_on=trained_images(segment_run.path, [s.image for s in seen.samples])
    )
    assert (found["trained_on"], found["unseen"]) == (4, None)
    assert "none of them shows" in describe_overlap(found)


def test_a_network_outside_of_a_run_knows_no_images(segment_run, segment_data, tmp_path):
    model = shutil.copy(segment_run.model, tmp_path / "model.safetensors")
    assert trained_images(Path(model), (segment_data / "images").iterdir()) is None


def test_runs_without_hashes_recognise_their_images_while_these_exist(segment_run, segment_data, tmp_path):
    run = Path(shutil.copytree(segment_run.path, tmp_path / "run"))
    content = json.loads((run / "data.json").read_text())
    for part in ("training", "measured"):
        content[part]["samples"] = [[image[:2], mask[:2]] for image, mask in content[part]["samples"]]
    (run / "data.json").write_text(json.dumps(content))
    copies = segment_folder(tmp_path / "copies", 7)
    assert len(trained_images(run, (copies / "images").iterdir())) == 4


@pytest.mark.parametrize(
    ("confusion", "notes"),
    [
        ([[9, 0], [1, 0]], ["Never predicted (with their shares of the pixels): land (10 %).", "Try the setting "]),
        ([[0, 9], [1, 0]], ["Predicted, but nowhere right: sea, land.", "Try the setting "]),
        ([[0, 9], [0, 1]], ["Never predicted (with their shares of the pixels): sea (90 %).", "Try more epochs, "]),
        ([[9, 0], [0, 0]], []),
        ([[9, 1], [0, 1]], []),
    ],
)  # fmt: skip
def test_classes_that_are_never_predicted_are_named(confusion, notes):
    found = get_task("segment").quality_notes({"classes": ["sea", "land"], "confusion": confusion})
    assert len(found) == len(notes)
    assert all(text.startswith(start) for text, start in zip(found, notes, strict=True))
    balanced = get_task("segment").quality_notes({"classes": ["sea", "land"], "confusion": confusion}, balance=True)
    assert not any("--balance" in text for text in balanced)


def test_labels_beyond_the_network_are_refused(segment_run, tmp_path):
    root = segment_folder(tmp_path, 2)
    save(root / "masks/1.png", read_mask(root / "masks/1.png") * 2)
    with pytest.raises(FileError, match=r"1\.png: has the label 2 at row \d+, column \d+, but there are 2 classes"):
        evaluate(opened(segment_run), scan("segment", root))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content.pop("iou"), r"is damaged \(iou: Field required\)"),
        (lambda content: content.update(images="many"), r"is damaged \(images: Input should be a valid integer\)"),
        (lambda content: content.update(accuracy=2.0), r"is damaged \(accuracy: Input should be less than"),
        (lambda content: content.update(iou_by_class=[0.5]), r"is damaged \(its measures are not those of 2 classes\)"),
        (lambda content: content["confusion"].pop(), r"is damaged \(its measures are not those of 2 classes\)"),
        (lambda content: content["confusion"][0].append(1), r"is damaged \(its measures are not those of 2 classes\)"),
        (
            lambda content: content["confusion"].__setitem__(0, "ab"),
            r"is damaged \(confusion.0: Input should be a valid",
        ),
        (lambda content: content.update(by_area=None), r"is damaged \(by_area: Input should be a valid dictionary"),
        (lambda content: content.update(by_area={"iou": 1}), r"is damaged \(by_area.accuracy: Field required\)"),
        (
            lambda content: content.update(unseen={"images": 10**6}),
            r"is damaged \(unseen.images is not a number of images",
        ),
        (lambda content: content.update(task="classify"), "has the measures of another network"),
        (lambda content: content.update(classes=["sea", "land"]), "has the measures of another network"),
        (lambda content: content.update(classes="ab"), r"is damaged \(classes: Input should be a valid list\)"),
    ],
)
def test_the_structure_of_an_evaluation_is_checked(sphere_run, tmp_path, change, reason):
    predictor = Predictor.open(sphere_run.path, "cpu")
    content = read_evaluation(sphere_run.evaluation, predictor.task, predictor.classes)
    change(content)
    (tmp_path / "evaluation.json").write_text(json.dumps(content))
    with pytest.raises(FileError, match=rf"evaluation\.json: {reason}.*; delete it, or evaluate again"):
        read_evaluation(tmp_path / "evaluation.json", predictor.task, predictor.classes)

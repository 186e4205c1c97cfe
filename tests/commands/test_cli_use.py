"""``evaluate``, ``predict``, ``report``, ``summary`` and ``demo``, in this process."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import classify_folder

from omniconv.cli import commands, main
from omniconv.inference.predictor import Predictor

ALL = ("train", "convert", "sample", "evaluate", "predict", "report", "summary", "audit", "explain", "export", "demo")


def table_rows(text):
    """Return the cells of a printed table's rows, by their first cell."""
    rows = [[cell.strip() for cell in line.strip("│┃").split("│")] for line in text.splitlines() if "│" in line]
    return {row[0]: row[1:] for row in rows}


def test_evaluate(segment_run, segment_data, here, capsys):
    assert main(["evaluate", str(segment_run.path), str(segment_data), "--json", "found.json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    found = json.loads((here / "found.json").read_text())
    assert found["images"] == 5
    quality, objects, *_ = captured.out.split("Objects: ")
    assert list(table_rows(objects.split("not trained on")[0])) == ["class 0", "class 1", "all, mean"]
    rows = table_rows(quality)
    assert list(rows) == ["class 0", "class 1", "mean", "accuracy"]
    assert float(rows["mean"][0]) == pytest.approx(found["iou"], abs=1e-4)
    assert float(rows["accuracy"][0]) == pytest.approx(found["accuracy"], abs=1e-4)
    names = ("iou", "dice", "precision", "recall", "specificity")
    assert [float(cell) for cell in rows["mean"]] == pytest.approx([found[name] for name in names], abs=1e-4)


def test_evaluate_on_a_sphere_shows_areas(sphere_run, segment_data, capsys):
    assert main(["evaluate", str(sphere_run.path), str(segment_data)]) == 0
    names = list(table_rows(capsys.readouterr().out.split("Objects: ")[0]))
    assert names[4:] == [f"{name}, by area" for name in names[:4]] == [
        "class 0, by area", "class 1, by area", "mean, by area", "accuracy, by area"
    ]  # fmt: skip


def test_reports_say_the_method_the_surface_and_the_weighting(generate_run, sphere_run):
    assert ": generate edm on plane</h1>" in generate_run.report.read_text()
    text = sphere_run.report.read_text()
    assert ": segment on equirectangular</h1>" in text
    assert "loss (weighted by area)" in text


def test_evaluate_chooses_the_split(classify_run, tmp_path, here, capsys):
    for count, split in ((1, "train"), (2, "val"), (3, "test")):
        classify_folder(tmp_path / "data" / split, count)
    for words, images in (((), 6), (("--split", "train"), 2), (("--split", "val"), 4)):
        assert main(["evaluate", str(classify_run.path), str(tmp_path / "data"), *words, "--json", "a.json"]) == 0
        assert json.loads((here / "a.json").read_text())["images"] == images
    assert main(["evaluate", str(classify_run.path), str(tmp_path / "data"), "--split", "tset"]) == 2
    assert "must be one of train, val, test" in capsys.readouterr().err


def test_predict_labels(segment_run, segment_data, here, capsys):
    assert main(["predict", str(segment_run.path), str(segment_data / "images"), "--out", "out"]) == 0
    assert capsys.readouterr().out == "5 images predicted into out\n"
    for index in range(5):
        with Image.open(here / f"out/labels/{index}.png") as image:
            assert image.mode == "P"
            assert image.size == (32, 16)
        assert (here / f"out/overlays/{index}.png").is_file()


def test_predict_of_a_data_set_leaves_out_its_masks(segment_run, segment_data, here, capsys):
    assert main(["predict", str(segment_run.path), str(segment_data), "--out", "out"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["masks/ beside images/ is not predicted: 5 files", "5 images predicted into out"]
    assert sorted(path.name for path in (here / "out/labels").iterdir()) == ["images"]


def test_predict_classes(classify_run, classify_data, here, capsys):
    images = [str(classify_data / "dark/0.png"), str(classify_data / "bright")]
    assert main(["predict", str(classify_run.path), *images, "--out", "out"]) == 0
    assert capsys.readouterr().out == "5 images predicted into out\n"
    with (here / "out/predictions.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["image", "predicted", "bright", "dark"]
    assert len(rows) == 6
    assert (here / "out/overview.png").is_file()


def test_predicting_again_gives_the_same_files(segment_run, segment_data, here):
    found = []
    command = ["predict", str(segment_run.path), str(segment_data / "images/0.png"), "--out", "out"]
    for more in ([], ["--overwrite"]):
        assert main(command + more) == 0
        found.append({path: path.read_bytes() for path in here.rglob("*.png")})
    assert found[0] == found[1]
    assert len(found[0]) == 2
    assert main(command) == 2  # nothing is replaced unasked


def test_evaluation_without_data_is_that_of_the_held_out_images(segment_run, here, capsys):
    assert main(["evaluate", str(segment_run.path), "--json", "again.json"]) == 0
    evaluation = json.loads(segment_run.evaluation.read_text())
    assert evaluation.pop("weights") == Predictor(segment_run.path, "cpu").weights_checksum()
    assert json.loads((here / "again.json").read_text()) == evaluation


def test_report_is_rewritten(segment_run, here, capsys):
    run = Path(shutil.copytree(segment_run.path, here / "run"))
    (run / "report.html").write_text("old")
    assert main(["report", "run"]) == 0
    assert capsys.readouterr().out == "run/report.html\n"
    text = (run / "report.html").read_text()
    assert text.rstrip().endswith("</html>")
    for heading in ("Quality", "Training", "Predictions", "Settings", "Machine and versions"):
        assert heading in text


@pytest.mark.parametrize("surface", ["plane", "equirectangular", "icosphere:2"])
@pytest.mark.parametrize("task", ["segment", "classify"])
def test_summary_of_a_task(task, surface, capsys):
    given = ["--surface", surface, "--width", "4", "--depth", "2", "--classes", "7"]
    assert main(["summary", task, *given]) == 0
    text = capsys.readouterr().out
    assert "total" in text
    assert "7" in text.splitlines()[-3]


def test_summary_of_a_run(segment_run, capsys):
    assert main(["summary", str(segment_run.path)]) == 0
    of_run = capsys.readouterr().out
    plain = ["--stem-stride", "1", "--no-residual", "--up", "linear", "--normalization", "batch"]
    assert main(["summary", "segment", "--width", "2", "--depth", "1", "--size", "16x32", *plain]) == 0
    assert capsys.readouterr().out == of_run
    assert np.any(["16 × 32" in line for line in of_run.splitlines()])


def test_demo(here, capsys, monkeypatch):
    from omniconv.demo import demonstration

    def stand_in(out, given, say, progress_bar, show):
        say("plane")
        show(["network", "IoU"], [["plane", 0.5]], "quality")
        return Path(out) / f"report-{given}"

    monkeypatch.setattr(demonstration, "run_demo", stand_in)
    assert main(["demo", "--epochs", "3"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "demo/report-{'epochs': 3}"
    assert "0.5000" in out


@pytest.mark.parametrize("command", ALL)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help(command, flag, capsys):
    assert main([command, flag]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"Usage: omniconv {command}")
    assert captured.err == ""


def test_help_of_everything_names_every_command(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert set(commands.commands) == set(ALL)
    assert all(f"  {command}" in text for command in ALL)


def test_version(capsys):
    from omniconv import __version__

    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


def test_the_same_flag_means_the_same_everywhere():
    seen = {}
    for command in commands.commands.values():
        for option in command.params:
            each_has_its_use = {
                "out",
                "help",
                "size",
                "batch_size",
                "weights",
                "surface",
                "classes",
                "mean",
                "std",
                "name",
            }
            if option.opts[0].startswith("--") and option.name not in each_has_its_use:
                meaning = str(option.type), option.help.partition("  [default:")[0]
                assert seen.setdefault(option.opts[0], meaning) == meaning
    assert {"--network", "--device", "--epochs", "--seed"} <= set(seen)

"""Names of files, folders and classes that a terminal or a page would act on, or that are not UTF-8."""

from __future__ import annotations

import csv
import io
import os
import shutil
import sys
from pathlib import Path

import pytest
from tiny import SMALL, classify_folder, segment_folder, words

from omniconv.cli import main
from omniconv.commands.terminal import print_table
from omniconv.runs.start import start_run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows and macOS refuse such names")
ESCAPES = "\x1b]0;title\x07\x1b[2J\n\u202e"
NAMES = {ESCAPES: r"\x1b]0;title\x07\x1b[2J\n\u202e", os.fsdecode(b"caf\xe9"): r"caf\xe9", "[red]<b>": "[red]<b>"}
"""Names, and how they are printed."""


def assert_harmless(text):
    assert all(character.isprintable() or character == "\n" for character in text)
    text.encode()


def call(capfd, *arguments):
    """Run a command that succeeds, and return what it prints."""
    assert main([str(word) for word in arguments]) == 0
    printed = capfd.readouterr()
    assert_harmless(printed.out)
    assert printed.err == ""
    return printed.out


def refuse(capfd, *arguments):
    """Run a command that fails, and return the line that it prints."""
    assert main([str(word) for word in arguments]) == 2
    printed = capfd.readouterr()
    assert_harmless(printed.err)
    assert printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize(("name", "shown"), NAMES.items(), ids=["escapes", "not UTF-8", "markup"])
def test_names_of_classes(here, capfd, name, shown):
    os.rename(classify_folder(here / "data") / "dark", here / "data" / name)
    trained = call(capfd, "train", "classify", "data", "--out", "run", *words())
    assert f"{shown} 50.0 %" in trained
    assert shown in call(capfd, "evaluate", "run", "data")
    call(capfd, "report", "run")
    page = (here / "run/report.html").read_text("utf-8")
    assert_harmless(page)
    assert shown.replace("<b>", "&lt;b&gt;") in page
    call(capfd, "predict", "run", "data", "--out", "out")
    with open("out/predictions.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        header, *rows = csv.reader(file)
    assert name in header
    assert {row[0] for row in rows} == {str(path) for path in Path("data").glob("*/*.png")}


@pytest.mark.parametrize(("name", "shown"), NAMES.items(), ids=["escapes", "not UTF-8", "markup"])
def test_names_of_images(here, capfd, name, shown):
    data = segment_folder(here / "data", 2)
    for folder in ("images", "masks"):
        os.rename(data / folder / "0.png", data / folder / f"{name}.png")
    (data / "images" / f"{name}.txt").touch()
    trained = call(capfd, "train", "segment", "data", "--out", "run", *words(validation=0))
    assert f"  skipped (does not have the suffix of an image): data/images/{shown}.txt\n" in trained
    page = (here / "run/report.html").read_text("utf-8")
    assert_harmless(page)
    assert f"{shown}.png".replace("<b>", "&lt;b&gt;") in page
    call(capfd, "predict", "run", "data/images", "--out", "out")
    assert (here / "out/labels" / f"{name}.png").is_file()
    (data / "images" / f"{name}.png").write_bytes(b"damaged")
    line = refuse(capfd, "predict", "run", "data/images", "--out", "second")
    assert line.startswith(f"omniconv: data/images/{shown}.png: is not a PNG, JPEG, ")
    assert f"data/images/{shown}.png: has changed since" in refuse(capfd, "train", "--resume", "run", "--epochs", "2")
    skipped = call(capfd, "train", "segment", "data", "--skip-bad", "--out", "third", *words(validation=0))
    assert "  skipped (is not a PNG, JPEG, " in skipped
    assert f": data/images/{shown}.png\n" in skipped


def test_words_of_the_command_line(here, capfd):
    for arguments in (
        [ESCAPES], ["train", ESCAPES, "data"], ["train", "segment", ESCAPES], ["train", f"--{ESCAPES}"],
        ["train", "--config", ESCAPES], ["report", ESCAPES], ["predict", ESCAPES, "data", "--out", "out"],
        ["export", ESCAPES, "--format", "onnx"], ["audit", ESCAPES, "data"], ["summary", ESCAPES],
        ["explain", "conv", "--out", ESCAPES], ["explain", "conv", "--surface", ESCAPES, "--out", "a.html"],
        ["train", "segment", "data", "--epochs", ESCAPES],
    ):  # fmt: skip
        refuse(capfd, *arguments)


def test_data_whose_path_is_not_utf8_is_refused_before_training(here, capfd):
    name = os.fsdecode(b"caf\xe9")
    segment_folder(here / name, 2)
    line = refuse(capfd, "train", "segment", name, "--out", "run", *words())
    assert r"data='caf\udce9': must be a path in UTF-8, to be stored in config.yaml; rename its folders" in line
    assert not (here / "run").exists()


def test_facts_in_python_are_lines(here):
    os.rename(classify_folder(here / "data") / "dark", here / "data" / ESCAPES)
    lines = []
    start_run(SMALL | {"task": "classify", "data": "data"}, lines.append, out="run")
    assert_harmless("\n".join(lines))
    assert all("\n" not in line for line in lines)


def test_tables(capfd):
    print_table([ESCAPES, "[bold]b"], [[ESCAPES, 0.5], ["[red]a[/red]", None]], ESCAPES)
    printed = capfd.readouterr().out
    assert_harmless(printed)
    assert "[red]a[/red]" in printed
    assert "[bold]b" in printed


def test_large_measures_have_four_digits(capfd):
    print_table(["name", "PSNR (dB)", "SSIM"], [["a", 23.456789, 0.51234], ["b", 9.87654, None]], "")
    printed = capfd.readouterr().out
    assert all(text in printed for text in ("23.46", " 9.88", "0.5123", "–"))


def test_letters_that_the_terminal_lacks(here, monkeypatch):
    os.rename(classify_folder(here / "data") / "dark", here / "data" / "北京")
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding="cp1252", write_through=True))
    assert main(["train", "classify", "data", "--out", "run", *words()]) == 0
    assert main(["evaluate", "run"]) == 0
    assert printed.getvalue().count(rb"\u5317\u4eac") == 3


def test_links_to_themselves(here, capfd, segment_run):
    images = segment_folder(here / "data", 2) / "images"
    (images / "loop.png").symlink_to("loop.png")
    call(capfd, "predict", segment_run.path, "data/images", "--out", "out")
    assert sorted(path.name for path in (here / "out/labels").iterdir()) == ["0.png", "1.png"]
    (here / "loop").symlink_to("loop")
    for arguments in (
        ["predict", segment_run.path, "data/images/loop.png", "--out", "second"],
        ["predict", segment_run.path, "loop", "--out", "second"],
        ["predict", segment_run.path, "data/images", "--out", "loop"],
        ["train", "segment", "loop", "--out", "run"], ["train", "segment", "data", "--out", "loop", *words()],
        ["report", "loop"], ["evaluate", segment_run.path, "loop"], ["train", "--config", "loop"],
    ):  # fmt: skip
        refuse(capfd, *arguments)


def test_runs_whose_path_is_not_utf8_are_refused(here, capfd, segment_run):
    name, rule = os.fsdecode(b"caf\xe9"), "is not UTF-8, as safetensors and TensorBoard require of paths; rename it, or"
    data = segment_folder(here / "data", 2)
    assert rf"caf\xe9: {rule}" in refuse(capfd, "train", "segment", data, "--out", name, *words())
    assert not (here / name).exists()
    shutil.copytree(segment_run.path, here / name)
    for arguments in (
        ["report", name], ["evaluate", name], ["predict", name, data / "images", "--out", "out"],
        ["predict", f"{name}/model.safetensors", data / "images", "--out", "out"], ["summary", name],
        ["export", name, "--format", "torch"], ["train", "--resume", name, "--epochs", "3"], ["audit", name, "data"],
    ):  # fmt: skip
        assert rule in refuse(capfd, *arguments)

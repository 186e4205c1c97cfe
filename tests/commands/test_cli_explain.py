"""``explain`` writes complete files and nothing else, and reports errors in one line."""

from __future__ import annotations

import errno
import os

import pytest
from PIL import Image

from omniconv.cli import main

SMALL = ["--input", "4", "--kernel", "2"]


@pytest.fixture
def refused(here, capsys):
    """Runs a command that must be refused, and gives its line."""

    def run(*arguments):
        before = {path: path.stat().st_mtime_ns for path in here.rglob("*")}
        assert main(["explain", *arguments]) == 2
        captured = capsys.readouterr()
        said = captured.err.splitlines()
        assert len(said) == 1
        assert captured.out == ""
        assert said[0].startswith("omniconv: ")
        assert "Errno" not in said[0]
        assert {path: path.stat().st_mtime_ns for path in here.rglob("*")} == before
        return said[0]

    return run


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        (["conv", "--input", "7", "--kernel", "3", "--stride", "2", "--padding", "1", "--dilation", "2"], 3),
        (["conv", *SMALL, "--transposed", "--stride", "2", "--output-padding", "1", "--mode", "reflect:zeros"], 4),
        (["conv", "--input", "2x4", "--kernel", "3,2", "--padding", "same", "--mode", "pole,circular"], 8),
        (["conv", *SMALL, "--padding", "1:0", "--value", "-2", "--seed", "3"], 4),
        (["pool", *SMALL], 2),
        (["pool", *SMALL, "--kind", "average", "--padding", "1", "--count-include-pad", "--ceil-mode"], 3),
        (["pool", *SMALL, "--kind", "lp", "--p", "3", "--stride", "1"], 3),
        (["unpool", *SMALL, "--stride", "1"], 6),
    ],
)
def test_an_animation(here, capsys, arguments, steps):
    assert main(["explain", *arguments, "--seconds", "0.25"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "explain.gif\n"
    assert captured.err == ""
    assert os.listdir(here) == ["explain.gif"]
    with Image.open(here / "explain.gif") as image:
        assert image.n_frames == steps
        assert image.info["duration"] == 250


@pytest.mark.parametrize("name", ["picture.html", "picture.HTML"])
def test_a_page(here, capsys, name):
    assert main(["explain", "conv", "--out", name]) == 0
    assert capsys.readouterr().out == f"{name}\n"
    assert (here / name).read_text("utf-8").startswith("<!DOCTYPE html>")
    assert os.listdir(here) == [name]


def test_nothing_is_replaced_without_overwrite(here, refused):
    (here / "explain.gif").write_text("mine")
    assert refused("conv") == ("omniconv: explain.gif: exists already; add --overwrite, or choose another path")
    assert main(["explain", "conv", "--overwrite"]) == 0
    with Image.open(here / "explain.gif") as image:
        assert image.format == "GIF"


def test_writing_again_gives_the_same_file(here):
    found = []
    for _ in range(2):
        assert main(["explain", "unpool", *SMALL, "--overwrite"]) == 0
        found.append((here / "explain.gif").read_bytes())
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "WHAT=None: must be one of conv, pool, unpool; write: omniconv explain conv --input 7"),
        (["convolution"], "No such command 'convolution'"),
        (["conv", "extra"], "unexpected extra argument (extra)"),
        (["conv", "--kernle", "3"], "--kernel"),
        (["conv", "--kernel"], "requires an argument"),
        (["pool", "--transposed"], "--transposed"),
        (["conv", "--kernel", "three"], "kernel='three': must be a whole number from 1 to 999999; write --kernel 3"),
        (["conv", "--mode", "mirror"], "mode='mirror': must be one of zeros, reflect, replicate, circular, pole"),
        (["conv", "--padding", "9", "--mode", "reflect"], "padding=9: must be smaller than the axis (7 samples)"),
        (["conv", "--kernel", "8"], "input='7': leaves no output under a kernel that spans 8"),
        (["conv", "--input", "3x4x5"], "input='3x4x5': has 3 axes: only rows and grids can be drawn"),
        (["conv", "--input", "40x40"], "input='40x40': has 1444 windows, more than the 256 that can be shown"),
        (["conv", "--input", "4x44", "--stride", "4"], "input='4x44': is too large to be drawn"),
        (["pool", "--padding", "2"], "padding=2: must be smaller than the window, which spans 2; pad less"),
        (["pool", "--kind", "median"], "kind='median': must be one of max, average, lp; write --kind max"),
        (["unpool", "--kernel", "9"], "input='7': is smaller than the window, which spans 9"),
        (["conv", "--seconds", "0"], "seconds='0': must be a number from 0.05 to 60; write --seconds 1"),
        (["conv", "--seconds", "soon"], "seconds='soon': must be a number from 0.05 to 60"),
        (["conv", "--seconds", "inf"], "seconds='inf': must be a number from 0.05 to 60"),
        (["conv", "--out", "a.png"], "out='a.png': must end in .gif or .html; write --out explain.gif or"),
        (["conv", "--out", "explain"], "out='explain': must end in .gif or .html"),
        (["conv", "--out", ""], "must end in .gif or .html"),
        (["conv", "--out", "none/a.gif"], "none: is not a folder; make it, or choose another folder with --out"),
        (["conv", "--out", f"{'a' * 300}.gif"], "file name too long"),
    ],
)
def test_refusals(refused, arguments, line):
    assert line in refused(*arguments)


def test_a_folder_of_the_same_name(refused, here):
    (here / "a.gif").mkdir()
    assert "a.gif: is a folder; choose another path with --out" in refused("conv", "--out", "a.gif", "--overwrite")


def test_a_file_in_place_of_a_folder(refused, here):
    (here / "place").touch()
    assert "place: is not a folder" in refused("conv", "--out", "place/a.gif")


@pytest.mark.parametrize("name", ["a.gif", "a.html"])
def test_a_full_disk(refused, here, monkeypatch, name):
    (here / name).write_text("old")

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    line = refused("conv", "--out", name, "--overwrite")
    assert f"{name}: cannot be written (no space left on device); free some space" in line


@pytest.mark.parametrize("command", [[], ["conv"], ["pool"], ["unpool"]])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help(capsys, command, flag):
    assert main(["explain", *command, flag]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(" ".join(["Usage: omniconv explain", *command]))
    assert captured.err == ""


def test_the_same_flag_means_the_same():
    from omniconv.commands.explain import explain

    seen = {}
    for command in explain.commands.values():
        for option in command.params:
            meaning = option.help.partition("; by default")[0]
            assert seen.setdefault(option.opts[0], meaning) == meaning
    assert {"--input", "--kernel", "--padding", "--mode", "--out", "--overwrite"} <= set(seen)

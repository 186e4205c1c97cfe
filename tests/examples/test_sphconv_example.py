"""The SphConv example: its panoramas, its network and its command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from examples.sphconv import __main__ as program
from examples.sphconv import data, results, training
from omniconv.convert import SphConvReport
from omniconv.errors import FileError

QUICK = ["--height", "32", "--width", "2", "--epochs", "1", "--views", "2", "--turned", "1", "--steps", "1"]


@pytest.fixture
def folder(tmp_path):
    generator = np.random.default_rng(0)
    for name in "abcde":
        pixels = generator.integers(0, 256, (8, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((128, 64)).save(tmp_path / f"{name}.png")
    return tmp_path


def report(**last):
    errors = {method: (np.full(4, value),) for method, value in last.items()}
    return SphConvReport(("0",), (1.0,), errors, 1, True)


def test_every_fourth_panorama_is_held_out(folder):
    split = data.load(folder)
    assert list(split.held_out) == ["d.png"]
    assert list(split.training) == ["a.png", "b.png", "c.png", "e.png"]
    assert split.training["a.png"].shape == (3, 64, 128)


def test_each_panorama_is_held_out_in_one_fold(folder):
    names = [name for fold in range(1, 5) for name in data.load(folder, fold).held_out]
    assert sorted(names) == ["a.png", "b.png", "c.png", "d.png", "e.png"]


def test_one_of_two_panoramas_is_held_out(folder):
    for name in "cde":
        (folder / f"{name}.png").unlink()
    assert list(data.load(folder).held_out) == ["b.png"]


def test_photograph_on_a_cube_covers_the_sphere():
    panorama = data._on_cube(np.full((427, 640, 3), 255, np.uint8))
    assert panorama.shape == (3, 426, 852)
    np.testing.assert_allclose(panorama, 0.5, atol=1e-5)


def test_views_of_a_constant_are_constant():
    views, labels = data.views({"a": np.full((3, 8, 16), 0.25), "b": np.zeros((3, 8, 16))}, 32, 16, 2, seed=0)
    assert views.shape == (4, 3, 16, 16)
    np.testing.assert_allclose(views[:2], 0.25, atol=1e-6)
    assert labels.tolist() == [0, 0, 1, 1]


def test_network_can_be_converted():
    from omniconv.convert.sphconv.source_network import chain

    assert chain(training.network(2))[-1].field == 14


def test_verdict_names_the_best_method():
    assert "as published" in results.verdict(report(equirectangular=3.0, tangent=2.0, sphconv=1.0))
    assert "Not as published: tangent" in results.verdict(report(equirectangular=3.0, tangent=1.0, sphconv=2.0))


def test_command_prints_the_table_and_writes_the_numbers(folder, capsys, tmp_path):
    arguments = ["--panoramas", str(folder), *QUICK, "--out", str(tmp_path / "out")]
    assert program.main(arguments) == 0
    text = capsys.readouterr().out
    assert "held out: d.png" in text
    assert all(name in text for name in ("equirectangular", "circular", "tangent", "sphconv", "3.44"))
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    assert written["held_out"] == ["d.png"]
    assert [len(rows) for rows in written["rmse_by_row"]["sphconv"]] == [32, 32, 16, 16]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda folder: Image.new("RGB", (10, 10)).save(folder / "a.png"),
            "a.png: is 10 × 10 pixels, must be twice as wide",
        ),
        (lambda folder: (folder / "a.png").write_bytes(b"cut"), "a.png: is not a complete image"),
        (lambda folder: [(folder / f"{name}.png").unlink() for name in "bcde"], "has 1 panoramas"),
    ],
)
def test_wrong_folder_gives_one_line(folder, capsys, change, text):
    change(folder)
    with pytest.raises(FileError, match=text):
        data.load(folder)
    assert program.main(["--panoramas", str(folder), *QUICK, "--out", str(folder / "out")]) == 2
    assert text in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_wrong_height_gives_one_line(folder, capsys):
    assert program.main(["--panoramas", str(folder), *QUICK, "--height", "33", "--out", str(folder / "out")]) == 2
    assert "height=33: must be a multiple of 2" in capsys.readouterr().err

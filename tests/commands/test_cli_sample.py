"""``omniconv sample``, and ``evaluate`` and ``report`` of runs of the task ``generate``, in this process."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from tiny import picture, save, trained

import omniconv as oc
from omniconv.cli import main
from omniconv.errors import InputError
from omniconv.inference import write_samples
from omniconv.locks import UNFINISHED

TINY = {"width": 4, "depth": 1, "epochs": 1, "batch_size": 4, "sample_every": 0}


@pytest.fixture
def run(generate_run):
    return generate_run


@pytest.fixture(scope="session")
def grey_run(tmp_path_factory):
    """A run of an autoencoder on HEALPix, of grey images without classes."""
    root = tmp_path_factory.mktemp("grey")
    for index in range(6):
        save(root / "data" / f"{index}.png", picture(index)[0][..., 0])
    return trained(root / "run", "generate", root / "data", **TINY | {"surface": "healpix:4"}, method="vae")


def sample(run, *words):
    return main(["sample", str(run.path), "--steps", "2", "--device", "cpu", *map(str, words)])


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_of_samples(run, here, capsys):
    assert sample(run, "--n", 3, "--out", "out") == 0
    assert sorted(contents(here / "out")) == [
        "classes.csv", "overview.png", "sample_0000.png", "sample_0001.png", "sample_0002.png",
    ]  # fmt: skip
    assert (here / "out" / "classes.csv").read_text().splitlines() == [
        "image,class", "sample_0000.png,3", "sample_0001.png,7", "sample_0002.png,3",
    ]  # fmt: skip
    with Image.open(here / "out" / "sample_0000.png") as image:
        assert image.size == (8, 8)
    assert "3 images drawn into out" in capsys.readouterr().out


def test_samples_depend_on_the_seed_only(run, here):
    for out, words in {"a": (4, "--batch-size", 3), "b": (2,), "c": (2, "--seed", 1)}.items():
        assert sample(run, "--n", *words, "--out", out) == 0
    pixels = {out: np.asarray(Image.open(here / out / "sample_0001.png")).astype(int) for out in "abc"}
    assert np.abs(pixels["a"] - pixels["b"]).max() <= 1
    assert np.abs(pixels["a"] - pixels["c"]).max() > 1
    images = oc.open_run(run.path, "cpu").sample(2, steps=2)
    assert images.dtype == np.uint8
    assert np.abs(images[1] - pixels["a"]).max() <= 1


def test_class_of_all_samples(run, here):
    assert sample(run, "--n", 2, "--class", "7", "--out", "out") == 0
    assert (here / "out" / "classes.csv").read_text().count(",7") == 2


def test_interrupted_sampling_goes_on(run, here, monkeypatch):
    assert sample(run, "--n", 5, "--batch-size", 2, "--out", "whole") == 0
    draw, drawn = write_samples.pictures, []

    def stop(signals, preprocessing):
        drawn.append(len(signals))
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return draw(signals, preprocessing)

    monkeypatch.setattr(write_samples, "pictures", stop)
    words = ("--n", 5, "--batch-size", 2, "--out", "out")
    assert sample(run, *words) == 130
    assert sorted(contents(here / "out")) == [UNFINISHED, "sample_0000.png", "sample_0001.png"]
    assert sample(run, *words) == 0
    assert drawn == [2, 2, 2, 1]  # the first batch was not drawn again
    assert contents(here / "out") == contents(here / "whole")


def test_other_samples_of_an_interrupted_call_are_replaced(run, here, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(write_samples, "contact_sheet", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            sample(run, "--n", 2, "--out", "out")
    assert sample(run, "--n", 2, "--seed", 3, "--out", "out") == 0
    assert sample(run, "--n", 2, "--seed", 3, "--out", "new") == 0
    assert contents(here / "out") == contents(here / "new")


def test_signals_and_grey_panoramas(grey_run, here):
    assert main(["sample", str(grey_run.path), "--n", "2", "--out", "out"]) == 0
    names = ["overview.png", "sample_0000.npy", "sample_0000.png", "sample_0001.npy", "sample_0001.png"]
    assert sorted(contents(here / "out")) == names
    signal = np.load(here / "out" / "sample_0000.npy")
    assert signal.shape == (3, 192)
    assert signal.dtype == np.float32
    with Image.open(here / "out" / "sample_0000.png") as image:
        assert (image.mode, image.size) == ("L", (32, 16))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--class", "77"), "--class='77': must be one of the classes of the network, 3, 7; did you mean 7?"),
        (("--n", 0), "--n=0: must be a whole number from 1; use --n 16"),
        (("--n", 10**6), "--n=1000000: must be at most 100,000; draw them in several calls with other seeds"),
        (("--n", "x"), "Invalid value for '--n': 'x' is not a valid integer; use --n 16"),
        (("--steps", 1), "--steps=1: must be a whole number from 2; use --steps 18"),
        (("--guidance", "inf"), "--guidance=inf: must be a finite number; use --guidance 2"),
        (("--steps", 10**5), "--steps=100000: must be at most 10,000; use --steps 18"),
        (("--seed", -1), "--seed=-1: must be a whole number from 0; use --seed 0"),
        (("--seed", 2**64), "must be at most"),
        (("--batch-size", 0), "--batch-size=0: must be a whole number from 1; use --batch-size 64"),
        (("--device", "tpu"), "--device='tpu': is not available; use --device auto or --device cpu"),
    ],
)
def test_bad_words(run, here, capsys, words, message):
    assert main(["sample", str(run.path), "--out", "out", *map(str, words)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (here / "out").exists()


def test_bad_runs_and_folders(run, grey_run, segment_run, here, capsys):
    def error(*words):
        assert main(["sample", *map(str, words)]) == 2
        text = capsys.readouterr().err
        assert text.count("\n") == 1
        return text

    assert "trained for the task segment; give a run of the task generate" in error(segment_run.path, "--out", "o")
    assert "nothere: does not exist" in error("nothere", "--out", "o")
    assert "has no config.yaml, so it is not a run" in error(here, "--out", "o")
    text = error(grey_run.path, "--class", "a", "--out", "o")
    assert "--class='a': is given, but the network was trained without classes; leave it out" in text
    assert "--steps=3: is not used by this network" in error(grey_run.path, "--steps", 3, "--out", "o")
    assert "--guidance=2.0: is not used by this network" in error(grey_run.path, "--guidance", 2, "--out", "o")
    started = here / "started"
    started.mkdir()
    shutil.copy(run.config, started)
    shutil.copy(run.data, started)
    assert "has no trained network yet" in error(started, "--out", "o")
    (here / "file").write_text("")
    assert "file: is a file, not a folder" in error(run.path, "--out", "file")
    assert sample(run, "--n", 1, "--out", "out") == 0
    assert "sample_0000.png: exists already; add --overwrite" in error(run.path, "--n", 1, "--out", "out")
    assert sample(run, "--n", 1, "--out", "out", "--overwrite") == 0


def test_python_errors(run):
    with pytest.raises(InputError, match="class_name='cat': must be one of the classes of the network, 3, 7"):
        oc.open_run(run.path, "cpu").sample(1, class_name="cat")


def test_evaluate(run, here, capsys):
    for index in range(12):
        save(here / "more" / "37"[index % 2] / f"{index}.png", picture(20 + index, 8, 8)[0])
    words = ["evaluate", str(run.path), "more", "--json", "found.json", "--device", "cpu"]
    found = []
    for _ in range(2):
        assert main(words) == 0
        found.append(json.loads((here / "found.json").read_text()))
    assert found[0] == found[1]
    assert found[0]["samples"] > 1
    assert set(found[0]["measures"]) >= {"frechet", "kernel", "coverage", "authentic", "label_accuracy"}
    assert found[0]["features"]["hash"].startswith("sha256:")
    assert (run.path / "features.safetensors").is_file()
    output = capsys.readouterr().out
    assert "Fréchet distance" in output
    assert found[0]["features"]["hash"][:19] in output
    assert "is mostly its own bias" in output


def test_report(run, grey_run, here):
    for one, texts in ((run, ("nearest training image", "spherical interpolation", "Holes filled")),
                       (grey_run, ("nearest training image", "as a globe", "reconstruction"))):  # fmt: skip
        assert main(["report", str(one.path), "--device", "cpu"]) == 0
        page = one.report.read_text()
        assert all(text in page for text in texts)


def test_a_run_of_one_image_is_drawn_without_measures(here, capsys):
    save(here / "data" / "a.png", picture(0)[0])
    run = trained(here / "run", "generate", here / "data", **TINY)
    assert run.evaluation.is_file() is False
    assert sample(run, "--n", 1, "--out", "out") == 0


def test_predict_without_masks_names_the_command_that_draws(run, here, capsys):
    save(here / "a.png", picture(0, 8, 8)[0])
    assert main(["predict", str(run.path), "a.png", "--out", "out"]) == 2
    assert capsys.readouterr().err.endswith("; to draw new images: omniconv sample RUN --out OUT\n")

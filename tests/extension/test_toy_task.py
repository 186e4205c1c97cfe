"""A new task needs one file: dense regression of brightness, defined and registered here, runs in every command."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import save, words
from torch import nn
from torchmetrics import Metric

import omniconv as oc
from omniconv.cli import main
from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample
from omniconv.errors import FileError
from omniconv.files import write_bytes
from omniconv.report.pictures import png_bytes
from omniconv.surfaces import panorama
from omniconv.tasks import TASKS, register_task
from omniconv.tasks.base import Task
from omniconv.tasks.pixels import channels_at_size

SURFACES = ("equirectangular", *(pytest.param(name, marks=pytest.mark.slow) for name in ("plane", "icosphere:2")))


class WeightedL1(nn.Module):
    def __init__(self, areas):
        super().__init__()
        self.register_buffer("areas", areas, persistent=False)

    def forward(self, output, target):
        errors = (output - target).abs()
        return (errors if self.areas is None else errors * self.areas).mean()


class MeanError(Metric):
    full_state_update = False

    def __init__(self):
        super().__init__()
        self.add_state("error", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("weight", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predicted, true, areas=None):
        weights = torch.ones((), dtype=torch.float64) if areas is None else areas.double()
        self.error += ((predicted.double() - true).abs() * weights).sum()
        self.weight += weights.expand(true.shape).sum()

    def compute(self):
        return {"mean_error": float(self.error / self.weight)}


class Brightness(Task):
    """Dense regression: ``images/NAME.png`` with ``values/NAME.npy``, float32 ``(H, W)``; a smaller error is better."""

    name = "brightness"
    output = "dense"
    default_model = "unet"
    expected = "expected images/NAME.png with values/NAME.npy in it"
    searched_folders = ("images", "values")
    target_is_file = True
    target_interpolation = "linear"
    validation_metrics = ("mean_error",)
    best_metric = "mean_error"
    maximize = False

    def scan(self, root, classes):
        images = sorted((root / "images").glob("*.png"))
        samples = tuple(Sample(image, root / "values" / f"{image.stem}.npy") for image in images)
        if not samples:
            raise FileError(root, "contains no images", self.expected)
        return DatasetFolder(root, samples, ("brightness",))

    def load_target(self, sample, preprocessing):
        try:
            return np.load(sample.target)
        except (OSError, ValueError, EOFError) as error:
            cure = "save the brightness of each pixel by numpy.save, float32 (H, W)"
            raise FileError(sample.target, "is missing or not a NumPy file", cure) from error

    def resize_target(self, target, size):
        return panorama.resize(target, *size)

    def target_on_surface(self, target, preprocessing):
        surface = preprocessing.surface
        return (target if surface.any_size else surface.from_equirectangular(target))[None].astype(np.float32)

    def criterion(self, areas, class_frequencies):
        return WeightedL1(areas)

    def metric(self, classes):
        return MeanError()

    def predict(self, output, size, preprocessing):
        return np.stack(list(channels_at_size(output, size, preprocessing)))

    def compare(self, prediction, target):
        return torch.from_numpy(prediction), torch.from_numpy(target)[None]

    def quality_table(self, evaluation):
        return ["measure", "value"], [["mean error", evaluation["mean_error"]]]

    def quality_line(self, evaluation):
        return f"mean error {evaluation['mean_error']:.4f}"

    def prediction_files(self, out, stems):
        return [out / "values" / f"{stem}.{suffix}" for stem in stems for suffix in ("png", "npy")]

    def write_predictions(self, predictions, network, out):
        written = []
        for _, stem, values in predictions:
            written.append(write_bytes(out / "values" / f"{stem}.png", png_bytes(grey(values[0]))))
            content = io.BytesIO()
            np.save(content, values[0])
            write_bytes(out / "values" / f"{stem}.npy", content.getvalue())
        return written

    def tile(self, image, target, sample, classes):
        return grey(target), sample.image.name

    def draw_predictions(self, page, network, samples):
        for sample in samples[:2]:
            target = self.load_target(sample, network.preprocessing)
            page.row([(grey(network.predict(sample.image)[0]), "predicted brightness"), (grey(target), "truth")])

    def describe_output(self, surface):
        return "brightness (batch, 1, ...), from 0 to 1"


def grey(values):
    return (255 * np.clip(values, 0, 1)).astype(np.uint8)


@pytest.fixture(autouse=True)
def registered():
    register_task(Brightness(), "images/ and values/")
    yield
    TASKS.pop("brightness")


@pytest.fixture
def data(tmp_path):
    random = np.random.default_rng(0)
    for index in range(5):
        pixels = random.integers(0, 256, (16, 32, 3), np.uint8)
        save(tmp_path / f"data/images/{index}.png", pixels)
        (tmp_path / "data/values").mkdir(exist_ok=True)
        np.save(tmp_path / f"data/values/{index}.npy", (pixels.mean(-1) / 255).astype(np.float32))
    return tmp_path / "data"


@pytest.mark.parametrize("surface", SURFACES)
def test_it_runs_in_every_command(here, data, capsys, surface):
    augment = "flip" if surface == "plane" else "turn"  # not colour, which changes the brightness to be predicted
    given = words(surface=surface, epochs=5, learning_rate=0.05, repeat=4, augment=augment)
    assert main(["train", "brightness", str(data), "--out", "run", *given]) == 0
    out = capsys.readouterr().out
    assert "best epoch, on the held-out images that selected it: mean error 0." in out
    assert "val_mean_error" in (here / "run/metrics.csv").read_text()

    assert main(["evaluate", "run", str(data), "--json", "found.json"]) == 0
    found = json.loads((here / "found.json").read_text())
    assert found["task"] == "brightness"
    assert 0 < found["mean_error"] < 0.3
    assert ("by_area" in found) == (surface != "plane")
    out = capsys.readouterr().out
    assert "mean error" in out
    assert "4 of 5 images were trained on" in out
    assert (found["trained_on"], found["unseen"]["images"]) == (4, 1)
    assert ("by_area" in found["unseen"]) == (surface != "plane")

    assert main(["predict", "run", str(data / "images"), "--out", "out"]) == 0
    assert np.load(here / "out/values/0.npy").shape == (16, 32)
    stems = [Path(str(index)) for index in range(5)]
    written = {path for path in (here / "out").rglob("*") if path.is_file()}
    assert written == set(TASKS["brightness"].task.prediction_files(here / "out", stems))

    assert main(["report", "run"]) == 0
    assert "predicted brightness" in (here / "run/report.html").read_text()

    assert main(["export", "run", "--format", "torch"]) == 0
    assert (here / "run/model.pt2").is_file()

    assert main(["train", "--resume", "run", "--epochs", "6"]) == 0
    assert main(["summary", "run"]) == 0
    network = oc.load("run/model.safetensors")
    assert network.arguments["out_channels"] == 1
    assert network.preprocessing["task"] == "brightness"


def test_the_best_epoch_is_the_one_with_the_smallest_error(here, data):
    from omniconv.run_folder import RunFolder, read_metrics

    assert main(["train", "brightness", str(data), "--out", "run", *words(epochs=4, learning_rate=0.05)]) == 0
    run = RunFolder(here / "run")
    smallest = min(row["val_mean_error"] for row in read_metrics(run.metrics))
    callbacks = torch.load(run.checkpoint, weights_only=True)["callbacks"]
    assert callbacks["BestNetwork"]["best"] == pytest.approx(smallest, rel=1e-12)


@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_an_epoch_over_nothing_has_no_measure_and_is_not_the_best(here, data, monkeypatch, nothing):
    from omniconv.run_folder import RunFolder, read_metrics

    found = iter([{"mean_error": value} for value in (0.5, nothing, 0.4, 0.6)])
    monkeypatch.setattr(MeanError, "compute", lambda self: next(found, {"mean_error": 0.4}))
    assert main(["train", "brightness", str(data), "--out", "run", *words(epochs=4, patience=3)]) == 0
    run = RunFolder(here / "run")
    assert [row.get("val_mean_error") for row in read_metrics(run.metrics)] == pytest.approx([0.5, None, 0.4, 0.6])
    callbacks = torch.load(run.checkpoint, weights_only=True)["callbacks"]
    assert callbacks["BestNetwork"]["best"] == pytest.approx(0.4)


def test_its_folder_is_told_apart_from_others(here, data, capsys):
    assert main(["train", "classify", str(data)]) == 2
    assert "looks like a data set for the task brightness, not classify; use: " in capsys.readouterr().err


def test_its_name_is_known_and_offered(here, data, capsys):
    assert main(["train", "brightnes", str(data)]) == 2
    assert "did you mean brightness?" in capsys.readouterr().err
    assert main(["train", "brightness", "nowhere"]) == 2
    assert "nowhere: does not exist; expected images/NAME.png with values/NAME.npy" in capsys.readouterr().err
    assert main(["summary", "brightness", "--classes", "1", "--width", "2", "--depth", "1"]) == 0


def test_a_missing_target_is_named(here, data, capsys):
    (data / "values/3.npy").unlink()
    assert main(["train", "brightness", str(data)]) == 2
    assert "values/3.npy: is missing or not a NumPy file; save the brightness" in capsys.readouterr().err

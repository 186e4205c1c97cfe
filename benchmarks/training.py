"""Quality of segmentation after equal training time: omniconv, MONAI and segmentation_models.pytorch.

    python3 -m venv .venv-peers
    .venv-peers/bin/pip install --constraint constraints.txt . monai -r tests/convert/zoo/requirements.txt
    .venv-peers/bin/python -m benchmarks.training NUCLEI.npz --threads 2

NUCLEI.npz: see ``benchmarks.nuclei``. Every network is trained from random weights on the same 372 images and measured
on the other 92 by the same code. Networks of omniconv are trained by the loop of ``omniconv train segment``, with the
network, the loss and all settings that are its defaults, and the augmentations that all candidates have; the epochs
that fit into the time follow from an epoch of a trial. The peers get a loop of their own without files and logs.

``--clock cpu`` counts processor seconds instead of seconds: 240 on one thread are about 120 on two idle cores, also
while other programs use the machine. ``--only NAME`` measures some candidates and replaces their lines in the file.
``--held-out 62`` measures on that many of the training images instead, to choose settings by.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click
import lightning.pytorch as L
import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import nn

from benchmarks.nuclei import AUGMENTATIONS, CLASSES, CLOCKS, Images, measure, read_nuclei, train_plainly
from benchmarks.timing import machine, time_interleaved, write_report
from omniconv.models import load
from omniconv.nn.inspection import copy_network
from omniconv.run_folder import new_run
from omniconv.training.dataset_summary import DatasetSummary, summarize_dataset
from omniconv.training.datasets import PreparedSamples
from omniconv.training.fit import PreparedRun, fit
from omniconv.training.module import build_module
from omniconv.training.preflight import build_network, resolve_settings
from omniconv.training.settings import RunConfig

FLAT = ",".join(AUGMENTATIONS)
FORMER = {
    "depth": 3, "stem_stride": 1, "residual": False, "up": "linear", "normalization": "batch", "loss": "ce",
    "learning_rate": 2e-3,
}  # fmt: skip
"""Defaults of ``omniconv train segment`` before this comparison."""
OURS: dict[str, dict[str, Any]] = {
    "omniconv": {"augment": FLAT},
    "omniconv, former default": {"augment": FLAT, **FORMER},
}
SURFACES = {
    "plane": {"augment": FLAT, "surface": "plane"},
    "equirectangular": {"augment": "flip,turn,colour", "surface": "equirectangular"},
    "icosphere:5": {"augment": "flip,turn,colour", "surface": "icosphere:5", "size": "128x128"},
}
"""Surfaces whose time per step is compared; an icosphere of level 5 has 10,242 samples, the images 16,384."""
PEER_RATE = 3e-3
PEER_PACKAGES = ("monai", "segmentation_models_pytorch", "timm", "torchvision")
TRIAL_EPOCHS = 1


def peers() -> dict[str, Callable[[], nn.Module]]:
    """Return the networks of other libraries by name, those that are installed."""
    found: dict[str, Callable[[], nn.Module]] = {}
    try:
        from monai.networks.nets import UNet

        widths, strides = (16, 32, 64, 128, 256), (2, 2, 2, 2)
        found["MONAI UNet"] = lambda: UNet(2, 3, len(CLASSES), widths, strides, num_res_units=2)
    except ImportError:
        pass
    try:
        from segmentation_models_pytorch import Unet

        for encoder in ("resnet18", "resnet34"):
            found[f"smp Unet({encoder})"] = lambda name=encoder: Unet(name, encoder_weights=None, classes=len(CLASSES))
    except ImportError:
        pass
    return found


class TimeInNetwork(L.Callback):
    """Time from the call of the network to the end of the step, summed, and the number of steps.

    Args:
        network: the network.
        clock: returns seconds.
        limit: training stops after that many seconds.
    """

    def __init__(self, network: nn.Module, clock: Callable[[], float], limit: float = float("inf")) -> None:
        self.clock, self.seconds, self.steps, self.start, self.began = clock, 0.0, 0, clock(), 0.0
        self.limit = limit
        network.register_forward_pre_hook(lambda *_: setattr(self, "began", clock()))

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Add the step, and stop at the limit."""
        self.seconds, self.steps = self.seconds + self.clock() - self.began, self.steps + 1
        trainer.should_stop = trainer.should_stop or self.clock() - self.start > self.limit


def prepare(folder: Path, settings: dict[str, Any]) -> tuple[RunConfig, DatasetSummary]:
    """Return the settings of a training on the images in a folder, as ``omniconv train segment`` chooses them."""
    given = {"task": "segment", "data": str(folder), "validation": 0, "device": "cpu", **settings}
    config = RunConfig.with_task_defaults(**given)
    summary = summarize_dataset(config)
    return resolve_settings(config, summary.splits), summary


def train(
    config: RunConfig, summary: DatasetSummary, clock: Callable[[], float], out: Path, limit: float = float("inf")
) -> dict[str, Any]:
    """Train as ``omniconv train`` does, and return numbers on the training; the network is in ``out``."""
    network = build_network(config, summary.splits)
    with new_run("benchmark", str(out)) as run:
        callback = TimeInNetwork(network, clock, limit)
        start = clock()
        prepared = PreparedRun(run, config, summary.splits, summary.reader, network)
        fit(prepared, lambda line: None, progress_bar=False, callbacks=[callback])
        taken = clock() - start
    images = callback.steps * config.batch_size
    return {
        "seconds": taken, "steps": callback.steps, "epochs": images / len(summary.splits.training.samples),
        "images_per_second": images / taken, "seconds_per_step": taken / callback.steps,
        "share_in_network": callback.seconds / taken,
    }  # fmt: skip


def train_ours(data: Path, settings: dict[str, Any], test: Images, seconds: float, clock: Any) -> dict[str, Any]:
    """Train for as many epochs as fit into the time, and measure."""
    config, summary = prepare(data, settings)
    with tempfile.TemporaryDirectory() as folder:
        trial = train(config.replace(epochs=TRIAL_EPOCHS), summary, clock, Path(folder, "trial"))
        epochs = max(1, int(seconds / trial["seconds"] * TRIAL_EPOCHS))
        out = Path(folder, "run")
        numbers = train(config.replace(epochs=epochs), summary, clock, out, limit=seconds)
        network = load(out / "model.safetensors").eval()
    preprocessing, task = summary.splits.preprocessing, summary.splits.task

    def predict(image: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(preprocessing.on_surface(image.astype(np.float32) / 255))
        with torch.no_grad():
            return task.predict(network(x[None])[0], image.shape[1:], preprocessing)

    return {**numbers, "parameters": _parameters(network), **measure(predict, test)}


def train_peer(make: Callable[[], nn.Module], training: Images, test: Images, seconds: float, clock: Any) -> dict:
    """Train a network of another library for the same time, and measure."""
    torch.manual_seed(0)
    network = make()
    predict, numbers = train_plainly(network, training, seconds, PEER_RATE, clock)
    return {**numbers, "parameters": _parameters(network), **measure(predict, test)}


def step_times(data: Path, repeats: int, clock: Any) -> dict[str, Any]:
    """Return seconds of a step on each surface, reading and augmenting a batch included, and the ratios to a plane."""
    functions = {}
    for name, settings in SURFACES.items():
        config, summary = prepare(data, settings)
        functions[name] = _step(config, summary)
    timings = time_interleaved(functions, repeats, torch.device("cpu"), 2, clock)
    plane = timings["plane"].median
    return {
        name: {"seconds": timing.median, "iqr": timing.iqr, "ratio": timing.median / plane}
        for name, timing in timings.items()
    }


def _step(config: RunConfig, summary: DatasetSummary) -> Callable[[], None]:
    splits = summary.splits
    module = build_module(copy_network(build_network(config, splits)), config, splits)
    optimizer = torch.optim.AdamW(module.network.parameters(), 1e-4)
    augment = config.augment or ()
    samples = PreparedSamples(splits.training.samples, summary.reader, splits.preprocessing, augment, 0, training=True)
    epoch = iter(range(10**9))

    def run() -> None:
        number = next(epoch)
        batch = torch.utils.data.default_collate([samples[number, index] for index in range(config.batch_size)])
        optimizer.zero_grad()
        module.task.training_loss(module.network, module.criterion, batch).backward()
        optimizer.step()

    return run


def write_folder(images: Images, folder: Path) -> Path:
    """Write images and masks as files, in the layout of ``omniconv train segment``."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    (folder / "classes.txt").write_text("\n".join(CLASSES), encoding="utf-8")
    for index, (image, label) in enumerate(zip(images.images, images.labels, strict=True)):
        Image.fromarray(np.moveaxis(image, 0, -1)).save(folder / "images" / f"{index:03}.png")
        Image.fromarray(label).save(folder / "masks" / f"{index:03}.png")
    return folder


def show(lines: dict[str, Any]) -> Table:
    """Return the measurements as a table."""
    headings = ("parameters", "s", "epochs", "images/s", "share in network", "mIoU", "Dice", "IoU of each class")
    table = Table("network", *headings, title="nuclei, 92 test images, after equal training time")
    for name, one in lines.items():
        numbers = f"{one['seconds']:.0f}", f"{one['epochs']:.1f}", f"{one['images_per_second']:.1f}"
        quality = f"{one['miou']:.3f}", f"{one['dice']:.3f}", " ".join(f"{value:.3f}" for value in one["iou"])
        table.add_row(name, f"{one['parameters']:,}", *numbers, f"{one['share_in_network']:.3f}", *quality)
    return table


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _versions() -> dict[str, str]:
    found = {}
    for name in PEER_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@click.command(help=__doc__)
@click.argument("nuclei", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--seconds", default=120.0, show_default=True, help="training time of each network")
@click.option("--clock", type=click.Choice(list(CLOCKS)), default="wall", show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--only", multiple=True, help="name of a candidate, or 'steps'; by default all")
@click.option(
    "--held-out", default=0, show_default=True, help="training images to measure on instead of the test images"
)
@click.option("--settings", help="JSON of settings that replace the defaults of a candidate 'omniconv', to try them")
@click.option("--write", type=click.Path(dir_okay=False, path_type=Path), help="file of the results")
def main(
    nuclei: Path, seconds: float, clock: str, threads: int, only: tuple[str, ...], held_out: int,
    settings: str | None, write: Path | None,
) -> None:  # fmt: skip
    torch.set_num_threads(threads)
    warnings.filterwarnings("ignore", module="monai|timm|torchvision|segmentation_models_pytorch")
    training, test = read_nuclei(nuclei, held_out)
    tick, console = CLOCKS[clock], Console()
    content: dict[str, Any] = json.loads(write.read_text(encoding="utf-8")) if write and write.exists() else {}
    content |= {"machine": machine(torch.device("cpu")), "packages": _versions(), "clock": clock, "threads": threads}
    lines = content.setdefault("lines", {})
    ours = OURS | ({"omniconv": OURS["omniconv"] | json.loads(settings)} if settings else {})
    with tempfile.TemporaryDirectory() as folder:
        data = write_folder(training, Path(folder, "data"))
        jobs: dict[str, Callable[[], dict[str, Any]]] = {}
        for name, chosen in ours.items():
            jobs[name] = partial(train_ours, data, chosen, test, seconds, tick)
        for name, make in peers().items():
            jobs[name] = partial(train_peer, make, training, test, seconds, tick)
        for name, job in jobs.items():
            if not only or name in only:
                label = f"{name}, {seconds:g} s"
                lines[label] = job()
                console.print(show({label: lines[label]}))
        if not only or "steps" in only:
            content["steps"] = step_times(data, 15, tick)
            console.print(content["steps"])
    console.print(show(lines))
    if write:
        console.print(write_report("training", content, write))


if __name__ == "__main__":
    main()

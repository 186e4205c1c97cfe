"""Run of the demonstration, from its data to its report."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omniconv.data.images import read_image
from omniconv.demo.comparison import measure, views
from omniconv.demo.comparison_page import band_table, comparison_table, write_page
from omniconv.demo.earth import FILES, check_installed, load_earth, write_training_folder
from omniconv.errors import FileError
from omniconv.inference.predictor import choose_device
from omniconv.locks import LOCK, lock_folder
from omniconv.runs.start import start_run
from omniconv.training.callbacks import Log
from omniconv.training.settings import RunConfig

SETTINGS: dict[str, Any] = {
    "task": "segment",
    "epochs": 8,
    "repeat": 60,
    "batch_size": 4,
    "augment": ("turn", "colour"),
    "size": (96, 192),
    # Not the defaults of the task: the figures of README.md are those of this network.
    "width": 16,
    "depth": 3,
    "stem_stride": 1,
    "residual": False,
    "up": "linear",
    "normalization": "batch",
    "loss": "ce",
}
NETWORKS: dict[str, dict[str, Any]] = {
    "plane": {"surface": "plane"},
    "equirectangular": {"surface": "equirectangular"},
    "icosphere": {"surface": "icosphere:5"},
    "plane, rotated pictures": {"surface": "plane", "augment": ("rotate", "colour")},
}
"""The same network on each surface; the last row gives the flat one the augmentation that it needs for rotations."""

ShowTable = Callable[[list[str], list[list[str | float]], str], None]


def run_demo(out: Path, given: dict[str, Any], log: Log, progress_bar: bool, show: ShowTable) -> Path:
    """Train and measure every network, and write ``report.html``; an earlier demonstration in ``out`` is replaced.

    ``given`` has the settings chosen by the user: ``epochs``, ``seed``, ``device``.
    """
    config = RunConfig(**(SETTINGS | given))
    choose_device(config.device)
    check_installed()
    with lock_folder(out):
        return _run(out, config, given, log, progress_bar, show)


def _run(out: Path, config: RunConfig, given: dict[str, Any], log: Log, progress_bar: bool, show: ShowTable) -> Path:
    _clear(out)
    earth = load_earth()
    data = write_training_folder(earth, out / "data")
    upright, rotated = views(earth, config.seed)
    results = []
    for name, settings in NETWORKS.items():
        log("")
        log(name)
        folder = out / _folder(name)
        chosen = SETTINGS | {"data": str(data)} | settings | given
        run = start_run(chosen, log, progress_bar, out=str(folder))
        results.append(measure(name, run, config.device, upright, rotated))
    show(*comparison_table(results), "Mean IoU of land and sea on the part of the Earth that was held out")
    show(*band_table(results), "Mean IoU by area, in bands of latitude")
    return write_page(out / "report.html", results, upright, rotated[0], read_image(data / FILES[0]))


def _folder(network: str) -> str:
    return "runs/" + network.replace(", ", "-").replace(" ", "-")


def _clear(out: Path) -> None:
    """Remove an earlier demonstration; refuse a folder with any other file."""
    own = {LOCK, "report.html", "runs", *map(_folder, NETWORKS), "data", "data/images", "data/masks"}
    own |= {f"data/{name}" for name in FILES}
    present = {*out.iterdir(), *out.glob("runs/*"), *out.glob("data/**/*")}
    foreign = sorted({path.relative_to(out).as_posix() for path in present} - own)
    if (out / "runs").exists() and not (out / "data" / FILES[0]).is_file():
        foreign.append("runs")
    if foreign:
        rule = f"contains {foreign[0]}, which is not part of a demonstration"
        raise FileError(out, rule, "choose another out=FOLDER")
    for run in out.glob("runs/*"):
        with lock_folder(run):  # nobody trains in it
            pass
    for part in ("runs", "data"):
        if (out / part).exists():
            shutil.rmtree(out / part)

"""Folder of a training run: paths of its files, and reading and writing of CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omniconv import files
from omniconv.errors import FileError, InputError, one_line
from omniconv.files import MAX_TEXT_BYTES, as_path, atomic_write, claim_folder, make_folder, read_text, real_path

MAX_METRICS_BYTES = 2**26
"""Largest ``metrics.csv``: some 700,000 epochs."""
_DEPTH = 3
"""Largest number of folders between a run and its files: those of TensorBoard are RUN/tensorboard/version_0/FILE."""


@dataclass
class RunFolder:
    """Paths of the files of a run.

    Attributes:
        path: the folder.
        config: all settings, resolved.
        environment: versions and machine.
        data: training and validation samples, and their preprocessing.
        checkpoint: state of the training after its last complete epoch.
        metrics: a row of metrics for each epoch.
        model: the best network so far.
        samples: contact sheet of training samples with their targets.
        evaluation: measures of the best network on the held-out images.
        report: the report with figures.
    """

    path: Path

    def __post_init__(self) -> None:
        self.config = self.path / "config.yaml"
        self.environment = self.path / "environment.json"
        self.data = self.path / "data.json"
        self.checkpoint = self.path / "checkpoints" / "last.ckpt"
        self.metrics = self.path / "metrics.csv"
        self.model = self.path / "model.safetensors"
        self.samples = self.path / "samples.png"
        self.evaluation = self.path / "evaluation.json"
        self.report = self.path / "report.html"


def new_run(name: str, out: str | None) -> RunFolder:
    """Create the folder ``out``, by default ``runs/NAME`` (or ``runs/NAME-2`` and so on if that exists).

    Raises:
        InputError: ``name`` cannot be the name of a folder.
        FileError: ``out`` is not empty, or the folder cannot be created.
    """
    if Path(name).name != name or name.startswith(".") or not name.isprintable():
        raise InputError("name", name, "must be a folder name without / and leading dot", "use out=PATH for a path")
    folder = make_folder(out) if out is not None else claim_folder(Path("runs") / name)
    if any(folder.iterdir()):
        cure = "choose another out=FOLDER, or continue that run: omniconv train --resume"
        raise FileError(folder, "is not empty", cure)
    run = RunFolder(folder)
    make_folder(run.checkpoint.parent)
    return run


def enclosing_run(path: str | Path) -> RunFolder | None:
    """Return the run that a folder is, or that a file or folder lies in (``RUN/checkpoints/last.ckpt``), if any."""
    path = as_path(path)
    inner = [path, *path.absolute().parents][: _DEPTH + 1]
    folders = (folder for folder in (path, *path.parents, *inner) if folder.absolute() in map(Path.absolute, inner))
    return next((run for run in map(RunFolder, folders) if run.config.is_file()), None)


def find_run(path: str | Path) -> RunFolder:
    """Return the paths of an existing run, given its folder or any file in it.

    Raises:
        FileError: the path does not exist, or has no ``config.yaml`` and is in no folder that has one.
    """
    run = enclosing_run(path) if as_path(path).exists() else None
    if run is None:
        rule = "has no config.yaml, so it is not a run" if Path(path).exists() else "does not exist"
        raise FileError(path, rule, "give the folder of a run, such as runs/NAME")
    return run


def check_outside(run: str | Path, data: str | Path, searched_folders: tuple[str, ...]) -> None:
    """Check that a run's folder is not inside the searched folders of its data set, where its images would be samples.

    Args:
        run: the folder of the run.
        data: the folder of the data set.
        searched_folders: names of the folders of ``data`` that are searched; empty if all are.

    Raises:
        FileError: it is inside one of them.
    """
    run, data = real_path(run), real_path(data)
    if run.is_relative_to(data) and (not searched_folders or set(searched_folders) & set(run.relative_to(data).parts)):
        raise FileError(run, f"would be inside the data, {data}", "choose another out=FOLDER")


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Return the rows of a ``metrics.csv``, ``[]`` if the file does not exist.

    Raises:
        FileError: as ``files.read_text``, or the file is damaged.
    """
    if not os.path.lexists(path):
        return []
    rows = csv.reader(io.StringIO(read_text(path, MAX_METRICS_BYTES), newline=""))
    try:
        header = next(rows, [])
        metrics = [_read_row(header, row, index) for index, row in enumerate(rows)]
    except (csv.Error, ValueError) as error:
        raise FileError(path, f"is damaged ({one_line(error)}, in line {rows.line_num})", "delete it") from error
    return metrics


def _read_row(header: list[str], values: list[str], index: int) -> dict[str, float]:
    """Return the values of a row by their names, without empty ones; ``index`` is the expected epoch."""
    if len(values) != len(header) or len(set(header)) != len(header):
        raise ValueError("it does not have one value for each column")
    row = {name: float(value) for name, value in zip(header, values, strict=True) if value}
    if row.get("epoch") != index:
        raise ValueError(f"epoch {index} is expected")
    if not 0 <= row.get("seconds", math.nan) < math.inf:
        raise ValueError("seconds must be a number from 0")
    return row


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write indented JSON atomically; NaN and infinity become ``null``."""
    with atomic_write(path, "w") as file:
        json.dump(finite(content), file, indent=2, allow_nan=False)
        file.write("\n")


def check_json(path: Path) -> None:
    """Check the path of a JSON file to write.

    Raises:
        InputError: the suffix is not ``.json``, or the path is a folder.
    """
    if path.suffix != ".json" or (path.exists() and not path.is_file()):
        raise InputError("json", str(path), "must be a file named *.json", "use json='measures.json'")


def read_json(path: Path, limit: int = MAX_TEXT_BYTES) -> dict[str, Any] | None:
    """Return the object in a JSON file, ``None`` if the file does not exist.

    Raises:
        FileError: as ``files.read_json``, or it holds something else than an object.
    """
    if not os.path.lexists(path):
        return None
    cure = "delete it and evaluate again"
    content = files.read_json(path, limit, cure)
    if not isinstance(content, dict):
        raise FileError(path, "is damaged (it is no object)", cure)
    return content


def finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON cannot express, by ``None`` in nested dictionaries and lists."""
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

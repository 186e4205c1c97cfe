"""A run is a folder; this says what lies where in it."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omniconv.errors import FileError
from omniconv.files import atomic_write, claim_folder, make_folder


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run."""

    path: Path

    @property
    def config(self) -> Path:
        """Every setting, resolved."""
        return self.path / "config.yaml"

    @property
    def environment(self) -> Path:
        """Versions and machine."""
        return self.path / "environment.json"

    @property
    def material(self) -> Path:
        """Every sample that trains or measures, and what is done to it."""
        return self.path / "data.json"

    @property
    def checkpoint(self) -> Path:
        """State of the training after its last whole epoch."""
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def metrics(self) -> Path:
        """A row of measures for each epoch."""
        return self.path / "metrics.csv"

    @property
    def model(self) -> Path:
        """The best network so far."""
        return self.path / "model.safetensors"

    @property
    def samples(self) -> Path:
        """A page of labelled samples as the training sees them."""
        return self.path / "samples.png"

    @property
    def evaluation(self) -> Path:
        """Measures of the best network on the held-out images."""
        return self.path / "evaluation.json"

    @property
    def report(self) -> Path:
        """The page to look at."""
        return self.path / "report.html"


def new_run(name: str, out: str | None) -> RunFolder:
    """A new folder: exactly ``out``, or ``runs/name`` (``runs/name-2`` … where that is taken).

    Raises:
        FileError: ``out`` holds something already, or the folder cannot be made.
    """
    if out is None:
        return _with_checkpoints(claim_folder(Path("runs") / name))
    folder = make_folder(out)
    if any(folder.iterdir()):
        raise FileError(folder, "is not empty", "choose another --out, or go on with it by --resume")
    return _with_checkpoints(folder)


def open_run(path: str | Path) -> RunFolder:
    """An existing run.

    Raises:
        FileError: no folder of that name, or it holds no ``config.yaml``.
    """
    run = RunFolder(Path(path))
    if not run.path.is_dir():
        raise FileError(path, "is no folder", "give the folder of a run, such as runs/NAME")
    if not run.config.is_file():
        raise FileError(path, "holds no config.yaml, so it is no run", "give the folder of a run, such as runs/NAME")
    return run


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The rows of a ``metrics.csv``; none where there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write readable JSON, whole or not at all."""
    with atomic_write(path, "w") as file:
        json.dump(content, file, indent=2)
        file.write("\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """The content of a JSON file, ``None`` where there is none."""
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FileError(path, f"is damaged ({error})", "remove it and evaluate again") from error


def _with_checkpoints(folder: Path) -> RunFolder:
    run = RunFolder(folder)
    make_folder(run.checkpoint.parent)
    return run

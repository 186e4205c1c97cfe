"""A run is a folder; this says what lies where in it."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omniconv.errors import FileError, InputError
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
    if Path(name).name != name or name.startswith(".") or not name.isprintable():
        raise InputError("name", name, "must be a plain name of a folder", "use --out for another place")
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


def check_outside(run: str | Path, data: str | Path, task: str) -> None:
    """A run's folder does not lie where samples are looked for: its pictures would be taken for some next time.

    Raises:
        FileError: it would.
    """
    run, data = Path(run).resolve(), Path(data).resolve()
    if run.is_relative_to(data) and (task == "classify" or {"images", "masks"} & set(run.relative_to(data).parts)):
        raise FileError(run, f"would lie in the data, {data}", "go to another folder, or choose one with --out")


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The rows of a ``metrics.csv``; none where there is no such file."""
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
    except (TypeError, ValueError) as error:
        raise FileError(path, "is damaged", "remove it") from error
    if any("epoch" not in row or "seconds" not in row for row in rows):
        raise FileError(path, "is cut short", "remove it")
    return rows


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write readable JSON, whole or not at all."""
    with atomic_write(path, "w") as file:
        json.dump(finite(content), file, indent=2, allow_nan=False)
        file.write("\n")


def check_json(path: Path) -> None:
    """Refuse what cannot be the name of a JSON file to write.

    Raises:
        InputError: another ending, or a folder of that name.
    """
    if path.suffix != ".json" or (path.exists() and not path.is_file()):
        raise InputError("json", str(path), "must be a file named *.json", "use --json measures.json")


def read_json(path: Path) -> dict[str, Any] | None:
    """The content of a JSON file, ``None`` where there is none."""
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FileError(path, f"is damaged ({error})", "remove it and evaluate again") from error


def finite(value: Any) -> Any:
    """Plain data as JSON takes it, which knows no numbers that are none: ``None`` stands for them."""
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _with_checkpoints(folder: Path) -> RunFolder:
    run = RunFolder(folder)
    make_folder(run.checkpoint.parent)
    return run

"""Folder of a training run: paths of its files, and reading and writing of CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from omniconv import files
from omniconv.errors import FileError, InputError, one_line
from omniconv.files import (
    MAX_TEXT_BYTES,
    WriteError,
    as_path,
    atomic_write,
    check_utf8,
    check_writable,
    make_folder,
    read_text,
    real_path,
)
from omniconv.locks import LOCK, TEMPORARY, OwnedError, lock_folder, remove_leftovers

MAX_METRICS_BYTES = 2**26
"""Largest ``metrics.csv``: some 700,000 epochs."""
_DEPTH = 3
"""Largest number of folders between a run and its files: those of TensorBoard are RUN/tensorboard/version_0/FILE."""
_MAX_NAME_BYTES = 200
"""Longest default name of a run; file systems allow 255 bytes, and a number may follow."""


@dataclass
class RunFolder:
    """Paths of the files of a run.

    Attributes:
        path: the folder.
        config: all settings, resolved.
        environment: versions and machine.
        data: training and validation samples, and their preprocessing.
        weights: what was loaded from the weights that the training started from, if it was given some.
        conversions: measures of the conversions of a converted network, if they were compared.
        start: the network with these weights, until there is a checkpoint.
        checkpoint: state of the training after its last complete epoch.
        metrics: a row of metrics for each epoch.
        model: the best network so far.
        samples: contact sheet of training samples with their targets.
        progress_pictures: folder of pictures of the network in training.
        progress: page of these pictures.
        evaluation: measures of the best network on the held-out images.
        report: the report with figures.
        tensorboard: folder of the training's curves for TensorBoard.
        logs: folder of the files of other loggers.
        cache: folder of decoded samples during the training.
    """

    path: Path

    def __post_init__(self) -> None:
        self.config = self.path / "config.yaml"
        self.environment = self.path / "environment.json"
        self.data = self.path / "data.json"
        self.weights = self.path / "weights.json"
        self.conversions = self.path / "conversions.json"
        self.start = self.path / "checkpoints" / "start.safetensors"
        self.checkpoint = self.path / "checkpoints" / "last.ckpt"
        self.metrics = self.path / "metrics.csv"
        self.model = self.path / "model.safetensors"
        self.samples = self.path / "samples.png"
        self.progress_pictures = self.path / "samples"
        self.progress = self.path / "progress.html"
        self.evaluation = self.path / "evaluation.json"
        self.report = self.path / "report.html"
        self.tensorboard = self.path / "tensorboard"
        self.logs = self.path / "logs"
        self.cache = self.path / "cache"

    @property
    def was_converted(self) -> bool:
        """True for a run of ``omniconv convert``, which has a network, but neither samples nor a checkpoint."""
        return self.model.is_file() and not self.data.is_file() and not self.checkpoint.is_file()


@contextmanager
def new_run(name: str, out: str | None) -> Iterator[RunFolder]:
    """Create and own the folder ``out``, by default ``runs/NAME`` (or ``runs/NAME-2`` and so on if that exists).

    A folder counts as new if it is empty, or holds only what a run leaves that was killed before its first checkpoint.

    Raises:
        OwnedError: another process trains in ``out``.
        FileError: ``out`` is not empty, or the folder cannot be created.
    """
    for folder in [Path(out)] if out is not None else _numbered(Path("runs") / name):
        if out is None and not _is_new(folder, (folder / LOCK).exists()):
            continue
        with ExitStack() as stack:
            try:
                killed = stack.enter_context(lock_folder(folder, "trained"))
            except OwnedError:
                if out is not None:
                    raise
                continue
            if not _is_new(folder, killed):
                if out is None:
                    continue
                raise _not_empty(folder)
            run = RunFolder(folder)
            remove_start(run)
            make_folder(run.checkpoint.parent)
            yield run
            return


@contextmanager
def own_run(path: str | Path) -> Iterator[RunFolder]:
    """Own the folder of an existing run to train in it; temporary files of a killed process are removed.

    Raises:
        OwnedError: another process trains in it.
        FileError: as ``find_run``, or it cannot be written.
    """
    run = find_run(path)
    with lock_folder(run.path, "trained", "wait until it ends"):
        remove_leftovers(run.path)
        make_folder(run.checkpoint.parent)
        yield run


def remove_start(run: RunFolder) -> None:
    """Remove the files of a run that were written before its first epoch."""
    remove_leftovers(run.path)
    for file in (run.config, run.environment, run.data, run.weights, run.conversions, run.samples, run.progress):
        with suppress(OSError):
            file.unlink()
    for folder in (run.tensorboard, run.logs, run.cache, run.checkpoint.parent, run.progress_pictures):
        shutil.rmtree(folder, ignore_errors=True)


def check_run_name(name: str | None, out: str | None) -> None:
    """Check the options that choose the folder of a new run.

    Raises:
        InputError: both are given, one is empty, or ``name`` cannot be the name of a folder.
    """
    if out == "":
        raise InputError("out", out, "must not be empty", "give out=FOLDER, or leave it out for runs/NAME")
    if name is None:
        return
    if out is not None:
        raise InputError("name", name, "cannot be given with out", "give one of them: out is the path of the folder")
    if not name.strip() or Path(name).name != name or name.startswith(".") or not name.isprintable():
        raise InputError("name", name, "must be a folder name without / and leading dot", "use out=PATH for a path")
    if len(os.fsencode(name)) > 255:
        raise InputError("name", name, "must be a folder name of at most 255 bytes", "shorten it")


def check_new_folder(name: str, out: str | None) -> None:
    """Check before the data is read that ``new_run`` can create the folder of a run.

    Raises:
        FileError: ``out`` is a file or is not empty, or the folder cannot be written.
    """
    folder = Path("runs") / name if out is None else Path(out)
    if folder.is_file() and out is not None:
        raise FileError(folder, "is a file, not a folder", "choose another out=FOLDER")
    # With a lock in it, only its owner can tell a run in training from one that was killed.
    if out is not None and not (folder / LOCK).exists() and not _is_new(folder, killed=False):
        raise _not_empty(folder)
    try:
        check_writable(folder / LOCK)
    except WriteError as error:
        raise WriteError(folder, error.error) from error


def default_run_name(data: str | Path) -> str:
    """Return the name of a folder of data as the name of a run.

    Example:
        >>> default_run_name("/data/street views"), default_run_name("/data/.cache"), default_run_name("..")
        ('street views', 'cache', 'run')
    """
    name = "".join(letter if letter.isprintable() else "_" for letter in Path(data).name).strip(". ")
    return name.encode()[:_MAX_NAME_BYTES].decode(errors="ignore") or "run"


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
        if (Path(path) / LOCK).is_file():
            cure = "start it again with the same command"
            raise FileError(path, "was stopped before its settings were written", cure)
        rule = "has no config.yaml, so it is not a run" if Path(path).exists() else "does not exist"
        raise FileError(path, rule, "give the folder of a run, such as runs/NAME")
    check_utf8(run.path)
    return run


def check_outside(run: str | Path, data: str | Path, searched_folders: tuple[str, ...]) -> None:
    """Check that a run's folder is not inside the searched folders of its data set, where its images would be samples.

    Args:
        run: the folder of the run.
        data: the folder of the data set.
        searched_folders: names of the folders of ``data`` that are searched; empty if all are.

    Raises:
        FileError: it is inside one of them, or its path is not UTF-8.
    """
    check_utf8(run)
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


def read_optional_json(path: Path, cure: str, limit: int = MAX_TEXT_BYTES) -> dict[str, Any] | None:
    """Return the object in a JSON file, ``None`` if the file does not exist.

    Raises:
        FileError: as ``files.read_json``, or it holds something else than an object.
    """
    if not os.path.lexists(path):
        return None
    content = files.read_json(path, limit, cure)
    if not isinstance(content, dict):
        raise FileError(path, "is damaged (it is not an object)", cure)
    return content


def finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON cannot express, by ``None`` in nested dictionaries and lists."""
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _numbered(path: Path) -> Iterator[Path]:
    """Yield ``path``, ``path-2``, ``path-3``, …."""
    yield path
    yield from (path.with_name(f"{path.name}-{number}") for number in count(2))


def _not_empty(folder: Path) -> FileError:
    cure = "choose another out=FOLDER, or continue that run: omniconv train --resume"
    return FileError(folder, "is not empty", cure)


def _is_new(folder: Path, killed: bool) -> bool:
    """Return True if a run may start in a folder: it does not exist or is empty, or nothing was trained in it.

    Only if the lock shows that a run was killed in it are settings and data lists taken for leftovers, not for files of
    the user.
    """
    if not folder.is_dir():
        return not os.path.lexists(folder)
    run = RunFolder(folder)
    leftovers = {LOCK, run.checkpoint.parent.name}
    if killed:
        leftovers |= {path.name for path in (run.config, run.environment, run.data, run.samples, run.tensorboard)}
        leftovers |= {
            path.name for path in (run.progress_pictures, run.progress, run.weights, run.start, run.logs, run.cache)
        }
    try:
        present = set(os.listdir(folder)) - leftovers
        if run.checkpoint.parent.is_dir():
            present.update(set(os.listdir(run.checkpoint.parent)) - leftovers)
    except OSError as error:
        raise FileError.from_os_error(folder, "cannot be read", error, "choose another out=FOLDER") from error
    return all(map(TEMPORARY.fullmatch, present))

"""Records of trainings, one file each, and the table of all records in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.table import Table

from examples.mnist.methods import CLASSES, METHODS
from omniconv.errors import FileError
from omniconv.files import atomic_write, write_bytes

Record = dict[str, Any]
NUMBERS, FEATURES = "results.json", "classifier.safetensors"
TABLE = "table.md"
MEASURES = ("frechet", "kernel", "precision", "recall", "density", "coverage")
SHEET_ROWS = 8
COLUMNS = (
    "method", "parameters", "images seen", "CPU s", "FD", "KID · 1000", "precision", "recall", "density", "coverage",
    "read as asked", "authentic", "CPU s per 1,000 samples",
)  # fmt: skip


def save(found: Record, folder: Path) -> Path:
    """Write a record to its own file."""
    return write_bytes(folder / f"{found['method']}.json", (json.dumps(found, indent=1) + "\n").encode())


def load(folder: Path) -> list[Record]:
    """Return the records in a folder, in the table's order.

    Raises:
        FileError: a file of something else.
    """
    records = []
    for path in (folder / f"{name}.json" for name in METHODS):
        try:
            records += [json.loads(path.read_text(encoding="utf-8"))] if path.is_file() else []
        except (OSError, ValueError) as error:
            rule = "is not a results file of this example"
            raise FileError(path, rule, "move it away, or give another --out") from error
    return records


def save_numbers(records: Iterable[Record], reference: Mapping[str, Any], path: Path) -> Path:
    """Write all records and the reference to one file."""
    content = {"reference": dict(reference), "methods": list(records)}
    return write_bytes(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def table(records: Iterable[Record], reference: Mapping[str, Any]) -> Table:
    """Return a table of the methods, with real digits in the last row."""
    made = Table(title="MNIST: four methods at equal CPU time", title_justify="left")
    for name in COLUMNS:
        made.add_column(name, justify="left" if name == "method" else "right")
    for found in records:
        made.add_row(*row(found))
    made.add_row(*reference_row(reference))
    return made


def markdown(records: Iterable[Record], reference: Mapping[str, Any]) -> str:
    """Return the table as Markdown.

    Example:
        >>> markdown([], {"test_accuracy": 0.99, "authentic": 0.5, "measures": dict.fromkeys(MEASURES, 0)}).count("|")
        42
    """
    lines = [COLUMNS, ["---"] * len(COLUMNS), *map(row, records), reference_row(reference)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def row(found: Record) -> list[str]:
    """Return the table row of a method."""
    training = found["training"]
    first = [found["method"], " + ".join(f"{count:,}" for count in found["parameters"])]
    first += [f"{training['images']:,}", f"{training['cpu_seconds']:.0f}"]
    accuracy = found["read_as_asked"]
    last = ["–" if accuracy is None else f"{100 * accuracy:.1f} %", f"{100 * found['authentic']:.0f} %"]
    time = f"{found['sampling_cpu_seconds'] * 1000 / found['measures']['images']:.1f}"
    return [*first, *_measures(found["measures"]), *last, time]


def reference_row(reference: Mapping[str, Any]) -> list[str]:
    """Return the table row of training images, measured as if they were samples."""
    shown = [f"{100 * reference['test_accuracy']:.1f} %", f"{100 * reference['authentic']:.0f} %"]
    return ["training images", "", "", "", *_measures(reference["measures"]), *shown, ""]


def sheet(samples: np.ndarray, path: Path) -> Path:
    """Write a picture of samples ``(n, 1, 28, 28)`` whose classes follow each other, a column for each class."""
    rows = min(SHEET_ROWS, len(samples) // CLASSES)
    tiles = samples[: rows * CLASSES, 0].reshape(rows, CLASSES, *samples.shape[2:])
    picture = (255 * (1 - tiles.transpose(0, 2, 1, 3).reshape(rows * tiles.shape[2], -1))).round().astype(np.uint8)
    with atomic_write(path) as file:
        Image.fromarray(picture).save(file, "png")
    return path


def _measures(found: Mapping[str, float]) -> list[str]:
    shown = [f"{found['frechet']:.2f}", f"{1000 * found['kernel']:.1f}"]
    return shown + [f"{found[name]:.3f}" for name in MEASURES[2:]]

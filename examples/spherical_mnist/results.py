"""Records of trainings, one for each Laplacian in one file, and their table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from examples.spherical_mnist.data import Digits
from examples.spherical_mnist.training import Epoch, Fit, Recipe
from omniconv.errors import FileError
from omniconv.files import write_bytes

Record = dict[str, Any]
PUBLISHED = 0.9923  # Jiang et al., table 1: neither training nor test digits rotated, 100 epochs
PUBLISHED_PARAMETERS = 61658  # "62k" in the table


def record(
    laplacian: str, digits: str, parameters: int, seed: int, recipe: Recipe, counts: Sequence[int],
    machine: Mapping[str, Any], fit: Fit, test: Digits,
) -> Record:  # fmt: skip
    """Return the record of a training."""
    last = fit.epochs[-1]
    about = {"laplacian": laplacian, "digits": digits, "train digits": counts[0], "test digits": counts[1]}
    about |= {"parameters": parameters, "seed": seed, "recipe": asdict(recipe), "machine": dict(machine)}
    found = {"accuracy": last.test, "published": PUBLISHED, "epochs": [asdict(epoch) for epoch in fit.epochs]}
    found |= {"step_seconds": fit.step_seconds, "step_core_seconds": fit.step_core_seconds}
    wrong = np.flatnonzero(fit.predictions != test.labels)
    found["wrong"] = [[int(index), int(fit.predictions[index])] for index in wrong]
    return about | found


def load(path: Path) -> list[Record]:
    """Return the records of a file; none if it does not exist.

    Raises:
        FileError: a file of something else.
    """
    if not path.is_file():
        return []
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return [dict(each, laplacian=each["laplacian"]) for each in found]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(path, "is not a results file of this example", "move it away, or give another --out") from error


def save(found: Record, path: Path) -> list[Record]:
    """Write a record beside that of the other Laplacian; return all records."""
    others = [each for each in load(path) if each["laplacian"] != found["laplacian"]]
    records = sorted([found, *others], key=lambda each: each["laplacian"])
    texts = ",\n".join(json.dumps(each, ensure_ascii=False) for each in records)
    write_bytes(path, f"[\n{texts}\n]\n".encode())
    return records


def table(records: Sequence[Record]) -> Table:
    """Return a table of trainings beside the published accuracy."""
    made = Table(title="Spherical MNIST, not rotated", title_justify="left")
    for name in ("laplacian", "digits"):
        made.add_column(name)
    for name in ("parameters", "epochs", "test accuracy", "published", "step", "CPU time", "training"):
        made.add_column(name, justify="right")
    for found in records:
        step, core = (f"{1000 * found[name]:.0f} ms" for name in ("step_seconds", "step_core_seconds"))
        minutes = f"{found['epochs'][-1]['core_seconds'] / 60:.1f} min of CPU time"
        accuracy = f"{100 * found['accuracy']:.2f} %"
        digits = f"{found['digits']}, {found['train digits']:,} / {found['test digits']:,}"
        numbers = [f"{found['parameters']:,}", str(len(found["epochs"])), accuracy, published_text(found["digits"])]
        made.add_row(found["laplacian"], digits, *numbers, step, core, minutes)
    return made


def published_text(digits: str) -> str:
    """Return the published accuracy if the digits are MNIST, as in the paper."""
    return f"{100 * PUBLISHED:.2f} %" if digits == "MNIST" else "–"


def epoch_text(epoch: Epoch, epochs: int, digits: str) -> str:
    """Return a line of text for an epoch."""
    train = f"loss {epoch.loss:.4f}, train accuracy {100 * epoch.train:.2f} %"
    times = f"{epoch.seconds:.0f} s, CPU time {epoch.core_seconds:.0f} s"
    beside = f" (published {published_text(digits)})" if digits == "MNIST" else ""
    return f"  epoch {epoch.number}/{epochs}, {times}: {train}, test {100 * epoch.test:.2f} %{beside}"

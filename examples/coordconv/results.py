"""Records of trainings, one file each, and a table of all records in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from examples.coordconv.data import SPLITS, Split
from examples.coordconv.recipes import Recipe
from examples.coordconv.tasks import NETWORKS, TASKS, Task
from examples.coordconv.training import Fit
from omniconv.files import write_bytes

Record = dict[str, Any]
NUMBERS = "results.json"
PUBLISHED = {  # Liu et al.: the abstract, and third parties who ran the published code again
    ("classification", "uniform", "convolution"): "test at most about 86 %",
    ("classification", "quadrant", "convolution"): "test near 0 %",
    ("classification", "uniform", "coordconv"): "perfect, in seconds",
    ("classification", "quadrant", "coordconv"): "perfect, in seconds",
}


def record(
    task: Task,
    split: Split,
    network: str,
    parameters: int,
    seed: int,
    recipe: Recipe,
    machine: Mapping[str, Any],
    fit: Fit,
) -> Record:
    """Return the record of a training."""
    last = fit.epochs[-1]
    about = {
        "task": task.name,
        "split": split.name,
        "positions": len(split.positions),
        "network": network,
        "parameters": parameters,
        "seed": seed,
    }
    found = {"measure": task.measure, "train": last.train, "test": last.test, "level": task.level}
    taken = {"epochs": last.number, "seconds": last.seconds, "core_seconds": last.core_seconds}
    taken |= {f"{name}_to_fit": getattr(fit.fitted, name, None) for name in ("seconds", "core_seconds")}
    history = [asdict(epoch) for epoch in fit.epochs]
    scores = [round(score, 4) for score in fit.scores.tolist()]
    return about | found | taken | {"recipe": asdict(recipe), "machine": dict(machine)} | {
        "history": history, "scores": scores,
    }  # fmt: skip


def save(found: Record, folder: Path) -> Path:
    """Write a record to its own file."""
    path = folder / f"{found['task']}-{found['split']}-{found['network']}.json"
    return write_bytes(path, (json.dumps(found) + "\n").encode())


def load(folder: Path) -> list[Record]:
    """Return the records in a folder, in the table's order."""
    names = [f"{task}-{split}-{network}.json" for task in TASKS for split in SPLITS for network in NETWORKS]
    return [json.loads((folder / name).read_text(encoding="utf-8")) for name in names if (folder / name).is_file()]


def save_numbers(records: Iterable[Record], path: Path) -> Path:
    """Write the table's numbers, without histories and scores of single positions, to one file."""
    left_out = ("history", "scores")
    lines = [{key: value for key, value in found.items() if key not in left_out} for found in records]
    return write_bytes(path, (json.dumps(lines, indent=2, ensure_ascii=False) + "\n").encode())


def table(records: Iterable[Record]) -> Table:
    """Return a table of trainings beside the published results."""
    made = Table(title="Not-so-Clevr: convolution and CoordConv", title_justify="left")
    for name in ("task", "split", "network"):
        made.add_column(name)
    for name in ("parameters", "train", "test", "seconds to fit", "CPU seconds", "epochs"):
        made.add_column(name, justify="right")
    made.add_column("published")
    for found in records:
        made.add_row(*row(found))
    return made


def row(found: Record) -> list[str]:
    """Return a table row of a record."""
    shown = [score_text(found["task"], found[part]) for part in ("train", "test")]
    times = [_time_text(found, name) for name in ("seconds", "core_seconds")]
    key = found["task"], found["split"], found["network"]
    return [*key, f"{found['parameters']:,}", *shown, *times, str(found["epochs"]), PUBLISHED.get(key, "–")]


def score_text(task: str, mean: float) -> str:
    """Format a mean score.

    Example:
        >>> score_text("classification", 0.8594), score_text("regression", 0.0412), score_text("rendering", 0.99)
        ('85.9 %', '0.04 px', 'IoU 0.990')
    """
    texts = {"classification": f"{100 * mean:.1f} %", "regression": f"{mean:.2f} px", "rendering": f"IoU {mean:.3f}"}
    return texts[task]


def _time_text(found: Record, name: str) -> str:
    taken = found[f"{name}_to_fit"]
    return f"{taken:.0f}" if taken is not None else f"not in {found[name]:.0f}"

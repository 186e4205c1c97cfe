"""Callbacks after each epoch: a row of metrics, the best network, a checkpoint, a line of log."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as L

from omniconv.errors import InputError
from omniconv.files import atomic_write
from omniconv.models import save
from omniconv.tasks.base import Task
from omniconv.training.module import TrainingModule

Log = Callable[[str], None]
"""A function that takes a line of text for the user."""


class MetricsFile(L.Callback):
    """``metrics.csv``, rewritten after each epoch; a resumed run continues its rows.

    Args:
        path: the file.
        task: its validation metrics are columns of the file.
    """

    def __init__(self, path: Path, task: Task) -> None:
        self.path = path
        self.metrics = ("train_loss", "val_loss", *(f"val_{name}" for name in task.validation_metrics))
        self.rows: list[dict[str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the rows of a checkpoint."""
        self.rows = state_dict["rows"]

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self.start = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Add the epoch's row."""
        values = {name: float(value) for name, value in trainer.callback_metrics.items() if name in self.metrics}
        if not math.isfinite(values["train_loss"]):
            rate = _training_module(pl_module).config.learning_rate
            rule = f"let the training loss become {values['train_loss']}"
            raise InputError("learning_rate", rate, rule, f"use a smaller one: --learning-rate {rate / 10:g}")
        rate = float(trainer.optimizers[0].param_groups[0]["lr"])
        seconds = round(time.perf_counter() - self.start, 3)
        self.rows.append({"epoch": trainer.current_epoch, **values, "rate": rate, "seconds": seconds})
        with atomic_write(self.path, "w") as file:
            writer = csv.DictWriter(file, ("epoch", *self.metrics, "rate", "seconds"), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)


class BestNetwork(L.Callback):
    """``model.safetensors``: the network of the best epoch by the task's metric, or of the last if nothing is held out.

    Args:
        path: the file.
        task: names the metric and its direction.
    """

    def __init__(self, path: Path, task: Task) -> None:
        self.path = path
        self.metric, self.maximize = f"val_{task.best_metric}", task.maximize
        self.worst = float("-inf") if task.maximize else float("inf")
        self.best = self.worst

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best value of a checkpoint."""
        self.best = state_dict["best"]

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the network if it is better than all before."""
        value = float(trainer.callback_metrics.get(self.metric, math.nan))
        if self._is_better(value, held_out=self.metric in trainer.callback_metrics) or not self.path.is_file():
            self.best = self.best if math.isnan(value) else value
            save(_training_module(pl_module).network, self.path)

    def _is_better(self, value: float, held_out: bool) -> bool:
        if math.isnan(value):  # nothing measured: the last epoch counts, unless one was measured before
            return not held_out or self.best == self.worst
        return value > self.best if self.maximize else value < self.best


class LastCheckpoint(L.Callback):
    """``checkpoints/last.ckpt`` after each epoch; must stand behind the callbacks whose state it saves.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the state of the training."""
        trainer.save_checkpoint(self.path)


class EpochLines(L.Callback):
    """A line of log for each epoch, for logs and terminals without a progress bar.

    Args:
        log: takes the line.
        metrics_file: has the rows of the epochs.
    """

    def __init__(self, log: Log, metrics_file: MetricsFile) -> None:
        self.log_line, self.metrics_file = log, metrics_file  # Lightning replaces an attribute called log

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the last row."""
        row = self.metrics_file.rows[-1]
        shown = [f"{name} {row[name]:.4f}" for name in self.metrics_file.metrics if name in row]
        self.log_line(f"epoch {int(row['epoch']) + 1}/{trainer.max_epochs}: {', '.join(shown)}, {row['seconds']:.1f} s")


def _training_module(module: L.LightningModule) -> TrainingModule:
    if not isinstance(module, TrainingModule):
        raise TypeError(f"{type(module).__name__} is not a TrainingModule")
    return module

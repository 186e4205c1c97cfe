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
from omniconv.models import Model, save
from omniconv.tasks.base import Task

Log = Callable[[str], None]
"""Function that shows a line of text to the user."""


class MetricsFile(L.Callback):
    """Writer of ``metrics.csv`` after each epoch; a resumed run adds to the rows of its checkpoint.

    Args:
        path: the file.
        task: its validation metrics are columns of the file.
    """

    def __init__(self, path: Path, task: Task) -> None:
        self.path = path
        self.metrics = ("train_loss", "val_loss", *(f"val_{name}" for name in task.validation_metrics))
        self.rows: list[dict[str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.start = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        values = {name: float(value) for name, value in trainer.callback_metrics.items() if name in self.metrics}
        if not math.isfinite(values["train_loss"]):
            rate = trainer.optimizers[0].param_groups[0]["initial_lr"]
            rule = f"let the training loss become {values['train_loss']}"
            raise InputError("learning_rate", rate, rule, f"use a smaller one: learning_rate={rate / 10:g}")
        rate = float(trainer.optimizers[0].param_groups[0]["lr"])
        seconds = round(time.perf_counter() - self.start, 3)
        self.rows.append({"epoch": trainer.current_epoch, **values, "rate": rate, "seconds": seconds})
        with atomic_write(self.path, "w") as file:
            columns = ("epoch", *self.metrics, "rate", "seconds")
            # ignore: rows of earlier versions have val_iou also for tasks that do not log it any more.
            writer = csv.DictWriter(file, columns, lineterminator="\n", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(self.rows)


class BestNetwork(L.Callback):
    """Writer of ``model.safetensors`` in the epoch with the best metric, or in each epoch if nothing is held out.

    Args:
        path: the file.
        task: defines the metric and its direction.
        network: the network to save.
    """

    def __init__(self, path: Path, task: Task, network: Model) -> None:
        self.path, self.network = path, network
        self.metric, self.maximize = f"val_{task.best_metric}", task.maximize
        self.worst = float("-inf") if task.maximize else float("inf")
        self.best = self.worst

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        value = float(trainer.callback_metrics.get(self.metric, math.nan))
        if self._is_better(value) or not self.path.is_file():
            self.best = self.best if math.isnan(value) else value
            save(self.network, self.path)

    def _is_better(self, value: float) -> bool:
        if math.isnan(value):  # not measured: save each epoch, unless an earlier one has been measured
            return self.best == self.worst
        return value > self.best if self.maximize else value < self.best


class LastCheckpoint(L.Callback):
    """Writer of ``checkpoints/last.ckpt`` after each epoch; must follow the callbacks whose state it saves."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.save_checkpoint(self.path)


class EpochLines(L.Callback):
    """Log of the metrics, one line for each epoch, used instead of a progress bar.

    Args:
        log: called with the line.
        metrics_file: has the rows of the epochs.
    """

    def __init__(self, log: Log, metrics_file: MetricsFile) -> None:
        self.log_line, self.metrics_file = log, metrics_file  # Lightning replaces an attribute called log

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        row = self.metrics_file.rows[-1]
        shown = [f"{name} {row[name]:.4f}" for name in self.metrics_file.metrics if name in row]
        if pl_module.areas is not None:
            shown[-1] += " (all by area)"  # the measures of `evaluate` without this name count pixels
        self.log_line(f"epoch {int(row['epoch']) + 1}/{trainer.max_epochs}: {', '.join(shown)}, {row['seconds']:.1f} s")

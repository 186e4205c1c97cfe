"""Callbacks after each epoch: a row of metrics, the best network, early stopping, files of the run, lines of log.

The checkpoint is written first and holds all state. ``metrics.csv`` and ``model.safetensors`` follow from it, so that
``fit`` can write them again if the process was killed in between: in the epoch of the best network its weights are
those of the checkpoint.
"""

from __future__ import annotations

import csv
import math
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import RichProgressBar

from omniconv.errors import pluralize
from omniconv.files import atomic_write
from omniconv.models import Model, save
from omniconv.models.storage.tensor_file import non_finite
from omniconv.progress import remaining_text
from omniconv.report.tables import decimals
from omniconv.run_folder import RunFolder
from omniconv.tasks.base import Task
from omniconv.training.module import TrainingModule, learning_rate_error

Log = Callable[[str], None]
"""Function that shows a line of text to the user."""
Row = dict[str, float]
"""Metrics of an epoch."""


class MetricsFile(L.Callback):
    """Rows of metrics, one for each epoch; a resumed run adds to the rows of its checkpoint.

    Args:
        run: its ``metrics.csv`` is written.
        task: its validation metrics are columns of the file.
        has_adversary: the loss of an adversary is a column, too.
    """

    def __init__(self, run: RunFolder, task: Task, has_adversary: bool = False) -> None:
        self.path = run.metrics
        losses = ("train_loss", *(("adversary_loss",) if has_adversary else ()), "val_loss")
        self.metrics = (*losses, *(f"val_{name}" for name in task.validation_metrics if name != "loss"))
        self.rows: list[Row] = []
        self.start = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.start = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: TrainingModule) -> None:  # type: ignore[override]
        pl_module.check_losses()
        values = {name: float(value) for name, value in trainer.callback_metrics.items() if name in self.metrics}
        if not math.isfinite(values["train_loss"]):
            raise learning_rate_error(trainer, f"let the training loss become {values['train_loss']}")
        if fault := non_finite(pl_module.state_dict()):  # the run could not go on from it
            raise learning_rate_error(trainer, f"made the weights NaN or infinite ({fault})")
        rate = float(trainer.optimizers[0].param_groups[0]["lr"])
        seconds = round(time.perf_counter() - self.start, 3)
        self.rows.append({"epoch": trainer.current_epoch, **values, "rate": rate, "seconds": seconds})

    def write(self) -> None:
        """Write ``metrics.csv``."""
        with atomic_write(self.path, "w") as file:
            columns = ("epoch", *self.metrics, "rate", "seconds")
            # ignore: rows of earlier versions have val_iou also for tasks that do not log it any more.
            writer = csv.DictWriter(file, columns, lineterminator="\n", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(self.rows)


class BestNetwork(L.Callback):
    """Choice of the epoch with the best metric, or of each epoch if nothing is held out.

    Args:
        run: its ``model.safetensors`` is written.
        task: defines the metric and its direction.
        network: the network to save, ``TrainingModule.evaluated``.

    Attributes:
        best: the best value of the metric so far.
        epoch: the epoch of the best network, -1 if an earlier version has written the checkpoint.
    """

    def __init__(self, run: RunFolder, task: Task, network: Model) -> None:
        self.run, self.network = run, network
        self.metric, self.maximize = f"val_{task.best_metric}", task.maximize
        self.worst = float("-inf") if task.maximize else float("inf")
        self.best, self.epoch = self.worst, -1

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.epoch = state_dict["best"], state_dict.get("epoch", -1)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        value = float(trainer.callback_metrics.get(self.metric, math.nan))
        if self._is_better(value):
            self.best = self.best if math.isnan(value) else value
            self.epoch = trainer.current_epoch

    def write(self) -> None:
        """Write ``model.safetensors``; the evaluation of the network that it replaces is removed."""
        self.run.evaluation.unlink(missing_ok=True)
        save(self.network, self.run.model)

    def _is_better(self, value: float) -> bool:
        if math.isnan(value):  # not measured: save each epoch, unless an earlier one has been measured
            return self.best == self.worst
        return value > self.best if self.maximize else value < self.best


class EarlyStop(L.Callback):
    """End of the training after ``patience`` epochs without improvement.

    It has no state of its own, the rows of metrics are enough: a resumed run stops where an uninterrupted one stops.

    Args:
        metrics_file: has the rows of the epochs.
        task: defines the metric and its direction.
        patience: number of epochs; 0 never stops.
    """

    def __init__(self, metrics_file: MetricsFile, task: Task, patience: int) -> None:
        self.metrics_file, self.patience = metrics_file, patience
        self.metric, self.maximize = f"val_{task.best_metric}", task.maximize

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or self.reason(self.metrics_file.rows) is not None

    def reason(self, rows: Sequence[Row]) -> str | None:
        """Return the line for the user if the training stops after these epochs, else ``None``."""
        values = [(row.get(self.metric, math.nan), -index) for index, row in enumerate(rows)]
        measured = [(value if self.maximize else -value, index) for value, index in values if not math.isnan(value)]
        if not self.patience or not measured:
            return None
        best = -max(measured)[1]  # the first of equal ones
        if len(rows) - 1 - best < self.patience:
            return None
        waited = f"{self.metric} has not improved for {pluralize(len(rows) - 1 - best, 'epoch')}"
        return f"stopped early: {waited}, the best was epoch {best + 1}; a larger patience trains on"


class LastCheckpoint(L.Callback):
    """Writer of the files of the run after each epoch; must follow the callbacks whose state it saves."""

    def __init__(self, run: RunFolder, metrics_file: MetricsFile, best: BestNetwork) -> None:
        self.path, self.start, self.metrics_file, self.best = run.checkpoint, run.start, metrics_file, best

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.save_checkpoint(self.path)  # in every process, which all wait for the first one to write it
        if not trainer.is_global_zero:
            return
        self.start.unlink(missing_ok=True)
        self.metrics_file.write()
        if self.best.epoch == trainer.current_epoch:
            self.best.write()


class InterruptOnSigterm(L.Callback):
    """End of one of several processes by SIGTERM as by SIGINT, at once.

    Lightning (2.6) would wait for the other processes, in a collective operation that they do not take part in.
    """

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.default_int_handler)


class RemainingTime(L.Callback):
    """Estimate of the time that the training still takes, from the epochs that this process has trained."""

    def __init__(self) -> None:
        self.start, self.first_epoch = 0.0, 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.start, self.first_epoch = time.perf_counter(), trainer.current_epoch

    def describe(self, trainer: L.Trainer, part: float) -> str:
        """Return a short text, empty as long as nothing is known or if less than 10 seconds remain.

        Args:
            trainer: the trainer.
            part: part of the current epoch that is done, 0 … 1.
        """
        epochs = trainer.max_epochs or 0
        done = trainer.current_epoch + part - self.first_epoch
        return remaining_text(time.perf_counter() - self.start, done, epochs - self.first_epoch)


class EpochLines(L.Callback):
    """Log of the metrics, one line for each epoch.

    Args:
        log: called with the line.
        metrics_file: has the rows of the epochs.
        task: its notes on the metrics are logged, each once.
        remaining: estimates the remaining time.
    """

    def __init__(self, log: Log, metrics_file: MetricsFile, task: Task, remaining: RemainingTime) -> None:
        self.log_line, self.metrics_file = log, metrics_file  # Lightning replaces an attribute called log
        self.task, self.remaining = task, remaining
        self.notes = set(task.training_notes(metrics_file.rows))

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        row = self.metrics_file.rows[-1]
        shown = [f"{name} {decimals(row[name])}" for name in self.metrics_file.metrics if name in row]
        if pl_module.areas is not None:
            shown[-1] += " (all by area)"  # the measures of `evaluate` without this name count pixels
        shown.append(f"{row['seconds']:.1f} s")
        remaining = [] if trainer.should_stop else filter(None, [self.remaining.describe(trainer, 1.0)])
        self.log_line(f"epoch {int(row['epoch']) + 1}/{trainer.max_epochs}: {', '.join([*shown, *remaining])}")
        for note in self.task.training_notes(self.metrics_file.rows):
            if note not in self.notes:
                self.log_line(note)
                self.notes.add(note)


class StepCounter(L.Callback):
    """Line of progress within an epoch.

    Args:
        remaining: estimates the remaining time.
    """

    def __init__(self, remaining: RemainingTime) -> None:
        self.text, self.remaining = "starting", remaining

    def describe(self) -> str:
        """Return the line."""
        return self.text

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._set(trainer, f"step {batch_idx + 1}/{trainer.num_training_batches}", batch_idx)

    def on_validation_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._set(
            trainer, f"validation {batch_idx + 1}/{sum(trainer.num_val_batches)}", int(trainer.num_training_batches)
        )

    def _set(self, trainer: L.Trainer, step: str, done: int) -> None:
        remaining = self.remaining.describe(trainer, done / trainer.num_training_batches)
        text = ", ".join(filter(None, (step, remaining)))
        self.text = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: {text}"


class EpochBar(RichProgressBar):
    """Progress bar of an epoch, counted from 1 as in the lines of log, with the time that all epochs still take.

    Args:
        remaining: estimates the remaining time.
    """

    def __init__(self, remaining: RemainingTime) -> None:
        super().__init__()
        self.remaining = remaining

    def _get_train_description(self, current_epoch: int) -> str:
        remaining = self.remaining.describe(self.trainer, 0.0)
        return f"epoch {current_epoch + 1}/{self.trainer.max_epochs}" + (f" ({remaining})" if remaining else "")

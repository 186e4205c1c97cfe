"""What happens after each epoch: a row of measures, the best network, a checkpoint, a line to read."""

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
from omniconv.training.module import TrainingModule

COLUMNS = ("epoch", "train_loss", "val_loss", "val_accuracy", "val_iou", "rate", "seconds")


class MetricsFile(L.Callback):
    """``metrics.csv``, written anew and whole after each epoch; a resumed run goes on with its rows.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        """Rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the rows of a checkpoint."""
        self.rows = state_dict["rows"]

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self.start = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Add the epoch's row."""
        measured = {name: float(value) for name, value in trainer.callback_metrics.items() if name in COLUMNS}
        if not math.isfinite(measured["train_loss"]):
            rate = _ours(pl_module).config.learning_rate
            cure = f"use a smaller one: --learning-rate {rate / 10:g}"
            raise InputError("learning_rate", rate, "let the loss grow beyond all numbers", cure)
        rate = float(trainer.optimizers[0].param_groups[0]["lr"])
        seconds = time.perf_counter() - self.start
        self.rows.append({"epoch": trainer.current_epoch, **measured, "rate": rate, "seconds": round(seconds, 3)})
        with atomic_write(self.path, "w") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)


class BestNetwork(L.Callback):
    """``model.safetensors``: the network of the best epoch, or of the last where nothing is held out.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.best = float("-inf")

    def state_dict(self) -> dict[str, Any]:
        """The best measure so far."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.best = state_dict["best"]

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the network where it is better than before."""
        module = _ours(pl_module)
        found = trainer.callback_metrics.get(f"val_{module.measure}")
        score = float("nan") if found is None else float(found)
        if math.isnan(score):  # nothing was measured: the last epoch counts
            score = float(trainer.current_epoch)
        if score > self.best or not self.path.is_file():
            self.best = score
            save(module.network, self.path)


class LastCheckpoint(L.Callback):
    """``checkpoints/last.ckpt`` after each epoch; keep it behind the callbacks whose state it saves.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the state of the training."""
        trainer.save_checkpoint(self.path)


class EpochLines(L.Callback):
    """A line for each epoch, for logs and screens without a progress bar.

    Args:
        say: takes the line.
        rows: where the measures of the epochs stand.
    """

    def __init__(self, say: Callable[[str], None], rows: MetricsFile) -> None:
        self.say, self.rows = say, rows

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Say the last row."""
        row = self.rows.rows[-1]
        shown = [f"{name} {row[name]:.4f}" for name in COLUMNS[1:5] if name in row]
        self.say(f"epoch {int(row['epoch']) + 1}/{trainer.max_epochs}: {', '.join(shown)}, {row['seconds']:.1f} s")


def _ours(module: L.LightningModule) -> TrainingModule:
    if not isinstance(module, TrainingModule):
        raise TypeError(f"{type(module).__name__} is no TrainingModule")
    return module

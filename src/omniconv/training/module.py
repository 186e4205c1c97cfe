"""Lightning module: one training step, one validation step, optimizer and schedule."""

from __future__ import annotations

import math
import random
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch
from torch import Tensor

from omniconv.models import Model
from omniconv.models.registry import IMAGE_OUTPUTS
from omniconv.tasks import get_task
from omniconv.training.settings import RunConfig

WARM_UP = 0.05
"""Fraction of the steps in which the learning rate rises."""


class TrainingModule(L.LightningModule):
    """Training by AdamW with the learning rate schedule of ``learning_rate_factor``.

    Loss and validation metrics are those of the network's own samples; dense ones on a sphere are weighted by area.
    They correspond to ``by_area`` in ``evaluation.json``, which is measured at the images' own size.

    Args:
        network: the network to train.
        config: the settings.
        classes: number of classes or output channels.
        areas: area of each sample on a sphere, mean 1; ``None`` on a plane.
        class_frequencies: relative frequency of each class, to weight rare classes up in the loss.
    """

    areas: Tensor | None

    def __init__(
        self,
        network: Model,
        config: RunConfig,
        classes: int,
        areas: Tensor | None,
        class_frequencies: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.config, self.task = network, config, get_task(config.task, config.method)
        areas = areas if self.task.output in IMAGE_OUTPUTS else None
        self.criterion = self.task.criterion(areas, class_frequencies)
        self.metric = self.task.metric(classes)
        self.register_buffer("areas", areas, persistent=False)

    def on_train_epoch_start(self) -> None:
        """Seed each epoch, so that a resumed run draws the same random numbers as an uninterrupted one."""
        self.trainer.callback_metrics.clear()  # Lightning keeps values of earlier epochs that are not logged again
        seed_all(self.config.seed, self.current_epoch)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        loss = self.task.training_loss(self.network, self.criterion, batch)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch[0]))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        loss = self.task.validation_loss(self.network, self.criterion, batch, self.metric, self.areas)
        if loss is not None:
            self.log("val_loss", loss, on_epoch=True, batch_size=len(batch[0]))

    def on_validation_epoch_end(self) -> None:
        computed = self.metric.compute()
        for name in self.task.validation_metrics:
            value = math.nan if computed[name] is None else float(computed[name])
            # Not logged over nothing: Lightning's EarlyStopping stops at NaN, and ignores what is not logged.
            if not math.isnan(value):
                self.log(f"val_{name}", torch.tensor(value), prog_bar=name == self.task.best_metric)
        self.metric.reset()

    def configure_optimizers(self) -> Any:
        config = self.config
        optimizer = torch.optim.AdamW(
            self.network.parameters(), config.learning_rate, self.task.betas, weight_decay=config.weight_decay
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def seed_all(seed: int, epoch: int) -> None:
    """Seed the global random numbers of Python, NumPy and torch, on every device, for an epoch."""
    random.seed(seed + epoch)
    np.random.seed(np.random.SeedSequence([seed, epoch]).generate_state(4))  # noqa: NPY002  # tasks may draw from it
    torch.manual_seed(seed + epoch)


def learning_rate_factor(step: int, steps: int) -> float:
    """Return the factor of the learning rate at a step: linear warm-up, then half a cosine from 1 down to 0.01."""
    warm_up = max(1, round(WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    done = min(1.0, (step - warm_up) / max(1, steps - warm_up))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))

"""One step of training, and how it is measured."""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as L
import torch
import torch.nn.functional as F
from torch import Tensor

from omniconv.data.masks import IGNORE_INDEX
from omniconv.models import Model
from omniconv.training.metrics import Confusion
from omniconv.training.settings import RunConfig

MEASURES = {"segment": "iou", "classify": "accuracy"}
"""What decides which epoch was the best."""

WARM_UP = 0.05
"""Share of the steps in which the rate rises."""


class TrainingModule(L.LightningModule):
    """Cross entropy by area, AdamW, a rate that rises shortly and falls as a cosine.

    Args:
        network: what is trained.
        config: how.
        classes: number of classes.
        areas: area of each sample on a sphere, mean 1.
        class_weights: what a sample of each class counts in the loss.
    """

    areas: Tensor | None
    class_weights: Tensor | None

    def __init__(
        self,
        network: Model,
        config: RunConfig,
        classes: int,
        areas: Tensor | None,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.network, self.config = network, config
        self.confusion = Confusion(classes)
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.register_buffer("areas", areas if config.task == "segment" else None, persistent=False)

    def on_train_epoch_start(self) -> None:
        """Draw the same numbers in an epoch whether or not the training was interrupted before it."""
        torch.manual_seed(self.config.seed + self.current_epoch)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """The loss of a batch."""
        x, labels = batch
        loss = self.loss(self.network(x), labels)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(x))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Loss and labels of a held-out batch."""
        x, labels = batch
        logits = self.network(x)
        self.log("val_loss", self.loss(logits, labels), on_epoch=True, batch_size=len(x))
        self.confusion.update(logits.argmax(1), labels, self.areas)

    def on_validation_epoch_end(self) -> None:
        """Measures over all held-out images."""
        found = self.confusion.compute()
        for name in ("accuracy", "iou"):
            self.log(f"val_{name}", torch.tensor(found[name]), prog_bar=name == self.measure)
        self.confusion.reset()

    @property
    def measure(self) -> str:
        """What decides which epoch was the best."""
        return MEASURES[self.config.task]

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy over the samples that are not ignored, by area; 0 where all are."""
        losses = F.cross_entropy(logits.float(), labels, ignore_index=IGNORE_INDEX, reduction="none")
        weights = (labels != IGNORE_INDEX).to(losses.dtype)
        if self.areas is not None:
            weights = weights * self.areas
        if self.class_weights is not None:
            weights = weights * self.class_weights[labels.where(labels != IGNORE_INDEX, 0)]
        return (losses * weights).sum() / weights.sum().clamp_min(torch.finfo(losses.dtype).tiny)

    def configure_optimizers(self) -> Any:
        """AdamW with the rate of each step."""
        optimizer = torch.optim.AdamW(
            self.network.parameters(), self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def rate_factor(step: int, steps: int) -> float:
    """Share of the highest rate at a step: a short rise, then half a cosine down to a hundredth."""
    rise = max(1, round(WARM_UP * steps))
    if step < rise:
        return (step + 1) / rise
    done = min(1.0, (step - rise) / max(1, steps - rise))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))

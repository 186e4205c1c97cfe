"""Training of the network, and its predictions for the test digits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR

from examples.spherical_mnist.data import Digits
from examples.spherical_mnist.projection import Projection

EVAL_BATCH_SIZE = 100


@dataclass(frozen=True)
class Recipe:
    """Training settings.

    Args:
        epochs: number of epochs.
        batch_size: digits in a step; an incomplete last batch is left out.
        learning_rate: initial learning rate of Adam.
        halving: halve the learning rate every ten epochs, as published; else it decays to 0 along a cosine.
    """

    epochs: int
    batch_size: int = 64
    learning_rate: float = 0.01
    halving: bool = False

    def factor(self, done: float) -> float:
        """Return the factor of the learning rate after ``done`` epochs."""
        return 0.5 ** int(done / 10) if self.halving else (1 + math.cos(math.pi * done / self.epochs)) / 2


@dataclass
class Epoch:
    """Measures of one epoch.

    Args:
        number: number of the epoch from 1.
        seconds: wall-clock training time until its end.
        core_seconds: CPU time on all cores.
        loss: mean over its steps.
        train: accuracy over its steps, with dropout.
        test: accuracy on the test digits after it.
    """

    number: int
    seconds: float
    core_seconds: float
    loss: float
    train: float
    test: float = math.nan


@dataclass
class Fit:
    """Result of a training.

    Args:
        epochs: all epochs in order.
        step_seconds: median time of a step: projection, forward, backward, update.
        step_core_seconds: median CPU time of a step.
        predictions: predicted label of each test digit, ``(n,)``.
    """

    epochs: list[Epoch] = field(default_factory=list)
    step_seconds: float = math.nan
    step_core_seconds: float = math.nan
    predictions: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))


class Training:
    """Training of a network, with the times of its steps.

    Args:
        network: network to train, in place.
        projection: projection of digits to the network's surface.
        recipe: training settings.
        device: device to train on.
    """

    def __init__(self, network: nn.Module, projection: Projection, recipe: Recipe, device: torch.device) -> None:
        self.network, self.projection, self.recipe, self.device = network.to(device), projection, recipe, device
        self.optimizer = torch.optim.Adam(network.parameters(), recipe.learning_rate)
        self.seconds: list[float] = []
        self.core_seconds: list[float] = []

    def fit(self, train: Digits, test: Digits, log: Callable[[Epoch], None]) -> Fit:
        """Train for all epochs and call ``log`` with each; the test digits are evaluated only."""
        found = Fit()
        for epoch in self._epochs(train):
            found.predictions = self.predictions(test)
            epoch.test = float((found.predictions == test.labels).mean())
            found.epochs.append(epoch)
            log(epoch)
        found.step_seconds, found.step_core_seconds = median(self.seconds), median(self.core_seconds)
        return found

    @torch.inference_mode()
    def predictions(self, digits: Digits) -> np.ndarray:
        """Return the predicted label of each digit, ``(n,)``."""
        self.network.eval()
        parts = np.split(digits.images, range(EVAL_BATCH_SIZE, len(digits), EVAL_BATCH_SIZE))
        return torch.cat([self.network(self._signals(part)).argmax(1) for part in parts]).cpu().numpy()

    def _epochs(self, digits: Digits) -> Iterator[Epoch]:
        steps = len(digits) // self.recipe.batch_size
        schedule = LambdaLR(self.optimizer, lambda step: self.recipe.factor(step / steps))
        for number in range(1, self.recipe.epochs + 1):
            self.network.train()
            order = torch.randperm(len(digits))[: steps * self.recipe.batch_size].numpy()
            found = []
            for chosen in order.reshape(steps, -1):
                found.append(self._timed_step(digits.images[chosen], digits.labels[chosen]))
                schedule.step()
            loss, right = torch.tensor(found).mean(0).tolist()
            yield Epoch(number, sum(self.seconds), sum(self.core_seconds), loss, right)

    def _timed_step(self, images: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
        start, core_start = time.perf_counter(), time.process_time()
        loss, right = self._step(images, torch.from_numpy(labels).to(self.device))
        found = loss.item(), right.item()  # waits for the device
        self.seconds.append(time.perf_counter() - start)
        self.core_seconds.append(time.process_time() - core_start)
        return found

    def _step(self, images: np.ndarray, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network(self._signals(images))
        loss = F.cross_entropy(logits, labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach(), (logits.argmax(1) == labels).float().mean()

    def _signals(self, images: np.ndarray) -> Tensor:
        return self.projection(images).to(self.device)

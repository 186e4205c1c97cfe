"""One training: from first weights to what the network reads on every digit of the test."""

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

MEASURING_BATCH = 100


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Args:
        epochs: passes over the training digits.
        batch: digits a step; a last one that is not full is left out.
        rate: of Adam, at first.
        halving: halve the rate every ten epochs, as published; else it falls to 0 along a cosine.
    """

    epochs: int
    batch: int = 64
    rate: float = 0.01
    halving: bool = False

    def factor(self, done: float) -> float:
        """What the rate is multiplied with after so many epochs."""
        return 0.5 ** int(done / 10) if self.halving else (1 + math.cos(math.pi * done / self.epochs)) / 2


@dataclass
class Epoch:
    """What an epoch brought.

    Args:
        number: from 1.
        seconds: of training until its end.
        core_seconds: of the processor's time, on all cores.
        loss: the mean over its steps.
        train: share of digits read right while they were learnt, dropout and all.
        test: share of the test digits read right after it.
    """

    number: int
    seconds: float
    core_seconds: float
    loss: float
    train: float
    test: float = math.nan


@dataclass
class Fit:
    """A finished training.

    Args:
        epochs: one after the other.
        step_seconds: the median step: projection, forward, backward, update.
        step_core_seconds: of the processor's time.
        predictions: what was read on each test digit, ``(n,)``.
    """

    epochs: list[Epoch] = field(default_factory=list)
    step_seconds: float = math.nan
    step_core_seconds: float = math.nan
    predictions: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))


class Training:
    """A network, its optimizer and the time that its steps take.

    Args:
        network: to train, in place.
        projection: from digits to the network's surface.
        recipe: how.
        device: where.
    """

    def __init__(self, network: nn.Module, projection: Projection, recipe: Recipe, device: torch.device) -> None:
        self.network, self.projection, self.recipe, self.device = network.to(device), projection, recipe, device
        self.optimizer = torch.optim.Adam(network.parameters(), recipe.rate)
        self.seconds: list[float] = []
        self.core_seconds: list[float] = []

    def fit(self, train: Digits, test: Digits, say: Callable[[Epoch], None]) -> Fit:
        """Train for all epochs; the test digits are only looked at."""
        found = Fit()
        for epoch in self._epochs(train):
            found.predictions = self.predictions(test)
            epoch.test = float((found.predictions == test.labels).mean())
            found.epochs.append(epoch)
            say(epoch)
        found.step_seconds, found.step_core_seconds = median(self.seconds), median(self.core_seconds)
        return found

    @torch.inference_mode()
    def predictions(self, digits: Digits) -> np.ndarray:
        """The digit read on each picture, ``(n,)``."""
        self.network.eval()
        parts = np.split(digits.images, range(MEASURING_BATCH, len(digits), MEASURING_BATCH))
        return torch.cat([self.network(self._signals(part)).argmax(1) for part in parts]).cpu().numpy()

    def _epochs(self, digits: Digits) -> Iterator[Epoch]:
        steps = len(digits) // self.recipe.batch
        schedule = LambdaLR(self.optimizer, lambda step: self.recipe.factor(step / steps))
        for number in range(1, self.recipe.epochs + 1):
            self.network.train()
            order = torch.randperm(len(digits))[: steps * self.recipe.batch].numpy()
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

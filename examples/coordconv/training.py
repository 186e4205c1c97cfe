"""Training of one network, and its score at every position."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from examples.coordconv.data import Split
from examples.coordconv.networks import he_normal, zero_coordinate_weights
from examples.coordconv.recipes import Recipe
from examples.coordconv.tasks import Task

BETAS = (0.9, 0.99)  # as published
EVAL_BATCH_SIZE = 64
SCHEDULES: dict[str, Callable[[float], float]] = {  # factor of the learning rate from the share of steps done
    "none": lambda done: 1.0,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "steps": lambda done: 0.1 ** min(4, int(5 * done)),
}


@dataclass
class Epoch:
    """Measures of one epoch.

    Args:
        number: number of the epoch from 1.
        seconds: wall-clock training time until its end.
        core_seconds: CPU time; less than ``seconds`` if other processes use the cores.
        loss: mean over its steps.
        train: mean score of the training set, if evaluated.
        test: mean score of the test set, if evaluated.
    """

    number: int
    seconds: float
    core_seconds: float
    loss: float
    train: float | None = None
    test: float | None = None


@dataclass
class Fit:
    """Result of a training.

    Args:
        epochs: all epochs in order.
        scores: score of every position of the split.
        fitted: first epoch after which the training set was found fitted, if any.
    """

    epochs: list[Epoch] = field(default_factory=list)
    scores: Tensor = field(default_factory=lambda: torch.empty(0))
    fitted: Epoch | None = None


def fit(
    network: nn.Module, task: Task, split: Split, recipe: Recipe, device: torch.device, log: Callable[[Epoch], None]
) -> Fit:
    """Train until the training set is fitted or the epochs are over; the test set is evaluated only.

    Args:
        network: network to train, in place; reinitialised according to the recipe.
        task: the task.
        split: training and test positions.
        recipe: training settings.
        device: device to train on.
        log: called with every epoch.
    """
    network = initialised(network, recipe, device)
    positions, held_out = split.positions.to(device), split.held_out.to(device)
    found, fitted_evaluations = Fit(), 0
    for epoch in epochs(network, task, positions[~held_out], recipe):
        if epoch.number % recipe.eval_every == 0 or epoch.number == recipe.epochs:
            found.scores = scores(network, task, positions, recipe.scaled)
            epoch.train, epoch.test = (found.scores[part].mean().item() for part in (~held_out, held_out))
            fitted_evaluations = fitted_evaluations + 1 if task.is_fitted(epoch.train) else 0
            found.fitted = found.fitted or (epoch if fitted_evaluations else None)
        found.epochs.append(epoch)
        log(epoch)
        if 0 < recipe.patience <= fitted_evaluations:
            break
    return found


def initialised(network: nn.Module, recipe: Recipe, device: torch.device) -> nn.Module:
    """Initialise the network and move it to the device, channels last."""
    if recipe.init != "default":
        he_normal(network)
    if recipe.init == "he, zero coordinates":
        zero_coordinate_weights(network)
    return network.to(device, memory_format=torch.channels_last)


def epochs(network: nn.Module, task: Task, positions: Tensor, recipe: Recipe) -> Iterator[Epoch]:
    """Train and yield one epoch at a time; time between epochs is not counted."""
    steps = math.ceil(len(positions) / recipe.batch_size)
    optimizer = torch.optim.Adam(_groups(network, recipe.weight_decay), recipe.learning_rate, BETAS, recipe.epsilon)
    schedule = LambdaLR(optimizer, lambda step: SCHEDULES[recipe.schedule](step / (recipe.epochs * steps)))
    seconds = core_seconds = 0.0
    for number in range(1, recipe.epochs + 1):
        network.train()
        start, core_start, losses = time.perf_counter(), time.process_time(), []
        for chosen in torch.randperm(len(positions)).to(positions.device).split(recipe.batch_size):
            losses.append(_step(network, task, positions[chosen], recipe.scaled, optimizer))
            schedule.step()
        loss = torch.stack(losses).mean().item()  # waits for the device
        seconds += time.perf_counter() - start
        core_seconds += time.process_time() - core_start
        yield Epoch(number, seconds, core_seconds, loss)


@torch.inference_mode()
def scores(network: nn.Module, task: Task, positions: Tensor, scaled: bool) -> Tensor:
    """Return the score of each position."""
    network.eval()
    parts = positions.split(EVAL_BATCH_SIZE)
    return torch.cat([task.score(network(task.inputs(part, scaled)), part) for part in parts]).cpu()


def _step(network: nn.Module, task: Task, positions: Tensor, scaled: bool, optimizer: torch.optim.Optimizer) -> Tensor:
    loss = task.loss(network(task.inputs(positions, scaled)), positions)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Penalise kernels, not biases and norms; Adam adds the gradient of weight_decay · ½ · Σ w², as published."""
    parameters = list(network.parameters())
    kernels = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim <= 1]
    return [{"params": kernels, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]

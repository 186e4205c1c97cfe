"""One training: from first weights to what the network makes of every position."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from examples.coordconv.data import Split
from examples.coordconv.networks import blind, he_normal
from examples.coordconv.recipes import Recipe
from examples.coordconv.tasks import Task

BETAS = (0.9, 0.99)  # as published
MEASURING_BATCH = 64
FALLS: dict[str, Callable[[float], float]] = {
    "none": lambda done: 1.0,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "steps": lambda done: 0.1 ** min(4, int(5 * done)),
}


@dataclass
class Epoch:
    """What an epoch brought.

    Args:
        number: from 1.
        seconds: of training until its end.
        core_seconds: of the processor's time; less than ``seconds`` where others use it too.
        loss: the mean over its steps.
        train: the mean score of the training set, where measured.
        test: that of the test set.
    """

    number: int
    seconds: float
    core_seconds: float
    loss: float
    train: float | None = None
    test: float | None = None


@dataclass
class Fit:
    """A finished training.

    Args:
        epochs: one after the other.
        scores: of every position of the split.
        learnt: the epoch after which the training set was first found learnt, if ever.
    """

    epochs: list[Epoch] = field(default_factory=list)
    scores: Tensor = field(default_factory=lambda: torch.empty(0))
    learnt: Epoch | None = None


def fit(
    network: nn.Module, task: Task, split: Split, recipe: Recipe, device: torch.device, say: Callable[[Epoch], None]
) -> Fit:
    """Train until the training set is learnt, or the epochs are over; the test set is only looked at.

    Args:
        network: to train, in place; its first weights are drawn anew where the recipe says so.
        task: what it learns.
        split: what it learns from and what is held out.
        recipe: how.
        device: where.
        say: is told of every epoch.
    """
    network = prepared(network, recipe, device)
    positions, held_out = split.positions.to(device), split.held_out.to(device)
    found, held = Fit(), 0
    for epoch in epochs(network, task, positions[~held_out], recipe):
        if epoch.number % recipe.every == 0 or epoch.number == recipe.epochs:
            found.scores = scores(network, task, positions, recipe.scaled)
            epoch.train, epoch.test = (found.scores[part].mean().item() for part in (~held_out, held_out))
            held = held + 1 if task.learnt(epoch.train) else 0
            found.learnt = found.learnt or (epoch if held else None)
        found.epochs.append(epoch)
        say(epoch)
        if 0 < recipe.patience <= held:
            break
    return found


def prepared(network: nn.Module, recipe: Recipe, device: torch.device) -> nn.Module:
    """The network with its first weights, where it is to be trained."""
    if recipe.drawn != "layers":
        he_normal(network)
    if recipe.drawn == "blind":
        blind(network)
    return network.to(device, memory_format=torch.channels_last)


def epochs(network: nn.Module, task: Task, positions: Tensor, recipe: Recipe) -> Iterator[Epoch]:
    """Train for an epoch at a time; time between epochs is not counted."""
    steps = math.ceil(len(positions) / recipe.batch)
    optimizer = torch.optim.Adam(_groups(network, recipe.decay), recipe.rate, BETAS, recipe.epsilon)
    schedule = LambdaLR(optimizer, lambda step: FALLS[recipe.fall](step / (recipe.epochs * steps)))
    seconds = core_seconds = 0.0
    for number in range(1, recipe.epochs + 1):
        network.train()
        start, core_start, losses = time.perf_counter(), time.process_time(), []
        for chosen in torch.randperm(len(positions)).to(positions.device).split(recipe.batch):
            losses.append(_step(network, task, positions[chosen], recipe.scaled, optimizer))
            schedule.step()
        loss = torch.stack(losses).mean().item()  # waits for the device
        seconds += time.perf_counter() - start
        core_seconds += time.process_time() - core_start
        yield Epoch(number, seconds, core_seconds, loss)


@torch.inference_mode()
def scores(network: nn.Module, task: Task, positions: Tensor, scaled: bool) -> Tensor:
    """The score of each position."""
    network.eval()
    parts = positions.split(MEASURING_BATCH)
    return torch.cat([task.score(network(task.inputs(part, scaled)), part) for part in parts]).cpu()


def _step(network: nn.Module, task: Task, positions: Tensor, scaled: bool, optimizer: torch.optim.Optimizer) -> Tensor:
    loss = task.loss(network(task.inputs(positions, scaled)), positions)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def _groups(network: nn.Module, decay: float) -> list[dict[str, object]]:
    """Kernels decay, biases and norms do not. Adam's own decay is the gradient of decay · ½ · Σ w², as published."""
    parameters = list(network.parameters())
    kernels = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim <= 1]
    return [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]

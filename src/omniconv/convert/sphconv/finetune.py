"""Training of all row kernels together towards the exact outputs of the last convolution; can be interrupted."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from omniconv.convert.sphconv.checkpoint import CheckpointFolder

SAVE_INTERVAL = 25
"""Steps between two checkpoints."""
ADAM_MOMENTS = "exp_avg", "exp_avg_sq"


def finetune(
    network: nn.Sequential, panoramas: Tensor, targets: Tensor, folder: CheckpointFolder, advance: Callable[[], None],
    *, steps: int, rate: float, batch: int, seed: int,
) -> None:  # fmt: skip
    """Train a network in place by Adam on half of the mean squared error, with a cosine schedule that ends at zero.

    The network ends with its last convolution, whose exact outputs are the targets; parameters without
    ``requires_grad`` stay. ``rate`` is the initial learning rate relative to the root mean square of each parameter.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    state = _TrainingState(parameters, folder.load("tuning", _shapes(parameters)))
    # one group for each parameter, as each has a learning rate of its own
    optimizer = torch.optim.Adam([{"params": [parameter]} for parameter in parameters], lr=rate)
    state.restore(optimizer)
    for step in range(steps):
        if step >= state.completed:
            relative_rate = rate * (1 + math.cos(math.pi * step / steps)) / 2
            for group, scale in zip(optimizer.param_groups, state.scales, strict=True):
                group["lr"] = relative_rate * scale
            # chosen by the number of the step, so that a resumed training sees the same panoramas
            chosen = np.random.default_rng((seed, step)).permutation(len(panoramas))[:batch]
            _adam_step(network, optimizer, panoramas[chosen], targets[chosen])
            if (step + 1) % SAVE_INTERVAL == 0 or step + 1 == steps:
                folder.save("tuning", state.snapshot(optimizer, step + 1))
        advance()


def _adam_step(network: nn.Sequential, optimizer: torch.optim.Adam, inputs: Tensor, targets: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    (network(inputs) - targets).square().mean().div(2).backward()
    optimizer.step()


def _shapes(parameters: list[nn.Parameter]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of ``_TrainingState.snapshot``."""
    shapes = {
        f"{index}.{key}": tuple(parameter.shape)
        for index, parameter in enumerate(parameters)
        for key in ("value", *ADAM_MOMENTS)
    }
    return {"step": (), "sizes": (len(parameters),), **shapes}


class _TrainingState:
    """State that a resumed training starts from: parameters, Adam's moments, and initial scales of the parameters."""

    def __init__(self, parameters: list[nn.Parameter], saved: dict[str, Tensor] | None) -> None:
        self.parameters, self.saved = parameters, saved
        self.completed = 0 if saved is None else int(saved["step"])
        scales = [float(parameter.detach().square().mean().sqrt()) for parameter in parameters]
        self.scales = scales if saved is None else saved["sizes"].tolist()

    def restore(self, optimizer: torch.optim.Adam) -> None:
        """Load saved values into the parameters and their optimizer."""
        if self.saved is None:
            return
        state = {}
        for index, parameter in enumerate(self.parameters):
            with torch.no_grad():
                parameter.copy_(self.saved[f"{index}.value"])
            moments = {key: self.saved[f"{index}.{key}"] for key in ADAM_MOMENTS}
            state[index] = moments | {"step": self.saved["step"].float()}
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})

    def snapshot(self, optimizer: torch.optim.Adam, step: int) -> dict[str, Tensor]:
        """Return the tensors to save after a number of steps."""
        tensors = {"step": torch.tensor(step), "sizes": torch.tensor(self.scales, dtype=torch.float64)}
        for index, parameter in enumerate(self.parameters):
            tensors[f"{index}.value"] = parameter
            tensors |= {f"{index}.{key}": optimizer.state[parameter][key] for key in ADAM_MOMENTS}
        return tensors

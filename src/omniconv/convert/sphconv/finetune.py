"""The whole network trained towards the exact outputs of its last convolution; goes on where it was interrupted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from omniconv.convert.sphconv.checkpoint import Folder
from omniconv.convert.sphconv.settings import Settings

SAVED_EVERY = 25
"""Steps between two files."""
MEANS = "exp_avg", "exp_avg_sq"


def tune(
    network: nn.Sequential,
    panoramas: Tensor,
    wanted: Tensor,
    chosen: Settings,
    folder: Folder,
    tick: Callable[[], None],
) -> None:
    """Adam on half of the mean square difference, at a rate that falls to zero along a cosine; changes the network.

    Args:
        network: a chain whose last convolution is its last layer that counts; parameters without gradient stay.
        panoramas: to learn from, ``(N, C, H, 2 · H)``.
        wanted: exact outputs of the last convolution.
        chosen: steps of Adam, its rate, panoramas a step and the seed of their order.
        folder: keeps the state.
        tick: called after each step.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    state = _State(parameters, folder.load("tuning", "step"))
    optimizer = torch.optim.Adam([{"params": [one]} for one in parameters], lr=chosen.rate)
    state.restore(optimizer)
    for step in range(chosen.steps):
        if step >= state.done:
            _descend(network, optimizer, panoramas, wanted, chosen, step, state.sizes)
            if (step + 1) % SAVED_EVERY == 0 or step + 1 == chosen.steps:
                folder.save("tuning", state.kept(optimizer, step + 1))
        tick()


def _descend(
    network: nn.Sequential, optimizer: torch.optim.Adam, panoramas: Tensor, wanted: Tensor, chosen: Settings, step: int,
    sizes: Sequence[float],
) -> None:  # fmt: skip
    """One step, on panoramas that the seed and its number choose."""
    share = chosen.rate * (1 + math.cos(math.pi * step / chosen.steps)) / 2
    for group, size in zip(optimizer.param_groups, sizes, strict=True):
        group["lr"] = share * size
    seen = np.random.default_rng((chosen.seed, step)).permutation(len(panoramas))[: chosen.batch]
    optimizer.zero_grad(set_to_none=True)
    (network(panoramas[seen]) - wanted[seen]).square().mean().div(2).backward()
    optimizer.step()


class _State:
    """What goes on after an interruption: values, Adam's means, and how large each parameter was at first."""

    def __init__(self, parameters: list[nn.Parameter], found: dict[str, Tensor] | None) -> None:
        self.parameters, self.found = parameters, found
        self.done = 0 if found is None else int(found["step"])
        sizes = [float(one.detach().square().mean().sqrt()) for one in parameters]
        self.sizes = sizes if found is None else found["sizes"].tolist()

    def restore(self, optimizer: torch.optim.Adam) -> None:
        """Put what was found into the parameters and their optimizer."""
        if self.found is None:
            return
        state = {}
        for place, parameter in enumerate(self.parameters):
            with torch.no_grad():
                parameter.copy_(self.found[f"{place}.value"])
            state[place] = {key: self.found[f"{place}.{key}"] for key in MEANS} | {"step": self.found["step"].float()}
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})

    def kept(self, optimizer: torch.optim.Adam, step: int) -> dict[str, Tensor]:
        """The same after so many steps."""
        found = {"step": torch.tensor(step), "sizes": torch.tensor(self.sizes, dtype=torch.float64)}
        for place, parameter in enumerate(self.parameters):
            found[f"{place}.value"] = parameter
            found |= {f"{place}.{key}": optimizer.state[parameter][key] for key in MEANS}
        return found

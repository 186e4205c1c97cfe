"""The kernels of one layer after the other, from exact inputs to exact outputs; what a folder has is taken from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from omniconv.convert.sphconv.checkpoint import Folder
from omniconv.convert.sphconv.fitting import fitted
from omniconv.convert.sphconv.source_network import Step
from omniconv.convert.sphconv.targets import exact_outputs
from omniconv.surfaces.neighbours.row_stencil import RowBand

Tick = Callable[[], None]


class Exact:
    """Exact outputs of convolutions, each worked out when it is asked for, the last two kept.

    Args:
        layers: of the flat network.
        panoramas: what they see.
        tick: called after each row.
    """

    def __init__(self, layers: Sequence[Step], panoramas: Tensor, tick: Tick) -> None:
        self.layers, self.panoramas, self.tick = layers, panoramas, tick
        self.kept: dict[int, Tensor] = {}

    def outputs(self, place: int) -> Tensor:
        """Of the step at a place."""
        if place not in self.kept:
            self.kept = {key: self.kept[key] for key in sorted(self.kept)[-1:]}
            self.kept[place] = exact_outputs(self.layers, place, self.panoramas, self.tick)
        return self.kept[place]


def fit_layer(
    exact: Exact, network: nn.Sequential, places: tuple[int, int], ridge: float, folder: Folder, tick: Tick
) -> None:
    """Find the kernels of a layer, run by run of rows of one shape, and put them into the network.

    Args:
        exact: the flat network's outputs.
        network: the chain on panoramas.
        places: of the convolution below and of this one.
        ridge: as in ``to_sphconv``.
        folder: keeps each run's kernels.
        tick: called after each row.
    """
    layer: Any = network[places[1]]
    for number, run in enumerate(layer.op.stencil.bands):
        name = f"kernels-{places[1]}-{number}"
        found = folder.load(name, "weight")
        if found is None:
            found = _fitted(exact, network, places, run, ridge, tick)
            folder.save(name, found)
        else:
            for _ in range(run.rows):
                tick()
        with torch.no_grad():
            layer.weight[:, :, run.first_tap : run.first_tap + run.taps] = found["weight"]
            layer.bias[:, run.first_row : run.first_row + run.rows] = found["bias"]


def _fitted(
    exact: Exact, network: nn.Sequential, places: tuple[int, int], run: RowBand, ridge: float, tick: Tick
) -> dict[str, Tensor]:
    """The kernels ``(out, in, taps)`` and biases ``(out, rows)`` of a run."""
    below, place = places
    layer: Any = network[place]
    with torch.no_grad():
        x = nn.Sequential(*list(network)[below + 1 : place])(exact.outputs(below))
    wanted, weights, biases = exact.outputs(place), [], []
    for row in range(run.first_row, run.first_row + run.rows):
        source: Any = exact.layers[place].layer
        kernel = fitted(source, layer.op.stencil, row, x, wanted[:, :, row], ridge)
        weights.append(kernel.weight)
        biases.append(kernel.bias)
        tick()
    return {"weight": torch.cat(weights, 2), "bias": torch.stack(biases, 1)}

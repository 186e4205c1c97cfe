"""The law of conversion: what comes out turns with the panorama that goes in; and pictures to see it on."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def picture(channels: int = 3, height: int = 16, width: int = 32, batch: int = 2, dtype=torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, channels, height, width, generator=generator, dtype=dtype)


def lively(network: nn.Module) -> nn.Module:
    """In evaluation, in double precision, with statistics and scales that are not those of a new network."""
    generator = torch.Generator().manual_seed(2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    for name, parameter in network.named_parameters():
        if "gamma" in name:  # scales that start near zero would hide their branch
            nn.init.uniform_(parameter, 0.5, 1.5, generator=generator)
    return network.eval().double()


def main_output(result) -> Tensor:
    if isinstance(result, Tensor):
        return result
    if hasattr(result, "sample"):
        return result.sample
    return result["out"]


@torch.no_grad()
def turn_error(network: nn.Module, x: Tensor, turn: int) -> float:
    """Largest difference between the output of a turned panorama and the turned output, relative to the largest."""
    y, of_turned = main_output(network(x)), main_output(network(x.roll(turn, -1)))
    if y.ndim == 4 and y.shape[-1] > 1:
        assert y.shape[-1] * turn % x.shape[-1] == 0
        y = y.roll(y.shape[-1] * turn // x.shape[-1], -1)
    return ((of_turned - y).abs().max() / y.abs().max()).item()

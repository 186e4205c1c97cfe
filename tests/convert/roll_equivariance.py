"""Measurement of equivariance to rolling the panorama, with inputs and randomized networks for it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def noise_image(channels: int = 3, height: int = 16, width: int = 32, batch: int = 2, dtype=torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, channels, height, width, generator=generator, dtype=dtype)


def randomized(network: nn.Module) -> nn.Module:
    """Return the network in evaluation mode and float64, with BatchNorm statistics unlike those of a new network."""
    generator = torch.Generator().manual_seed(2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    for name, parameter in network.named_parameters():
        if "gamma" in name:  # layer scales that start near zero would hide their branch
            nn.init.uniform_(parameter, 0.5, 1.5, generator=generator)
    return network.eval().double()


def main_output(result) -> Tensor:
    if isinstance(result, Tensor):
        return result
    if hasattr(result, "sample"):
        return result.sample
    return result["out"]


@torch.no_grad()
def roll_error(network: nn.Module, x: Tensor, shift: int) -> float:
    """Return the largest difference between network(roll(x)) and roll(network(x)), relative to the largest output."""
    y, of_rolled = main_output(network(x)), main_output(network(x.roll(shift, -1)))
    if y.ndim == 4 and y.shape[-1] > 1:
        assert y.shape[-1] * shift % x.shape[-1] == 0
        y = y.roll(y.shape[-1] * shift // x.shape[-1], -1)
    return ((of_rolled - y).abs().max() / y.abs().max()).item()

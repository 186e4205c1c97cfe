"""Generation by denoising: EDM and rectified flow, two parametrizations of one network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from omniconv.data.preprocessing import Preprocessing
from omniconv.generation import edm, flow
from omniconv.generation.noise import SampleNoise, log_normal
from omniconv.generation.samplers import heun
from omniconv.models import Model
from omniconv.models.levels import fixed_grid
from omniconv.nn.distributed import batch_mean, normal_like, own_rows
from omniconv.tasks.generate.base import Generate, first_image, labels_for, size_argument

DEFAULTS = {
    "learning_rate": 1e-3, "weight_decay": 0.0, "batch_size": 32, "epochs": 50, "ema": 500.0, "width": 32, "depth": 2,
    "sample_every": 5,
}  # fmt: skip
"""Settings of EDM where the run's default is another one: half-life 0.5 million images, Adam without weight decay."""
SIGMA_DATA = 1.0
"""Standard deviation of normalized images."""
LEVELS = 4
"""Number of noise levels of the validation: the medians of four equally probable ranges of the training's levels."""
NO_LABEL = 0.1
"""Share of the training images without their class, which guidance needs (Ho & Salimans, 2022)."""
ALL_LEVELS = 64
"""Number of the first held-out images that are denoised at every level; each of the others is at one level."""


class Denoising(Generate):
    """Denoising of images with noise of all levels.

    Attributes:
        parametrization: that of the ``Denoiser``.
        log_mean: mean of the logarithm of the noise levels in training, for images of standard deviation 1.
        log_std: its standard deviation.
    """

    output = "denoiser"
    default_model = "denoiser"
    chart_label = "loss by noise level"
    masks = "required"  # without a mask there is nothing to predict
    defaults: Mapping[str, Any] = MappingProxyType(DEFAULTS)
    parametrization: str
    log_mean: float
    log_std: float

    def loss_weight(self, sigma: Tensor) -> Tensor:
        """Return the weight of the squared error of the denoised image at each noise level."""
        raise NotImplementedError

    @property
    def levels(self) -> tuple[float, ...]:
        """Noise levels of the validation."""
        quantiles = (torch.arange(LEVELS, dtype=torch.float64) + 0.5) / LEVELS
        return tuple((torch.special.ndtri(quantiles) * self.log_std + self.log_mean).exp().tolist())

    @property
    def validation_metrics(self) -> tuple[str, ...]:  # type: ignore[override]  # a constant of each subclass
        """Names of the losses at the noise levels, such as ``loss_at_0.41``."""
        return tuple(f"loss_at_{level:.2g}" for level in self.levels)

    def network_arguments(
        self, in_channels: int, classes: tuple[str, ...], size: tuple[int, ...] = ()
    ) -> dict[str, Any]:
        arguments = super().network_arguments(in_channels, classes)
        return arguments | {"sigma_data": SIGMA_DATA, "parametrization": self.parametrization}

    def criterion(self, areas: Tensor | None, class_frequencies: Sequence[float] | None) -> nn.Module:
        return DenoisingLoss(areas, self.loss_weight)

    def metric(self, classes: int) -> Metric:
        return LossByLevel(self.validation_metrics)

    def training_loss(
        self, network: Model, criterion: nn.Module, batch: Sequence[Tensor], adversary: nn.Module | None = None
    ) -> Tensor:
        """Return the weighted error of denoised images, at noise levels drawn for each image."""
        x, label = batch
        sigma = own_rows(lambda rows: log_normal(rows, self.log_mean, self.log_std), len(x)).to(x)
        noisy = x + _per_image(sigma, x) * normal_like(x)
        dropped = own_rows(torch.rand, len(x)).to(x.device) < NO_LABEL
        label = label.masked_fill(dropped, network.arguments["classes"])
        return batch_mean(criterion(network(noisy, sigma, labels_for(network, label)), x, sigma))

    def validation_loss(
        self, network: Model, criterion: nn.Module, batch: Sequence[Tensor], metric: Metric, areas: Tensor | None
    ) -> Tensor | None:
        """Return the loss of a held-out batch with noise that depends on the image's number only.

        The first images are denoised at each level of ``levels``, the others at one each, in turn.
        """
        x, label = batch
        first = first_image(metric)
        numbers = range(first, first + len(x))
        draws = [(i, level) for i in range(len(x)) for level in range(LEVELS) if _is_drawn(numbers[i], level)]
        rows = torch.tensor([i for i, _ in draws], device=x.device)
        level = torch.tensor([level for _, level in draws], device=x.device)
        sigma = torch.tensor(self.levels, device=x.device)[level].to(x)
        noise = SampleNoise([LEVELS * numbers[i] + k for i, k in draws], x.shape[1:], x.device, x.dtype).draw()
        losses = []
        for part in torch.arange(len(draws), device=x.device).split(len(x)):  # no more memory than in training
            clean = x[rows[part]]
            noisy = clean + _per_image(sigma[part], clean) * noise[part]
            denoised = network(noisy, sigma[part], labels_for(network, label[rows[part]]))
            losses.append(criterion(denoised, clean, sigma[part]))
        loss = torch.cat(losses)
        metric.update(level, loss, len(x))
        return loss.mean()

    def network_inputs(self, network: Model, x: Tensor) -> tuple[Tensor, ...]:
        """Return the images, which count as noisy ones, and the noise levels and labels of ``example_inputs``."""
        _, *others = network.example_inputs(x.shape[2:], len(x))
        return (x, *(other.to(x.device) for other in others))

    def noise_shape(self, network: Model, preprocessing: Preprocessing) -> tuple[int, ...]:
        grid = size_argument(network, preprocessing.size) or fixed_grid(network.surface)
        return (network.arguments["in_channels"], *grid)

    def from_noise(self, network: Model, noise: Tensor, label: Tensor | None, preprocessing: Preprocessing) -> Tensor:
        sigmas = edm.karras_schedule(sigma_data=SIGMA_DATA)
        return heun(lambda x, sigma: network(x, sigma, label), float(sigmas[0]) * noise, sigmas)


class EDM(Denoising):
    """Denoising diffusion as in EDM (Karras et al., NeurIPS 2022): its preconditioning, weights and noise levels."""

    method = "edm"
    parametrization = "edm"
    log_mean = math.log(SIGMA_DATA / edm.PUBLISHED_SIGMA_DATA) - 1.2  # -1.2 is published, for the other deviation
    log_std = 1.2

    def loss_weight(self, sigma: Tensor) -> Tensor:
        return edm.loss_weight(sigma, SIGMA_DATA)


class Flow(Denoising):
    """Rectified flow (Liu et al., ICLR 2023), at times whose logit is normal (Esser et al., ICML 2024)."""

    method = "flow"
    parametrization = "flow"
    log_mean = 0.0
    log_std = 1.0

    def loss_weight(self, sigma: Tensor) -> Tensor:
        return flow.loss_weight(sigma, SIGMA_DATA)


class DenoisingLoss(nn.Module):
    """Weighted squared error of each denoised image, the mean by area over its samples.

    Args:
        areas: area of each sample with a mean of 1; ``None`` on a plane.
        weight: function of noise levels.
    """

    areas: Tensor | None

    def __init__(self, areas: Tensor | None, weight: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.register_buffer("areas", areas, persistent=False)
        self.weight = weight

    def forward(self, denoised: Tensor, image: Tensor, sigma: Tensor) -> Tensor:
        """Return the loss of each image, ``(batch,)``."""
        errors = (denoised.float() - image.float()).square()
        errors = errors if self.areas is None else errors * self.areas
        return self.weight(sigma.float()) * errors.flatten(1).mean(1)


class LossByLevel(Metric):
    """Mean loss at each noise level, and the number of images.

    Args:
        names: names of the levels' losses in the result.
    """

    full_state_update = False
    totals: Tensor
    counts: Tensor
    images: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        for name in ("totals", "counts"):
            self.add_state(name, torch.zeros(len(self.names), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, level: Tensor, loss: Tensor, images: int) -> None:
        """Add the losses of images at levels, both ``(n,)``."""
        self.totals.index_add_(0, level, loss.detach().double())
        self.counts.index_add_(0, level, torch.ones_like(loss, dtype=torch.float64))
        self.images += images

    def compute(self) -> dict[str, float | None]:
        """Return the mean at each level, ``None`` without images."""
        pairs = zip(self.totals.tolist(), self.counts.tolist(), strict=True)
        return {name: total / count if count else None for name, (total, count) in zip(self.names, pairs, strict=True)}


def _is_drawn(number: int, level: int) -> bool:
    """Return True if the held-out image of this number is denoised at this level."""
    return number < ALL_LEVELS or number % LEVELS == level


def _per_image(values: Tensor, x: Tensor) -> Tensor:
    return values.view(-1, *[1] * (x.ndim - 1))

"""Generation by a variational autoencoder (Kingma & Welling, ICLR 2014)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from omniconv.data.preprocessing import Preprocessing
from omniconv.generation.noise import SampleNoise
from omniconv.generation.variational import draw_latent, gaussian_log_likelihood, kl_divergence, kl_loss, latent_units
from omniconv.models import Model
from omniconv.models.roles import SupportsEncode, SupportsLatents, as_role
from omniconv.tasks.generate.base import Generate, first_image, size_argument

LATENT_CHANNELS = 16
"""Channels of the latent signal."""


class VAE(Generate):
    """Variational autoencoder: the standard deviation of its likelihood is that of the errors (σ-VAE, ICML 2021)."""

    method = "vae"
    output = "autoencoder"
    default_model = "autoencoder"
    conditional = False
    validation_metrics = ("reconstruction", "divergence", "active_units")
    separate_charts = True
    defaults: Mapping[str, Any] = MappingProxyType({
        "learning_rate": 1e-3, "weight_decay": 0.0, "batch_size": 32, "epochs": 50, "ema": 500.0, "width": 32,
        "depth": 4, "sample_every": 5,
    })  # fmt: skip

    def network_arguments(
        self, in_channels: int, classes: tuple[str, ...], size: tuple[int, ...] = ()
    ) -> dict[str, Any]:
        return {"in_channels": in_channels, "latent_channels": LATENT_CHANNELS, "variational": True}

    def criterion(self, areas: Tensor | None, class_frequencies: Sequence[float] | None) -> nn.Module:
        return NegativeELBO(areas)

    def metric(self, classes: int) -> Metric:
        return Reconstruction()

    def training_loss(
        self, network: Model, criterion: nn.Module, batch: Sequence[Tensor], adversary: nn.Module | None = None
    ) -> Tensor:
        """Return the loss of reconstructions from random latent signals of each image's distribution."""
        x, _ = batch
        autoencoder = as_role(network, SupportsEncode)
        mean, log_variance = autoencoder.encode(x)
        decoded = autoencoder.decode(draw_latent(mean, log_variance), x.shape[2:])
        return criterion(x, decoded, mean, log_variance)

    def validation_loss(
        self, network: Model, criterion: nn.Module, batch: Sequence[Tensor], metric: Metric, areas: Tensor | None
    ) -> Tensor | None:
        """Return the loss of a held-out batch with random numbers that depend on the image's number only."""
        x, _ = batch
        autoencoder = as_role(network, SupportsEncode)
        mean, log_variance = autoencoder.encode(x)
        first = first_image(metric)
        noise = SampleNoise(range(first, first + len(x)), mean.shape[1:], x.device, mean.dtype).draw()
        decoded = autoencoder.decode(mean + (log_variance / 2).exp() * noise, x.shape[2:])
        errors = (x.float() - decoded.float()).square()
        errors = (errors if areas is None else errors * areas).flatten(1).mean(1)
        divergence = kl_divergence(mean.float(), log_variance.float()).flatten(1).sum(1)
        metric.update(errors, divergence, mean.float())
        return criterion(x, decoded, mean, log_variance)

    def training_notes(self, rows: Sequence[Mapping[str, float]]) -> list[str]:
        """Return a note if the posterior has collapsed."""
        active = [row["val_active_units"] for row in rows if "val_active_units" in row]
        if not active or active[-1] > 0:
            return []
        cause = "the network ignores its latent signal, so that all samples look alike (posterior collapse)"
        return [f"No latent unit depends on the image: {cause}. Try a smaller learning rate, depth or batch size."]

    def noise_shape(self, network: Model, preprocessing: Preprocessing) -> tuple[int, ...]:
        return as_role(network, SupportsLatents).latent_shape(size_argument(network, preprocessing.size))

    def from_noise(self, network: Model, noise: Tensor, label: Tensor | None, preprocessing: Preprocessing) -> Tensor:
        return as_role(network, SupportsEncode).decode(noise, size_argument(network, preprocessing.size))


class NegativeELBO(nn.Module):
    """Negative evidence lower bound in nats for each value of the image.

    Args:
        areas: area of each sample with a mean of 1; ``None`` on a plane.
    """

    areas: Tensor | None

    def __init__(self, areas: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("areas", areas, persistent=False)

    def forward(self, image: Tensor, reconstruction: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Return the mean over the images."""
        likelihood = gaussian_log_likelihood(image.float(), reconstruction.float(), weights=self.areas)
        return (kl_loss(mean.float(), log_variance.float()) - likelihood) / image[0].numel()


class Reconstruction(Metric):
    """Mean squared error of reconstructions, divergence of the latent distributions, and number of active units."""

    full_state_update = False
    images: Tensor
    errors: Tensor
    divergence: Tensor
    means: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("images", torch.tensor(0), dist_reduce_fx="sum")
        for name in ("errors", "divergence"):
            self.add_state(name, torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("means", [], dist_reduce_fx="cat")

    def update(self, errors: Tensor, divergence: Tensor, means: Tensor) -> None:
        """Add the mean squared error, the divergence and the latent mean of each image."""
        self.images += len(errors)
        self.errors += errors.double().sum()
        self.divergence += divergence.double().sum()
        self.means.append(means.detach().cpu())

    def compute(self) -> dict[str, float | None]:
        """Return the mean squared error, the divergence in nats per image, and the number of active latent units."""
        count = int(self.images)
        if not count:
            return dict.fromkeys(VAE.validation_metrics)
        active = float(latent_units(dim_zero_cat(self.means)).active) if count > 1 else None
        return {
            "reconstruction": float(self.errors) / count,
            "divergence": float(self.divergence) / count,
            "active_units": active,
        }

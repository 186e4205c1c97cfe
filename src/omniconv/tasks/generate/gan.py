"""Generation by a generative adversarial network: the losses of R3GAN (Huang et al., NeurIPS 2024)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import InputError
from omniconv.generation.adversarial import discriminator_loss, generator_loss
from omniconv.generation.diff_augment import DiffAugment
from omniconv.generation.noise import SampleNoise
from omniconv.models import Discriminator, Model
from omniconv.models.roles import SupportsLatents, as_role
from omniconv.nn.distributed import own_rows
from omniconv.tasks.base import not_an_image_alone
from omniconv.tasks.generate.base import Generate, first_image, labels_for, size_argument

PENALTY = 1.0
"""Weight γ of the gradient penalties for images of standard deviation 1. R3GAN starts with 0.05 (CIFAR-10) and 2 (FFHQ,
64 × 64) for images in −1 … 1, whose standard deviation is about 0.5. The squared gradient of the same function of
images that are scaled by 2 is a quarter, so that these are 0.2 and 8 here; 1 is near their geometric mean 1.3."""
PROJECTIONS = 64
"""Directions of the sliced Wasserstein distance of the validation."""
COLLAPSED = 0.1
"""Variance of samples, as a fraction of that of images, below which a generator has collapsed: one that draws only two
different images, each half of the time, still has half of the variance of independent images."""


class GAN(Generate):
    """Adversarial training of a generator and a discriminator of the same width and depth.

    Adversarial losses do not rank epochs: the best epoch is that with the least sliced Wasserstein distance of samples
    to held-out images, in pixels weighted by area, with the same noise and directions in each epoch.
    """

    method = "gan"
    output = "generator"
    default_model = "generator"
    validation_metrics = ("distance", "variety")
    best_metric = "distance"
    separate_charts = True
    betas = (0.0, 0.99)
    defaults: Mapping[str, Any] = MappingProxyType({
        "learning_rate": 2e-4, "weight_decay": 0.0, "batch_size": 32, "epochs": 50, "ema": 500.0, "sample_every": 5,
    })  # fmt: skip

    def criterion(self, areas: Tensor | None, class_frequencies: Sequence[float] | None) -> nn.Module:
        return nn.Identity()  # the losses are functions of both networks

    def metric(self, classes: int) -> Metric:
        return SlicedDistance()

    def adversary(self, network: Model) -> nn.Module:
        """Return a discriminator of the generator's width and depth."""
        arguments = network.arguments
        names = ("in_channels", "classes", "width", "depth", "blocks", "expansion", "group_width")
        return Discriminator(surface=network.surface, **{name: arguments[name] for name in names})

    def adversary_loss(
        self, network: Model, adversary: nn.Module, criterion: nn.Module, batch: Sequence[Tensor]
    ) -> Tensor:
        x, label = batch
        with torch.no_grad():
            fake = _generate(network, x, label)
        augment = DiffAugment(network.surface)
        return discriminator_loss(adversary, x, fake, labels_for(network, label), penalty=PENALTY, augment=augment)

    def training_loss(
        self, network: Model, criterion: nn.Module, batch: Sequence[Tensor], adversary: nn.Module | None = None
    ) -> Tensor:
        if adversary is None:
            raise TypeError("a generator is trained with an adversary")
        x, label = batch
        augment = DiffAugment(network.surface)
        return generator_loss(adversary, x, _generate(network, x, label), labels_for(network, label), augment=augment)

    def validation_loss(
        self, network: Model, criterion: nn.Module, batch: Sequence[Tensor], metric: Metric, areas: Tensor | None
    ) -> Tensor | None:
        """Update the metric with samples of noise that depends on the image's number only; there is no loss."""
        x, label = batch
        first = first_image(metric)
        size = size_argument(network, x.shape[2:])
        shape = as_role(network, SupportsLatents).latent_shape(size)
        latent = SampleNoise(range(first, first + len(x)), shape, x.device, x.dtype).draw()
        fake = network(latent, labels_for(network, label), size)
        metric.update(fake.float(), x.float(), areas)
        return None

    def training_notes(self, rows: Sequence[Mapping[str, float]]) -> list[str]:
        """Return a note if the generator has collapsed."""
        variety = [row["val_variety"] for row in rows if "val_variety" in row]
        if not variety or variety[-1] >= COLLAPSED:
            return []
        found = f"their variance is {100 * variety[-1]:.1f} % of that of the images (collapsed generator)"
        return [f"Samples look alike, {found}. Try more images, a smaller learning rate, or another seed."]

    def network_inputs(self, network: Model, x: Tensor) -> tuple[Tensor, ...]:
        """Refuse images: a generator takes latent signals.

        Raises:
            InputError: always.
        """
        raise not_an_image_alone(network)

    def prediction_files(self, out: Path, stems: Iterable[Path]) -> list[Path]:
        """Refuse to predict.

        Raises:
            InputError: always.
        """
        raise InputError(
            "method", "gan", "predicts nothing from images", "draw new ones: omniconv sample RUN --out OUT"
        )

    def noise_shape(self, network: Model, preprocessing: Preprocessing) -> tuple[int, ...]:
        return as_role(network, SupportsLatents).latent_shape(size_argument(network, preprocessing.size))

    def from_noise(self, network: Model, noise: Tensor, label: Tensor | None, preprocessing: Preprocessing) -> Tensor:
        return network(noise, label, size_argument(network, preprocessing.size))


class SlicedDistance(Metric):
    """Sliced Wasserstein distance of samples to as many images, and the variance of samples over that of images.

    Only projections on fixed directions are kept. Both are of pixels, weighted by area.
    """

    full_state_update = False
    images: Tensor
    real: list[Tensor]
    fake: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("images", torch.tensor(0), dist_reduce_fx="sum")
        for name in ("real", "fake"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, fake: Tensor, real: Tensor, areas: Tensor | None) -> None:
        """Add samples and images ``(batch, channels, *grid)``."""
        scale = 1 if areas is None else areas.sqrt()
        directions = torch.randn(real[0].numel(), PROJECTIONS, generator=torch.Generator().manual_seed(0))
        directions = (directions / directions.norm(dim=0)).to(real)
        for name, x in (("real", real), ("fake", fake)):
            getattr(self, name).append(((x * scale).flatten(1) @ directions).double().cpu())
        self.images += len(real)

    def compute(self) -> dict[str, float | None]:
        """Return the distance and the ratio of the variances, ``None`` over less than two images."""
        if self.images < 2:
            return dict.fromkeys(GAN.validation_metrics)
        real, fake = dim_zero_cat(self.real), dim_zero_cat(self.fake)
        distance = (real.sort(0).values - fake.sort(0).values).abs().mean()
        variety = fake.var(0).sum() / real.var(0).sum().clamp_min(1e-12)
        return {"distance": float(distance), "variety": float(variety)}


def _generate(network: Model, x: Tensor, label: Tensor) -> Tensor:
    """Return a sample for each image of a batch."""
    size = size_argument(network, x.shape[2:])
    shape = as_role(network, SupportsLatents).latent_shape(size)
    latent = own_rows(lambda rows: torch.randn(rows, *shape, device=x.device, dtype=x.dtype), len(x))
    return network(latent, labels_for(network, label), size)

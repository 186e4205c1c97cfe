"""The four methods of the comparison: networks, a training step, and samples."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from omniconv.generation import adversarial, edm, flow, variational
from omniconv.models import Autoencoder, Denoiser, Discriminator, Generator, Model

SIDE, CLASSES = 28, 10
EXPONENT = 7.0
"""Exponent of the power-function average of weights (Karras et al., EDM2, CVPR 2024): it reaches back over a tenth of
the training, however long that is."""
GUIDANCE, UNLABELLED = 2.0, 0.1
"""Guidance of conditional samplers, and share of the training images without a label, which it needs (Ho and Salimans,
2022)."""
NOISE_MEAN = -0.7
"""Mean of ln(sigma) in EDM's units, whose -1.2 leaves much of the training at levels at which digits are visible: their
strokes are smoother than photographs."""
BETAS = {"adam": (0.9, 0.99), "adversarial": (0.0, 0.99)}


@dataclass(frozen=True)
class Recipe:
    """Training settings of a method.

    Args:
        network: arguments of the network.
        batch_size: images in a step.
        learning_rate: largest learning rate of Adam, after a warm-up; it falls to ``floor`` times it by a cosine.
        floor: see ``learning_rate``.
        warm_up: share of the training with a rising learning rate.
        penalty: gradient penalty γ of the discriminator.
        penalty_every: steps from one gradient penalty to the next, which has as many times the weight (lazy
            regularization; Karras et al., StyleGAN2, CVPR 2020): it costs as much as the rest of a step.
    """

    network: Mapping[str, Any]
    batch_size: int = 64
    learning_rate: float = 1e-3
    floor: float = 0.0
    warm_up: float = 0.03
    penalty: float = 0.0
    penalty_every: int = 1


class Method(ABC):
    """Networks of a generative method and their optimizers.

    Args:
        recipe: training settings.
        pixels: mean and standard deviation of the training images' pixels, which are normalized by them.
    """

    conditional = True
    options: Mapping[str, Any] = {}
    """Arguments of the sampler."""

    def __init__(self, recipe: Recipe, pixels: tuple[float, float]) -> None:
        self.recipe, (self.mean, self.std) = recipe, pixels
        self.networks = self.build()
        betas = BETAS["adversarial" if len(self.networks) > 1 else "adam"]
        self.optimizers = [torch.optim.Adam(net.parameters(), recipe.learning_rate, betas) for net in self.networks]
        self.averaged = AveragedModel(self.networks[0], avg_fn=_power_average)

    @abstractmethod
    def build(self) -> list[Model]:
        """Return the networks; the first one generates the samples."""

    @abstractmethod
    def losses(self, x: Tensor, label: Tensor) -> list[float]:
        """Update the networks on normalized images, and return the losses."""

    def step(self, images: Tensor, label: Tensor, done: float) -> list[float]:
        """Train on a batch.

        Args:
            images: pixels in 0 … 1, ``(batch, 1, 28, 28)``.
            label: class of each.
            done: share of the training that is done, for the learning rate.
        """
        ramp = min(1.0, (done + 1e-3) / self.recipe.warm_up)
        falling = self.recipe.floor + (1 - self.recipe.floor) * (1 + math.cos(math.pi * min(done, 1.0))) / 2
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.recipe.learning_rate * ramp * falling
        losses = self.losses((images - self.mean) / self.std, label)
        self.averaged.update_parameters(self.networks[0])
        return losses

    def sample(self, label: Tensor, seed: int) -> Tensor:
        """Return an image of each class, pixels in 0 … 1 in steps of 1/255, by the averaged weights."""
        network: Any = self.averaged.module
        x = self.draw(network, label, torch.Generator().manual_seed(seed))
        return ((x * self.std + self.mean).clamp(0, 1) * 255).round() / 255

    def draw(self, network: Any, label: Tensor, generator: torch.Generator) -> Tensor:
        """Return normalized samples of a network."""
        return network.sample(len(label), label, generator=generator, grid=(SIDE, SIDE), batch_size=128, **self.options)

    def update(self, number: int, loss: Tensor) -> float:
        """Apply the gradients of a loss to one of the networks."""
        optimizer = self.optimizers[number]
        optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=list(self.networks[number].parameters()))
        nn.utils.clip_grad_norm_(self.networks[number].parameters(), 10.0)
        optimizer.step()
        return loss.item()

    @property
    def parameters(self) -> list[int]:
        """Number of parameters of each network."""
        return [sum(one.numel() for one in network.parameters()) for network in self.networks]


class Edm(Method):
    """Denoiser with EDM's preconditioning, noise levels and weights; 18 steps of Heun's method, 35 evaluations."""

    options: Mapping[str, Any] = {"guidance": GUIDANCE}

    def build(self) -> list[Model]:
        """Return the networks of the method."""
        return [Denoiser(1, classes=CLASSES, sigma_data=1.0, **self.recipe.network)]

    def losses(self, x: Tensor, label: Tensor) -> list[float]:
        """Update the networks by the loss of the method."""
        sigma = edm.training_noise_levels(len(x), mean=NOISE_MEAN, sigma_data=1.0)
        return [self.update(0, self.weighted_error(x, label, sigma, edm.loss_weight(sigma, 1.0)))]

    def weighted_error(self, x: Tensor, label: Tensor, sigma: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted squared error of the denoised images."""
        label = torch.where(torch.rand(len(x)) < UNLABELLED, CLASSES, label)
        level, factor = (value.view(-1, 1, 1, 1) for value in (sigma, weight))
        denoised = self.networks[0](x + level * torch.randn_like(x), sigma, label)
        return (factor * (denoised - x).square()).mean()


class Flow(Edm):
    """Rectified flow, the same network as the denoiser; 35 steps of Euler's method."""

    options: Mapping[str, Any] = {"guidance": GUIDANCE, "sampler": "euler", "sigmas": flow.flow_schedule(35)}

    def build(self) -> list[Model]:
        """Return the networks of the method."""
        return [Denoiser(1, classes=CLASSES, sigma_data=1.0, parametrization="flow", **self.recipe.network)]

    def losses(self, x: Tensor, label: Tensor) -> list[float]:
        """Update the networks by the loss of the method."""
        sigma = flow.training_noise_levels(len(x))
        return [self.update(0, self.weighted_error(x, label, sigma, flow.loss_weight(sigma)))]


class Vae(Method):
    """Variational autoencoder with a Bernoulli likelihood; it knows no classes."""

    conditional = False

    def build(self) -> list[Model]:
        """Return the networks of the method."""
        options: dict[str, Any] = {"variational": True, "latent": "vector", "size": SIDE, "normalization": "none"}
        return [Autoencoder(1, **options, **self.recipe.network)]

    def losses(self, x: Tensor, label: Tensor) -> list[float]:
        """Update the networks by the loss of the method."""
        network: Any = self.networks[0]
        mean, log_variance = network.encode(x)
        logits = network.decode(variational.draw_latent(mean, log_variance))
        likelihood = variational.bernoulli_log_likelihood(x * self.std + self.mean, logits)
        return [self.update(0, variational.kl_loss(mean, log_variance) - likelihood)]

    def draw(self, network: Any, label: Tensor, generator: torch.Generator) -> Tensor:
        """Return normalized samples; the classes are not used."""
        logits = network.sample(len(label), generator=generator, batch_size=128)
        return (logits.sigmoid() - self.mean) / self.std


class Gan(Method):
    """Generator and discriminator of R3GAN with its relativistic loss and both gradient penalties."""

    def build(self) -> list[Model]:
        """Return the networks of the method."""
        options: dict[str, Any] = {"classes": CLASSES, "size": SIDE, **self.recipe.network}
        return [Generator(1, 64, latent="vector", **options), Discriminator(1, head="basis", **options)]

    def losses(self, x: Tensor, label: Tensor) -> list[float]:
        """Update the networks by the loss of the method."""
        generator, discriminator = self.networks
        fake = generator(torch.randn(len(x), 64), label)
        every = self.recipe.penalty_every
        penalty = 0.0 if self.averaged.n_averaged.item() % every else every * self.recipe.penalty
        by_discriminator = adversarial.discriminator_loss(discriminator, x, fake, label, penalty=penalty)
        first = self.update(1, by_discriminator)
        return [self.update(0, adversarial.generator_loss(discriminator, x, fake, label)), first]


METHODS: dict[str, type[Method]] = {"vae": Vae, "gan": Gan, "flow": Flow, "edm": Edm}


def _power_average(averaged: Tensor, current: Tensor, count: Tensor) -> Tensor:
    return torch.lerp(averaged, current, 1 - (count / (count + 1)) ** (EXPONENT + 1))

"""Diffusion models on every surface: denoisers, which generate images and fill holes by removing noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import ceil, isfinite
from typing import Any, Literal

import torch
from torch import Tensor

from omniconv.checks import check_choice, check_integer, check_number
from omniconv.errors import InputError
from omniconv.generation.edm import karras_schedule, preconditioning
from omniconv.generation.flow import flow_variables
from omniconv.generation.noise import SampleNoise, sample_seeds
from omniconv.generation.repaint import repaint
from omniconv.generation.samplers import SAMPLERS, Denoise, StepCallback, check_levels
from omniconv.models.base import Model
from omniconv.models.generative.batched_sampling import check_label, evaluation_mode, sample_in_batches, sample_labels
from omniconv.models.generative.diffusion_unet import DiffusionUNet, Modulation
from omniconv.models.levels import sample_grid
from omniconv.nn.arguments import check_on_surface, check_tensor
from omniconv.nn.conv.partial_conv import check_mask
from omniconv.nn.norm.group_norm_ops import precise_dtype
from omniconv.surfaces import Plane, Surface
from omniconv.surfaces.base import Resampling


class DenoiserBase(Model):
    """Base class of denoisers: preconditioning, sampling and inpainting around any network.

    A subclass sets ``network``, a module that takes scaled images ``(batch, in_channels, *grid)``, transformed noise
    levels ``(batch,)`` and labels or ``None``, and has a ``total_stride``.

    Args:
        in_channels: channels of the image.
        surface: surface of the image.
        classes: number of classes of a class-conditional model; 0: none.
        parametrization: ``edm``: preconditioning of EDM; ``flow``: the network is the velocity of a rectified flow.
        sigma_data: standard deviation of the images; noise levels are in the same units.

    Raises:
        InputError: an argument out of range.
    """

    output = "denoiser"
    network: Any

    def __init__(
        self,
        in_channels: int,
        surface: Surface,
        classes: int,
        parametrization: Literal["edm", "flow"],
        sigma_data: float,
    ) -> None:
        super().__init__(surface)
        self.in_channels = check_integer("in_channels", in_channels, 1, "give integers of at least 1")
        self.classes = check_integer("classes", classes, 0, "use classes=0 without classes")
        rule = "must be a number above 0 and finite"
        self.sigma_data = check_number("sigma_data", sigma_data, lambda s: 0 < s < float("inf"), rule, "use 0.5")
        self.estimate = PARAMETRIZATIONS[check_choice("parametrization", parametrization, PARAMETRIZATIONS)]

    @property
    def total_stride(self) -> int:
        return self.network.total_stride

    def example_inputs(self, grid: Sequence[int] = (), batch: int = 1) -> tuple[Tensor, ...]:
        """Return noisy images, noise levels and, with classes, labels."""
        images = super().example_inputs(grid, batch)
        sigma = self.sigma_data * torch.linspace(0.5, 2, batch)
        return (*images, sigma, *([torch.arange(batch) % self.classes] if self.classes else []))

    def forward(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """Denoise ``(batch, in_channels, *grid)`` of noise levels ``(batch,)``."""
        check_on_surface(x, self.surface, self.in_channels, self.dtype)
        check_tensor(sigma, "sigma")
        if sigma.shape != x.shape[:1] or not sigma.is_floating_point():
            rule = "must be floats (batch,), one noise level for each image"
            raise InputError("sigma", (sigma.dtype, tuple(sigma.shape)), rule, "use torch.full((len(x),), 0.5)")
        self._check_labels(check_label(label, self.classes), x.shape[0])
        return self._denoise(x, sigma, label).to(x.dtype)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        label: int | Sequence[int] | Tensor | None = None,
        *,
        steps: int = 18,
        guidance: float = 1.0,
        sampler: str = "heun",
        sigmas: Tensor | Sequence[float] | None = None,
        generator: torch.Generator | None = None,
        grid: int | Sequence[int] | None = None,
        batch_size: int = 64,
        step: StepCallback | None = None,
    ) -> Tensor:
        """Generate images from noise, in evaluation mode.

        Args:
            n: number of images.
            label: class of each image, or of all; by default of each a class that its seed determines.
            steps: number of steps; Heun's take two evaluations of the network each.
            guidance: factor of the difference that the class makes to the estimate (classifier-free guidance, Ho and
                Salimans 2022); above 1 it needs a network that was trained also without labels.
            sampler: ``heun`` or ``euler``.
            sigmas: noise levels, decreasing to 0, instead of those of EDM for ``steps``.
            generator: source of one seed for each image: an image does not depend on the number of others, on
                ``batch_size`` and on the device, up to rounding.
            grid: grid of the images on surfaces of any size; by default the size of the images of its training.
            batch_size: images computed at once.
            step: called after each step: steps done, steps of all batches, estimates of the images of the batch.

        Returns:
            ``(n, in_channels, *grid)`` on the CPU, in units of the normalized training images.

        Raises:
            InputError: an argument out of range; a label that is missing or not wanted; an unknown grid.
        """
        shape = self.in_channels, *sample_grid(self, grid)
        run = SAMPLERS[check_choice("sampler", sampler, SAMPLERS)]
        guidance = check_number("guidance", guidance, isfinite, "must be a finite number", "use guidance=1")
        if guidance != 1 and not self.classes:
            raise InputError("guidance", guidance, "needs a network with classes", "leave it out")
        levels = check_levels(karras_schedule(steps, self.sigma_data) if sigmas is None else sigmas)
        batches = ceil(check_integer("n", n, 1, "use n=16") / check_integer("batch_size", batch_size, 1, "use 64"))
        count = _count_steps(step, batches)

        def generate(noise: Tensor, labels: Tensor | None) -> Tensor:
            x = levels[0] * noise.to(precise_dtype(noise))
            return run(self._denoise_function(labels, guidance), x, levels, count).to(noise.dtype)

        return sample_in_batches(
            self, n, shape, generate, generator, batch_size, None, label=label, classes=self.classes
        )  # fmt: skip

    @torch.no_grad()
    def inpaint(
        self,
        x: Tensor,
        mask: Tensor,
        label: int | Sequence[int] | Tensor | None = None,
        *,
        steps: int = 36,
        resamplings: int = 5,
        jump: int = 1,
        guidance: float = 1.0,
        generator: torch.Generator | None = None,
        batch_size: int = 64,
        step: StepCallback | None = None,
    ) -> Tensor:
        """Fill holes of images, in evaluation mode, without a training for it (``generation.repaint``).

        The network is evaluated ``steps · resamplings`` times.

        Args:
            x: normalized images ``(batch, in_channels, *grid)``; their values in the holes do not count.
            mask: ``(batch, 1, *grid)``, or one for all images; nonzero in the hole.
            label: class of each image, or of all; by default of each a class that its seed determines.
            steps: noise levels.
            resamplings: how often each group of steps is done; the more, the better holes fit their surroundings.
            jump: steps in a group.
            guidance: as in ``sample``.
            generator: source of one seed for each image, as in ``sample``.
            batch_size: images computed at once.
            step: called after each step: steps done, steps of all batches, estimates of the images of the batch.

        Returns:
            Images like ``x``, outside of the holes bit for bit the same.

        Raises:
            InputError: an argument out of range, a mask of another shape.
        """
        check_on_surface(x, self.surface, self.in_channels, self.dtype)
        hole = check_mask("mask", mask, x, per_channel=False).to(x.device)
        hole = hole.expand(len(x), *hole.shape[1:])
        levels = karras_schedule(steps, self.sigma_data)
        batch_size = check_integer("batch_size", batch_size, 1, "use batch_size=64")
        seeds = sample_seeds(len(x), generator)
        labels = sample_labels(seeds, label, self.classes)
        count = _count_steps(step, ceil(len(x) / batch_size))
        filled = []
        with evaluation_mode(self):
            for start in range(0, len(x), batch_size):
                part = slice(start, start + batch_size)
                image = x[part].masked_fill(hole[part], 0).to(precise_dtype(x))  # NaN in the hole would spread
                noise = SampleNoise(seeds[part], x.shape[1:], x.device, image.dtype)
                denoise = self._denoise_function(None if labels is None else labels[part].to(x.device), guidance)
                y = repaint(denoise, image, hole[part], levels, noise.draw, resamplings, jump, count)
                filled.append(torch.where(hole[part], y.to(x.dtype), x[part]))
        return torch.cat(filled) if filled else x.clone()

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights."""
        return next(self.parameters()).dtype

    def _check_labels(self, label: Tensor | None, batch: int) -> None:
        """Check the number of labels and, on the CPU, their values; elsewhere that would wait for the device."""
        if label is None:
            return
        if label.shape[0] != batch:
            rule = f"must have {batch} labels, one for each image"
            raise InputError("label", tuple(label.shape), rule, "repeat it")
        if (
            not torch.compiler.is_compiling()
            and label.is_cpu
            and not bool(((label >= 0) & (label <= self.classes)).all())
        ):
            rule = f"must be from 0 to {self.classes}, which stands for no class"
            raise InputError("label", label.tolist(), rule, "use the number of a class")

    def _denoise_function(self, label: Tensor | None, guidance: float) -> Denoise:
        """Return the function of images and noise levels that samplers take, for images of any float dtype."""
        conditional = partial(self._denoise, label=label)
        if guidance == 1:
            return conditional
        nothing = None if label is None else torch.full_like(label, self.classes)
        return lambda x, sigma: torch.lerp(self._denoise(x, sigma, nothing), conditional(x, sigma), guidance)

    def _denoise(self, x: Tensor, sigma: Tensor, label: Tensor | None) -> Tensor:
        """Denoise without checks; the result has at least single precision."""
        level = sigma.to(precise_dtype(x)).reshape(-1, *[1] * (x.ndim - 1))

        def network(z: Tensor, noise: Tensor) -> Tensor:
            return self.network(z.to(self.dtype), noise.flatten(), label)

        return self.estimate(network, x, level, self.sigma_data)


class Denoiser(DenoiserBase):
    """U-Net that maps noisy images and their noise levels to estimates of the images.

    It has the blocks of DDPM (Ho et al., NeurIPS 2020): group normalization, SiLU, convolution, twice, added to the
    input; the noise level acts by scale and shift before the second one. The published network for CIFAR-10 is
    ``Denoiser(3, width=128, depth=3, blocks=2, patch=1, attention=(1,), middle_attention=True, modulation="add",
    interpolation="nearest", dropout=0.1)``: 35,746,307 parameters. With the defaults, an image of one channel of
    28 × 28 takes 46 million multiply-adds.

    Args:
        in_channels: channels of the image.
        surface: surface of the image.
        classes: number of classes of a class-conditional model; 0: none.
        width: channels at the finest level after the stem.
        depth: number of downsampling steps, each by 2, after the stem.
        blocks: residual blocks of each level on the way down; one more on the way up.
        multipliers: channels of each level as multiples of ``width``, one more than ``depth``; by default 1, 2, 2, …
        patch: 2: the stem arranges blocks of 2 × 2 samples in channels (space to depth), a quarter of the cost; 1: no
            stem.
        attention: levels of which each block is followed by self-attention; 0 is the finest.
        middle_attention: self-attention at the coarsest level, between two more blocks.
        normalization: ``group``; ``weight``: no normalization of signals, but weights of unit norm and sums and
            concatenations that keep the variance, as in EDM2.
        modulation: how noise level and class act: ``scale_shift`` after a normalization, or ``add`` before it;
            with ``weight`` always a factor.
        interpolation: of upsampling, ``linear`` or ``nearest``.
        dropout: probability of a zero before the last convolution of each block.
        parametrization: ``edm``: preconditioning of EDM; ``flow``: the network is the velocity of a rectified flow.
        sigma_data: standard deviation of the images; noise levels are in the same units.

    Shape:
        ``(batch, in_channels, *grid)``, noise levels ``(batch,)`` and, with classes, labels ``(batch,)`` of type int64
        to ``(batch, in_channels, *grid)``. The label ``classes`` stands for no class.

    Raises:
        InputError: an argument out of range.

    On ``Equirectangular()`` the network commutes with every roll of the panorama by a multiple of ``total_stride``
    columns, where that divides the width; and so does sampling, so that samples have no seam.

    Example:
        >>> import torch
        >>> network = Denoiser(1, width=8)
        >>> network(torch.randn(2, 1, 28, 28), torch.tensor([0.1, 5.0])).shape
        torch.Size([2, 1, 28, 28])
        >>> network.sample(3, steps=4, grid=(28, 28), generator=torch.Generator().manual_seed(0)).shape
        torch.Size([3, 1, 28, 28])
    """

    def __init__(
        self,
        in_channels: int,
        surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
        classes: int = 0,
        width: int = 32,
        depth: int = 1,
        blocks: int = 1,
        multipliers: Sequence[int] | None = None,
        patch: int = 2,
        attention: Sequence[int] = (),
        middle_attention: bool = False,
        normalization: str = "group",
        modulation: Modulation = "scale_shift",
        interpolation: Resampling = "linear",
        dropout: float = 0.0,
        parametrization: Literal["edm", "flow"] = "edm",
        sigma_data: float = 0.5,
    ) -> None:
        super().__init__(in_channels, surface, classes, parametrization, sigma_data)
        self.network = DiffusionUNet(
            in_channels, surface, classes, width, depth, blocks, multipliers, patch, attention, middle_attention,
            normalization, modulation, interpolation, dropout,
        )  # fmt: skip


Network = Callable[[Tensor, Tensor], Tensor]


def _edm(network: Network, x: Tensor, sigma: Tensor, sigma_data: float) -> Tensor:
    factors = preconditioning(sigma, sigma_data)
    return factors.skip * x + factors.out * network(factors.input * x, factors.noise)


def _flow(network: Network, x: Tensor, sigma: Tensor, sigma_data: float) -> Tensor:
    variables = flow_variables(sigma, sigma_data)
    z = variables.input * x
    return sigma_data * (z - variables.t * network(z, variables.noise))


PARAMETRIZATIONS: dict[str, Callable[[Network, Tensor, Tensor, float], Tensor]] = {"edm": _edm, "flow": _flow}
"""Estimates of images from the output of the network, by name."""


def _count_steps(step: StepCallback | None, batches: int) -> StepCallback | None:
    """Return a callback that counts the steps of all batches."""
    if step is None:
        return None
    done = 0

    def count(_: int, steps: int, denoised: Tensor) -> None:
        nonlocal done
        done += 1
        step(done, batches * steps, denoised)

    return count

"""Base class of networks that generate an image from a latent signal, or a latent vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Generator, Tensor

from omniconv.models.base import Model
from omniconv.models.generative.batched_sampling import BatchCallback, sample_in_batches
from omniconv.models.levels import level_grids, sample_grid
from omniconv.surfaces import Surface

Latent = Literal["map", "vector"]
"""Latent signal on the coarsest surface, for images of any size, or a vector, for images of one size."""


class LatentModel(Model):
    """Base class of networks with latent signals: their shape, and samples of the standard normal distribution.

    A subclass sets the attributes and defines ``decode_latent``.

    Attributes:
        latent_channels: channels of the latent signal, or numbers of the latent vector.
        surfaces: surface of each size, the full size first.
        size: grid of the images of a network with latent vectors; ``None`` with latent signals.
        classes: number of classes of a class-conditional network; 0: none.
    """

    latent_channels: int
    surfaces: list[Surface]
    size: tuple[int, ...] | None
    classes: int = 0

    @property
    def total_stride(self) -> int:
        return 2 ** (len(self.surfaces) - 1)

    def decode_latent(self, latent: Tensor, label: Tensor | None, size: tuple[int, ...]) -> Tensor:
        """Return the images of latent signals ``(batch, *latent_shape)`` and classes, of a grid ``size``."""
        raise NotImplementedError(f"{type(self).__name__} must define decode_latent")

    def check_samples(self, label: object) -> None:
        """Check that the network draws samples, with the ``label`` of ``sample``; by default it does.

        Raises:
            InputError: it does not.
        """

    def latent_shape(self, grid: int | Sequence[int] | None = None) -> tuple[int, ...]:
        """Return the shape of one latent signal, without the batch axis; see ``sample`` for ``grid``."""
        if self.size is not None:
            return (self.latent_channels,)
        return (self.latent_channels, *level_grids(self.surfaces, sample_grid(self, grid))[-1])

    def sample(
        self,
        n: int,
        label: int | Sequence[int] | Tensor | None = None,
        *,
        generator: Generator | None = None,
        grid: int | Sequence[int] | None = None,
        batch_size: int = 64,
        step: BatchCallback | None = None,
    ) -> Tensor:
        """Return images of latent signals drawn from the standard normal distribution.

        Args:
            n: number of images.
            label: class of each image, ``(n,)``, or of all; by default drawn evenly from all classes. Must be ``None``
                without classes.
            generator: source of one seed for each image; an image does not depend on the number of others.
            grid: grid of the images on surfaces of any size; by default the size of the images of its training.
            batch_size: images computed at once.
            step: called after each batch: images done, ``n``, the images of the batch.

        Shape:
            ``(n, in_channels, *grid)``, on the CPU, in units of the normalized training images.

        Raises:
            InputError: an autoencoder that is not variational; an unknown grid or class; an argument out of range.
        """
        self.check_samples(label)
        size = sample_grid(self, grid, self.size)

        def generate(latent: Tensor, labels: Tensor | None) -> Tensor:
            return self.decode_latent(latent, labels, size)

        shape = self.latent_shape(grid)
        return sample_in_batches(self, n, shape, generate, generator, batch_size, step, label, self.classes)

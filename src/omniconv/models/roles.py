"""Methods that a network must have for its ``output``, besides ``forward``: what tasks and predictions call.

``register_model`` checks them, and ``as_role`` narrows the type of a network, which files and tasks know as a ``Model``
only. Models need not derive from these classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from torch import Generator, Tensor, nn

from omniconv.errors import InputError
from omniconv.models.registry import Output


@runtime_checkable
class SupportsSample(Protocol):
    """Network that draws images at random."""

    def sample(
        self,
        n: int,
        label: Any = None,
        *,
        generator: Generator | None = None,
        grid: int | Sequence[int] | None = None,
        batch_size: int = 64,
        step: Callable[[int, int, Tensor], object] | None = None,
    ) -> Tensor:
        """Return images ``(n, in_channels, *grid)`` on the CPU, each from a seed of its own.

        Args:
            n: number of images.
            label: class of each image, or of all; ``None`` without classes.
            generator: source of one seed for each image.
            grid: grid of the images on surfaces of any size; by default the size of the images of its training.
            batch_size: images computed at once.
            step: called with the steps done, all steps, and the images of the batch.
        """
        ...


@runtime_checkable
class SupportsLatents(SupportsSample, Protocol):
    """Network that draws images from latent signals."""

    def latent_shape(self, grid: int | Sequence[int] | None = None) -> tuple[int, ...]:
        """Return the shape of one latent signal, without the batch axis; see ``sample`` for ``grid``."""
        ...


@runtime_checkable
class SupportsEncode(SupportsLatents, Protocol):
    """Network that encodes images as latent signals and decodes them."""

    def encode(self, x: Tensor) -> Any:
        """Return the latent signals of images; if variational, their means and log-variances."""
        ...

    def decode(self, latent: Tensor, size: Sequence[int] | None = None) -> Tensor:
        """Return the images of latent signals, of a size on surfaces of any size."""
        ...

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return images from their latent signals, in evaluation mode without gradients."""
        ...


@runtime_checkable
class SupportsInpaint(Protocol):
    """Network that fills holes of images."""

    def inpaint(self, x: Tensor, mask: Tensor, *, generator: Generator | None = None, batch_size: int = 64) -> Tensor:
        """Return images ``(batch, in_channels, *grid)`` with their holes filled, without gradients.

        Args:
            x: images, in units of the normalized training images.
            mask: ``(batch or 1, 1, *grid)``, not 0 in the hole.
            generator: source of the random numbers, if there are any.
            batch_size: images computed at once.
        """
        ...


@runtime_checkable
class SupportsStepwiseInpaint(SupportsInpaint, Protocol):
    """Network that fills holes by removing noise in steps."""

    def inpaint(
        self,
        x: Tensor,
        mask: Tensor,
        label: Any = None,
        *,
        steps: int = 36,
        generator: Generator | None = None,
        batch_size: int = 64,
    ) -> Tensor:
        """Return images with their holes filled, as ``SupportsInpaint``, in a number of steps."""
        ...


@runtime_checkable
class SupportsPredictions(SupportsInpaint, Protocol):
    """Network that is trained to fill holes."""

    def predictions(self, image: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """Return the prediction of every stage for all samples, also the known ones: the input of losses."""
        ...


ROLES: Mapping[Output, tuple[type, ...]] = {
    "autoencoder": (SupportsEncode,),
    "denoiser": (SupportsSample, SupportsStepwiseInpaint),
    "generator": (SupportsLatents,),
    "inpainter": (SupportsPredictions,),
}
"""Methods that networks of an output have; those of the other outputs need ``forward`` only."""
Role = TypeVar("Role")


def as_role(network: nn.Module, role: type[Role]) -> Role:
    """Return a network after checking that it has the methods of a role.

    Args:
        network: the network.
        role: one of the protocols of this module.

    Raises:
        InputError: it lacks one.

    Example:
        >>> from omniconv.models import Generator
        >>> as_role(Generator(3, 8, width=4, depth=2), SupportsLatents).latent_shape((16, 32))
        (8, 4, 8)
    """
    if isinstance(network, role):
        return network
    missing = missing_methods(type(network), (role,))
    rule, cure = f"has no method {', '.join(missing)}", "use a model whose output is that of the task"
    raise InputError("model", type(network).__name__, rule, cure)


def missing_methods(model: type, roles: Sequence[type]) -> tuple[str, ...]:
    """Return the names of the methods of roles that a class lacks."""
    members = (name for role in roles for cls in reversed(role.__mro__) for name in vars(cls) if name[0] != "_")
    return tuple(name for name in dict.fromkeys(members) if not callable(getattr(model, name, None)))

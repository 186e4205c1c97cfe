"""Base class of the models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import Parameter, signature
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from omniconv.checks import to_builtin
from omniconv.models.registry import Output
from omniconv.surfaces import Surface


class Model(nn.Module):
    """Base class of networks that can be saved and rebuilt.

    A subclass calls ``super().__init__(surface)``, sets ``output`` and defines ``total_stride``. The arguments of its
    constructor are recorded. Except for ``surface`` they must be numbers, strings, ``None`` or sequences of these, and
    ``*args`` and ``**kwargs`` are not allowed.

    Args:
        surface: surface of the input.

    Attributes:
        output: what the network returns, see ``omniconv.models.registry.Output``.
        defaults: settings of ``RunConfig`` that have other defaults for this network.
        arguments: construction arguments, the surface as its short name; saved with the weights.
        preprocessing: description of the preprocessing of images, in types of JSON; saved with the weights.

    Example:
        >>> class Mean(Model):
        ...     output = "global"
        ...     total_stride = 1
        ...     def __init__(self, in_channels, out_channels, surface):
        ...         super().__init__(surface)
        ...         self.head = nn.Linear(in_channels, out_channels)
        ...     def forward(self, x):
        ...         return self.head(x.flatten(2).mean(2))
        >>> from omniconv.surfaces import Plane
        >>> Mean(3, out_channels=2, surface=Plane()).arguments["in_channels"]
        3
    """

    output: ClassVar[Output]
    defaults: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    arguments: dict[str, Any]

    def __init__(self, surface: Surface) -> None:
        super().__init__()
        self.surface = surface
        self.preprocessing: dict[str, Any] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = _record_arguments(cls.__init__)  # type: ignore[method-assign]

    @property
    def total_stride(self) -> int:
        """Input samples per sample of the coarsest internal signal, along each axis; shifts by it are equivariant."""
        raise NotImplementedError(f"{type(self).__name__} must define total_stride")

    @property
    def min_size(self) -> int:
        """Smallest size of an axis that an exported file takes, if it takes any size."""
        return 2 * self.total_stride

    def example_inputs(self, grid: Sequence[int] = (), batch: int = 1) -> tuple[Tensor, ...]:
        """Return arguments of ``forward`` for a batch, on the CPU: summaries, checks and exports run the network on it.

        By default one image ``(batch, in_channels, *grid)``. A model that takes more, such as a noise level or a mask,
        overrides this method.

        Args:
            grid: size of the image along each axis; on a surface of fixed size its ``shape`` counts instead.
            batch: number of images.

        Example:
            >>> from omniconv.models import UNet
            >>> [x.shape for x in UNet(3, 2).example_inputs((16, 32), batch=4)]
            [torch.Size([4, 3, 16, 32])]
        """
        sizes = grid if self.surface.any_size else [size or 0 for size in self.surface.shape]
        generator = torch.Generator().manual_seed(0)
        return (torch.randn(batch, self.arguments["in_channels"], *sizes, generator=generator),)


def _record_arguments(init: Callable[..., None]) -> Callable[..., None]:
    """Wrap a constructor so that it stores its arguments, including defaults, in ``self.arguments``."""
    parameters = signature(init)
    if any(one.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD) for one in parameters.parameters.values()):
        raise TypeError(f"{init.__qualname__} must name its arguments: a saved model is rebuilt from them")

    @wraps(init)
    def wrapped(self: Model, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        bound = parameters.bind(self, *args, **kwargs)
        bound.apply_defaults()
        # After init: if a model derives from another one, both constructors are wrapped, and the outer one sets last.
        given = list(bound.arguments.items())[1:]
        self.arguments = {name: to_builtin(value) for name, value in given if name != "surface"}
        self.arguments["surface"] = str(self.surface)

    return wrapped

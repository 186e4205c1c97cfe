"""Base class of the models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import Parameter, signature
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from omniconv.checks import to_builtin
from omniconv.errors import InputError
from omniconv.models.own_code import NetworkCode
from omniconv.models.registry import Output
from omniconv.models.storage.tensor_file import TensorSpec
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
        backbone_names: names of the submodules whose weights come from other tasks, such as ``encoder``; they can be
            frozen at the start of a training.
        arguments: construction arguments, the surface as its short name; saved with the weights.
        preprocessing: description of the preprocessing of images, in types of JSON; saved with the weights.
        built_tensors: dtypes and shapes of the tensors that the constructor built, for networks of the user's own,
            whose code does not run again to compare them with it; else ``None``.

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
    backbone_names: ClassVar[tuple[str, ...]] = ()
    arguments: dict[str, Any]

    def __init__(self, surface: Surface) -> None:
        super().__init__()
        self.surface = surface
        self.preprocessing: dict[str, Any] = {}
        self.built_tensors: Mapping[str, TensorSpec] | None = None
        self._recorded_as: dict[str, Any] = {}  # arguments that are recorded in another form than they are given

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = _record_arguments(cls.__init__)  # type: ignore[method-assign]

    @property
    def code(self) -> NetworkCode | None:
        """The code of a network of the user's own; ``None`` for the networks of omniconv."""
        return next((value for value in self.arguments.values() if isinstance(value, NetworkCode)), None)

    @property
    def flat_network(self) -> nn.Module:
        """The network whose names of weights are those of published files; by default the network itself."""
        return self

    @property
    def total_stride(self) -> int:
        """Input samples per sample of the coarsest internal signal, along each axis; shifts by it are equivariant."""
        raise NotImplementedError(f"{type(self).__name__} must define total_stride")

    @property
    def min_size(self) -> int:
        """Smallest size of an axis that an exported file takes, if it takes any size."""
        return 2 * self.total_stride

    @property
    def backbone(self) -> list[nn.Module]:
        """The submodules of ``backbone_names``."""
        return [self.get_submodule(name) for name in self.backbone_names]

    @property
    def input_normalization(self) -> dict[str, list[float]] | None:
        """``mean`` and ``std`` of each channel, by which images in 0 … 1 are normalized; ``None`` if unknown.

        They are part of ``preprocessing``: under ``preparation`` in the network of a run, else under ``normalization``,
        where ``load_weights`` writes those of the weights. ``forward`` does not normalize; ``oc.open_run``, the
        commands and the exported files of runs do.

        Example:
            >>> from omniconv.models import UNet
            >>> network = UNet(3, 2, width=4, depth=1)
            >>> network.input_normalization = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
            >>> network.preprocessing
            {'normalization': {'mean': [0.5, 0.5, 0.5], 'std': [0.25, 0.25, 0.25]}}
        """
        return read_normalization(self.preprocessing)

    @input_normalization.setter
    def input_normalization(self, normalization: Mapping[str, Sequence[float]]) -> None:
        mean, std = (list(normalization[name]) for name in ("mean", "std"))
        preparation = self.preprocessing.get("preparation")
        if isinstance(preparation, dict):
            self.preprocessing["preparation"] = preparation | {"mean": mean, "spread": std}
        else:
            self.preprocessing["normalization"] = {"mean": mean, "std": std}

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

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the network and a model card into a folder, as ``push_to_hub`` uploads it (``omniconv[hub]``).

        Raises:
            InputError: ``huggingface_hub`` is not installed, or ``oc.save`` refuses the network.
            FileError: the folder cannot be written.
        """
        from omniconv.models.storage.hub import save_pretrained  # late: storage imports this module

        return save_pretrained(self, folder)

    def push_to_hub(self, repository: str, **options: Any) -> str:
        """Upload the network and a model card to a repository of the Hugging Face Hub (``omniconv[hub]``).

        Args:
            repository: ``USER/NAME``; created if it does not exist.
            options: ``private``, ``token``, ``branch``, ``commit_message``, ``create_pr``, as
                ``huggingface_hub.ModelHubMixin.push_to_hub`` takes them.

        Returns:
            URL of the commit.

        Raises:
            InputError: ``huggingface_hub`` is not installed, ``oc.save`` refuses the network, or the upload fails.

        Example:
            >>> oc.open_run("runs/boxes").network.push_to_hub("me/boxes", private=True)  # doctest: +SKIP
        """
        from omniconv.models.storage.hub import push_to_hub

        return push_to_hub(self, repository, **options)

    @classmethod
    def from_pretrained(cls, repository: str | Path, **options: Any) -> Self:
        """Load a network from a folder of ``save_pretrained`` or from the Hugging Face Hub (``omniconv[hub]``).

        No code of the repository is executed: its network is one of the registered models, its weights are numbers.

        Args:
            repository: a folder, or ``USER/NAME``.
            options: ``revision``, ``token``, ``cache_dir``, ``force_download``, ``local_files_only``, as
                ``huggingface_hub.ModelHubMixin.from_pretrained`` takes them.

        Returns:
            The network, on the CPU and in evaluation mode. ``oc.Predictor(network)`` predicts images, if it was trained
            by a run.

        Raises:
            InputError: ``huggingface_hub`` is not installed, the file cannot be downloaded, or the network is not of
                this class.
            FileError: the folder has no network of omniconv, or its file is damaged.

        Example:
            >>> network = UNet.from_pretrained("me/boxes")  # doctest: +SKIP
        """
        from omniconv.models.storage.hub import from_pretrained

        network = from_pretrained(repository, **options)
        if not isinstance(network, cls):
            rule = f"has a {type(network).__name__}, not a {cls.__name__}"
            raise InputError("repository", str(repository), rule, "use oc.models.Model.from_pretrained")
        return network


def read_normalization(preprocessing: Mapping[str, Any]) -> dict[str, list[float]] | None:
    """Return ``mean`` and ``std`` in the ``preprocessing`` of a network, ``None`` if it has none that can be used."""
    of_run, own = preprocessing.get("preparation"), preprocessing.get("normalization")
    if isinstance(of_run, dict):
        own = {"mean": of_run.get("mean"), "std": of_run.get("spread")}
    if not isinstance(own, dict):
        return None
    mean, std = own.get("mean"), own.get("std")
    if not (isinstance(mean, list) and isinstance(std, list) and mean and len(mean) == len(std)):
        return None
    numbers = [*mean, *std]
    valid = all(type(number) in (int, float) and isfinite(number) for number in numbers) and min(std) > 0
    return {"mean": mean, "std": std} if valid else None


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
        own = self._recorded_as
        self.arguments = {name: own.get(name, to_builtin(value)) for name, value in given if name != "surface"}
        self.arguments["surface"] = str(self.surface)

    return wrapped

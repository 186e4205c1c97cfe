"""Export of a network to a file, which is verified before it is written."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from omniconv import __version__
from omniconv.checks import check_integer
from omniconv.errors import FileError, InputError, one_line
from omniconv.exporting import onnx_file, torch_file
from omniconv.exporting.program import AXES, to_program
from omniconv.exporting.verification import TOLERANCE, OutputDifference, compare, inputs_for
from omniconv.files import as_path, check_overwrite, check_writable, write_bytes
from omniconv.models import Model
from omniconv.models.registry import LATENT_INPUTS, LOGIT_OUTPUTS
from omniconv.models.storage.tensor_file import non_finite
from omniconv.nn.inspection import copy_network, named_outputs, preserved_random_state

FORMATS = {"onnx": ".onnx", "torch": ".pt2"}
"""Suffix of the files of each format."""
VALUES = "channels in 0 to 1, minus mean, divided by spread"
"""What a network takes that does not normalize its input itself."""
_CODECS: dict[str, ModuleType] = {"onnx": onnx_file, "torch": torch_file}


@dataclass(frozen=True)
class Exported:
    """A verified file.

    Attributes:
        path: the file.
        differences: differences from the network's outputs, for every output at every tested size.
    """

    path: Path
    differences: tuple[OutputDifference, ...]

    @property
    def worst(self) -> OutputDifference:
        """The largest difference."""
        return max(self.differences, key=lambda difference: difference.relative_error)


class _NamedOutputs(nn.Module):
    """Network that returns its tensors as one dictionary, see ``named_outputs``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        return named_outputs(self.network(*inputs))


@preserved_random_state()
def export(
    model: nn.Module,
    path: str | Path,
    example: Tensor | None = None,
    any_size: bool = True,
    min_size: int | None = None,
    description: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a network as an ONNX file or a ``torch.export`` program, after checking that it computes the same.

    The file takes ``image``, float32 ``(batch, channels, *grid)``, with any batch size and, with ``any_size``, any grid
    from ``min_size`` samples per axis. Further inputs of a network of ``oc.models``, such as a noise level or a mask,
    have the names of its ``forward``; a generator takes ``latent`` instead of an image. The file contains standard
    operators only and runs without omniconv. The output is ``logits`` if the network returns one tensor, or ``output``
    if that is an image. Tensors in dictionaries, tuples, lists and dataclasses are named by their keys, ``out``,
    ``features_0`` or ``output_1``; a ``.pt2`` file returns a tuple of tensors as it is, and anything else as one
    dictionary.

    The file computes what ``model(x)`` computes, without a normalization of ``x``. If the network knows its own
    (``input_normalization``), the file says so: ``values``, ``mean`` and ``spread``. ``omniconv export`` writes a file
    that normalizes.

    Args:
        model: a network of ``oc.models``, or any module that takes one signal and returns tensors.
        path: ``NAME.onnx`` or ``NAME.pt2``.
        example: a signal ``(batch, channels, *grid)``; required unless the network is one of ``oc.models``.
        any_size: accept any size of the grid axes. Ignored for models on surfaces of fixed size.
        min_size: smallest size of an axis; by default twice the total stride of a model, and 16 for other modules.
        description: data to store in the file, such as class names, in types of JSON.
        overwrite: replace an existing file.

    Raises:
        InputError: the suffix is unknown, the example is missing, or the network cannot be copied or exported, or
            returns something else than tensors.
        FileError: the file exists or cannot be written, or its outputs differ from the network's.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from omniconv.models import Classifier
        >>> with TemporaryDirectory() as folder:
        ...     export(Classifier(1, 10, width=2, depth=1), folder + "/digits.pt2").worst.relative_error < 1e-4
        True
    """
    path = as_path(path)
    codec = _CODECS[check_target(path, overwrite)]
    if not isinstance(model, nn.Module):
        raise InputError("model", type(model).__name__, "must be a torch.nn.Module", "give the network itself")
    if min_size is not None:
        check_integer("min_size", min_size, 1, "leave it out")
    network = copy_network(model).cpu().eval()
    if fault := non_finite(network.state_dict()):
        raise FileError(path, f"was not written: {fault}", "train the network again, with a smaller learning rate")
    if isinstance(network, Model):
        any_size = any_size and network.surface.any_size and network.output not in LATENT_INPUTS
        default_min_size = network.min_size
    else:
        default_min_size = 16
    min_size = min_size or default_min_size if any_size else None
    example = _example(network, min_size) if example is None else example
    result = _run(network, example)
    shapes = _test_shapes(example, min_size)
    inputs = inputs_for(network, shapes[0])
    names = _input_names(network, len(inputs))
    outputs = codec.output_names(named_outputs(result, _output_name(network, result)))
    exported = network if _is_flat(result) else _NamedOutputs(network)
    program = to_program(exported, inputs, min_size)
    described = _metadata(names, inputs, outputs, min_size) | _normalization(network) | (description or {})
    content = codec.to_bytes(program, described, outputs, names)
    differences = compare(network, codec.from_bytes(content), shapes, outputs)
    _check_differences(path, differences, network)
    return Exported(write_bytes(path, content), tuple(differences))


def check_target(path: Path, overwrite: bool) -> str:
    """Return the format of a file, after checking that it can be written.

    Raises:
        InputError: the suffix is unknown, or packages that the format needs are not installed.
        FileError: the file exists or cannot be written.
    """
    formats = [name for name, suffix in FORMATS.items() if path.suffix == suffix]
    if not formats:
        raise InputError("path", str(path), f"must end with {' or '.join(FORMATS.values())}", "choose another name")
    check_writable(path)
    check_overwrite([path], overwrite)
    if formats[0] == "onnx":
        onnx_file.check_installed()
    return formats[0]


def _example(network: nn.Module, min_size: int | None) -> Tensor:
    if not isinstance(network, Model):
        rule = "is required for a network that is not one of oc.models"
        raise InputError("example", None, rule, "pass a tensor (batch, channels, *grid) that the network takes")
    fixed = [size for size in network.surface.shape if size is not None]
    grid = fixed or [2 * (min_size or 16) + 2 * axis for axis in range(network.surface.ndim)]
    return torch.zeros(1, network.arguments["in_channels"], *grid)


def _test_shapes(example: Tensor, min_size: int | None) -> list[tuple[int, ...]]:
    """Return the shapes to verify: the example's grid and, with any size, the smallest grid and one of odd sizes.

    Odd sizes test the rounding in strides, pooling and resizing.
    """
    channels, *grid = example.shape[1:]
    if min_size is None:
        return [(1, channels, *grid), (3, channels, *grid)]
    grid = [max(size, min_size) for size in grid]
    odd = [(3 * min_size // 2 | 1) + 2 * axis for axis in range(len(grid))]
    return [(1, channels, *grid), (3, channels, *[min_size] * len(grid)), (2, channels, *odd)]


def _run(network: nn.Module, example: Tensor) -> Any:
    if not isinstance(example, Tensor) or example.ndim - 2 not in AXES:
        rule = "must be a tensor (batch, channels, *grid) of 1 to 3 grid axes"
        raise InputError("example", getattr(example, "shape", type(example)), rule, "pass an input of the network")
    try:
        first, *others = inputs_for(network, example.shape)
        with torch.no_grad():
            return network(example.detach().cpu() if first.shape == example.shape else first, *others)
    except Exception as error:  # the user's forward may raise anything
        if isinstance(error, MemoryError) or "out of memory" in str(error):
            raise
        rule = f"is not taken by the network ({one_line(error)})"
        raise InputError("example", tuple(example.shape), rule, "pass an input of the network") from error


def _unwrap(network: nn.Module) -> nn.Module:
    """Return the model inside of a wrapper such as ``WithNormalization``; models, too, may have a ``network``."""
    return network if isinstance(network, Model) else getattr(network, "network", network)


def _output_name(network: nn.Module, result: Any) -> str:
    """Return the name of an output without a name of its own."""
    model = _unwrap(network)
    returns_image = isinstance(model, Model) and model.output not in LOGIT_OUTPUTS
    return "logits" if isinstance(result, Tensor) and not returns_image else "output"


def _input_names(network: nn.Module, count: int) -> tuple[str, ...]:
    """Return names for the inputs: ``image``, and those of further inputs in the network's ``forward``."""
    model = _unwrap(network)
    names = list(signature(model.forward).parameters)[:count] if count > 1 else []
    takes_latent = isinstance(model, Model) and model.output in LATENT_INPUTS
    return ("latent" if takes_latent else "image", *names[1:])


def _is_flat(result: Any) -> bool:
    """Return True for a tensor or a tuple or list of tensors, which programs return as they are."""
    if type(result) in (tuple, list):
        return all(isinstance(part, Tensor) for part in result)
    return isinstance(result, Tensor)


def _metadata(
    names: tuple[str, ...], inputs: tuple[Tensor, ...], outputs: tuple[str, ...], min_size: int | None
) -> dict[str, Any]:
    def describe(name: str, x: Tensor) -> str:
        axes = AXES[x.ndim - 2] if min_size is not None and x.ndim > 2 else x.shape[2:]
        return f"{name}: {str(x.dtype).removeprefix('torch.')} ({', '.join(map(str, ('batch', *x.shape[1:2], *axes)))})"

    first, *others = map(describe, names, inputs)
    size = {} if min_size is None else {"smallest_size": str(min_size)}
    more = {"more_inputs": others} if others else {}
    return {"omniconv": __version__, "input": first, **more, "outputs": list(outputs), **size}


def _normalization(network: nn.Module) -> dict[str, Any]:
    """Return what users of the file must know of its input if the network takes images of a known normalization."""
    known = network.input_normalization if isinstance(network, Model) else None
    if known is None or network.output in LATENT_INPUTS:
        return {}
    return {"values": VALUES, "mean": known["mean"], "spread": known["std"]}


def _check_differences(path: Path, differences: list[OutputDifference], network: nn.Module) -> None:
    worst = max(differences, key=lambda difference: difference.relative_error)
    if not worst.relative_error <= TOLERANCE:
        shape = " × ".join(map(str, worst.shape))
        rule = (
            f"was not written: its {worst.output} differ from the network's by {worst.relative_error:.1e} of their "
            f"largest value for an input of {shape} (allowed: {TOLERANCE:.0e})"
        )
        raise FileError(path, rule, "try the other file format or one size (any_size=False), and report it")

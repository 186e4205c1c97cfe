"""From a network to a file that was read again and does the same."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from omniconv import __version__
from omniconv.errors import FileError, InputError
from omniconv.exporting import onnx_file, torch_file
from omniconv.exporting.program import AXES, open_program
from omniconv.exporting.verification import TOLERANCE, OutputDifference, compare
from omniconv.files import write_bytes
from omniconv.models import Model

FORMATS = {"onnx": ".onnx", "torch": ".pt2"}
"""Endings of the files of each format."""
_WRITERS: dict[str, ModuleType] = {"onnx": onnx_file, "torch": torch_file}


@dataclass(frozen=True)
class Exported:
    """A file that was verified.

    Attributes:
        path: the file.
        differences: how far it lies from the network, for every output at every size that was tried.
    """

    path: Path
    differences: tuple[OutputDifference, ...]

    @property
    def worst(self) -> OutputDifference:
        """The largest difference."""
        return max(self.differences, key=lambda difference: difference.relative_error)


def export(
    network: nn.Module,
    path: str | Path,
    example: Tensor | None = None,
    open_sizes: bool = True,
    min_size: int | None = None,
    description: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a network as an ONNX file or as a program of torch, once the written bytes have given what it gives.

    The file takes ``image``, float32 ``(batch, channels, *grid)``, any batch and, with ``open_sizes``, any grid from
    ``min_size`` samples an axis. It holds standard operators only: who runs it needs no omniconv.

    Args:
        network: one of ``oc.models``, or any module that takes one signal and gives one or several.
        path: ``NAME.onnx`` or ``NAME.pt2``.
        example: a signal ``(batch, channels, *grid)``; needed where the network is none of ``oc.models``.
        open_sizes: leave the size of every grid axis open; a mesh has one size.
        min_size: the smallest size of an open axis; by default twice the total stride of a model, and 16 of others.
        description: plain data for the file, such as names of classes.
        overwrite: replace a file of that name.

    Raises:
        InputError: an unknown ending, no example, a network that cannot be exported or does not agree with its file.
        FileError: the file is there already or cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from omniconv.models import Classifier
        >>> with TemporaryDirectory() as folder:
        ...     export(Classifier(1, 10, width=2, depth=1), folder + "/digits.pt2").worst.relative_error < 1e-4
        True
    """
    path = Path(path)
    kind = check_target(path, overwrite)
    network = copy.deepcopy(network).cpu().eval()
    if open_sizes and not (isinstance(network, Model) and not network.surface.any_size):
        min_size = min_size or (2 * network.total_stride if isinstance(network, Model) else 16)
    else:
        min_size = None
    example = _example(network, min_size) if example is None else example
    shapes = _shapes(example, min_size)
    program = open_program(network, torch.rand(shapes[0]), min_size)
    outputs = _outputs(network, example)
    content = _WRITERS[kind].to_bytes(program, _description(example, outputs, min_size, description or {}), outputs)
    found = compare(network, _WRITERS[kind].from_bytes(content), shapes, outputs)
    _check(path, found, network)
    return Exported(write_bytes(path, content), tuple(found))


def check_target(path: Path, overwrite: bool) -> str:
    """The format of a file that may be written.

    Raises:
        InputError: an unknown ending, or what the format needs is not installed.
        FileError: the file is there already, or its folder cannot be written.
    """
    kinds = [kind for kind, ending in FORMATS.items() if path.suffix == ending]
    if not kinds:
        raise InputError("out", str(path), f"must end with {' or '.join(FORMATS.values())}", "choose another name")
    if path.is_dir() or (path.exists() and not overwrite):
        cure = "choose another file with --out" if path.is_dir() else "add --overwrite, or choose another with --out"
        raise FileError(path, "is a folder" if path.is_dir() else "is there already", cure)
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        reason = f"{folder.name} is {'closed to you' if folder.is_dir() else 'no folder'}"
        raise FileError(path, f"cannot be written ({reason})", "choose another place with --out")
    if kinds[0] == "onnx":
        onnx_file.check_installed()
    return kinds[0]


def _example(network: nn.Module, min_size: int | None) -> Tensor:
    if not isinstance(network, Model):
        raise InputError("example", None, "is needed for a network of your own", "give a signal that it takes")
    known = [size for size in network.surface.shape if size is not None]
    grid = known or [2 * (min_size or 16) + 2 * axis for axis in range(network.surface.ndim)]
    return torch.zeros(1, network.arguments["in_channels"], *grid)


def _shapes(example: Tensor, min_size: int | None) -> list[tuple[int, ...]]:
    """Inputs to try: of the example's grid, and where that is open also of the smallest, and of odd ones."""
    channels, *grid = example.shape[1:]
    if min_size is None:
        return [(1, channels, *grid), (3, channels, *grid)]
    grid = [max(size, min_size) for size in grid]
    odd = [min_size + min_size // 2 + 1 - min_size // 2 % 2 + 2 * axis for axis in range(len(grid))]
    return [(1, channels, *grid), (3, channels, *[min_size] * len(grid)), (2, channels, *odd)]


def _outputs(network: nn.Module, example: Tensor) -> tuple[str, ...]:
    with torch.no_grad():
        result = network(example)
    return ("logits",) if isinstance(result, Tensor) else tuple(f"output_{index}" for index in range(len(result)))


def _description(
    example: Tensor, outputs: tuple[str, ...], min_size: int | None, more: dict[str, Any]
) -> dict[str, Any]:
    axes = AXES[example.ndim - 2] if min_size is not None else example.shape[2:]
    shape = ", ".join(map(str, ("batch", example.shape[1], *axes)))
    sizes = {} if min_size is None else {"smallest_size": str(min_size)}
    return {"omniconv": __version__, "input": f"image: float32 ({shape})", "outputs": list(outputs), **sizes, **more}


def _check(path: Path, found: list[OutputDifference], network: nn.Module) -> None:
    worst = max(found, key=lambda difference: difference.relative_error)
    if not worst.relative_error <= TOLERANCE:
        _check_finite(path, network)
        shape = " × ".join(map(str, worst.shape))
        raise FileError(
            path, f"is not written: its {worst.output} differ from the network's by {worst.relative_error:.1e} of "
            f"their largest value at {shape} (allowed: {TOLERANCE:.0e})",
            "try the other --format or one --size, and report it",
        )  # fmt: skip


def _check_finite(path: Path, network: nn.Module) -> None:
    """What holds no numbers agrees with nothing: then it is not the file that is wrong."""
    for name, tensor in network.state_dict().items():
        wrong = int((~tensor.isfinite()).sum())
        if wrong:
            raise FileError(
                path, f"is not written: {name} of the network holds NaN or infinity ({wrong:,} of {tensor.numel():,} "
                "numbers)", "train it again, with a smaller --learning-rate",
            )  # fmt: skip

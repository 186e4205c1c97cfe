"""Export of the network of a run with its normalization, for RGB values from 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from omniconv.checks import check_choice
from omniconv.errors import InputError
from omniconv.exporting.export import FORMATS, Exported, check_target, export
from omniconv.inference.predictor import Predictor
from omniconv.locks import lock_folder
from omniconv.models import Model
from omniconv.models.registry import LATENT_INPUTS, NOISY_INPUTS, NORMALIZED_OUTPUTS
from omniconv.run_folder import enclosing_run


class WithNormalization(nn.Module):
    """A network preceded by the normalization of its image, and followed by its inverse if it returns an image.

    A denoiser stays as it is, since its noise levels are in the units of normalized images.

    Args:
        network: takes normalized signals.
        mean: mean of each channel.
        std: standard deviation of each channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))
        role = getattr(network, "output", "")
        self.takes_rgb = role not in LATENT_INPUTS | NOISY_INPUTS
        self.returns_rgb = role in NORMALIZED_OUTPUTS

    def forward(self, image: Tensor, *others: Tensor) -> Tensor:
        """Return the network's output for an image with values from 0 to 1."""
        x = (image - self._channels(self.mean, image)) / self._channels(self.std, image) if self.takes_rgb else image
        output = self.network(x, *others)
        if not self.returns_rgb:
            return output
        return output * self._channels(self.std, output) + self._channels(self.mean, output)

    def example_inputs(self, grid: Sequence[int], batch: int) -> tuple[Tensor, ...]:
        """Return the inputs of the network, see ``Model.example_inputs``."""
        return cast(Model, self.network).example_inputs(grid, batch)

    def _channels(self, values: Tensor, signal: Tensor) -> Tensor:
        return values.view(-1, *[1] * (signal.ndim - 2))


def export_run(
    run: str | Path,
    file_format: str,
    out: Path | None = None,
    overwrite: bool = False,
    size: tuple[int, int] | None = None,
) -> Exported:
    """Write the network of a run as a file that takes RGB values from 0 to 1 and returns logits.

    Args:
        run: folder of the run, or a ``model.safetensors``.
        file_format: a key of ``FORMATS``.
        out: the file; by default ``model.onnx`` or ``model.pt2`` in the folder of the run.
        overwrite: replace an existing file.
        size: rows and columns of the input; by default any size.

    Raises:
        InputError: as ``export``, or the format is unknown, or the surface has a fixed size and ``size`` is given.
    """
    folder = enclosing_run(run) if Path(run).exists() else None
    out = check_file(file_format, out, folder.path if folder else Path(run).parent, overwrite)
    return export_predictor(Predictor(run, "cpu"), out, overwrite, size)


def check_file(file_format: str, out: Path | None, folder: Path, overwrite: bool = False) -> Path:
    """Return the file to write, ``model.onnx`` or ``model.pt2`` in ``folder`` by default, before the network is loaded.

    Raises:
        InputError: the format is unknown, its packages are missing, or the suffix is that of another format.
        FileError: the file exists or cannot be written.
    """
    suffix = FORMATS[check_choice("format", file_format, FORMATS)]
    out = out or folder / f"model{suffix}"
    if out.suffix != suffix:
        raise InputError("out", str(out), f"must end with {suffix} for format={file_format}", "choose another name")
    check_target(out, overwrite)
    return out


def export_predictor(
    predictor: Predictor, out: Path, overwrite: bool = False, size: tuple[int, int] | None = None
) -> Exported:
    """Write the network of a predictor, on the CPU, with its normalization; see ``export_run``."""
    preprocessing, surface = predictor.preprocessing, predictor.preprocessing.surface
    if size is not None and not surface.any_size:
        raise InputError("size", size, f"must not be given on {surface}, whose number of samples is fixed", "omit it")
    grid = (size or preprocessing.size) if surface.any_size else [length or 0 for length in surface.shape]
    with lock_folder(out.parent, file=out.name):
        return export(
            WithNormalization(predictor.model, preprocessing.mean, preprocessing.std), out,
            torch.zeros(1, predictor.model.arguments["in_channels"], *grid),
            any_size=surface.any_size and size is None and predictor.model.output not in LATENT_INPUTS,
            min_size=predictor.model.min_size,
            description=describe(predictor), overwrite=overwrite,
        )  # fmt: skip


def _describe_values(predictor: Predictor) -> str:
    if predictor.model.output in NOISY_INPUTS:
        return "RGB from 0 to 1, channels first, minus mean, divided by spread; noise is added to it"
    if predictor.model.output in LATENT_INPUTS:
        return "normally distributed random numbers"
    return "RGB from 0 to 1, channels first; the file itself subtracts mean and divides by spread"


def describe(predictor: Predictor) -> dict[str, Any]:
    """Return the description of input and output for the users of the file; its keys are part of the file format."""
    preprocessing, surface = predictor.preprocessing, predictor.preprocessing.surface
    conversion = f"omniconv.surface({str(surface)!r}).from_equirectangular(panorama)"
    return {
        "task": predictor.task.name,
        "classes": list(predictor.classes),
        "surface": str(surface),
        "trained_size": list(preprocessing.size),
        "values": _describe_values(predictor),
        "mean": list(preprocessing.mean),
        "spread": list(preprocessing.std),
        "answer": predictor.task.describe_output(surface),
        "places": "(height, width)" if surface.any_size else f"samples of the surface: {conversion}",
    }

"""The network of a run as a file that takes pictures as they are: values from 0 to 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from omniconv.errors import InputError
from omniconv.exporting.export import FORMATS, Exported, check_target, export
from omniconv.inference.predictor import Predictor


class WithNormalization(nn.Module):
    """A network with the standardisation of its input in front of it.

    Args:
        network: takes standardised signals.
        mean: of each channel.
        spread: standard deviation of each channel.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, network: nn.Module, mean: tuple[float, ...], spread: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("spread", torch.tensor(spread))

    def forward(self, image: Tensor) -> Tensor:
        """The network's answer to values from 0 to 1."""
        shape = (-1, *[1] * (image.ndim - 2))
        return self.network((image - self.mean.view(shape)) / self.spread.view(shape))


def export_run(
    run: str | Path, kind: str, out: Path | None = None, overwrite: bool = False, size: tuple[int, int] | None = None
) -> Exported:
    """Write the network of a run as a file that takes RGB values from 0 to 1 and gives logits.

    Args:
        run: its folder, or a ``model.safetensors``.
        kind: a format.
        out: the file; by default ``model.onnx`` or ``model.pt2`` beside the run's ``model.safetensors``.
        overwrite: replace the file.
        size: rows and columns that the file takes; by default any.

    Raises:
        InputError: an unknown format, a size on a mesh, or as ``export``.
    """
    if kind not in FORMATS:
        raise InputError("format", kind, f"must be one of {', '.join(FORMATS)}", f"use --format {next(iter(FORMATS))}")
    folder = Path(run).parent if Path(run).is_file() else Path(run)
    out = out or folder / f"model{FORMATS[kind]}"
    if out.suffix != FORMATS[kind]:
        raise InputError("out", str(out), f"must end with {FORMATS[kind]} for --format {kind}", "choose another name")
    check_target(out, overwrite)
    predictor = Predictor.open(run, "cpu")
    where, preprocessing = predictor.preprocessing.surface, predictor.preprocessing
    is_open = where.any_size
    if size is not None and not is_open:
        raise InputError("size", size, f"has no meaning on {where}, whose samples are fixed", "leave it out")
    grid = (size or preprocessing.size) if is_open else [length or 0 for length in where.shape]
    return export(
        WithNormalization(predictor.model, preprocessing.mean, preprocessing.std), out, torch.zeros(1, 3, *grid),
        open_sizes=is_open and size is None, min_size=2 * predictor.model.total_stride,
        description=describe(predictor), overwrite=overwrite,
    )  # fmt: skip


def describe(predictor: Predictor) -> dict[str, Any]:
    """What who runs the file has to know, as plain data."""
    preprocessing = predictor.preprocessing
    place = "(height, width)" if preprocessing.surface.any_size else "samples of the surface"
    return {
        "task": predictor.task.name,
        "classes": list(predictor.classes),
        "surface": str(preprocessing.surface),
        "trained_size": list(preprocessing.size),
        "values": "RGB from 0 to 1, channels first; the file subtracts mean and divides by spread itself",
        "mean": list(preprocessing.mean),
        "spread": list(preprocessing.std),
        "answer": predictor.task.describe_output(preprocessing.surface),
        "places": place if preprocessing.surface.any_size
        else f"{place}: omniconv.surface({str(preprocessing.surface)!r}).from_equirectangular(panorama)",
    }  # fmt: skip

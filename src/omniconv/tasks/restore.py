"""Restoration: an image from an image, as a denoiser or a network that sharpens images returns it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn
from torchmetrics import Metric

from omniconv.data.images import read_header, read_image
from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample, pick_evenly
from omniconv.data.layouts.image_masks import pair_masks
from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import FileError, validation_reason
from omniconv.files import write_bytes
from omniconv.metrics.holes import psnr
from omniconv.models import Model
from omniconv.report.page import Page
from omniconv.report.pictures import fit_side, png_bytes
from omniconv.surfaces import Surface
from omniconv.tasks.base import Prediction, Table, Task, Tile, TrainedNetwork
from omniconv.tasks.pixels import to_pixels

RESTORED = "restored"
REPORT_IMAGES, REPORT_SIDE = 4, 480


class _Pair(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)
    psnr: float | None
    l1: Annotated[float, Field(ge=0)] | None


class _Evaluation(_Pair):
    by_area: _Pair = None  # type: ignore[assignment]  # may be missing, but not null


class Restore(Task):
    """Images from images: ``images/`` are the input, ``targets/`` of the same names and sizes the true output."""

    name = "restore"
    output = "image"
    default_model = "own_image"
    expected = "expected images/NAME.png with targets/NAME.png in it, or in its train, val and test folders"
    searched_folders = ("images", "targets")
    has_classes = False
    settings: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = MappingProxyType({"learning_rate": 1e-4})
    target_is_file = True
    target_interpolation = "linear"
    validation_metrics = ()
    best_metric = "loss"
    maximize = False

    def scan(self, root: Path, classes: tuple[str, ...]) -> DatasetFolder:
        images, targets, skipped = pair_masks(root / "images", root / "targets")
        return DatasetFolder(root, tuple(map(Sample, images, targets)), (), tuple(skipped))

    def load_target(self, sample: Sample, preprocessing: Preprocessing) -> np.ndarray:
        """Read the true output, uint8 ``(3, height, width)`` of the size of its image."""
        target, size = read_image(sample.target), read_header(sample.image).size
        if target.shape[:2] != size:
            rule = "has {} x {} pixels, and its image {} x {}".format(*target.shape[:2], *size)
            raise FileError(sample.target, rule, "give targets of the size of their images")
        return np.ascontiguousarray(np.moveaxis(target, -1, 0))

    def resize_target(self, target: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        if target.shape[1:] == size:
            return target
        picture = Image.fromarray(np.moveaxis(target, 0, -1)).resize(size[::-1], Image.Resampling.BILINEAR)
        return np.ascontiguousarray(np.moveaxis(np.asarray(picture), -1, 0))

    def target_on_surface(self, target: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
        """Return the true output as normalized as the input, float32 ``(3, *grid)``."""
        return preprocessing.on_surface(target.astype(np.float32) / 255)

    def class_names(self, folder: DatasetFolder, counts: Any) -> tuple[str, ...]:
        return ()

    def network_arguments(
        self, in_channels: int, classes: tuple[str, ...], size: tuple[int, ...] = ()
    ) -> dict[str, Any]:
        return {"in_channels": in_channels, "out_channels": in_channels}

    def criterion(self, areas: Tensor | None, class_frequencies: Sequence[float] | None) -> nn.Module:
        return MeanAbsoluteError(areas)

    def metric(self, classes: int) -> Metric:
        return PairMeasures()

    def validation_loss(
        self, network: Model, criterion: nn.Module, batch: Sequence[Tensor], metric: Metric, areas: Tensor | None
    ) -> Tensor | None:
        """Return the loss, which selects the best epoch: the metric of normalized values is not shown."""
        x, target = batch
        output = network(x)
        for one, true in zip(output.float(), target.float(), strict=True):
            metric.update(one, true, None)
        return criterion(output, target)

    def predict(self, output: Tensor, size: tuple[int, int], preprocessing: Preprocessing) -> np.ndarray:
        """Return the image, uint8 ``(*size, 3)``."""
        return to_pixels(output, size, preprocessing)

    def prediction_png(self, prediction: np.ndarray, classes: tuple[str, ...]) -> bytes:
        return png_bytes(prediction)

    def prediction_tile(self, image: Path | Image.Image, prediction: np.ndarray, classes: tuple[str, ...]) -> Tile:
        return prediction, ""

    def compare(self, prediction: np.ndarray, target: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return both images, ``(3, height, width)`` in 0 … 1."""
        pair = np.moveaxis(prediction, -1, 0), target
        predicted, true = (torch.from_numpy(np.ascontiguousarray(image)).float() / 255 for image in pair)
        return predicted, true

    def check_evaluation(self, evaluation: Mapping[str, Any], classes: int) -> None:
        try:
            _Evaluation.model_validate(evaluation)
        except ValidationError as error:
            raise ValueError(validation_reason(error)) from error

    def quality_table(self, evaluation: Mapping[str, Any]) -> Table:
        """Return PSNR and l1, on a sphere also weighted by area."""
        parts = {"all pixels": evaluation, "by area": evaluation.get("by_area")}
        rows: list[list[str | float | None]] = [
            [name, part["psnr"], part["l1"]] for name, part in parts.items() if part is not None
        ]
        return ["", "PSNR in dB", "l1"], rows

    def quality_line(self, evaluation: Mapping[str, Any]) -> str:
        known = evaluation["psnr"] is not None
        return f"PSNR {evaluation['psnr']:.2f} dB, l1 {evaluation['l1']:.4f}" if known else ""

    def prediction_files(self, out: Path, stems: Iterable[Path]) -> list[Path]:
        return [out / RESTORED / f"{stem}.png" for stem in stems]

    def write_predictions(
        self, predictions: Iterable[Prediction], network: TrainedNetwork, out: Path, **settings: Any
    ) -> list[Path]:
        """Write ``restored/STEM.png``, RGB of the size of the image."""
        return [write_bytes(out / RESTORED / f"{stem}.png", png_bytes(image)) for _, stem, image in predictions]

    def tile(self, image: np.ndarray, target: np.ndarray, sample: Sample, classes: tuple[str, ...]) -> Tile:
        return np.concatenate([image, np.moveaxis(target, 0, -1)]), f"{sample.image.name}, and its target below"

    def draw_predictions(self, page: Page, network: TrainedNetwork, samples: Sequence[Sample]) -> None:
        """Add rows of the image, the network's output and the true output."""
        for sample in pick_evenly(samples, REPORT_IMAGES):
            pictures = [read_image(sample.image), network.predict(sample.image), read_image(sample.target)]
            captions = (sample.image.name, "restored", "truth")
            page.row([(fit_side(picture, REPORT_SIDE), text) for picture, text in zip(pictures, captions, strict=True)])

    def describe_output(self, surface: Surface) -> str:
        axes = "height, width" if surface.any_size else "samples of the surface"
        return f"image (batch, 3, {axes}), RGB from 0 to 1"


class MeanAbsoluteError(nn.Module):
    """Mean absolute error of normalized images, each sample by its area.

    Args:
        areas: area of each sample with a mean of 1; ``None`` on a plane.
    """

    areas: Tensor | None

    def __init__(self, areas: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("areas", areas, persistent=False)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the mean over the images."""
        errors = (output.float() - target.float()).abs()
        return (errors if self.areas is None else errors * self.areas).mean()


class PairMeasures(Metric):
    """Means over images of PSNR in dB and of the mean absolute error.

    Example:
        >>> measures = PairMeasures()
        >>> measures.update(torch.zeros(3, 4, 4), torch.full((3, 4, 4), 0.1), None)
        >>> {name: round(value, 3) for name, value in measures.compute().items()}
        {'psnr': 20.0, 'l1': 0.1}
    """

    full_state_update = False
    images: Tensor
    sums: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("images", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("sums", torch.zeros(2, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, true: Tensor, areas: Tensor | None) -> None:
        """Add an image ``(channels, height, width)`` in 0 … 1; areas broadcast to its pixels."""
        errors = (predicted - true).abs().double().mean(0)
        weights = torch.ones_like(errors) if areas is None else areas.double().expand_as(errors)
        l1 = (weights * errors).sum() / weights.sum()
        self.sums += torch.stack([psnr(predicted[None], true[None], areas)[0].double(), l1])
        self.images += 1

    def compute(self) -> dict[str, float | None]:
        """Return both means; ``None`` over no image."""
        count = int(self.images)
        return {
            name: float(value) / count if count else None for name, value in zip(("psnr", "l1"), self.sums, strict=True)
        }

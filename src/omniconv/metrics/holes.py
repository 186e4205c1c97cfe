"""Measures of filled holes: l1 in the hole, PSNR and SSIM of the image, by the hole's share of the area.

They follow the protocol of free-form inpainting (MMagic's configurations of DeepFill v2; AOT-GAN, Zeng et al., TVCG
2022): l1 is the mean absolute error of the pixels in the hole, PSNR and SSIM are those of the whole completed image,
all are averaged over images, and tables list them by the hole's share of the image in steps of 10 %. On a sphere each
sample counts by its area.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.image import structural_similarity_index_measure

from omniconv.data.images import row_blocks

MEASURES = ("l1", "psnr", "ssim")
BINS = 10
"""Number of equal ranges of the hole's share, from 0 to 1."""
SMALLEST_ERROR = 1e-10
"""Least mean squared error of PSNR, which is 100 dB for equal images."""
WINDOW, SIGMA = 11, 1.5
"""Side in pixels and standard deviation of the Gaussian window of SSIM (Wang et al., 2004)."""


def hole_share(hole: Tensor, areas: Tensor | None = None, valid: Tensor | None = None) -> Tensor:
    """Return the share of the hole in the area of each image, ``(batch,)``.

    Args:
        hole: boolean ``(batch, 1, *grid)``, True in the hole; here and in the next functions.
        areas: area of each sample, broadcast to ``(*grid)``; ``None`` if all are equal.
        valid: boolean ``(batch, 1, *grid)``, False where there is no image; by default it is everywhere.
    """
    weights = _weights(hole, areas, valid)
    return _sum(weights * hole) / _sum(weights).clamp_min(torch.finfo(weights.dtype).tiny)


def hole_l1(filled: Tensor, true: Tensor, hole: Tensor, areas: Tensor | None = None) -> Tensor:
    """Return the mean absolute error of each image in its hole, ``(batch,)``; NaN for an image without a hole.

    Args:
        filled: completed images ``(batch, channels, *grid)``, in 0 … 1.
        true: true images.
        hole: holes.
        areas: areas.

    Example:
        >>> true, hole = torch.zeros(1, 3, 2, 2), torch.tensor([[[[True, False], [False, False]]]])
        >>> hole_l1(true + 0.25 * hole, true, hole).tolist()
        [0.25]
    """
    weights = _weights(hole, areas, None) * hole
    return _sum(weights * (filled - true).abs().double().mean(1, keepdim=True)) / _sum(weights)


def psnr(filled: Tensor, true: Tensor, areas: Tensor | None = None, valid: Tensor | None = None) -> Tensor:
    """Return the peak signal-to-noise ratio of each image in dB, ``(batch,)``; at most 100.

    Args:
        filled: completed images ``(batch, channels, *grid)``, in 0 … 1.
        true: true images.
        areas: areas.
        valid: samples that count.

    Example:
        >>> round(float(psnr(torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.1))), 3)
        20.0
    """
    weights = _weights(true[:, :1], areas, valid)
    squares = _sum(weights * (filled - true).square().double().mean(1, keepdim=True)) / _sum(weights)
    return -10 * squares.clamp_min(SMALLEST_ERROR).log10()


def ssim(filled: Tensor, true: Tensor, areas: Tensor | None = None, wraps: bool = False) -> Tensor:
    """Return the structural similarity of two images, a number; NaN for images smaller than its window.

    Computed by blocks of rows, by torchmetrics.

    Args:
        filled: completed image ``(channels, height, width)``, in 0 … 1, or uint8.
        true: true image.
        areas: area of the pixels of each row, ``(height, 1)``.
        wraps: the image is a whole panorama, whose left and right edges meet.

    Example:
        >>> image = torch.rand(3, 16, 32)
        >>> float(ssim(image, image))
        1.0
    """
    margin = WINDOW // 2
    height, width = true.shape[-2:]
    if min(height, width) < WINDOW:
        return torch.tensor(torch.nan)
    weights = torch.ones(height, 1, dtype=torch.float64) if areas is None else areas.double()
    total = torch.zeros((), dtype=torch.float64)
    for rows in row_blocks(height, width * len(true)):
        first, last = max(0, rows.start - margin), min(height, rows.stop + margin)
        if last - first < WINDOW:
            first, last = max(0, last - WINDOW), min(height, first + WINDOW)
        pair = [_to_unit(image[:, first:last])[None] for image in (filled, true)]
        if wraps:
            pair = [F.pad(image, (margin, margin, 0, 0), mode="circular") for image in pair]
        _, values = structural_similarity_index_measure(
            pair[0], pair[1], sigma=SIGMA, kernel_size=WINDOW, data_range=1.0, return_full_image=True
        )
        inner = slice(margin, -margin) if wraps else slice(None)
        by_row = values[0, :, rows.start - first : rows.stop - first, inner].double().mean((0, 2))
        total += (by_row * weights[rows, 0]).sum()
    return total / weights.sum()


def measure_batch(
    filled: Tensor, true: Tensor, hole: Tensor, areas: Tensor | None = None, valid: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the hole's share of each image ``(batch,)``, and l1, PSNR and NaN for SSIM, ``(batch, 3)``.

    Args:
        filled: completed images ``(batch, channels, *grid)``, in 0 … 1.
        true: true images.
        hole: holes, boolean ``(batch, 1, *grid)``.
        areas: area of each sample.
        valid: samples that count; by default all.
    """
    l1, noise = hole_l1(filled, true, hole, areas), psnr(filled, true, areas, valid)
    return hole_share(hole, areas, valid), torch.stack([l1, noise, torch.full_like(l1, torch.nan)], 1)


def measure_pictures(
    filled: np.ndarray, true: np.ndarray, hole: np.ndarray, areas: np.ndarray | None = None, wraps: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the hole's share of a picture ``(1,)``, and its l1, PSNR and SSIM ``(1, 3)``, as ``measure_batch``.

    Computed by blocks of rows, which bounds the memory for large pictures.

    Args:
        filled: completed picture, uint8 ``(height, width, channels)``.
        true: true picture.
        hole: boolean ``(height, width)``, True in the hole.
        areas: area of the pixels of each row, ``(height, 1)``; ``None`` if all are equal.
        wraps: the picture is a whole panorama, whose left and right edges meet.
    """
    height, width = hole.shape
    weights = np.ones((height, 1)) if areas is None else areas.astype(np.float64)
    inside = absolute = squares = 0.0
    for rows in row_blocks(height, width * true.shape[-1]):
        error = (filled[rows].astype(np.float32) - true[rows]) / 255
        inside += float((weights[rows] * hole[rows]).sum())
        absolute += float((weights[rows] * (hole[rows] * np.abs(error).mean(-1))).sum())
        squares += float((weights[rows] * np.square(error).mean(-1)).sum())
    total = float(weights.sum()) * width
    l1 = absolute / inside if inside else math.nan
    noise = -10 * math.log10(max(squares / total, SMALLEST_ERROR))
    first, second = (torch.from_numpy(np.moveaxis(picture, -1, 0)) for picture in (filled, true))
    similarity = float(ssim(first, second, torch.from_numpy(weights), wraps))
    return torch.tensor([inside / total]), torch.tensor([[l1, noise, similarity]], dtype=torch.float64)


class HoleMeasures(Metric):
    """Means of l1, PSNR and SSIM over images, of all of them and by the hole's share of the area.

    Example:
        >>> measures = HoleMeasures()
        >>> true, hole = torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4, dtype=torch.bool)
        >>> hole[..., 0] = True
        >>> measures.update(*measure_batch(true + 0.5 * hole, true, hole))
        >>> measures.compute()["l1"], measures.compute()["by_share"][2]["images"]
        (0.5, 2)
    """

    full_state_update = False
    sums: Tensor
    counts: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", torch.zeros(BINS, len(MEASURES), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(BINS, len(MEASURES), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, shares: Tensor, measures: Tensor) -> None:
        """Add images, as ``measure_batch`` and ``measure_pictures`` return them; those without a hole do not count."""
        for share, row in zip(shares.tolist(), measures.to(self.sums), strict=True):
            if share > 0:
                known = row.isfinite()
                index = min(int(share * BINS), BINS - 1)
                self.sums[index] += torch.where(known, row, 0)
                self.counts[index] += known

    def compute(self) -> dict[str, Any]:
        """Return the mean of each measure, ``None`` over nothing, and ``by_share``: the means of each range.

        An entry of ``by_share`` has ``from`` and ``to``, the limits of its range in percent, and ``images``.
        """
        ranges = []
        for index in range(BINS):
            entry = {"from": 100 * index // BINS, "to": 100 * (index + 1) // BINS}
            ranges.append({**entry, "images": int(self.counts[index, 0]), **self._means([index])})
        return {**self._means(list(range(BINS))), "by_share": ranges}

    def _means(self, bins: list[int]) -> dict[str, float | None]:
        sums, counts = self.sums[bins].sum(0).tolist(), self.counts[bins].sum(0).tolist()
        triples = zip(MEASURES, sums, counts, strict=True)
        return {name: total / count if count else None for name, total, count in triples}


def _weights(like: Tensor, areas: Tensor | None, valid: Tensor | None) -> Tensor:
    weights = torch.ones((), dtype=torch.float64, device=like.device) if areas is None else areas.double()
    weights = weights.expand(like.shape)
    return weights if valid is None else weights * valid


def _sum(values: Tensor) -> Tensor:
    return values.flatten(1).sum(1)


def _to_unit(image: Tensor) -> Tensor:
    return image.float() / 255 if image.dtype == torch.uint8 else image.float()

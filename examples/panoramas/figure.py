"""Figure of the example: samples with the seam in the middle, beside their nearest training images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from examples.panoramas.data import Panoramas
from omniconv.report.charts import chart_style

SHOWN = 4


def draw(samples: dict[str, Tensor], measured: dict[str, dict[str, Any]], panoramas: Panoramas, path: Path) -> None:
    """Draw samples of each network, and the nearest training images of those of the first one.

    Args:
        samples: panoramas of each network; they are rolled by half their width, so that their seam is in the middle.
        measured: result of ``measures.measure`` for each network.
        panoramas: the training images.
        path: PNG file to write.
    """
    from matplotlib.figure import Figure

    training = torch.cat([panoramas.rotated[-1], panoramas.originals[-1]])
    first = next(iter(samples))
    found = measured[first]
    count = min(SHOWN, *(len(images) for images in samples.values()))
    half = samples[first].shape[-1] // 2
    nearest = [training[found["nearest index"][i]].roll(2 * found["nearest roll"][i], -1) for i in range(count)]
    columns = {
        f"{first}": samples[first][:count],
        "its nearest training image": torch.stack(nearest),
        **{name: images[:count] for name, images in samples.items() if name != first},
    }
    with chart_style():
        figure = Figure(figsize=(4 * len(columns), 2.1 * count), layout="constrained")
        axes = figure.subplots(count, len(columns), squeeze=False)
        for column, (name, images) in enumerate(columns.items()):
            for row, pixels in enumerate(panoramas.to_pixels(images.roll(half, -1))):
                axes[row][column].imshow(pixels)
                axes[row][column].set_axis_off()
            axes[0][column].set_title(name)
        figure.savefig(path, dpi=60, facecolor="white")


def save_sheet(samples: Tensor, panoramas: Panoramas, folder: Path) -> None:
    """Write each sample as a PNG file."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(panoramas.to_pixels(samples)):
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / f"{number:03}.png")

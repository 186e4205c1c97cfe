"""Pictures of images with holes, beside the completed images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from omniconv.data.images import read_header, read_image
from omniconv.data.layouts.dataset_folder import Sample, pick_evenly
from omniconv.data.preprocessing import Preprocessing
from omniconv.models import Model
from omniconv.models.roles import SupportsInpaint, as_role
from omniconv.report.globe import globe
from omniconv.report.page import Page
from omniconv.report.pictures import fit_side, paint_hole
from omniconv.tasks.base import Tile, TrainedNetwork
from omniconv.tasks.pixels import to_pixels

REPORT_IMAGES = 6
"""Images in the report."""
REPORT_SIDE = 480
"""Longer side of the pictures in the report."""
PROGRESS_IMAGES = 6
"""Images in a picture of progress; each has two tiles, with its hole and filled."""


def hole_tile(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Return an image with its hole hatched; the image itself if the hole is not given at its size."""
    return paint_hole(image, hole) if hole.shape == image.shape[:2] else image


@torch.inference_mode()
def progress_tiles(
    network: Model, preprocessing: Preprocessing, pairs: Sequence[tuple[Path, np.ndarray]]
) -> list[Tile]:
    """Return two pictures of each image at the size of the network's input: with its hole, and filled."""
    tiles: list[Tile] = []
    device = next(network.parameters()).device
    for path, hole in pairs:
        header = read_header(path)
        pixels = read_image(path)
        x, small = preprocessing.masked(pixels, hole, header)
        mask = torch.from_numpy(small)[None, None].to(device)
        filled = as_role(network, SupportsInpaint).inpaint(torch.from_numpy(x)[None].to(device), mask)[0].cpu()
        true = torch.from_numpy(preprocessing.on_surface(preprocessing.image(path)))
        shown = np.asarray(Image.fromarray(hole).resize(preprocessing.size[::-1])) > 0
        images = [to_pixels(image.float(), preprocessing.size, preprocessing) for image in (true, filled)]
        tiles += [(paint_hole(images[0], shown), path.name), (images[1], "filled")]
    return tiles


def draw_rows(
    page: Page,
    network: TrainedNetwork,
    samples: Sequence[Sample],
    hole_of: Callable[[Sample, Preprocessing], np.ndarray],
) -> None:
    """Add a row for some samples: the image with its hole, the hole, the filled image and the image itself.

    On a sphere also as globes, which are turned to the middle of the hole.

    Args:
        page: the report.
        network: the network.
        samples: the samples.
        hole_of: returns the hole of a sample at the size of its image.
    """
    for sample in pick_evenly(samples, REPORT_IMAGES):
        hole = hole_of(sample, network.preprocessing)
        true, filled = read_image(sample.image), network.fill(sample.image, hole)
        shown = fit_side(hole.view(np.uint8) * np.uint8(255), REPORT_SIDE) >= 128
        images = [fit_side(picture, REPORT_SIDE) for picture in (true, filled)]
        rows = [
            (paint_hole(images[0], shown), sample.image.name),
            (shown.view(np.uint8) * np.uint8(255), f"hole, {100 * hole.mean():.0f} % of the pixels"),
            (images[1], "filled"),
            (images[0], "truth"),
        ]
        if network.preprocessing.surface.spherical and read_header(sample.image).crop is None:
            view = hole_centre(shown)
            rows += [
                (globe(picture, *view, background=None), f"{caption}, as a globe")
                for picture, caption in (rows[0], *rows[2:])
            ]
        page.row(rows)


def hole_centre(hole: np.ndarray) -> tuple[float, float]:
    """Return longitude and latitude in degrees of the middle of a hole of a panorama, weighted by area."""
    height, width = hole.shape
    row, column = np.nonzero(hole)
    latitude = np.pi * (0.5 - (row + 0.5) / height)
    longitude = 2 * np.pi * ((column + 0.5) / width - 0.5)
    weight = np.cos(latitude)
    x, y = (weight**2 * part(longitude) for part in (np.cos, np.sin))
    z = weight * np.sin(latitude)
    vector = np.array([part.sum() for part in (x, y, z)])
    across = float(np.hypot(vector[0], vector[1]))
    return float(np.degrees(np.arctan2(vector[1], vector[0]))), float(np.degrees(np.arctan2(vector[2], across)))

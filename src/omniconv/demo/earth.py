"""Image and land mask of the Earth: Natural Earth from the cartopy package, land from global-land-mask."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from omniconv.checks import check_extra
from omniconv.data.images import read_image
from omniconv.data.masks import IGNORE_INDEX
from omniconv.files import write_bytes
from omniconv.report.pictures import png_bytes
from omniconv.tasks.segment import index_png

IMAGE_PATH = "data/raster/natural_earth/50-natural-earth-1-downsampled.png"
CLASSES = ("sea", "land")
FILES = ("images/earth.png", "masks/earth.png", "classes.txt")
"""Files of the training folder."""
FIRST_UNSEEN_LONGITUDE = 60.0
"""In degrees. From here to 180° the Earth is held out: most of Asia, Australia and a part of the Pacific."""


@dataclass(frozen=True, eq=False)
class Earth:
    """Image of the Earth with its labels."""

    image: np.ndarray  # uint8 (H, W, 3)
    land: np.ndarray  # uint8 (H, W), 1 on land
    unseen: np.ndarray  # bool (H, W), True in the part that is held out of the training


def check_installed() -> None:
    """Check that the packages of ``omniconv[demo]`` are installed, without importing them.

    Raises:
        InputError: one is missing.
    """
    check_extra("demo", "the demonstration", ("cartopy", "global_land_mask"))


def load_earth() -> Earth:
    """Load the Earth at the image's own size, 360 × 720."""
    check_installed()
    from global_land_mask import globe

    spec = find_spec("cartopy")
    image = read_image(Path(spec.origin if spec and spec.origin else "").parent / IMAGE_PATH)
    height, width = image.shape[:2]
    latitude = 90 - (np.arange(height) + 0.5) * 180 / height
    longitude = -180 + (np.arange(width) + 0.5) * 360 / width
    land = globe.is_land(*np.meshgrid(latitude, longitude, indexing="ij")).astype(np.uint8)
    unseen = np.broadcast_to(longitude > FIRST_UNSEEN_LONGITUDE, land.shape)
    return Earth(image, land, unseen)


def write_training_folder(earth: Earth, folder: Path) -> Path:
    """Write a training folder in which the unseen part has one colour, the mean of the rest, and ignored labels."""
    image, labels = earth.image.copy(), earth.land.copy()
    image[earth.unseen] = earth.image[~earth.unseen].mean(axis=0).astype(np.uint8)
    labels[earth.unseen] = IGNORE_INDEX
    contents = png_bytes(Image.fromarray(image)), index_png(labels, len(CLASSES)), "\n".join(CLASSES).encode()
    for name, content in zip(FILES, contents, strict=True):
        write_bytes(folder / name, content)
    return folder

"""The pictures that a command line names, with or without labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from omniconv.data.file_listing import find_images
from omniconv.data.folders import scan_images
from omniconv.data.images import read_header
from omniconv.data.masks import IGNORE_INDEX, check_labels
from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import FileError, InputError


def list_images(paths: Sequence[Path]) -> tuple[list[Path], Path | None]:
    """The images that were named, and the folder of their masks where one folder holds ``images/`` and ``masks/``.

    Raises:
        FileError: a path does not exist, or a folder has no images.
    """
    root = paths[0]
    if len(paths) == 1 and (root / "images").is_dir() and (root / "masks").is_dir():
        return [image for image, _ in scan_images([root / "images"])], root / "masks"
    return [image for image, _ in scan_images(list(paths))], None


def pick(images: Sequence[Path], most: int) -> list[Path]:
    """At most so many images, evenly from the first to the last.

    Raises:
        InputError: fewer than one.
    """
    if most < 1:
        raise InputError("most", most, "must be at least 1", "use --most 16")
    return [images[place] for place in np.linspace(0, len(images) - 1, min(most, len(images))).astype(int)]


def read_panoramas(preprocessing: Preprocessing, images: Sequence[Path]) -> np.ndarray:
    """Pictures at one size, float32 ``(B, 3, H, W)`` from 0 to 1.

    Raises:
        FileError: a file that cannot be used.
    """
    return np.stack([preprocessing.image(image) for image in images])


def read_truth(
    preprocessing: Preprocessing, images: Sequence[Path], masks: Path, classes: int = IGNORE_INDEX
) -> np.ndarray:
    """Label maps ``(B, H, W)`` at the pictures' size, from masks of the images' names.

    Raises:
        FileError: no folder, an image without a mask or with two, or a mask that cannot be used.
    """
    if not masks.is_dir():
        raise FileError(masks, "is no folder", "give the folder of masks, which have the names of the images")
    found: dict[str, list[Path]] = {}
    for mask in find_images(masks)[0]:
        found.setdefault(mask.stem, []).append(mask)
    labels = []
    for image in images:
        fitting = found.get(image.stem, [])
        if len(fitting) != 1:
            rule = f"has {len(fitting)} masks" if fitting else "has no mask"
            raise FileError(image, f"{rule} in {masks}", f"put one there, named {image.stem}.png")
        labels.append(preprocessing.labels(fitting[0], read_header(image)))
        check_labels(fitting[0], labels[-1], classes)
    return np.stack(labels)

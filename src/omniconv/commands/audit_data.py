"""Panoramas named on the command line, with or without label maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from omniconv.data.file_listing import find_images
from omniconv.data.images import read_header
from omniconv.data.layouts.dataset_folder import pick_evenly
from omniconv.data.layouts.image_list import scan_images
from omniconv.data.masks import IGNORE_INDEX, check_labels
from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import FileError, InputError


def list_images(paths: Sequence[Path]) -> tuple[list[Path], Path | None]:
    """Return the images of files and folders, and the masks' folder if a single folder has ``images/`` and ``masks/``.

    Raises:
        FileError: a path that does not exist, or a folder without images.
    """
    root = paths[0]
    if len(paths) == 1 and (root / "images").is_dir() and (root / "masks").is_dir():
        return [image for image, _ in scan_images([root / "images"])], root / "masks"
    return [image for image, _ in scan_images(list(paths))], None


def subsample(images: Sequence[Path], most: int) -> list[Path]:
    """Return at most ``most`` images at equal distances, from the first to the last.

    Raises:
        InputError: ``most`` is less than 1.
    """
    if most < 1:
        raise InputError("most", most, "must be at least 1", "use --most 16")
    return pick_evenly(images, most)


def read_panoramas(preprocessing: Preprocessing, images: Sequence[Path]) -> np.ndarray:
    """Read images at one size, float32 ``(B, 3, H, W)`` from 0 to 1.

    Raises:
        FileError: an unusable file.
    """
    return np.stack([preprocessing.image(image) for image in images])


def read_truth(
    preprocessing: Preprocessing, images: Sequence[Path], masks: Path, classes: int = IGNORE_INDEX
) -> np.ndarray:
    """Read label maps ``(B, H, W)`` at the panoramas' size, from masks named as the images.

    Raises:
        FileError: not a folder, an image without a mask or with several, or an unusable mask.
    """
    if not masks.is_dir():
        raise FileError(masks, "is not a folder", "give the folder of masks, named as the images")
    by_name: dict[str, list[Path]] = {}
    for mask in find_images(masks)[0]:
        by_name.setdefault(mask.stem, []).append(mask)
    labels = []
    for image in images:
        matches = by_name.get(image.stem, [])
        if len(matches) != 1:
            rule = f"has {len(matches)} masks" if matches else "has no mask"
            raise FileError(image, f"{rule} in {masks}", f"put one there, named {image.stem}.png")
        labels.append(preprocessing.labels(matches[0], read_header(image)))
        check_labels(matches[0], labels[-1], classes)
    return np.stack(labels)

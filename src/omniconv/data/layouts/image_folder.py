"""Layout of image folders: images in any subfolders, without targets; and how class folders are told from them."""

from __future__ import annotations

from pathlib import Path

from omniconv.data.file_listing import find_images, holds_images, visible_folders
from omniconv.data.images import IMAGE_SUFFIXES
from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample
from omniconv.errors import FileError

EXPECTED = "expected images in it and in its subfolders"


def scan_image_folder(root: Path, expected: str = EXPECTED) -> DatasetFolder:
    """List the images in ``root`` and its subfolders.

    Returns:
        Samples without a target.

    Raises:
        FileError: there are none.
    """
    images, skipped = find_images(root)
    if not images:
        raise FileError(root, "contains no images", expected)
    return DatasetFolder(root, tuple(map(Sample, images)), (), tuple(skipped))


def has_class_folders(root: Path) -> bool:
    """Return True if all images of a folder are in at least two folders in it; no file is opened.

    With images beside the folders, or in a single folder, the folders do not tell classes.
    """
    outside = any(path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() for path in root.glob("[!.]*"))
    return not outside and sum(map(holds_images, visible_folders(root))) > 1

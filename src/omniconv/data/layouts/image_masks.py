"""Layout of images with masks: ``images/`` and ``masks/`` with files of the same names."""

from __future__ import annotations

from pathlib import Path

from omniconv.data.classes import CLASSES_FILE
from omniconv.data.file_listing import Skipped, check_folder, find_images
from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample
from omniconv.data.masks import IGNORE_INDEX
from omniconv.errors import FileError

EXPECTED = "expected images/NAME.jpg with masks/NAME.png in it, or in its train, val and test folders"


def scan_image_masks(root: Path, classes: tuple[str, ...]) -> DatasetFolder:
    """List the images in ``root/images`` and its subfolders with their masks in ``root/masks``; suffixes may differ.

    Returns:
        Samples whose target is the path of the mask.

    Raises:
        FileError: a folder is missing, an image has no mask, two images share a stem, or there are too many classes.
    """
    images, skipped = _by_stem(root / "images")
    masks, skipped_masks = _by_stem(root / "masks")
    _check_pairs(root, images, masks)
    if len(classes) > IGNORE_INDEX:
        rule = f"names {len(classes)} classes: a mask can contain up to {IGNORE_INDEX}"
        raise FileError(root / CLASSES_FILE, rule, "merge some of them")
    samples = tuple(Sample(image, masks[stem]) for stem, image in images.items())
    without_image = [(mask, "has no image") for stem, mask in masks.items() if stem not in images]
    return DatasetFolder(root, samples, classes, tuple(skipped + skipped_masks + without_image))


def _by_stem(folder: Path) -> tuple[dict[Path, Path], list[Skipped]]:
    check_folder(folder, EXPECTED)
    listed, skipped = find_images(folder)
    files: dict[Path, Path] = {}
    for file in listed:
        other = files.setdefault(file.relative_to(folder).with_suffix(""), file)
        if other != file:
            raise FileError(file, f"has the same name as {other.name}", "rename one of them and its image or mask")
    return files, skipped


def _check_pairs(root: Path, images: dict[Path, Path], masks: dict[Path, Path]) -> None:
    if not images:
        raise FileError(root / "images", "contains no images", EXPECTED)
    unpaired = [stem for stem in images if stem not in masks]
    if unpaired:
        expected = root / "masks" / f"{unpaired[0]}.png"
        rule = f"has no mask ({len(unpaired)} of {len(images)} images lack one)"
        raise FileError(images[unpaired[0]], rule, f"expected {expected}, or take the image out")

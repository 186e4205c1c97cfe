"""Layout of images with masks: ``images/`` and ``masks/`` mirror each other."""

from __future__ import annotations

from pathlib import Path

from omniconv.data.classes import CLASSES_FILE
from omniconv.data.file_listing import Skipped, check_folder, find_images
from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample
from omniconv.data.masks import IGNORE_INDEX
from omniconv.errors import FileError

EXPECTED = "expected images/NAME.jpg with masks/NAME.png in it, or in its train, val and test folders"


def scan_image_masks(root: Path, classes: tuple[str, ...]) -> DatasetFolder:
    """List ``root/images`` with ``root/masks``, sub-folders too; suffixes may differ.

    Returns:
        Samples whose target is the path of the mask.

    Raises:
        FileError: a folder is missing, an image has no mask, two images share a stem, or there are too many classes.
    """
    images, skipped = _by_stem(root / "images")
    masks, skipped_masks = _by_stem(root / "masks")
    _check_pairs(root, images, masks)
    if len(classes) > IGNORE_INDEX:
        rule = f"names {len(classes)} classes: a mask holds up to {IGNORE_INDEX}"
        raise FileError(root / CLASSES_FILE, rule, "merge some")
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
            raise FileError(file, f"has the same name as {other.name}", "rename one of them, and its partner with it")
    return files, skipped


def _check_pairs(root: Path, images: dict[Path, Path], masks: dict[Path, Path]) -> None:
    if not images:
        raise FileError(root / "images", "holds no images", EXPECTED)
    alone = [stem for stem in images if stem not in masks]
    if alone:
        expected = root / "masks" / f"{alone[0]}.png"
        rule = f"has no mask ({len(alone)} of {len(images)} images lack one)"
        raise FileError(images[alone[0]], rule, f"expected {expected}, or take the image out")

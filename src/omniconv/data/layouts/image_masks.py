"""Layout of images with masks: ``images/`` and ``masks/`` with files of the same names."""

from __future__ import annotations

from pathlib import Path

from omniconv.data.classes import CLASSES_FILE
from omniconv.data.file_listing import Skipped, check_folder, find_images, normalized, unused_entries
from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample
from omniconv.data.masks import IGNORE_INDEX
from omniconv.errors import FileError

EXPECTED = "expected images/NAME.jpg with masks/NAME.png in it, or in its train, val and test folders"


def scan_image_masks(root: Path, classes: tuple[str, ...]) -> DatasetFolder:
    """List the images in ``root/images`` and its subfolders with their masks in ``root/masks``.

    The suffixes of an image and its mask may differ, and the Unicode form of their names (NFC or NFD).

    Returns:
        Samples whose target is the path of the mask.

    Raises:
        FileError: a folder is missing, an image has no mask, two images share a stem, or there are too many classes.
    """
    images, masks, skipped = pair_masks(root / "images", root / "masks")
    if len(classes) > IGNORE_INDEX:
        rule = f"names {len(classes)} classes: a mask can contain up to {IGNORE_INDEX}"
        raise FileError(root / CLASSES_FILE, rule, "merge some of them")
    samples = tuple(map(Sample, images, masks))
    others = unused_entries(root, ("images", "masks", CLASSES_FILE), "is neither in images nor in masks")
    return DatasetFolder(root, samples, classes, (*skipped, *others))


def pair_masks(image_folder: Path, mask_folder: Path) -> tuple[list[Path], list[Path], list[Skipped]]:
    """Return the images of a folder and its subfolders, the mask of each, and the files that are skipped.

    Raises:
        FileError: a folder is missing, there are no images, an image has no mask, or two files share a stem.
    """
    images, skipped = _by_stem(image_folder)
    masks, skipped_masks = _by_stem(mask_folder)
    if not images:
        raise FileError(image_folder, "contains no images", EXPECTED)
    unpaired = [stem for stem in images if stem not in masks]
    if unpaired:
        rule = f"has no mask ({len(unpaired)} of {len(images)} images lack one)"
        same = {stem.casefold(): mask for stem, mask in masks.items()}.get(unpaired[0].casefold())
        if same:
            cure = f"rename {same}, which differs in upper and lower case"
        else:
            cure = f"expected {mask_folder / unpaired[0]}.png, or take the image out"
        raise FileError(images[unpaired[0]], rule, cure)
    without_image = [(mask, "has no image") for stem, mask in masks.items() if stem not in images]
    return list(images.values()), [masks[stem] for stem in images], [*skipped, *skipped_masks, *without_image]


def _by_stem(folder: Path) -> tuple[dict[str, Path], list[Skipped]]:
    """Return the images of a folder by their path in it, without suffix and in NFC."""
    check_folder(folder, EXPECTED)
    listed, skipped = find_images(folder)
    files: dict[str, Path] = {}
    for file in listed:
        other = files.setdefault(normalized(str(file.relative_to(folder).with_suffix(""))), file)
        if other != file:
            same_bytes = file.with_suffix("") == other.with_suffix("")
            encoding = "" if same_bytes else " but for the Unicode form of its accents (NFC or NFD)"
            rule = f"has the same name as {other.name}{encoding}"
            raise FileError(file, rule, "rename one of them and its image or mask")
    return files, skipped

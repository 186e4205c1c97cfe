"""Layout of class folders: a folder of images for each class."""

from __future__ import annotations

from pathlib import Path

from omniconv.data.classes import CLASSES_FILE
from omniconv.data.file_listing import find_images, normalized, unused_entries, visible_folders
from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample
from omniconv.errors import FileError

EXPECTED = "expected CLASS/NAME.jpg with a folder for each class in it, or in its train, val and test folders"


def scan_class_folders(root: Path, classes: tuple[str, ...]) -> DatasetFolder:
    """List the images in the class folders of ``root`` and their subfolders.

    The class names are ``classes``, of which some may have no folder or an empty one; without them the folders' names
    in natural order (``class2`` before ``class10``).

    Returns:
        Samples whose target is the index of the class.

    Raises:
        FileError: there are no class folders, none has an image, or the name of one is not among ``classes``.
    """
    folders = _by_name(root)
    names = tuple(folders)
    if not names:
        raise FileError(root, "has no class folders", EXPECTED)
    unknown = [name for name in names if classes and name not in classes]
    if unknown:
        same = {name.casefold(): name for name in classes}.get(unknown[0].casefold())
        if same:
            rule = f"has the class folder {unknown[0]!r}, which differs from the class {same!r} in upper and lower case"
            raise FileError(root, rule, f"rename it to {same}")
        rule = f"has the class folder {unknown[0]!r}, which is none of the classes {', '.join(classes)}"
        raise FileError(root, rule, "rename or remove the folder, or add the class to classes.txt")
    samples: list[Sample] = []
    used = {folder.name for folder in folders.values()} | {CLASSES_FILE}
    skipped = unused_entries(root, used, "is not in a class folder")
    for index, name in enumerate(classes or names):
        if name in names:
            images, others = find_images(folders[name])
            samples += [Sample(image, index) for image in images]
            skipped += others
    if not samples:
        raise FileError(root, "contains no images in its class folders", EXPECTED)
    return DatasetFolder(root, tuple(samples), classes or names, tuple(skipped))


def _by_name(root: Path) -> dict[str, Path]:
    """Return the class folders by their names in NFC."""
    folders: dict[str, Path] = {}
    for folder in visible_folders(root):
        other = folders.setdefault(normalized(folder.name), folder)
        if other != folder:
            rule = "has the name of another folder but for the Unicode form of its accents (NFC or NFD)"
            raise FileError(folder, rule, "move its images into the other one")
    return folders

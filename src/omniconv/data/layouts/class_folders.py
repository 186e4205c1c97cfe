"""Layout of class folders: a folder of images for each class."""

from __future__ import annotations

from pathlib import Path

from omniconv.data.classes import CLASSES_FILE, check_same_classes
from omniconv.data.file_listing import find_images, visible_folders
from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample
from omniconv.errors import FileError

EXPECTED = "expected CLASS/NAME.jpg with a folder for each class in it, or in its train, val and test folders"


def scan_class_folders(root: Path, classes: tuple[str, ...]) -> DatasetFolder:
    """List the images in the class folders of ``root`` and their subfolders.

    The class names are the folders' names in natural order (``class2`` before ``class10``), or in the order of
    ``classes``.

    Returns:
        Samples whose target is the index of the class.

    Raises:
        FileError: there are fewer than 2 class folders, one is empty, or their names are not ``classes``.
    """
    names = tuple(folder.name for folder in visible_folders(root))
    if len(names) < 2:
        raise FileError(root, f"has {len(names)} class folders: there must be at least 2", EXPECTED)
    if classes:
        check_same_classes(root, tuple(sorted(names)), tuple(sorted(classes)), CLASSES_FILE)
    samples: list[Sample] = []
    files = sorted(path for path in root.iterdir() if path.is_file() and path.name != CLASSES_FILE)
    skipped = [(file, "is not in a class folder") for file in files]
    for index, name in enumerate(classes or names):
        images, others = find_images(root / name)
        if not images:
            raise FileError(root / name, "contains no images", "put images of this class in it or remove the folder")
        samples += [Sample(image, index) for image in images]
        skipped += others
    return DatasetFolder(root, tuple(samples), classes or names, tuple(skipped))

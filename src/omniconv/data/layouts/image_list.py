"""Lists of images to predict."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from omniconv.data.file_listing import Skipped, find_images
from omniconv.data.images import IMAGE_SUFFIXES
from omniconv.errors import FileError, InputError
from omniconv.files import as_path


def scan_images(paths: Sequence[str | Path]) -> list[tuple[Path, Path]]:
    """Return the images of ``scan_inputs`` without the files that are skipped.

    Example:
        >>> scan_images(["photos"])  # doctest: +SKIP
        [(PosixPath('photos/rome/1.jpg'), PosixPath('rome/1'))]
    """
    return scan_inputs(paths)[0]


def scan_inputs(paths: Sequence[str | Path]) -> tuple[list[tuple[Path, Path]], list[Skipped]]:
    """List images given by files and folders, each with the relative path of its output, see ``output_names``.

    An image that is given twice is listed once.

    Args:
        paths: image files (with any suffix) and folders (searched with their subfolders).

    Returns:
        Pairs (image, output path without suffix), in the order of ``paths``, and the files and folders that are
        skipped.

    Raises:
        InputError: ``paths`` is empty.
        FileError: a path does not exist, or a folder has no images.
    """
    if not paths:
        raise InputError("paths", list(paths), "must name an image or a folder", "give at least one path")
    depths: dict[Path, int] = {}
    skipped: list[Skipped] = []
    absolute: set[str] = set()
    for path in map(Path, paths):
        images, others = _list_input(path)
        skipped += others
        for image in images:
            if os.path.abspath(image) not in absolute:
                absolute.add(os.path.abspath(image))
                depths[image] = 1 if image == path else len(image.relative_to(path).parts)
    return list(output_names(depths).items()), skipped


def drop_masks(images: Sequence[tuple[Path, Path]], paths: Sequence[str | Path]) -> list[tuple[Path, Path]]:
    """Return the images without the masks of data sets: files in a folder ``masks`` that has ``images`` beside it.

    Args:
        images: result of ``scan_images``.
        paths: its argument; a mask, or a folder of masks, that is named itself is kept.
    """
    tops = [Path(path) for path in paths]

    def is_mask(file: Path, top: Path) -> bool:
        inner = [folder for folder in file.parents if folder != top and folder.is_relative_to(top)]
        return any(folder.name == "masks" and (folder.parent / "images").is_dir() for folder in inner)

    def is_kept(file: Path) -> bool:
        holding = [top for top in tops if file.is_relative_to(top)]
        return not holding or not all(is_mask(file, top) for top in holding)

    return [(file, stem) for file, stem in images if is_kept(file)]


def output_names(depths: Mapping[Path, int]) -> dict[Path, Path]:
    """Return for each file a relative path without suffix that no other file has.

    It consists of the last parts of the file's absolute path, of more parts where these are equal for several files.
    Files that differ only in their suffix keep it: ``a.jpg`` and ``a.png`` give ``a.jpg`` and ``a.png``, to which the
    writer adds its own suffix.

    Args:
        depths: number of parts at the end of each file's path to keep: 1 is the file name.

    Example:
        >>> list(output_names({Path("/a/x.jpg"): 1, Path("/a/x.png"): 1, Path("/a/b/y.png"): 2}).values())
        [PosixPath('x.jpg'), PosixPath('x.png'), PosixPath('b/y')]
    """
    return _drop_suffixes(_make_unique(dict(depths)))


def _list_input(path: Path) -> tuple[list[Path], list[Skipped]]:
    if not as_path(path).exists():
        rule = "is a link that leads nowhere" if path.is_symlink() else "does not exist"
        raise FileError(path, rule, "check the path for a typing error")
    if not path.is_dir():
        return [path], []
    images, skipped = find_images(path)
    if not images:
        file, reason = skipped[0] if skipped else (path, "")
        found = f" ({file.relative_to(path)} {reason})" if skipped else ""
        cure = f"put files in it with the suffix {', '.join(sorted(IMAGE_SUFFIXES))}"
        raise FileError(path, f"contains no images{found}", cure)
    return images, skipped


def _make_unique(depths: dict[Path, int]) -> dict[Path, Path]:
    while True:
        names = {path: _last_parts(path, depth) for path, depth in depths.items()}
        duplicates = _duplicates(names)
        if not duplicates:
            return names
        for path in duplicates:
            depths[path] += 1


def _drop_suffixes(names: dict[Path, Path]) -> dict[Path, Path]:
    stems = {path: name.with_suffix("") for path, name in names.items()}
    while duplicates := _duplicates(stems):  # a kept suffix may equal another stem: x.jpg and x.jpg.png
        stems |= {path: names[path] for path in duplicates}
    return stems


def _last_parts(path: Path, depth: int) -> Path:
    absolute = Path(os.path.abspath(path))
    drive = absolute.drive.strip(":\\/")
    parts = (drive, *absolute.parts[1:]) if drive else absolute.parts[1:]
    return Path(*parts[-depth:])


def _duplicates(names: dict[Path, Path]) -> list[Path]:
    counts = Counter(names.values())
    return [path for path, name in names.items() if counts[name] > 1]

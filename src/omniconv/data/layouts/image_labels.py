"""Layout of images with several labels each: ``labels.csv``, a line for each image."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from omniconv.data.classes import CLASSES_FILE
from omniconv.data.file_listing import find_images, normalized
from omniconv.data.images import IMAGE_SUFFIXES
from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample
from omniconv.errors import FileError
from omniconv.files import open_regular, read_text

LABELS_FILE = "labels.csv"
EXPECTED = (
    "expected labels.csv with the columns image,CLASS,CLASS,… of 0 and 1, or image,labels with a;b, "
    "in it or in its train, val and test folders"
)
IMAGE_COLUMN, LIST_COLUMN = "image", "labels"
MAX_TABLE_BYTES = 2**28
UNKNOWN = -1
"""Value of a label that is not known."""
_VALUES = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "": UNKNOWN, "nan": UNKNOWN}
"""Values of cells in small letters; pandas writes integers beside missing values with decimals."""
_CSV_CURE = "save it as CSV in UTF-8, with commas between the cells"


def scan_image_labels(root: Path, classes: tuple[str, ...]) -> DatasetFolder:
    """List the images that ``root/labels.csv`` names, with their labels.

    The column ``image`` has the path of the image, relative to ``root`` or to ``root/images``. Each other column is a
    class, of 0 and 1; an empty cell is an unknown label. Or the only other column, ``labels``, has the names of the
    classes with semicolons between them: all others are 0.

    The class names are ``classes``, of which some may have no column, so that they are unknown; without them those of
    the columns, or those in ``labels`` in alphabetical order.

    Returns:
        Samples whose target is a tuple with 0, 1 or ``UNKNOWN`` for each class.

    Raises:
        FileError: the table is missing or damaged, names an image twice or one that does not exist, has a class that is
            none of ``classes``, or a value other than 0 and 1.
    """
    path = root / LABELS_FILE
    if not path.exists():
        raise FileError(root, f"has no {LABELS_FILE}", EXPECTED)
    header, rows = _read_table(path)
    if header[1:] == [LIST_COLUMN]:
        names, targets = _read_lists(path, rows, classes)
    else:
        names, targets = _read_columns(path, header, rows, classes)
    available, skipped = find_images(root)
    by_name = {normalized(file.relative_to(root).as_posix()): file for file in available}
    samples: dict[str, Sample] = {}
    for line, row in rows.items():
        name = _find(path, line, row[0], by_name)
        if name in samples:
            raise FileError(path, f"names the image {row[0]!r} twice, also in line {line}", "keep one of the lines")
        samples[name] = Sample(by_name[name], targets[line])
    unlisted = [(file, f"is not in {LABELS_FILE}") for name, file in by_name.items() if name not in samples]
    others = [item for item in skipped if item[0].name not in (LABELS_FILE, CLASSES_FILE)]
    found = tuple(sorted(samples.values(), key=lambda sample: sample.image))
    return DatasetFolder(root, found, names, (*others, *unlisted))


def has_image_labels(root: Path) -> bool:
    """Return True if a folder has a ``labels.csv`` whose first column is ``image``; reads its beginning only."""
    try:
        with open_regular(root / LABELS_FILE) as file:
            start = file.read(64).decode("utf-8-sig", errors="replace")
    except FileError:
        return False
    return start.split(",")[0].strip().strip('"').lower() == IMAGE_COLUMN


def _read_table(path: Path) -> tuple[list[str], dict[int, list[str]]]:
    """Return the header, and the rows by their line in the file, without blank ones."""
    text = read_text(path, MAX_TABLE_BYTES)
    reader = csv.reader(io.StringIO(text), strict=True)
    table: dict[int, list[str]] = {}
    try:
        for row in reader:
            if any(row):
                table[reader.line_num] = [normalized(cell.strip()) for cell in row]
    except csv.Error as error:
        raise FileError(path, f"is no CSV table ({error} in line {reader.line_num})", _CSV_CURE) from error
    header = table.pop(next(iter(table))) if table else []
    if len(header) < 2 or header[0].lower() != IMAGE_COLUMN:
        semicolons = len(header) == 1 and ";" in header[0]
        rule = "has semicolons between its cells" if semicolons else "does not begin with the column image and a class"
        raise FileError(path, rule, _CSV_CURE if semicolons else EXPECTED)
    for name in header:
        if not name or header.count(name) > 1:
            what = f"has the column {name!r} twice" if name else "has a column without a name"
            raise FileError(path, what, "give every column another name")
    for line, row in table.items():
        if len(row) != len(header):
            raise FileError(path, f"has {len(row)} cells in line {line}, and {len(header)} columns", _CSV_CURE)
    if not table:
        raise FileError(path, "names no images", EXPECTED)
    return header, table


def _read_columns(
    path: Path, header: Sequence[str], rows: Mapping[int, Sequence[str]], classes: tuple[str, ...]
) -> tuple[tuple[str, ...], dict[int, tuple[int, ...]]]:
    """Return the classes, and the labels of each line, of a table with a column for each class."""
    names = classes or tuple(header[1:])
    _check_known(path, header[1:], names, "column")
    column = {name: header.index(name) for name in names if name in header[1:]}
    targets = {}
    for line, row in rows.items():
        for name, cell in zip(header[1:], row[1:], strict=True):
            if cell.lower() not in _VALUES:
                rule = f"has the value {cell!r} for {name!r} in line {line}: a label is 0, 1 or, if unknown, empty"
                is_list = f", or call the column {LIST_COLUMN} if it lists classes" if len(header) == 2 else ""
                raise FileError(path, rule, f"write 0 or 1{is_list}")
        targets[line] = tuple(_VALUES[row[column[name]].lower()] if name in column else UNKNOWN for name in names)
    return names, targets


def _read_lists(
    path: Path, rows: Mapping[int, Sequence[str]], classes: tuple[str, ...]
) -> tuple[tuple[str, ...], dict[int, tuple[int, ...]]]:
    """Return the classes, and the labels of each line, of a table with a list of classes for each image."""
    listed = {line: {name for name in map(str.strip, row[1].split(";")) if name} for line, row in rows.items()}
    named = sorted({name for present in listed.values() for name in present})
    names = classes or tuple(named)
    if not names:
        raise FileError(path, "names no class for any image", EXPECTED)
    _check_known(path, named, names, "label")
    return names, {line: tuple(int(name in present) for name in names) for line, present in listed.items()}


def _check_known(path: Path, found: Sequence[str], classes: tuple[str, ...], what: str) -> None:
    unknown = [name for name in found if name not in classes]
    if unknown:
        rule = f"has the {what} {unknown[0]!r}, which is none of the classes {', '.join(classes)}"
        raise FileError(path, rule, f"rename or remove the {what}, or add the class to {CLASSES_FILE}")


def _find(path: Path, line: int, cell: str, files: Mapping[str, Path]) -> str:
    """Return the key of the image that a cell names."""
    for name in _candidates(cell):
        if name in files:
            return name
    if not cell or PurePosixPath(cell).is_absolute() or ".." in PurePosixPath(cell).parts:
        rule, cure = f"has {cell!r} as an image in line {line}", "write its path in this folder"
    else:
        rule = f"names {cell!r} in line {line}, and there is no such image in {path.parent}"
        suffix = PurePosixPath(cell).suffix.lower()
        cure = "put it there, or take the line out"
        if suffix not in IMAGE_SUFFIXES:
            cure = f"write its name with the suffix, one of {', '.join(sorted(IMAGE_SUFFIXES))}"
    raise FileError(path, rule, cure)


def _candidates(cell: str) -> Iterator[str]:
    name = PurePosixPath(cell.replace("\\", "/")).as_posix()
    yield name
    yield f"images/{name}"

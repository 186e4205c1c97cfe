"""Class names: read from classes.txt, or numbered."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from omniconv.data.file_listing import normalized
from omniconv.errors import FileError, InputError
from omniconv.files import read_text

CLASSES_FILE = "classes.txt"


def read_class_names(root: str | Path) -> tuple[str, ...] | None:
    """Read ``root/classes.txt``: one name per line, in the order of the class indices; blank lines are ignored.

    Names are returned in Unicode's form NFC.

    Returns:
        The names, or None if there is no such file.

    Raises:
        FileError: the file is not UTF-8 text, names a class twice, or names none.

    Example:
        >>> read_class_names("data")  # doctest: +SKIP
        ('sea', 'land', 'ice')
    """
    path = Path(root, CLASSES_FILE)
    return read_names(path) if os.path.lexists(path) else None


def parse_class_names(text: str) -> tuple[str, ...]:
    """Return class names from ``a,b,c``, or from a text file of names as ``read_class_names`` reads it.

    Raises:
        InputError: a name is empty or given twice.
        FileError: as ``read_class_names``.

    Example:
        >>> parse_class_names("sea, land")
        ('sea', 'land')
    """
    if text.endswith(".txt"):
        return read_names(Path(text))
    names = tuple(normalized(name.strip()) for name in text.split(","))
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if not all(names) or repeated:
        rule = f"names the class {repeated[0]!r} twice" if repeated else "has an empty name"
        raise InputError("classes", text, rule, "write the names with commas between them, or a file classes.txt")
    return names


def read_names(path: Path) -> tuple[str, ...]:
    """Read a text file of class names; see ``read_class_names``."""
    names = tuple(normalized(line.strip()) for line in read_text(path).split("\n") if line.strip())
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise FileError(path, f"names the class {repeated[0]!r} twice", "give every class another name")
    if not names:
        raise FileError(path, "names no classes", "write one name per line")
    return names


def numbered_class_names(count: int) -> tuple[str, ...]:
    """Return names for classes that have none: ``class 0``, ``class 1``, …"""
    return tuple(f"class {index}" for index in range(count))


def check_same_classes(path: Path, names: tuple[str, ...], expected: tuple[str, ...], source: str) -> None:
    """Check that two sources name the same classes in the same order.

    Raises:
        FileError: they differ; the message names the first missing or extra class.
    """
    names, expected = (tuple(map(normalized, each)) for each in (names, expected))
    if names == expected:
        return
    missing = [name for name in expected if name not in names]
    extra = [name for name in names if name not in expected]
    same = {name.casefold(): name for name in extra}.get(missing[0].casefold()) if missing else None
    if same:
        rule = f"has the class {same!r}, which {source} writes {missing[0]!r}"
    elif missing:
        rule = f"lacks the class {missing[0]!r} of {source}"
    elif extra:
        rule = f"has the class {extra[0]!r}, unknown to {source}"
    else:
        rule = f"has the classes in another order than {source}"
    raise FileError(path, rule, "make the classes the same in both")


def match_classes(path: Path, names: tuple[str, ...], known: tuple[str, ...], owner: str) -> tuple[int, ...] | None:
    """Return the index of each class of a data set among known ones, matched by name.

    Args:
        path: the folder of the data set, for the error message.
        names: names of its classes, ``()`` if it does not name them: then its indices are those of ``known``.
        known: the known classes, of which the data set may lack some.
        owner: owner of the known classes, for the error message.

    Returns:
        The indices; ``None`` if they need no conversion.

    Raises:
        FileError: classes of the data set are unknown; the message names them.

    Example:
        >>> match_classes(Path("test"), ("dog", "cat"), ("cat", "dog", "emu"), "the network")
        (1, 0)
    """
    names, known = (tuple(map(normalized, each)) for each in (names, known))
    unknown = [name for name in names if name not in known]
    if unknown:
        classes = f"class{'es' * (len(unknown) > 1)}"
        rule = f"has the {classes} {', '.join(unknown)}, unknown to {owner} ({', '.join(known)})"
        raise FileError(path, rule, "rename or remove them, in classes.txt or labels.csv or as folders")
    indices = tuple(known.index(name) for name in names)
    return None if indices == tuple(range(len(indices))) else indices

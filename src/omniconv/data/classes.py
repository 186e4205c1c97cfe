"""Class names: read from classes.txt, or numbered."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from omniconv.errors import FileError
from omniconv.files import read_text

CLASSES_FILE = "classes.txt"


def read_class_names(root: str | Path) -> tuple[str, ...] | None:
    """Read ``root/classes.txt``: one name per line, in the order of the class indices; blank lines are ignored.

    Returns:
        The names, or None if there is no such file.

    Raises:
        FileError: the file is not UTF-8 text, names a class twice, or names fewer than 2 classes.

    Example:
        >>> read_class_names("data")  # doctest: +SKIP
        ('sea', 'land', 'ice')
    """
    path = Path(root, CLASSES_FILE)
    if not path.exists():
        return None
    names = tuple(line.strip() for line in read_text(path).splitlines() if line.strip())
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise FileError(path, f"names the class {repeated[0]!r} twice", "give every class another name")
    if len(names) < 2:
        raise FileError(path, f"has {len(names)} names: there must be at least 2 classes", "write one name per line")
    return names


def numbered_class_names(count: int) -> tuple[str, ...]:
    """Return names for classes that have none: ``class 0``, ``class 1``, …"""
    return tuple(f"class {index}" for index in range(count))


def check_same_classes(path: Path, names: tuple[str, ...], expected: tuple[str, ...], source: str) -> None:
    """Check that two sources name the same classes in the same order.

    Raises:
        FileError: they differ; the message names the first missing or extra class.
    """
    if names == expected:
        return
    missing = [name for name in expected if name not in names]
    extra = [name for name in names if name not in expected]
    if missing:
        rule = f"lacks the class {missing[0]!r} of {source}"
    elif extra:
        rule = f"has the class {extra[0]!r}, unknown to {source}"
    else:
        rule = f"has the classes in another order than {source}"
    raise FileError(path, rule, "make the classes the same in both")

"""Class names: read from classes.txt, or numbered."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from omniconv.errors import FileError

CLASSES_FILE = "classes.txt"


def read_class_names(root: str | Path) -> tuple[str, ...] | None:
    """Read ``root/classes.txt``: one name per line, in the order of the class indices.

    Blank lines and a byte-order mark are ignored.

    Returns:
        The names, or None if there is no such file.

    Raises:
        FileError: the file is not UTF-8 text, names a class twice, or names fewer than 2.

    Example:
        >>> read_class_names("data")  # doctest: +SKIP
        ('sea', 'land', 'ice')
    """
    path = Path(root, CLASSES_FILE)
    if not path.exists():
        return None
    names = tuple(line.strip() for line in _read_text(path).splitlines() if line.strip())
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise FileError(path, f"names the class {repeated[0]!r} twice", "give every class a name of its own")
    if len(names) < 2:
        raise FileError(path, f"has {len(names)} names: there must be at least 2 classes", "write one name a line")
    return names


def numbered_class_names(count: int) -> tuple[str, ...]:
    """Return names for classes that have none: ``class 0``, ``class 1``, …"""
    return tuple(f"class {index}" for index in range(count))


def check_same_classes(path: Path, names: tuple[str, ...], expected: tuple[str, ...], source: str) -> None:
    """Check that two sources name the same classes in the same order.

    Raises:
        FileError: they differ; the text names the first class that one of them lacks, or the order.
    """
    if names == expected:
        return
    missing = [name for name in expected if name not in names]
    extra = [name for name in names if name not in expected]
    if missing:
        rule = f"lacks the class {missing[0]!r} of {source}"
    else:
        rule = (
            f"has the class {extra[0]!r}, unknown to {source}"
            if extra
            else f"has the classes in another order than {source}"
        )
    raise FileError(path, rule, "make the classes the same in both")


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(path, "is not UTF-8 text", "save it as UTF-8") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FileError(path, f"cannot be read ({reason})", "check the file's permissions") from error

"""Names for outputs that mirror their inputs and never overwrite one another."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path


def name_outputs(depths: Mapping[Path, int]) -> dict[Path, Path]:
    """Give every file a relative path without suffix that no other file has.

    A name is the end of the file's absolute path. Equal ends grow by their parents' names until they differ;
    files that differ in the suffix alone keep it.

    Args:
        depths: for each file, how many parts at the end of its path to keep: 1 is the bare name.

    Example:
        >>> list(name_outputs({Path("/a/x.jpg"): 1, Path("/a/x.png"): 1, Path("/a/b/y.png"): 2}).values())
        [PosixPath('x.jpg'), PosixPath('x.png'), PosixPath('b/y')]
    """
    return _drop_suffixes(_make_unique(dict(depths)))


def _make_unique(depths: dict[Path, int]) -> dict[Path, Path]:
    while True:
        names = {path: _end(path, depth) for path, depth in depths.items()}
        equal = _repeated(names)
        if not equal:
            return names
        for path in equal:
            depths[path] += 1


def _drop_suffixes(names: dict[Path, Path]) -> dict[Path, Path]:
    stems = {path: name.with_suffix("") for path, name in names.items()}
    while equal := _repeated(stems):  # a suffix that was kept may meet another stem: x.jpg beside x.jpg.png
        stems |= {path: names[path] for path in equal}
    return stems


def _end(path: Path, depth: int) -> Path:
    whole = Path(os.path.abspath(path))
    drive = whole.drive.strip(":\\/")
    parts = (drive, *whole.parts[1:]) if drive else whole.parts[1:]
    return Path(*parts[-depth:])


def _repeated(names: dict[Path, Path]) -> list[Path]:
    times = Counter(names.values())
    return [path for path, name in names.items() if times[name] > 1]

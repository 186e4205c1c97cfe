"""An explanation as a file: a GIF or a page, by the ending of its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from omniconv.errors import FileError, InputError
from omniconv.explain.animation import gif_bytes
from omniconv.explain.story import Story
from omniconv.explain.web import html_text
from omniconv.explain.words import parse_float
from omniconv.files import atomic_write

KINDS: dict[str, Callable[[Story, float], bytes]] = {
    ".gif": gif_bytes,
    ".html": lambda story, seconds: html_text(story, seconds).encode(),
}


def parse_seconds(text: str) -> float:
    """How long a step stands.

    Raises:
        InputError: no number from 0.05 to 60.
    """
    rule = "must be a number from 0.05 to 60"
    return parse_float("seconds", text, lambda number: 0.05 <= number <= 60, rule, "write --seconds 1")


def check_out(out: Path, overwrite: bool) -> None:
    """Check, before anything is drawn, that the file has a known ending and a folder, and replaces nothing unasked.

    Raises:
        InputError: another ending.
        FileError: no such folder, a folder of that name, or a file that is not to be replaced.
    """
    if out.suffix.lower() not in KINDS:
        raise InputError("out", str(out), "must end in .gif or .html", "write --out explain.gif or --out explain.html")
    try:
        if not out.parent.is_dir():
            raise FileError(out.parent, "is no folder", "make it, or choose another place with --out")
        if out.is_dir():
            raise FileError(out, "is a folder", "choose another name with --out")
        if out.exists() and not overwrite:
            raise FileError(out, "is there already", "add --overwrite, or choose another name with --out")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FileError(out, f"cannot be written ({reason})", "choose another name with --out") from error


def write_story(story: Story, out: Path, seconds: float) -> None:
    """Draw a story and write it; the file is whole or not there.

    Raises:
        InputError: the story is too large to be drawn.
        FileError: the file cannot be written.
    """
    content = KINDS[out.suffix.lower()](story, seconds)
    with atomic_write(out) as file:
        file.write(content)

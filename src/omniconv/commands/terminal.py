"""Terminal output of the commands: lines, tables, a progress bar.

Names of files and classes are escaped here, by ``errors.printable``, whatever the text that holds them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from omniconv.errors import InputError, printable
from omniconv.progress import Count, sign_of_life


class PathType(click.Path):
    """Path that is not empty: an empty one, as of a shell variable that is not set, would be the working folder."""

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        """Return the path."""
        if value == "" and param is not None:
            name = max(param.opts, key=len) if isinstance(param, click.Option) else param.human_readable_name
            raise InputError(name, value, "must not be empty", "give a path, or . for the working folder")
        return super().convert(value, param, context)


PATH = PathType(path_type=Path)


def log(text: object) -> None:
    """Print a line; a newline in it is escaped, since it belongs to a name."""
    click.echo(printable(text))


def log_facts(facts: Mapping[str, str]) -> None:
    """Print texts with their headings, one a line."""
    for heading, text in facts.items():
        log(f"{heading}: {text}")


def is_terminal() -> bool:
    """Return True if the standard output is a terminal; it is None in a program without a console."""
    return sys.stdout is not None and sys.stdout.isatty()


@contextmanager
def progress_bar(length: int, label: str) -> Iterator[Callable[[], None]]:
    """Show a progress bar, or lines if standard error is not a terminal; yield the function that advances by one."""
    if sys.stderr is not None and sys.stderr.isatty():
        with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
            yield lambda: bar.update(1)
    else:
        count = Count(label, length)
        with sign_of_life(partial(click.echo, err=True), count.describe):
            yield count.step


@contextmanager
def counting_bar(length: int, label: str) -> Iterator[Callable[[int], None]]:
    """Show progress as ``progress_bar`` does; yield a function of the number of steps that are done."""
    reached = 0
    with progress_bar(length, label) as step:

        def advance(done: int) -> None:
            nonlocal reached
            for _ in range(reached, done):
                step()
            reached = max(reached, done)

        yield advance


def print_table(
    header: list[str], rows: Sequence[Sequence[str | float | None]], title: str, measures_in_rows: bool = False
) -> None:
    """Print a table; all columns but the first are right-aligned. Without rows nothing is printed.

    Args:
        header: names of the columns.
        rows: cells; numbers have four decimals, those of a column with one of 10 or more four digits.
        title: line above the table.
        measures_in_rows: each row is a measure, whose numbers have one number of digits, by their size.
    """
    if not rows:
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from omniconv.report.tables import column_texts

    shown = Table(title=Text(printable(title)) if title else None, title_justify="left")
    for index, name in enumerate(header):
        shown.add_column(Text(printable(name)), justify="left" if index == 0 else "right", overflow="fold")
    columns = (column_texts(part) if _is_large(part) else list(map(_cell, part)) for part in zip(*rows, strict=True))
    for row, cells in zip(rows, zip(*columns, strict=True), strict=True):
        texts = column_texts(row) if measures_in_rows else cells
        shown.add_row(*(Text(printable(text)) for text in texts))  # in a Text, [red] is not markup
    Console(width=None if is_terminal() else 120).print(shown)


def _is_large(column: Sequence[str | float | None]) -> bool:
    return any(isinstance(value, float) and math.isfinite(value) and abs(value) >= 10 for value in column)


def _cell(value: str | float | None) -> str:
    if value is None or value != value:  # NaN: not measured
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else printable(value)

"""Terminal output of the commands: lines, tables, a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

PATH = click.Path(path_type=Path)


def log(text: str) -> None:
    """Print a line."""
    click.echo(text)


def is_terminal() -> bool:
    """Return True if the standard output is a terminal; it is None in a program without a console."""
    return sys.stdout is not None and sys.stdout.isatty()


@contextmanager
def progress_bar(length: int, label: str) -> Iterator[Callable[[], None]]:
    """Show a progress bar if the standard error is a terminal; yield the function that advances it by one."""
    with click.progressbar(length=length, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        yield lambda: bar.update(1)


def print_table(header: list[str], rows: Sequence[Sequence[str | float | None]], title: str) -> None:
    """Print a table; all columns but the first are right-aligned."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=title or None, title_justify="left")
    for index, name in enumerate(header):
        shown.add_column(name, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        shown.add_row(*map(_cell, row))
    Console(width=None if is_terminal() else 120).print(shown)


def _cell(value: str | float | None) -> str:
    from rich.markup import escape

    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else escape(value)

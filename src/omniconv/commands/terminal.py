"""What every command says on the terminal: lines, tables, a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

PATH = click.Path(path_type=Path)


def log(text: str) -> None:
    """A line to the user."""
    click.echo(text)


def is_terminal() -> bool:
    """Whether somebody sees the output as it comes."""
    return sys.stdout is not None and sys.stdout.isatty()


@contextmanager
def progress_bar(length: int, label: str) -> Iterator[Callable[[], None]]:
    """A progress bar on a screen, nothing elsewhere; gives the function that moves it."""
    with click.progressbar(length=length, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()) as shown:
        yield lambda: shown.update(1)


def print_table(header: list[str], rows: Sequence[Sequence[str | float | None]], title: str) -> None:
    """Show a table; numbers stand to the right."""
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

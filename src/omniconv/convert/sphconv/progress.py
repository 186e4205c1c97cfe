"""A bar that says how much is done and how long the rest will take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def shown(work: int, is_shown: bool) -> Iterator[Callable[[], None]]:
    """A function to call after each piece of ``work``; the bar stands on the error stream.

    Example:
        >>> with shown(2, is_shown=False) as tick:
        ...     tick()
    """
    columns = TextColumn("SphConv"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), disable=not is_shown) as progress:
        task = progress.add_task("", total=work)
        yield lambda: progress.advance(task)

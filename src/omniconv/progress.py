"""Lines of progress for output that is not a terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS = 8.0
"""Longest time without a line."""


@contextmanager
def sign_of_life(
    log: Callable[[str], None], describe: Callable[[], str], seconds: float = SECONDS
) -> Iterator[Callable[[str], None]]:
    """Log a line of progress whenever no other line was logged for a while, from a thread.

    Args:
        log: shows a line to the user.
        describe: returns the line of progress.
        seconds: longest time without a line.

    Yields:
        A function that logs other lines.
    """
    ended, last = threading.Event(), time.monotonic()

    def log_line(text: str) -> None:
        nonlocal last
        last = time.monotonic()
        log(text)

    def watch() -> None:
        while not ended.wait(max(0.0, last + seconds - time.monotonic())):
            if time.monotonic() >= last + seconds:
                try:
                    log_line(describe())
                except (OSError, ValueError):  # the output was closed
                    return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield log_line
    finally:
        ended.set()
        thread.join()


class Count:
    """Number of steps done, as a line of progress.

    Args:
        label: the work.
        total: number of steps.

    Example:
        >>> count = Count("evaluation", 3)
        >>> count.step()
        >>> count.describe()
        'evaluation: 1/3'
    """

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total, self.done = label, total, 0

    def step(self) -> None:
        """Count one step."""
        self.done += 1

    def describe(self) -> str:
        """Return the line."""
        return f"{self.label}: {self.done}/{self.total}"

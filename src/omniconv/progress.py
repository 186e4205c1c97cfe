"""Lines of progress for output that is not a terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS = 8.0
"""Longest time without a line."""
LEAST_REMAINING = 10.0
"""Shortest remaining time in seconds that is told."""


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
        self.start = time.monotonic()

    def step(self) -> None:
        """Count one step."""
        self.done += 1

    def describe(self) -> str:
        """Return the line."""
        remaining = remaining_text(time.monotonic() - self.start, self.done, self.total)
        return f"{self.label}: {self.done}/{self.total}" + (f", {remaining}" if remaining else "")


def remaining_text(seconds: float, done: float, total: float) -> str:
    """Return the time that work still takes as text, if the rest is as fast as what is done.

    Args:
        seconds: time since the start.
        done: work done in this time.
        total: all the work.

    Returns:
        Empty if nothing is done yet, or less than ``LEAST_REMAINING`` seconds remain.

    Example:
        >>> remaining_text(60, 1, 4), remaining_text(600, 1, 12), remaining_text(5, 0, 4)
        ('about 3 min left', 'about 1 h 50 min left', '')
    """
    left = seconds / done * (total - done) if done > 0 else 0.0
    if left < LEAST_REMAINING:
        return ""
    if left < 90:
        return f"about {round(left, -1):.0f} s left"
    hours, minutes = divmod(round(left / 60), 60)
    return f"about {hours} h {minutes} min left" if hours else f"about {minutes} min left"

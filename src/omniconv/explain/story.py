"""What an explanation shows, before anybody draws it: boards of cells, steps that mark and fill them, and facts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

Spot = tuple[int, int, int]
"""Board, row and column of a cell."""


class Kind(StrEnum):
    """What a cell is."""

    SAMPLE = "sample"
    COPY = "copy"
    CONSTANT = "constant"
    BEYOND = "beyond"
    WEIGHT = "weight"
    RESULT = "result"
    UNSEEN = "unseen"


class Role(StrEnum):
    """What a step does with a cell, from the lowest drawn to the highest."""

    SOURCE = "source"
    TAP = "tap"
    WINNER = "winner"
    PIVOT = "pivot"


@dataclass(frozen=True)
class Cell:
    """A square of a board.

    Args:
        kind: what it is.
        text: the number in it.
        source: flat index of the sample whose colour it has.
        hint: what a pointer over it is told.
    """

    kind: Kind
    text: str = ""
    source: int | None = None
    hint: str = ""


@dataclass(frozen=True)
class Board:
    """A row or grid of cells.

    Args:
        title: stands above it.
        cells: row by row.
        first: row and column of the first cell; negative where padding comes first.
        core: rows and columns of the grid itself, which is framed.
        start: cells from the left end of the picture to the first one; rows only.
        pitch: cells from one to the next; rows only.
        numbered: whether rows and columns carry their numbers.
        links_below: whether arcs are drawn beneath it.
    """

    title: str
    cells: tuple[tuple[Cell, ...], ...]
    first: tuple[int, int] = (0, 0)
    core: tuple[int, int] = (0, 0)
    start: float = 0
    pitch: int = 1
    numbered: bool = True
    links_below: bool = False


@dataclass(frozen=True)
class Mark:
    """A cell that a step points at; a note stands in its corner, a text in place of its own."""

    spot: Spot
    role: Role
    note: str = ""
    text: str = ""


@dataclass(frozen=True)
class Fill:
    """A number that a step writes into a cell, and that stays there; perhaps in the colour of a sample, with a note."""

    spot: Spot
    text: str
    source: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Step:
    """One picture of the animation.

    Args:
        title: which window.
        lines: its arithmetic.
        marks: cells that it points at.
        fills: numbers that it writes.
        window: cells of the window; a beam joins them with ``pivot``.
        pivot: the one cell that it makes or spreads.
        links: pairs of cells, from where a number is to where it is seen or goes.
    """

    title: str
    lines: tuple[str, ...]
    marks: tuple[Mark, ...] = ()
    fills: tuple[Fill, ...] = ()
    window: tuple[Spot, ...] = ()
    pivot: Spot | None = None
    links: tuple[tuple[Spot, Spot], ...] = ()


@dataclass(frozen=True)
class Story:
    """A whole explanation.

    Args:
        title: what is explained.
        subtitle: with which arguments.
        sizes: of the grid whose samples have colours.
        boards: as they stand side by side, rows beneath each other.
        steps: one picture each.
        facts: names and texts of the arithmetic that holds for all steps.
        legend: classes of cells and roles that appear, with their names.
    """

    title: str
    subtitle: str
    sizes: tuple[int, ...]
    boards: tuple[Board, ...]
    steps: tuple[Step, ...]
    facts: tuple[tuple[str, str], ...]
    legend: tuple[tuple[str, str], ...] = field(default=())

    @property
    def is_row(self) -> bool:
        """Whether there is one axis."""
        return len(self.sizes) == 1

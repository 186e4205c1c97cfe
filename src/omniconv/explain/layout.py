"""Where boards, cells, beams and arcs stand; the same for the animation and the page."""

from __future__ import annotations

from dataclasses import dataclass

from omniconv.errors import InputError
from omniconv.explain.story import Board, Cell, Kind, Spot, Step, Story

WIDTH = 852.0  # pixels for the boards; with its margins a picture is 900 wide
LARGEST, SMALLEST = 46.0, 18.0  # pixels of a cell
GAP = 44.0  # between boards side by side
TITLE = 24.0  # height of a board's title on grids
NAMES = 116.0  # width of the names of rows, at their left
RULER = 20.0  # for the numbers of rows and columns
ARC = 34.0  # height of the arcs over a row
BEAM = 30.0  # between rows that a beam joins

Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Placed:
    """A board with its place: left and top of its first cell, the size of a cell, and whether it is a row."""

    board: Board
    left: float
    top: float
    cell: float
    is_row: bool

    def box(self, row: int, column: int) -> Box:
        """Left, top, right and bottom of a cell."""
        left = self.left + (self.board.start + column * self.board.pitch) * self.cell
        top = self.top + row * self.cell
        return left, top, left + self.cell, top + self.cell

    @property
    def frame(self) -> Box | None:
        """Around the grid itself, without its padding."""
        (row, column), (rows, columns) = self.board.first, self.board.core
        if not rows or self.board.pitch > 1:
            return None
        left, top, *_ = self.box(-row, -column)
        return left, top, left + columns * self.cell, top + rows * self.cell

    @property
    def extent(self) -> Box:
        """Around all cells."""
        rows, columns = len(self.board.cells), len(self.board.cells[0])
        left, top, *_ = self.box(0, 0)
        *_, right, bottom = self.box(rows - 1, columns - 1)
        return left, top, right, bottom


@dataclass(frozen=True)
class Layout:
    """All boards in their places, and the size of the whole."""

    boards: tuple[Placed, ...]
    width: float
    height: float
    is_row: bool

    def box(self, spot: Spot) -> Box:
        """Left, top, right and bottom of a cell."""
        return self.boards[spot[0]].box(spot[1], spot[2])

    def cell(self, spot: Spot) -> Cell:
        """The cell itself."""
        return self.boards[spot[0]].board.cells[spot[1]][spot[2]]

    def beam(self, step: Step) -> tuple[Point, ...]:
        """The four corners of what joins a window with the cell that it makes or spreads; none where there is none."""
        if step.pivot is None or not step.window:
            return ()
        window, pivot = around([self.box(spot) for spot in step.window]), self.box(step.pivot)
        return _across(window, pivot, int(self.is_row))

    def arcs(self, step: Step) -> list[tuple[Point, Point, Point]]:
        """On a row, for each link its start, the point that it bends to, and its end."""
        return [self._arc(*link) for link in step.links] if self.is_row else []

    def _arc(self, start: Spot, end: Spot) -> tuple[Point, Point, Point]:
        below = self.boards[start[0]].board.links_below
        boxes = self.box(start), self.box(end)
        away, edge = (1, boxes[0][3] + RULER - 2) if below else (-1, boxes[0][1] - 2)
        x1, x2 = ((box[0] + box[2]) / 2 for box in boxes)
        rise = 2 * min(ARC - 6, 8 + 0.12 * abs(x2 - x1)) - 4
        return (x1, edge), ((x1 + x2) / 2, edge + away * rise), (x2, edge)


def around(boxes: list[Box]) -> Box:
    """The smallest box around others."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def place(story: Story) -> Layout:
    """Rows beneath each other, grids side by side, as large as the width allows.

    Raises:
        InputError: the cells would be too small to be read.
    """
    return _place_rows(story) if story.is_row else _place_grids(story)


def _place_rows(story: Story) -> Layout:
    cells = max(_cells_across(board) for board in story.boards)
    cell = _cell(WIDTH - NAMES, cells, story)
    linked = {start[0] for step in story.steps for start, _ in step.links}
    placed, top = [], 0.0
    for index, board in enumerate(story.boards):
        arc = ARC if index in linked else 0.0
        top += _between(story.boards[index - 1], board) if index else 0.0
        top += arc * (not board.links_below)
        placed.append(Placed(board, NAMES, top, cell, True))
        top += cell + RULER * board.numbered + arc * board.links_below
    return Layout(tuple(placed), NAMES + cells * cell, top, True)


def _between(upper: Board, lower: Board) -> float:
    """Room for a beam, unless a kernel lies under or over the very samples that it meets."""
    tracks = [board.cells[0][0].kind == Kind.UNSEEN for board in (upper, lower)]
    samples = [any(cell.kind == Kind.SAMPLE for cell in board.cells[0]) for board in (upper, lower)]
    return 4.0 if any(tracks) and any(samples) else BEAM


def _place_grids(story: Story) -> Layout:
    across = sum(len(board.cells[0]) for board in story.boards)
    rows = max(len(board.cells) for board in story.boards)
    rulers = RULER * sum(board.numbered for board in story.boards)
    cell = min(_cell(WIDTH - GAP * (len(story.boards) - 1) - rulers, across, story), 460 / rows)
    if cell < SMALLEST:
        raise _too_large(story, f"{rows} cells high")
    left, placed = 0.0, []
    for board in story.boards:
        left += RULER * board.numbered
        top = TITLE + RULER + (rows - len(board.cells)) * cell / 2
        placed.append(Placed(board, left, top, cell, False))
        left += max(len(board.cells[0]) * cell, 7.2 * len(board.title)) + GAP
    return Layout(tuple(placed), left - GAP, TITLE + RULER + rows * cell, False)


def _cells_across(board: Board) -> float:
    return board.start + (len(board.cells[0]) - 1) * board.pitch + 1


def _cell(width: float, cells: float, story: Story) -> float:
    if width / cells < SMALLEST:
        raise _too_large(story, f"{cells:g} cells wide")
    return min(LARGEST, float(int(width / cells)))


def _too_large(story: Story, how: str) -> InputError:
    size = "x".join(map(str, story.sizes))
    return InputError(
        "input", size, f"is too large to be drawn: {how}", "explain a smaller one, such as --input 7 or 8x8"
    )


def _across(one: Box, other: Box, axis: int) -> tuple[Point, ...]:
    """Corners of the strip between two boxes, along an axis (0 side by side, 1 beneath each other)."""
    first, second = (one, other) if one[axis] < other[axis] else (other, one)
    near, far = first[axis + 2], second[axis]
    side = 1 - axis
    corners = [(near, first[side]), (near, first[side + 2]), (far, second[side + 2]), (far, second[side])]
    return tuple(corners if axis == 0 else [(x, y) for y, x in corners])

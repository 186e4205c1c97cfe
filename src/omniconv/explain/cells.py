"""Cells, boards, marks and beams drawn with a brush."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from omniconv.explain.brush import Brush
from omniconv.explain.colours import INK, LINE, PIVOT, QUIET, SHADE, TAP, sample_colours
from omniconv.explain.figures import number_text
from omniconv.explain.layout import RULER, SMALLEST, Box, Layout, Placed, Point
from omniconv.explain.story import Cell, Fill, Kind, Mark, Role, Step

WHITE, WARM = "#ffffff", "#fdeee3"
NOTED = 27.0  # pixels of a cell that has room for a note in its corner
VEIL = "#d55e0016"
HATCH = 5.0
PLAIN = (Kind.SAMPLE, Kind.RESULT, Kind.WEIGHT)


def text_size(text: str, cell: float) -> float:
    """The size of a text that a cell can hold: half of a small one, less of a large one."""
    share = 0.5 - 0.0043 * (cell - SMALLEST)
    return round(max(5.5, min(share * cell, (cell - 4) / (0.66 * max(len(text), 1)))), 1)


def line_share(cell: float) -> float:
    """How much of their width lines keep around a small cell."""
    return max(0.55, min(1.0, cell / 40))


def draw_board(brush: Brush, placed: Placed, colours: Sequence[str]) -> None:
    """A board before the first step: title, numbers of rows and columns, cells, and the frame of the grid."""
    _draw_title(brush, placed)
    for row, cells in enumerate(placed.board.cells):
        for column, cell in enumerate(cells):
            draw_cell(brush, placed.box(row, column), cell, colours)
    if placed.board.numbered:
        _draw_numbers(brush, placed)
    draw_frame(brush, placed)


def draw_legend(brush: Brush, kind: str, name: str) -> None:
    """A small cell as it is drawn, and what it means."""
    box, sample = (0.0, 0.0, 18.0, 18.0), "#f8bcd9"
    if kind in list(Role):
        draw_cell(brush, box, Cell(Kind.SAMPLE, "", 0), [sample if kind != Role.PIVOT else WHITE])
        _outline(brush, box, Role(kind), 0.7)
    else:
        draw_cell(brush, box, Cell(Kind(kind), "", 0 if kind == Kind.COPY else None), [sample])
    brush.text((26, 9), name, 12, QUIET, "lm")


def _draw_title(brush: Brush, placed: Placed) -> None:
    """Above a grid, at the left end of a row."""
    left, top, _, bottom = placed.extent
    if placed.is_row:
        name, _, rest = placed.board.title.partition(", ")
        lines = [name, rest] if rest else [name]
        for number, line in enumerate(lines):
            y = (top + bottom) / 2 + 16 * (number - (len(lines) - 1) / 2)
            brush.text((0, y), line, 12.5, INK if number == 0 else QUIET, "lm")
    else:
        brush.text((left, top - 8 - RULER * placed.board.numbered), placed.board.title, 12.5, INK, "ls")


def draw_frame(brush: Brush, placed: Placed) -> None:
    """The edge of the grid itself, which its padding lies around."""
    if placed.frame and placed.board.cells[0][0].kind != Kind.WEIGHT:
        brush.box(placed.frame, line=INK, width=1.5, inset=-1)


def draw_cell(brush: Brush, box: Box, cell: Cell, colours: Sequence[str], text: str | None = None) -> None:
    """A cell as it is while no step points at it."""
    words, size = cell.text if text is None else text, box[2] - box[0]
    colour = SHADE if cell.source is None else colours[cell.source]
    if cell.kind == Kind.UNSEEN:
        return
    if cell.kind == Kind.BEYOND:
        _draw_hatch(brush, box)
    elif cell.kind in (Kind.COPY, Kind.CONSTANT):
        brush.box(box, colour, LINE, 1, inset=0.09 * size)
    elif cell.kind == Kind.WEIGHT:
        brush.box(box, WARM, "#e9b48f", 1, inset=1)
    else:
        brush.box(box, WHITE, LINE, 1, inset=0.5) if cell.source is None else brush.box(box, colour, WHITE, 1)
    inner = size if cell.kind in PLAIN else 0.82 * size
    brush.text(_middle(box), words, text_size(words, inner), INK if cell.kind in PLAIN else QUIET)


def draw_fill(brush: Brush, layout: Layout, fill: Fill, colours: Sequence[str]) -> None:
    """A number that a step has written."""
    cell = layout.cell(fill.spot)
    filled = Cell(cell.kind, fill.text, cell.source if fill.source is None else fill.source)
    brush.box(layout.box(fill.spot), WHITE)
    draw_cell(brush, layout.box(fill.spot), filled, colours)
    _draw_note(brush, layout.box(fill.spot), fill.note, QUIET)


def draw_mark(brush: Brush, layout: Layout, mark: Mark, shown: str) -> None:
    """What a step points at; ``shown`` is the number in the cell."""
    box = layout.box(mark.spot)
    size = box[2] - box[0]
    if mark.text:
        brush.box(box, WARM, TAP, 1.5, inset=2)
        brush.text(_middle(box), mark.text, text_size(mark.text, size), INK)
    else:
        _outline(brush, box, mark.role, line_share(size))
    if mark.role == Role.WINNER:
        brush.text(_middle(box), shown, text_size(shown, size), WHITE, bold=True)
    _draw_note(brush, box, mark.note, TAP)


def _draw_note(brush: Brush, box: Box, note: str, ink: str) -> None:
    """In the lower right corner, where there is room."""
    size = box[2] - box[0]
    if note and size >= NOTED:
        brush.text((box[2] - 4, box[3] - 4), note, max(7.5, 0.22 * size), ink, "rs", bold=True)


def _outline(brush: Brush, box: Box, role: Role, share: float) -> None:
    if role == Role.SOURCE:
        brush.box(box, line=TAP, width=1.2, inset=0.14 * (box[2] - box[0]))
    elif role == Role.WINNER:
        brush.box(box, TAP, TAP, 2.5 * share)
    elif role == Role.PIVOT:
        brush.box(box, line=PIVOT, width=3 * share, inset=-0.5)
    else:
        brush.box(box, line=TAP, width=2.5 * share)


def draw_beam(brush: Brush, layout: Layout, step: Step, before: Image.Image) -> None:
    """What joins a window with the cell that it makes or spreads; the boards of ``before`` lie over it."""
    if corners := layout.beam(step):
        brush.polygon(corners, VEIL)
        for placed in layout.boards:
            brush.restore(before, placed.extent)


def draw_arcs(brush: Brush, layout: Layout, step: Step) -> None:
    """On a row, arcs from samples to the copies that the window meets, or back."""
    for start, bend, end in layout.arcs(step):
        curve = [_bezier(start, bend, end, share / 24) for share in range(25)]
        brush.line(curve, TAP, 1.3)
        _draw_arrowhead(brush, end, back=-6 if bend[1] < end[1] else 6)


def _draw_arrowhead(brush: Brush, tip: Point, back: float) -> None:
    x, y = tip
    brush.polygon([(x, y), (x - 3.5, y + back), (x + 3.5, y + back)], TAP)


def _draw_numbers(brush: Brush, placed: Placed) -> None:
    """The number of each row at its left and of each column beneath it, or above it on a grid."""
    (row, column), cells = placed.board.first, placed.board.cells
    size = min(10.0, 0.4 * placed.cell)
    for index in range(len(cells[0])):
        left, top, right, bottom = placed.box(0, index)
        y = bottom + 10 if placed.is_row else top - 10
        brush.text(((left + right) / 2, y), number_text(column + index), size, QUIET)
    for index in range(0 if placed.is_row else len(cells)):
        left, top, _, bottom = placed.box(index, 0)
        brush.text((left - 7, (top + bottom) / 2), number_text(row + index), size, QUIET, "rm")


def _draw_hatch(brush: Brush, box: Box) -> None:
    left, top, right, bottom = box
    inset = 0.09 * (right - left)
    left, top, right, bottom = left + inset, top + inset, right - inset, bottom - inset
    side, place = right - left, HATCH
    while place < 2 * side:
        start = (left + max(place - side, 0), top + min(place, side))
        end = (left + min(place, side), top + max(place - side, 0))
        brush.line([start, end], LINE, 1)
        place += HATCH
    brush.box((left, top, right, bottom), line=LINE)


def _middle(box: Box) -> Point:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _bezier(start: Point, bend: Point, end: Point, share: float) -> Point:
    rest = 1 - share
    x, y = (rest**2 * a + 2 * rest * share * b + share**2 * c for a, b, c in zip(start, bend, end, strict=True))
    return x, y


def light_colours(sizes: Sequence[int]) -> list[str]:
    """The colours of samples on white."""
    return [light for light, _ in sample_colours(sizes)]

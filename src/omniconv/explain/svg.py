"""The boards of an explanation as SVG, to which the page's player adds what a step marks and fills."""

from __future__ import annotations

from html import escape

from omniconv.explain.cells import PLAIN, line_share, text_size
from omniconv.explain.colours import sample_colours
from omniconv.explain.figures import number_text
from omniconv.explain.layout import RULER, Box, Layout, Placed
from omniconv.explain.story import Cell, Kind, Story

READABLE = 16.0  # pixels of a cell on a small screen
INSET = 0.09  # share of a cell by which a copy is smaller


def boards_svg(story: Story, layout: Layout) -> str:
    """One ``<svg>`` element: beam, boards, and empty layers for marks and arcs."""
    colours = sample_colours(story.sizes)
    size = f'width="{layout.width + 4:.0f}" height="{layout.height + 4:.0f}"'
    view = f'viewBox="-2 -2 {layout.width + 4:.0f} {layout.height + 4:.0f}"'
    boards = "\n".join(_board(number, placed, colours) for number, placed in enumerate(layout.boards))
    cell = layout.boards[0].cell
    style = f"--share:{line_share(cell):g};--least:{layout.width * min(1, READABLE / cell):.0f}px"
    return (
        f'<svg id="boards" role="img" aria-label="{escape(story.title)}" {size} {view} style="{style}">\n'
        f'{HATCH}<polygon id="beam" points=""/>\n{boards}\n<g id="marks"></g>\n<g id="arcs"></g>\n</svg>'
    )


HATCH = (
    '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<path d="M0 0V6"/></pattern></defs>\n'
)


def _board(number: int, placed: Placed, colours: list[tuple[str, str]]) -> str:
    parts = [_title(placed), f'<rect class="ground" {_rect(placed.extent, 0)}/>']
    for row, cells in enumerate(placed.board.cells):
        for column, cell in enumerate(cells):
            parts.append(_cell(f"c{number}-{row}-{column}", placed.box(row, column), cell, colours))
    if placed.board.numbered:
        parts += _numbers(placed)
    if placed.frame and placed.board.cells[0][0].kind != Kind.WEIGHT:
        parts.append(f'<rect class="frame" {_rect(placed.frame, -1)}/>')
    return "\n".join(part for part in parts if part)


def _title(placed: Placed) -> str:
    left, top, _, bottom = placed.extent
    if not placed.is_row:
        return _text("title", left, top - 8 - RULER * placed.board.numbered, 12.5, placed.board.title, "")
    lines = placed.board.title.split(", ")
    places = [(top + bottom) / 2 + 16 * (number - (len(lines) - 1) / 2) + 4 for number in range(len(lines))]
    kinds = ("title", "title number")
    return "".join(_text(kind, 0, y, 12.5, line, "") for kind, y, line in zip(kinds, places, lines, strict=False))


def _cell(name: str, box: Box, cell: Cell, colours: list[tuple[str, str]]) -> str:
    if cell.kind == Kind.UNSEEN:
        return ""
    size = box[2] - box[0]
    inset = 1.0 if cell.kind in PLAIN else INSET * size
    style = "" if cell.source is None else ' style="--light:{};--dark:{}"'.format(*colours[cell.source])
    letters = text_size(cell.text, size if cell.kind in PLAIN else 0.82 * size)
    text = _text("", (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, letters, cell.text)
    hint = f"<title>{escape(cell.hint)}</title>" if cell.hint else ""
    return f'<g class="cell {cell.kind}" id="{name}"{style}><rect {_rect(box, inset)}/>{text}{hint}</g>'


def _numbers(placed: Placed) -> list[str]:
    """The number of each row at its left and of each column above it, or beneath it on a row."""
    (row, column), cells = placed.board.first, placed.board.cells
    size, found = min(10.0, 0.4 * placed.cell), []
    for index in range(len(cells[0])):
        left, top, right, bottom = placed.box(0, index)
        y = bottom + 10 if placed.is_row else top - 10
        found.append(_text("number", (left + right) / 2, y, size, number_text(column + index)))
    for index in range(0 if placed.is_row else len(cells)):
        left, top, _, bottom = placed.box(index, 0)
        found.append(_text("number end", left - 7, (top + bottom) / 2, size, number_text(row + index)))
    return found


def _text(kind: str, x: float, y: float, size: float, text: str, middle: str = "middle") -> str:
    names = f' class="{f"{middle} {kind}".strip()}"' if middle or kind else ""
    return f'<text{names} x="{x:.1f}" y="{y:.1f}" font-size="{size:g}">{escape(text)}</text>'


def _rect(box: Box, inset: float) -> str:
    left, top, right, bottom = box
    size = f'width="{right - left - 2 * inset:.1f}" height="{bottom - top - 2 * inset:.1f}"'
    return f'x="{left + inset:.1f}" y="{top + inset:.1f}" {size} rx="2.5"'

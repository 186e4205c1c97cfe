"""Drawing of a scene as SVG, which the page plays and the GIF rasterises.

Colours and line widths are in ``drawing.css``. Every function draws in the coordinates of a panel.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from omniconv.explain.layout import ARC, MAX_CELL, MIN_CELL, RULER, Box, Layout, Point, cell_box, extent, frame
from omniconv.explain.scene import Cell, CellIndex, Kind, Mark, Role, Scene, Step, Update
from omniconv.explain.text import number_text

NOTE_CELL = 27.0  # pixels of a cell that has room for a note in its corner
INSET = 0.09  # share of a cell by which copies and constants are smaller
FULL_SIZE = (Kind.SAMPLE, Kind.RESULT, Kind.WEIGHT)
HATCH = (
    '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<path d="M0 0V6"/></pattern></defs>'
)

# Colours of samples for light and dark pages: at the four corners of a grid, and at six points along a row.
CORNERS = (
    ("#ffeaa1", "#ffc2d4", "#b2ecd2", "#c3ccff"),
    ("#6f5a10", "#7d2d4d", "#14634a", "#37479c"),
)
STOPS = (
    ("#ffe694", "#ffcaa8", "#f8bcd9", "#cdc6fb", "#b0defa", "#aeeccb"),
    ("#6b5b10", "#7d4423", "#7a2f5e", "#4a409b", "#1f5a80", "#17664a"),
)


def text_size(text: str, cell: float) -> float:
    """Return the font size that fits a cell: half of a small cell, less of a large one."""
    share = 0.5 - 0.0043 * (cell - MIN_CELL)  # 0.38 of the largest cell, 46 pixels
    # A digit of DejaVu Sans is 0.64 of the font size wide.
    return round(max(5.5, min(share * cell, (cell - 4) / (0.66 * max(len(text), 1)))), 1)


def line_width(width: float, cell: float) -> float:
    """Return the width of a line around a cell: less for cells smaller than 40 pixels."""
    return width * max(0.55, min(1.0, cell / 40))


def tag(name: str, content: str = "", /, **attributes: object) -> str:
    """Return an element; ``_`` in attribute names becomes ``-``, and an attribute of ``None`` is left out."""
    names = {key: key.rstrip("_").replace("_", "-") for key, value in attributes.items() if value is not None}
    start = name + "".join(f' {names[key]}="{escape(_value(attributes[key]))}"' for key in names)
    return f"<{start}>{content}</{name}>" if content else f"<{start}/>"


def text_tag(at: Point, text: str, size: float, class_: str | None = None) -> str:
    """Return a line of text, or nothing if it is empty."""
    return tag("text", escape(text), x=at[0], y=at[1], font_size=size, class_=class_) if text else ""


def rect_tag(box: Box, inset: float = 0, **attributes: object) -> str:
    """Return a rectangle with slightly round corners."""
    left, top, right, bottom = box
    width, height = right - left - 2 * inset, bottom - top - 2 * inset
    return tag("rect", x=left + inset, y=top + inset, width=width, height=height, rx=2.5, **attributes)


def points_text(points: Iterable[Point]) -> str:
    """Return points as the ``points`` attribute of a polygon."""
    return " ".join(f"{_value(x)},{_value(y)}" for x, y in points)


class Drawing:
    """SVG of the parts of a scene, with cells of ``cell`` pixels."""

    def __init__(self, scene: Scene, cell: float) -> None:
        self.scene, self.cell = scene, cell
        self.colours = sample_colours(scene.sizes)

    def panel(self, number: int) -> str:
        """Return a panel in its state before the first step."""
        panel = self.scene.panels[number]
        parts = [rect_tag(extent(panel, self.cell), class_="ground")] if panel.cells[0][0].kind != Kind.HIDDEN else []
        parts += [
            draw_cell(cell, cell_box(panel, self.cell, row, column), self.colours)
            for row, cells in enumerate(panel.cells)
            for column, cell in enumerate(cells)
        ]
        if panel.numbered:
            parts += self._indices(number)
        if (box := frame(panel, self.cell)) is not None:
            parts.append(rect_tag(box, -1, class_="frame"))
        return "".join(parts)

    def update(self, update: Update) -> str:
        """Return a cell that a step has written, to be drawn over the old one."""
        panel, row, column = update.cell
        old = self.scene.panels[panel].cells[row][column]
        cell = Cell(old.kind, update.text, old.source if update.source is None else update.source)
        box = self._box(update.cell)
        drawn = draw_cell(cell, box, self.colours) + self._note(box, update.note, "kept")
        return rect_tag(box, class_="ground") + drawn

    def overlays(self, step: Step, shown: dict[CellIndex, str]) -> list[str]:
        """Return the marks and arcs of a step for each panel; ``shown`` has the texts that steps have written."""
        layers = ["" for _ in self.scene.panels]
        for mark in sorted(step.marks, key=lambda mark: list(Role).index(mark.role)):
            panel, row, column = mark.cell
            text = shown.get(mark.cell, self.scene.panels[panel].cells[row][column].text)
            layers[panel] += self._mark(mark, text)
        for start, end in step.links if self.scene.is_row else ():
            layers[start[0]] += self._arc(start, end)
        return layers

    def titles(self, layout: Layout) -> str:
        """Return the titles of all panels; at the left of a row the padded size is in a second line."""
        parts = []
        for panel, (x, y) in zip(self.scene.panels, layout.titles, strict=True):
            lines = panel.title.split(", ") if layout.titles_left else [panel.title]
            for number, line in enumerate(lines):
                at = (x, y + 16 * (number - (len(lines) - 1) / 2))
                parts.append(text_tag(at, line, 12.5, "title index" if number else "title"))
        return "".join(parts)

    def _box(self, index: CellIndex) -> Box:
        return cell_box(self.scene.panels[index[0]], self.cell, *index[1:])

    def _indices(self, number: int) -> list[str]:
        """Return the indices of rows at their left, and of columns above them, or below if there is one row."""
        panel, size = self.scene.panels[number], min(11.0, 0.4 * self.cell)
        y = self.cell + RULER / 2 if self.scene.is_row else -RULER / 2
        columns = [cell_box(panel, self.cell, 0, column)[0] + self.cell / 2 for column in range(len(panel.cells[0]))]
        rows = [] if self.scene.is_row else [(row + 0.5) * self.cell for row in range(len(panel.cells))]
        return [
            *(text_tag((x, y), number_text(panel.first[1] + i), size, "index") for i, x in enumerate(columns)),
            *(text_tag((-7, y), number_text(panel.first[0] + i), size, "index end") for i, y in enumerate(rows)),
        ]

    def _mark(self, mark: Mark, shown: str) -> str:
        box = self._box(mark.cell)
        if mark.text:
            moving = rect_tag(box, 2, class_="moving", stroke_width=line_width(2, self.cell))
            return moving + _middle_text(box, mark.text)
        bold = _middle_text(box, shown, "bold") if mark.role == Role.MAXIMUM else ""
        return draw_outline(box, mark.role, self.cell) + bold + self._note(box, mark.note)

    def _note(self, box: Box, note: str, class_: str = "") -> str:
        if not note or self.cell < NOTE_CELL:
            return ""
        size = max(8.0, 0.24 * self.cell)
        return text_tag((box[2] - 4, box[3] - 4), note, round(size, 1), f"note {class_}".strip())

    def _arc(self, start: CellIndex, end: CellIndex) -> str:
        below = self.scene.panels[start[0]].arcs_below
        away, y = (1, self.cell + RULER - 2) if below else (-1, -2.0)
        x1, x2 = (self._box(index)[0] + self.cell / 2 for index in (start, end))
        rise = 2 * min(ARC - 6, 8 + 0.12 * abs(x2 - x1)) - 4
        path = " ".join(f"{letter}{_value(x)} {_value(z)}" for letter, x, z in
                        (("M", x1, y), ("Q", (x1 + x2) / 2, y + away * rise), ("", x2, y)))  # fmt: skip
        head = points_text([(x2, y), (x2 - 3.5, y + 6 * away), (x2 + 3.5, y + 6 * away)])
        return tag("path", class_="arc", d=path) + tag("polygon", class_="arrow", points=head)


def draw_cell(cell: Cell, box: Box, colours: Sequence[tuple[str, str]]) -> str:
    """Return a cell without marks; its fill is the light colour, and ``--dark`` the one for dark pages."""
    if cell.kind == Kind.HIDDEN:
        return ""
    size, full = box[2] - box[0], cell.kind in FULL_SIZE
    light, dark = (None, None) if cell.source is None else colours[cell.source]
    inset = 0.5 if full else INSET * size  # half a pixel, so that lines of one pixel fill whole pixels
    rect = rect_tag(box, inset, fill=light, style=dark and f"--dark:{dark}")
    hint = tag("title", escape(cell.hint)) if cell.hint else ""
    blank = " blank" if cell.source is None and full else ""
    text = _middle_text(box, cell.text, scale=1 if full else 1 - 2 * INSET)
    return tag("g", rect + text + hint, class_=f"cell {cell.kind}{blank}")


def draw_outline(box: Box, role: Role, cell: float) -> str:
    """Return the outline of a marked cell."""
    inset, width = (0.14 * (box[2] - box[0]), 1.3) if role == Role.SOURCE else (1, 2.5)
    return rect_tag(box, inset, class_=role, stroke_width=line_width(width, cell))


def draw_key(name: str) -> str:
    """Return the symbol of a kind or role for the legend, 22 pixels wide and high."""
    box, colours = (2.0, 2.0, 20.0, 20.0), sample_colours((1, 2))
    source = None if name in (Role.CURRENT, Kind.CONSTANT, Kind.OVERHANG) else 1
    if name in list(Role):
        return draw_cell(Cell(Kind.SAMPLE, source=source), box, colours) + draw_outline(box, Role(name), 0.8 * MAX_CELL)
    return draw_cell(Cell(Kind(name), source=source), box, colours)


def sample_colours(sizes: Sequence[int]) -> list[tuple[str, str]]:
    """Return a colour for a light and one for a dark page for each sample; copies are recognised by it.

    Example:
        >>> sample_colours((1, 2))
        [('#ffeaa1', '#6f5a10'), ('#ffc2d4', '#7d2d4d')]
    """
    light, dark = ((_row_colours if len(sizes) == 1 else _grid_colours)(sizes, scheme) for scheme in (0, 1))
    return [(_hex(one), _hex(other)) for one, other in zip(light, dark, strict=True)]


def _middle_text(box: Box, text: str, class_: str | None = None, scale: float = 1) -> str:
    at = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return text_tag(at, text, text_size(text, scale * (box[2] - box[0])), class_)


def _value(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def _row_colours(sizes: Sequence[int], scheme: int) -> np.ndarray:
    stops = _rgb(STOPS[scheme])
    positions = np.linspace(0, len(stops) - 1, sizes[0])
    return np.stack([np.interp(positions, np.arange(len(stops)), channel) for channel in stops.T], -1)


def _grid_colours(sizes: Sequence[int], scheme: int) -> np.ndarray:
    corners = _rgb(CORNERS[scheme]).reshape(2, 2, 3)
    down, along = (np.linspace(0, 1, size) for size in sizes)
    rows = corners[0] + (corners[1] - corners[0]) * down[:, None, None]
    grid = rows[:, :1] + (rows[:, 1:] - rows[:, :1]) * along[None, :, None]
    return grid.reshape(-1, 3)


def _rgb(colours: Sequence[str]) -> np.ndarray:
    return np.array([list(bytes.fromhex(colour[1:])) for colour in colours], float)


def _hex(colour: np.ndarray) -> str:
    return f"#{bytes(np.rint(colour).astype(np.uint8)).hex()}"

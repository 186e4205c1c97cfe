"""Positions of the panels of a scene: side by side for a wide page, one below the other for a narrow one.

A panel is drawn in coordinates of its own, with its first cell at the origin. A layout only moves panels, so that the
same drawing serves both pages and the GIF.
"""

from __future__ import annotations

from dataclasses import dataclass

from omniconv.explain.scene import CellIndex, Kind, Panel, Scene, Step
from omniconv.explain.windows import too_large

WIDTH, HEIGHT = 852.0, 460.0  # pixels for the panels; with its margins a GIF is 900 wide
MAX_CELL, MIN_CELL = 46.0, 18.0  # pixels
ROW_WIDTH, ROW_CELL = 520.0, 30.0  # rows keep to this width as long as their cells are larger than ROW_CELL
MIN_SCALE = 0.72  # of a drawing on a narrow page, where 11-pixel indices can still be read
GAP = 44.0  # between panels side by side
TITLE = 24.0  # height of a title above its panel
NAMES = 116.0  # width of the titles at the left of rows
RULER = 20.0  # for the indices of rows and columns
ARC = 34.0  # height of the arcs above or below a row
BAND = 30.0  # between rows that a band connects

Point = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True)
class Layout:
    """Panels of a scene in their positions."""

    panels: tuple[Panel, ...]
    cell: float  # pixels of a cell
    origins: tuple[Point, ...]  # of each panel
    titles: tuple[Point, ...]  # start of the baseline of each title
    size: Point  # width and height of all panels together
    stacked: bool  # panels are one below the other
    titles_left: bool = False  # titles are at the left of their panels, instead of above

    def box(self, index: CellIndex) -> Box:
        """Return the box of a cell."""
        return moved(cell_box(self.panels[index[0]], self.cell, *index[1:]), self.origins[index[0]])

    @property
    def min_width(self) -> float:
        """Smallest width at which the numbers can be read; on a narrower page the figure scrolls."""
        return self.size[0] * min(1.0, max(MIN_SCALE, (MIN_CELL - 1) / self.cell))

    def band(self, step: Step) -> list[Point]:
        """Return the corners of the band that connects a window with its current cell."""
        window = bounding_box([self.box(cell) for cell in step.window])
        return band_between(window, self.box(step.current), self.stacked)


def cell_box(panel: Panel, cell: float, row: int, column: int) -> Box:
    """Return the box of a cell in the coordinates of its panel."""
    left, top = (panel.start + column * panel.pitch) * cell, row * cell
    return left, top, left + cell, top + cell


def extent(panel: Panel, cell: float) -> Box:
    """Return the box around all cells of a panel, in its coordinates."""
    last = len(panel.cells) - 1, len(panel.cells[0]) - 1
    return bounding_box([cell_box(panel, cell, 0, 0), cell_box(panel, cell, *last)])


def frame(panel: Panel, cell: float) -> Box | None:
    """Return the box around the grid without its padding, in the coordinates of its panel."""
    (row, column), (rows, columns) = panel.first, panel.core
    if not rows or panel.pitch > 1:
        return None
    left, top, *_ = cell_box(panel, cell, -row, -column)
    return left, top, left + columns * cell, top + rows * cell


def bounding_box(boxes: list[Box]) -> Box:
    """Return the smallest box that contains all boxes."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def moved(box: Box, by: Point) -> Box:
    """Return a box shifted by an offset."""
    return box[0] + by[0], box[1] + by[1], box[2] + by[0], box[3] + by[1]


def band_between(one: Box, other: Box, vertical: bool) -> list[Point]:
    """Return the corners of the strip between two boxes."""
    axis, side = int(vertical), 1 - int(vertical)
    first, second = (one, other) if one[axis] < other[axis] else (other, one)
    near, far = first[axis + 2], second[axis]
    corners = [(near, first[side]), (near, first[side + 2]), (far, second[side + 2]), (far, second[side])]
    return [(y, x) for x, y in corners] if vertical else corners


def cell_size(scene: Scene) -> float:
    """Return the pixels of a cell: as large as the width and height of a wide page allow."""
    panels = scene.panels
    if scene.is_row:
        width, across, down = WIDTH - NAMES, max(map(_cells_across, panels)), 1
        largest = min(MAX_CELL, max(ROW_CELL, float(int(ROW_WIDTH / across))))
    else:
        width = WIDTH - GAP * (len(panels) - 1) - RULER * sum(panel.numbered for panel in panels)
        across, down = sum(map(_cells_across, panels)), max(len(panel.cells) for panel in panels)
        largest = MAX_CELL
    if width / across < MIN_CELL:
        raise too_large(scene.sizes, f"{across:g} cells wide")
    if HEIGHT / down < MIN_CELL:
        raise too_large(scene.sizes, f"{down} cells high")
    return min(largest, float(int(width / across)), HEIGHT / down)


def wide_layout(scene: Scene) -> Layout:
    """Return rows below each other with their titles at the left, grids side by side."""
    cell = cell_size(scene)
    if scene.is_row:
        return _stacked(scene, cell, titles_left=True)
    rows, left, origins, titles = max(len(panel.cells) for panel in scene.panels), 0.0, [], []
    for panel in scene.panels:
        left += RULER * panel.numbered
        origins.append((left, TITLE + RULER + (rows - len(panel.cells)) * cell / 2))
        titles.append((left, origins[-1][1] - 8 - RULER * panel.numbered))
        left += max(len(panel.cells[0]) * cell, 7.2 * len(panel.title)) + GAP
    size = (left - GAP, TITLE + RULER + rows * cell)
    return Layout(scene.panels, cell, tuple(origins), tuple(titles), size, False)


def narrow_layout(scene: Scene) -> Layout:
    """Return all panels below each other, with their titles above."""
    return _stacked(scene, cell_size(scene), titles_left=False)


def _stacked(scene: Scene, cell: float, titles_left: bool) -> Layout:
    with_arcs = {start[0] for step in scene.steps for start, _ in step.links} if scene.is_row else set()
    ruler = 0.0 if scene.is_row else RULER
    left = NAMES if titles_left else ruler
    origins, titles, top = [], [], 0.0
    for number, panel in enumerate(scene.panels):
        above = RULER * panel.numbered if ruler else 0.0
        arc = ARC if number in with_arcs else 0.0
        if number:
            top += _gap(scene.panels[number - 1], panel) if scene.is_row else BAND
        if not titles_left:
            titles.append((left, top + TITLE - 8))
            top += TITLE
        top += above + arc * (not panel.arcs_below)
        origins.append((left, top))
        if titles_left:
            titles.append((0.0, top + cell / 2 + 4))
        top += len(panel.cells) * cell + (RULER * panel.numbered if scene.is_row else 0) + arc * panel.arcs_below
    letter = 0.0 if titles_left else 7.2
    width = left + max(max(_cells_across(panel) * cell, letter * len(panel.title)) for panel in scene.panels)
    return Layout(scene.panels, cell, tuple(origins), tuple(titles), (width, top), True, titles_left)


def _gap(upper: Panel, lower: Panel) -> float:
    """Return the height left for a band; a moving kernel is drawn close to the samples that it reads."""
    tracks = [panel.cells[0][0].kind == Kind.HIDDEN for panel in (upper, lower)]
    samples = [any(cell.kind == Kind.SAMPLE for cell in panel.cells[0]) for panel in (upper, lower)]
    return 4.0 if any(tracks) and any(samples) else BAND


def _cells_across(panel: Panel) -> float:
    return panel.start + (len(panel.cells[0]) - 1) * panel.pitch + 1

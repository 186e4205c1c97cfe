"""Data of an explanation, before it is drawn: panels of cells, steps that mark and update them, and facts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from itertools import product
from math import prod

import numpy as np

from omniconv.explain.text import index_text, number_text, sizes_text
from omniconv.explain.windows import Geometry, Index, Number, Tap

CellIndex = tuple[int, int, int]
"""Panel, row and column of a cell."""

MAX_DISTINCT = 99  # a cell has room for two digits: above this, samples are random digits


class Kind(StrEnum):
    """Content of a cell; also its CSS class."""

    SAMPLE = "sample"
    COPY = "copy"
    CONSTANT = "constant"
    OVERHANG = "overhang"
    WEIGHT = "weight"
    RESULT = "result"
    HIDDEN = "hidden"


class Role(StrEnum):
    """Role of a cell in a step, in drawing order; also its CSS class."""

    SOURCE = "source"
    TAP = "tap"
    MAXIMUM = "maximum"
    CURRENT = "current"


@dataclass(frozen=True)
class Cell:
    """A square of a panel."""

    kind: Kind
    text: str = ""
    source: int | None = None  # flat index of the sample whose colour it has
    hint: str = ""  # tooltip


@dataclass(frozen=True)
class Panel:
    """A row or grid of cells."""

    title: str
    cells: tuple[tuple[Cell, ...], ...]
    first: tuple[int, int] = (0, 0)  # row and column of the first cell; negative where padding comes first
    core: tuple[int, int] = (0, 0)  # rows and columns of the grid without its padding, drawn with a frame
    start: float = 0  # horizontal offset of the first cell, in cells; only for rows
    pitch: int = 1  # distance of neighbouring cells, in cells; only for rows
    numbered: bool = True  # rows and columns show their indices
    arcs_below: bool = False  # arcs are drawn below the panel


@dataclass(frozen=True)
class Mark:
    """A highlight of a cell during one step, with a note in its corner or a text that replaces the cell's own."""

    cell: CellIndex
    role: Role
    note: str = ""
    text: str = ""


@dataclass(frozen=True)
class Update:
    """A number that a step writes into a cell, where it stays, perhaps with the colour of a sample and a note."""

    cell: CellIndex
    text: str
    source: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Step:
    """One frame of the animation."""

    title: str
    lines: tuple[str, ...]  # arithmetic of the window
    marks: tuple[Mark, ...]
    updates: tuple[Update, ...]
    window: tuple[CellIndex, ...]  # cells of the window, which a band connects with current
    current: CellIndex  # output cell of the window; input cell of a transposed convolution
    links: tuple[tuple[CellIndex, CellIndex], ...] = ()  # from the origin of a number to the cell that shows or adds it


@dataclass(frozen=True)
class Scene:
    """All parts of an explanation."""

    title: str  # the layer and its sizes
    subtitle: str  # its arguments
    sizes: Index  # of the grid whose samples have colours
    panels: tuple[Panel, ...]
    steps: tuple[Step, ...]
    facts: tuple[tuple[str, str], ...]  # names and formulas that hold for all steps
    legend: tuple[tuple[str, str], ...]  # kinds and roles that appear, with their meaning

    @property
    def is_row(self) -> bool:
        """True for a grid of one axis."""
        return len(self.sizes) == 1


def ramp(sizes: Sequence[int], seed: int) -> list[int]:
    """Return samples 1, 2, 3, … in reading order; random digits if there are more than 99."""
    count = prod(sizes)
    if count <= MAX_DISTINCT:
        return list(range(1, count + 1))
    return np.random.default_rng(seed).integers(1, 10, count).tolist()


def shuffled(sizes: Sequence[int], seed: int) -> list[int]:
    """Return the samples of ``ramp`` in random order."""
    return np.random.default_rng(seed).permutation(ramp(sizes, seed)).tolist()


def kernel_weights(kernel: Sequence[int], seed: int) -> list[int]:
    """Return random weights from −1 to 2, not all of them 0."""
    weights = np.random.default_rng(seed).integers(-1, 3, prod(kernel)).tolist()
    return weights if any(weights) else [1, *weights[1:]]


def padded_panel(
    title: str, geometry: Geometry, text: Callable[[Index, int | None], str], arcs_below: bool = False
) -> Panel:
    """Return the grid of a geometry with its padding and overhang; its size is appended to the title.

    ``text`` returns the number of a cell from its position and the flat index of the sample that it shows.
    """
    cells = [_padded_cell(geometry, position, text) for position in product(*geometry.positions)]
    shape = tuple(map(len, geometry.positions))
    first = tuple(positions.start for positions in geometry.positions)
    padded = "" if shape == geometry.sizes else f", padded to {sizes_text(shape)}"
    heading = f"{title} {sizes_text(geometry.sizes)}{padded}"
    return Panel(heading, _rows(cells, shape), _two(first, 0), _two(geometry.sizes, 1), arcs_below=arcs_below)


def result_panel(title: str, geometry: Geometry, texts: Sequence[str] = ()) -> Panel:
    """Return one cell for each window; on a row it is at the centre of its window."""
    outputs, indices = geometry.outputs, geometry.indices
    hints = [f"{title} {index_text(index)}" for index in indices]
    texts = texts or [""] * len(indices)
    cells = [Cell(Kind.RESULT, text, hint=hint) for text, hint in zip(texts, hints, strict=True)]
    start, pitch = 0.0, 1
    if len(outputs) == 1:
        start, pitch = (geometry.arguments.spans[0] - 1) / 2, geometry.arguments.stride[0]
    heading = f"{title} {sizes_text(outputs)}"
    return Panel(heading, _rows(cells, outputs), core=_two(outputs, 1), start=start, pitch=pitch)


def kernel_panel(geometry: Geometry, weights: Sequence[Number]) -> Panel:
    """Return the weights as a grid; on a row a hidden track along which steps move them."""
    kernel = geometry.arguments.kernel
    if len(kernel) == 1:
        track = tuple(Cell(Kind.HIDDEN) for _ in geometry.positions[0])
        return Panel("kernel", (track,), _two((geometry.positions[0].start,), 0), numbered=False)
    cells = [Cell(Kind.WEIGHT, number_text(weight)) for weight in weights]
    return Panel(f"kernel {sizes_text(kernel)}", _rows(cells, kernel), numbered=False)


def padded_cell_index(panel: int, geometry: Geometry, position: Index) -> CellIndex:
    """Return the cell of a padded panel at a grid position."""
    offsets = [index - positions.start for index, positions in zip(position, geometry.positions, strict=True)]
    return (panel, *_two(offsets, 0))


def result_cell_index(panel: int, index: Index) -> CellIndex:
    """Return the cell of a result panel."""
    return (panel, *_two(index, 0))


def copy_links(panel: int, geometry: Geometry, taps: Sequence[Tap]) -> tuple[tuple[CellIndex, CellIndex], ...]:
    """Return pairs of cells, from each sample to its copy that a window reads."""
    copies = [(geometry.coordinates(t.source), t.position) for t in taps if t.source is not None and not t.inside]
    index = partial(padded_cell_index, panel, geometry)
    return tuple((index(sample), index(copy)) for sample, copy in copies)


def source_marks(links: Sequence[tuple[CellIndex, CellIndex]]) -> tuple[Mark, ...]:
    """Return marks of the samples whose copies a window reads."""
    return tuple(Mark(sample, Role.SOURCE) for sample in dict.fromkeys(sample for sample, _ in links))


def numbered(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Return the steps with their numbers in the titles."""
    steps = list(steps)
    titles = [f"Step {number} of {len(steps)}: {step.title}" for number, step in enumerate(steps, start=1)]
    return tuple(replace(step, title=title) for step, title in zip(steps, titles, strict=True))


def legend(panels: Sequence[Panel], roles: dict[Role, str], kinds: dict[Kind, str]) -> tuple[tuple[str, str], ...]:
    """Return the meaning of the roles and of the kinds that the panels have; sources need copies."""
    present = {cell.kind for panel in panels for row in panel.cells for cell in row}
    kinds = {**kinds, Kind.OVERHANG: "beyond the padding, not counted"}
    return (
        *((role.value, name) for role, name in roles.items() if role != Role.SOURCE or Kind.COPY in present),
        *((kind.value, name) for kind, name in kinds.items() if kind in present),
    )


def _padded_cell(geometry: Geometry, position: Index, text: Callable[[Index, int | None], str]) -> Cell:
    name, source = index_text(position), geometry.sources[position]
    if geometry.in_overhang(position):
        return Cell(Kind.OVERHANG, hint=f"{name}: beyond the padding, not counted")
    if source is None:
        return Cell(Kind.CONSTANT, text(position, None), hint=f"{name}: constant")
    if geometry.inside(position):
        return Cell(Kind.SAMPLE, text(position, source), source, f"sample {name}")
    origin = index_text(geometry.coordinates(source))
    return Cell(Kind.COPY, text(position, source), source, f"{name}: copy of sample {origin}")


def _rows(cells: Sequence[Cell], shape: Sequence[int]) -> tuple[tuple[Cell, ...], ...]:
    width = shape[-1]
    return tuple(tuple(cells[start : start + width]) for start in range(0, len(cells), width))


def _two(numbers: Sequence[int], missing: int) -> tuple[int, int]:
    """Return (rows, columns); a one-dimensional grid is a single row."""
    return (missing, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])

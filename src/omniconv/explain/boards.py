"""Boards of cells for grids and what lies beyond their edges, for kernels and for results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from omniconv.explain.figures import number_text, place_text, sizes_text
from omniconv.explain.geometry import Geometry, Place, Tap
from omniconv.explain.results import Number
from omniconv.explain.story import Board, Cell, Kind, Mark, Role, Spot


def padded_board(
    title: str, geometry: Geometry, text: Callable[[Place, int | None], str], below: bool = False
) -> Board:
    """The grid of a geometry with its padding and overhang around it.

    Args:
        title: what it is; its size is added.
        geometry: of the windows on it.
        text: number of a cell, from its position and the flat index of the sample that it shows.
        below: whether arcs are drawn beneath it.
    """
    cells = [_padded_cell(geometry, position, text) for position in product(*geometry.positions)]
    shape = [len(positions) for positions in geometry.positions]
    first = tuple(positions.start for positions in geometry.positions)
    size = sizes_text(geometry.sizes)
    padded = "" if tuple(shape) == geometry.sizes else f", padded to {sizes_text(shape)}"
    return Board(
        f"{title} {size}{padded}", _rows(cells, shape), _two(first, 0), _two(geometry.sizes, 1), links_below=below
    )


def result_board(title: str, geometry: Geometry, texts: Sequence[str] = ()) -> Board:
    """A cell for each window; on a row it stands at its window's middle."""
    outputs = geometry.outputs
    places = geometry.places
    hints = [f"{title} {place_text(place)}" for place in places]
    cells = [Cell(Kind.RESULT, text, hint=hint) for text, hint in zip(texts or [""] * len(places), hints, strict=True)]
    start, pitch = 0.0, 1
    if len(outputs) == 1:
        start, pitch = (geometry.arguments.spans[0] - 1) / 2, geometry.arguments.stride[0]
    heading = f"{title} {sizes_text(outputs)}"
    return Board(heading, _rows(cells, outputs), core=_two(outputs, 1), start=start, pitch=pitch)


def kernel_board(geometry: Geometry, weights: Sequence[Number]) -> Board:
    """The weights as a grid; on a row an empty track, along which steps move them."""
    kernel = geometry.arguments.kernel
    if len(kernel) == 1:
        track = tuple(Cell(Kind.UNSEEN) for _ in geometry.positions[0])
        return Board("kernel", (track,), _two((geometry.positions[0].start,), 0), numbered=False)
    cells = [Cell(Kind.WEIGHT, number_text(weight)) for weight in weights]
    return Board(f"kernel {sizes_text(kernel)}", _rows(cells, kernel), core=_two(kernel, 1), numbered=False)


def spot(board: int, geometry: Geometry, position: Place) -> Spot:
    """The cell of a padded board at a position."""
    place = [index - positions.start for index, positions in zip(position, geometry.positions, strict=True)]
    return (board, *_two(place, 0))


def result_spot(board: int, place: Place) -> Spot:
    """The cell of a result board."""
    return (board, *_two(place, 0))


def sample_position(geometry: Geometry, source: int) -> Place:
    """Where a sample lies, by its flat index."""
    return tuple(map(int, np.unravel_index(source, geometry.sizes)))


def past_edge(geometry: Geometry, taps: Sequence[Tap]) -> list[tuple[Tap, Place]]:
    """Taps that fall on copies, each with the position of its sample."""
    return [(tap, sample_position(geometry, tap.source)) for tap in taps if tap.source is not None and not tap.inside]


def source_marks(board: int, geometry: Geometry, taps: Sequence[Tap]) -> tuple[Mark, ...]:
    """Rings around the samples whose copies a window meets."""
    spots = dict.fromkeys(spot(board, geometry, position) for _, position in past_edge(geometry, taps))
    return tuple(Mark(where, Role.SOURCE) for where in spots)


def copy_links(board: int, geometry: Geometry, taps: Sequence[Tap]) -> tuple[tuple[Spot, Spot], ...]:
    """From each sample to the copy of it that a window meets."""
    pairs = past_edge(geometry, taps)
    return tuple((spot(board, geometry, position), spot(board, geometry, tap.position)) for tap, position in pairs)


def _padded_cell(geometry: Geometry, position: Place, text: Callable[[Place, int | None], str]) -> Cell:
    where, source = place_text(position), geometry.source(position)
    if geometry.beyond(position):
        return Cell(Kind.BEYOND, hint=f"{where}: past the padding, counts for nothing")
    if source is None:
        return Cell(Kind.CONSTANT, text(position, None), hint=f"{where}: a constant")
    if geometry.inside(position):
        return Cell(Kind.SAMPLE, text(position, source), source, f"sample {where}")
    origin = place_text(sample_position(geometry, source))
    return Cell(Kind.COPY, text(position, source), source, f"{where}: stands for sample {origin}")


def _rows(cells: Sequence[Cell], shape: Sequence[int]) -> tuple[tuple[Cell, ...], ...]:
    width = shape[-1]
    return tuple(tuple(cells[start : start + width]) for start in range(0, len(cells), width))


def _two(numbers: Sequence[int], missing: int) -> tuple[int, int]:
    """Rows and columns; a row has one row."""
    return (missing, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])

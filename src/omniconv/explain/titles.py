"""The words around an explanation: its arguments in one line, and what its colours mean."""

from __future__ import annotations

from collections.abc import Sequence

from omniconv.explain.boards import past_edge
from omniconv.explain.figures import listed, number_text, place_text, unbroken
from omniconv.explain.geometry import Geometry, Tap
from omniconv.explain.story import Board, Kind


def subtitle(geometry: Geometry, *more: str) -> str:
    """The arguments in one line; those that are 1 or change nothing are left out."""
    arguments = geometry.arguments
    parts = [f"kernel {_axes(arguments.kernel)}", f"stride {_axes(arguments.stride)}"]
    padding = [rule if isinstance(rule, str) else _sides(rule) for rule in arguments.padding]
    parts.append(f"padding {_axes(padding)}")
    if set(arguments.dilation) != {1}:
        parts.append(f"dilation {_axes(arguments.dilation)}")
    if any(map(sum, geometry.amounts)):
        value = arguments.border.value
        parts.append(f"mode {_axes([_sides(sides) for sides in arguments.border.modes])}")
        parts[-1] += f" (value {number_text(value)})" if value else ""
    return " · ".join([*parts, *more])


def legend_of(
    boards: Sequence[Board],
    result: str,
    reads: str = "read in this step",
    ends: str = "the sample that is copied",
    copy: str = "copy of the sample of that colour",
    constant: str = "constant",
) -> tuple[tuple[str, str], ...]:
    """Names for what steps point at, and for the kinds of cells that a story has."""
    found = {cell.kind for board in boards for row in board.cells for cell in row}
    entries = [("tap", reads), ("pivot", result)]
    if Kind.COPY in found:
        entries.append(("source", ends))
    kinds = {Kind.COPY: copy, Kind.CONSTANT: constant, Kind.BEYOND: "hangs over, counts for nothing"}
    return (*entries, *((kind.value, name) for kind, name in kinds.items() if kind in found))


def past_edge_lines(geometry: Geometry, taps: Sequence[Tap], verb: str, fate: str) -> tuple[str, ...]:
    """Where the taps past an edge lead to, in words; nothing where there are none.

    Args:
        geometry: of the windows.
        taps: of one window.
        verb: between a position and its sample.
        fate: of those that stand for a constant.
    """
    pairs = past_edge(geometry, taps)
    copies = [unbroken(f"{place_text(tap.position)} {verb} {place_text(end)}") for tap, end in pairs]
    lost = [place_text(tap.position) for tap in taps if tap.source is None]
    parts = [listed(copies)] if copies else []
    if lost:
        parts.append(f"{listed(lost, ', ')} {'is' if len(lost) == 1 else 'are'} {fate}")
    return (f"past the edge: {'; '.join(parts)}",) if parts else ()


def _axes(values: Sequence[object]) -> str:
    texts = list(map(str, values))
    return texts[0] if len(set(texts)) == 1 else ", ".join(texts)


def _sides(sides: tuple[object, object]) -> str:
    return str(sides[0]) if sides[0] == sides[1] else f"{sides[0]}:{sides[1]}"

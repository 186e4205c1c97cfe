"""An audit as tables to read on a terminal."""

from __future__ import annotations

from omniconv.audit.verdict import percent
from omniconv.audit.whole import Audit

Table = tuple[list[str], list[list[str | float]]]
QUALITY = {"iou": "mean IoU", "accuracy": "accuracy", "rmse": "RMSE"}


def losses_table(found: Audit) -> Table:
    """What changes: of all, and by place where the network answers place by place."""
    rows: list[list[str | float]] = []
    for name, turns in (("cut elsewhere", found.shift.exact), ("cut elsewhere, between steps", found.shift.between)):
        if turns is not None:
            curve = turns.measure
            places = ("at the seam", curve.at_seam), ("farther away", curve.elsewhere)
            rows += _rows(name, curve.everywhere, places)
    rows += _rows("sphere turned at random", found.rotation.turned.measure, ())
    rows += _rows("only resampled", found.rotation.floor.measure, ())
    if found.borders is not None:
        rows += _rows("shown in the middle: near a pole", found.borders.poles.measure, ())
        rows += _rows("shown in the middle: in the middle", found.borders.middle.measure, ())
    classes = found.rotation.turned.changed is not None
    return ["", "changes class" if classes else "changes, of its spread"], rows


def latitude_table(found: Audit) -> Table | None:
    """A row for each band; ``None`` where the network gives one answer for the whole."""
    if found.steadiness is None:
        return None
    columns: dict[str, list[str | float]] = {"latitude": list(found.steadiness.names)}
    if found.quality is not None:
        columns |= {QUALITY[name]: list(values) for name, values in found.quality.measures.items()}
    main = found.steadiness.main
    for name, measure in (("changes when turned", main), ("only resampled", f"floor_{main}")):
        columns[name] = [percent(value) for value in found.steadiness.measures[measure]]
    return list(columns), [list(row) for row in zip(*columns.values(), strict=True)]


def _rows(name: str, value: float, places: tuple[tuple[str, float | None], ...]) -> list[list[str | float]]:
    inside: list[list[str | float]] = [
        [f"{name}: {place}", percent(part)] for place, part in places if part is not None
    ]
    return [[name, percent(value)], *inside]

"""An audit as tables to read on a terminal."""

from __future__ import annotations

from omniconv.audit.run import Audit
from omniconv.audit.verdict import percent

Table = tuple[list[str], list[list[str | float]]]
QUALITY = {"iou": "mean IoU", "accuracy": "accuracy", "rmse": "RMSE"}


def losses_table(found: Audit) -> Table:
    """What changes: of all, and by place where the network answers place by place."""
    losses: dict[str, tuple[float | None, float | None]] = {}
    for name, turns in found.shift.named.items():
        for place, key in (("", "everywhere"), (": at the seam", "at_seam"), (": farther away", "elsewhere")):
            changed = getattr(turns.changed, key, None)
            losses[f"cut elsewhere, {name}{place}"] = changed, getattr(turns.difference, key)
    whole = {"sphere turned at random": found.rotation.turned, "resampled only": found.rotation.floor}
    if found.borders is not None:
        whole |= {"near a pole, against the middle": found.borders.poles,
                  "the same places, twice in the middle": found.borders.control}  # fmt: skip
    losses |= {name: (loss.changed, loss.difference) for name, loss in whole.items()}
    classes = found.rotation.turned.changed is not None
    rows: list[list[str | float]] = [
        [name, *([percent(changed or 0.0)] if classes else []), percent(difference)]
        for name, (changed, difference) in losses.items()
        if difference is not None
    ]
    return ["", *(["class changes"] if classes else []), "scores change, of their spread"], rows


def latitude_table(found: Audit) -> Table | None:
    """A row for each band; ``None`` where the network gives one answer for the whole."""
    if found.steadiness is None:
        return None
    columns: dict[str, list[str | float]] = {"latitude": list(found.steadiness.names)}
    if found.quality is not None:
        columns |= {QUALITY[name]: list(values) for name, values in found.quality.measures.items()}
    main = found.steadiness.main
    for name, measure in (("changes when turned", main), ("resampled only", f"floor_{main}")):
        columns[name] = [percent(value) for value in found.steadiness.measures[measure]]
    return list(columns), [list(row) for row in zip(*columns.values(), strict=True)]

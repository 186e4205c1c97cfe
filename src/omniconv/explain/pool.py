"""Scenes of pooling and of unpooling with switches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from omniconv.explain.scene import (
    Cell,
    Kind,
    Mark,
    Panel,
    Role,
    Scene,
    Step,
    Update,
    copy_links,
    legend,
    numbered,
    padded_cell_index,
    padded_panel,
    result_cell_index,
    result_panel,
    shuffled,
    source_marks,
)
from omniconv.explain.text import (
    PLUS,
    equals,
    index_text,
    number_text,
    pool_facts,
    sizes_text,
    subtitle,
    unpool_fact,
)
from omniconv.explain.windows import Geometry, Index, Number, Window, average_pool, counts_in_mean, lp_pool, max_pool

PoolKind = Literal["max", "average", "lp"]
INPUT, OUTPUT, UNPOOLED = range(3)  # panels
TITLES = {"max": "Max", "average": "Average", "lp": "Power (Lp)"}


@dataclass(frozen=True)
class Pooling:
    """Arguments of a pooling in addition to those of its windows."""

    kind: PoolKind
    ceil_mode: bool = False
    count_include_pad: bool = False
    p: float = 2.0  # exponent of kind "lp"

    def windows(self, geometry: Geometry, samples: Sequence[Number]) -> list[Window]:
        """Return the result of each window."""
        if self.kind == "max":
            return max_pool(geometry, samples)
        if self.kind == "average":
            return average_pool(geometry, samples, self.count_include_pad)
        return lp_pool(geometry, samples, self.p)

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Definition of the output, where its name does not say it."""
        if self.kind == "max":
            return [("@", "switch: flat index of the largest sample")]
        return [("norm", f"(Σ |x|^p)^(1/p), p = {number_text(self.p)}")] if self.kind == "lp" else []

    @property
    def options(self) -> list[str]:
        """Options that differ from the default."""
        flags = [(self.ceil_mode, "ceil mode"), (self.count_include_pad, "padding counted")]
        power = [f"p {number_text(self.p)}"] if self.kind == "lp" else []
        return [*power, *(name for is_on, name in flags if is_on)]

    def legend(self, panels: Sequence[Panel], result: str) -> tuple[tuple[str, str], ...]:
        """Return the meaning of the colours."""
        counted = "zero, counted" if self.count_include_pad else "zero, not counted"
        constant = {"max": "padding, ignored", "average": counted, "lp": "zero"}[self.kind]
        roles = {Role.MAXIMUM: "largest sample"} if self.kind == "max" else {}
        roles |= {Role.TAP: "read in this step", Role.CURRENT: result, Role.SOURCE: "sample that is copied"}
        return legend(panels, roles, {Kind.COPY: "copy of the sample of the same colour", Kind.CONSTANT: constant})


def pool_scene(geometry: Geometry, pooling: Pooling, seed: int = 0) -> Scene:
    """Return the scene of a pooling of shuffled samples."""
    samples = shuffled(geometry.sizes, seed)
    panels = padded_panel("input", geometry, _sample_text(samples, pooling)), result_panel("output", geometry)
    return Scene(
        f"{TITLES[pooling.kind]} pooling: {sizes_text(geometry.sizes)} → {sizes_text(geometry.outputs)}",
        subtitle(geometry, *pooling.options),
        geometry.sizes,
        panels,
        numbered(_pool_step(geometry, pooling, window, "output") for window in pooling.windows(geometry, samples)),
        (*pool_facts(geometry, pooling.ceil_mode), *pooling.facts),
        pooling.legend(panels, "output"),
    )


def unpool_scene(geometry: Geometry, pooling: Pooling, seed: int = 0) -> Scene:
    """Return the scene of max pooling with switches, and of unpooling to the size of its input."""
    samples = shuffled(geometry.sizes, seed)
    windows = pooling.windows(geometry, samples)
    panels = (
        padded_panel("input", geometry, _sample_text(samples, pooling)),
        result_panel("pooled", geometry),
        _unpooled_panel(geometry),
    )
    steps = [_pool_step(geometry, pooling, window, "pool") for window in windows]
    taken: dict[int, list[Number]] = {}
    for window in windows:
        values = taken.setdefault(window.switch, [])
        values.append(window.result)
        steps.append(_unpool_step(geometry, window, values))
    sizes = " → ".join(map(sizes_text, (geometry.sizes, geometry.outputs, geometry.sizes)))
    return Scene(
        f"Max pooling and unpooling: {sizes}",
        subtitle(geometry, *pooling.options),
        geometry.sizes,
        panels,
        numbered(steps),
        (*pool_facts(geometry, pooling.ceil_mode), unpool_fact(geometry), *pooling.facts),
        pooling.legend(panels, "pooled"),
    )


def _sample_text(samples: Sequence[Number], pooling: Pooling) -> Callable[[Index, int | None], str]:
    constant = "−∞" if pooling.kind == "max" else "0"
    return lambda _, source: constant if source is None else number_text(samples[source])


def _unpooled_panel(geometry: Geometry) -> Panel:
    rows, columns = (1, *geometry.sizes)[-2:]
    cells = tuple(tuple(Cell(Kind.RESULT, "0") for _ in range(columns)) for _ in range(rows))
    start = -geometry.positions[-1].start if len(geometry.sizes) == 1 else 0
    return Panel(f"unpooled {sizes_text(geometry.sizes)}", cells, core=(rows, columns), start=start)


def _pool_step(geometry: Geometry, pooling: Pooling, window: Window, name: str) -> Step:
    current = result_cell_index(OUTPUT, window.index)
    cells = tuple(padded_cell_index(INPUT, geometry, tap.position) for tap in window.taps)
    is_max = pooling.kind == "max"
    maximum = cells[window.values.index(window.result)] if is_max else None
    links = copy_links(INPUT, geometry, window.taps)
    marks = (
        *(Mark(cell, Role.MAXIMUM if cell == maximum else Role.TAP) for cell in cells),
        *source_marks(links),
        Mark(current, Role.CURRENT),
    )
    switch = (window.switch, f"@{window.switch}") if is_max else ()
    update = Update(current, number_text(window.result), *switch)
    lines = {"max": _max_lines, "average": _average_lines, "lp": _lp_lines}[pooling.kind](window, pooling)
    return Step(f"{name} {index_text(window.index)}", lines, marks, (update,), cells, current, links)


def _unpool_step(geometry: Geometry, window: Window, values: list[Number]) -> Step:
    position = geometry.coordinates(window.switch)
    current, target = result_cell_index(OUTPUT, window.index), result_cell_index(UNPOOLED, position)
    mean = sum(values) / len(values)
    lines = [f"{number_text(window.result)} goes to switch {window.switch}, sample {index_text(position)}"]
    if len(values) > 1:
        total = " + ".join(map(number_text, values))
        lines.append(f"mean of the {len(values)} windows with this switch: ({total}) / {len(values)} {equals(mean)}")
    marks = (Mark(current, Role.CURRENT), Mark(target, Role.MAXIMUM))
    update = Update(target, number_text(mean), window.switch)
    return Step(f"unpool {index_text(window.index)}", tuple(lines), marks, (update,), (target,), current)


def _max_lines(window: Window, pooling: Pooling) -> tuple[str, ...]:
    read = [number_text(r) for tap, r in zip(window.taps, window.values, strict=True) if tap.source is not None]
    ignored = len(window.values) - len(read)
    line = f"max({', '.join(read)}) = {number_text(window.result)}, switch {window.switch}"
    return (line, f"past the edge: {ignored} of {len(window.taps)}, ignored") if ignored else (line,)


def _average_lines(window: Window, pooling: Pooling) -> tuple[str, ...]:
    counted = [counts_in_mean(tap, pooling.count_include_pad) for tap in window.taps]
    terms = [number_text(read) for read, is_counted in zip(window.values, counted, strict=True) if is_counted]
    total = f"({PLUS.join(terms)})" if len(terms) > 1 else "".join(terms)
    line, missing = f"{total} / {window.counted} {equals(window.result)}", len(counted) - sum(counted)
    return (line, f"past the edge: {missing} of {len(window.taps)}, not counted") if missing else (line,)


def _lp_lines(window: Window, pooling: Pooling) -> tuple[str, ...]:
    power = "" if pooling.p == 1 else "²" if pooling.p == 2 else f"^{number_text(pooling.p)}"
    terms = PLUS.join(f"{number_text(read)}{power}" for read in window.values)
    if pooling.p != 1:
        terms = f"√({terms})" if pooling.p == 2 else f"({terms})^(1/{number_text(pooling.p)})"
    return (f"{terms} {equals(window.result)}",)

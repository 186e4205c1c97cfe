"""The story of a pooling: each window gives its largest sample, its mean or its norm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from omniconv.explain.boards import copy_links, padded_board, result_board, result_spot, source_marks, spot
from omniconv.explain.building import require_samples
from omniconv.explain.figures import PLUS, equals, number_text, place_text, shuffled, sizes_text
from omniconv.explain.formulas import pooling_facts
from omniconv.explain.geometry import Geometry
from omniconv.explain.results import Number, Window, counts, maxima, means, norms
from omniconv.explain.story import Board, Fill, Mark, Role, Step, Story
from omniconv.explain.titles import legend_of, subtitle

PoolKind = Literal["max", "average", "lp"]
INPUT, OUTPUT = range(2)


@dataclass(frozen=True)
class Pooling:
    """Which pooling.

    Args:
        kind: what a window gives.
        ceil_mode: whether sizes are rounded up.
        count_include_pad: whether means count zeros past an edge.
        p: exponent of the norm.
    """

    kind: PoolKind
    ceil_mode: bool = False
    count_include_pad: bool = False
    p: float = 2.0

    def windows(self, geometry: Geometry, values: Sequence[Number]) -> list[Window]:
        """The windows and what they give.

        Raises:
            InputError: a window with nothing in it that counts.
        """
        if self.kind != "lp" and not self.count_include_pad:
            require_samples(geometry)
        if self.kind == "max":
            return maxima(geometry, values)
        if self.kind == "average":
            return means(geometry, values, self.count_include_pad)
        return norms(geometry, values, self.p)

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What an output is, where its name does not say so."""
        if self.kind == "max":
            return [("@", "switch: flat index of the sample that won")]
        return [("norm", f"(Σ |x|^p)^(1/p), p = {number_text(self.p)}")] if self.kind == "lp" else []

    @property
    def words(self) -> list[str]:
        """Its options, as far as they matter."""
        options = [(self.ceil_mode, "rounded up"), (self.count_include_pad, "padding counted")]
        power = [f"p {number_text(self.p)}"] if self.kind == "lp" else []
        return [*power, *(word for is_on, word in options if is_on)]


def pooling_story(geometry: Geometry, pooling: Pooling, seed: int = 0) -> Story:
    """A pooling step by step.

    Args:
        geometry: where its windows lie.
        pooling: which one.
        seed: of the samples' order.
    """
    values = shuffled(geometry.sizes, seed)
    boards = (padded_board("input", geometry, sample_text(values, pooling)), result_board("output", geometry))
    steps = pooling_steps(geometry, pooling, values)
    title = f"{TITLES[pooling.kind]} pooling: {sizes_text(geometry.sizes)} → {sizes_text(geometry.outputs)}"
    words = subtitle(geometry, *pooling.words)
    facts = [*pooling_facts(geometry, pooling.ceil_mode), *pooling.facts]
    return Story(title, words, geometry.sizes, boards, steps, tuple(facts), pooling_legend(boards, pooling, "output"))


def pooling_legend(boards: Sequence[Board], pooling: Pooling, result: str) -> tuple[tuple[str, str], ...]:
    """What the colours of a pooling mean."""
    counted = "zeros, counted" if pooling.count_include_pad else "zeros, not counted"
    constant = {"max": "padding, never wins", "average": counted, "lp": "zeros"}[pooling.kind]
    winner = (("winner", "the largest"),) if pooling.kind == "max" else ()
    return (*winner, *legend_of(boards, result, constant=constant))


TITLES = {"max": "Max", "average": "Average", "lp": "Power (Lp)"}


def sample_text(values: Sequence[Number], pooling: Pooling) -> Callable[[object, int | None], str]:
    """What stands in the cells of the padded input; zeros that never win stand as −∞."""
    constant = "−∞" if pooling.kind == "max" else "0"
    return lambda _, source: constant if source is None else number_text(values[source])


def pooling_steps(geometry: Geometry, pooling: Pooling, values: Sequence[Number]) -> tuple[Step, ...]:
    """One step for each window."""
    windows = pooling.windows(geometry, values)
    count = len(windows)
    return tuple(
        replace(_step(geometry, pooling, window), title=f"Step {number} of {count}: output {place_text(window.place)}")
        for number, window in enumerate(windows, start=1)
    )


def _step(geometry: Geometry, pooling: Pooling, window: Window) -> Step:
    pivot = result_spot(OUTPUT, window.place)
    spots = [spot(INPUT, geometry, tap.position) for tap in window.taps]
    wins = pooling.kind == "max"
    winner = {spots[window.reads.index(window.result)]} if wins else set()
    marks = [
        *(Mark(where, Role.WINNER if where in winner else Role.TAP) for where in spots),
        *source_marks(INPUT, geometry, window.taps),
        Mark(pivot, Role.PIVOT),
    ]
    fill = Fill(pivot, number_text(window.result), *((window.switch, f"@{window.switch}") if wins else ()))
    links = copy_links(INPUT, geometry, window.taps)
    return Step("", _lines(pooling, window), tuple(marks), (fill,), tuple(spots), pivot, links)


def _lines(pooling: Pooling, window: Window) -> tuple[str, ...]:
    if pooling.kind == "max":
        return _maximum(window)
    return (
        (_mean(window, pooling.count_include_pad), *_uncounted(pooling, window))
        if pooling.kind == "average"
        else (_norm(pooling, window),)
    )


def _maximum(window: Window) -> tuple[str, ...]:
    shown = [number_text(r) for tap, r in zip(window.taps, window.reads, strict=True) if tap.source is not None]
    left_out = len(window.reads) - len(shown)
    first = f"max({', '.join(shown)}) = {number_text(window.result)}, switch {window.switch}"
    return (first, f"past the edge: {left_out} that never win") if left_out else (first,)


def _mean(window: Window, with_pad: bool) -> str:
    terms = [number_text(read) for tap, read in zip(window.taps, window.reads, strict=True) if counts(tap, with_pad)]
    total = f"({PLUS.join(terms)})" if len(terms) > 1 else "".join(terms)
    return f"{total} / {window.counted} {equals(window.result)}"


def _uncounted(pooling: Pooling, window: Window) -> tuple[str, ...]:
    missing = sum(not counts(tap, pooling.count_include_pad) for tap in window.taps)
    return (f"past the edge: {missing} of {len(window.taps)} not counted",) if missing else ()


def _norm(pooling: Pooling, window: Window) -> str:
    power = "" if pooling.p == 1 else "²" if pooling.p == 2 else f"^{number_text(pooling.p)}"
    terms = PLUS.join(f"{number_text(read)}{power}" for read in window.reads)
    if pooling.p == 1:
        return f"{terms} {equals(window.result)}"
    root = f"√({terms})" if pooling.p == 2 else f"({terms})^(1/{number_text(pooling.p)})"
    return f"{root} {equals(window.result)}"

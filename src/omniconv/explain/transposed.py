"""The story of a transposed convolution: each input sample is spread by the kernel and folded back at the edges."""

from __future__ import annotations

from omniconv.explain.boards import (
    copy_links,
    kernel_board,
    padded_board,
    result_board,
    result_spot,
    sample_position,
    source_marks,
    spot,
)
from omniconv.explain.figures import (
    factor_text,
    kernel_weights,
    number_text,
    place_text,
    ramp,
    sizes_text,
    unbroken,
)
from omniconv.explain.formulas import transposed_facts
from omniconv.explain.geometry import Geometry, Place
from omniconv.explain.results import Number, Window, scatter
from omniconv.explain.story import Fill, Mark, Role, Step, Story
from omniconv.explain.titles import legend_of, past_edge_lines, subtitle

INPUT, KERNEL, OUTPUT = range(3)


def transposed_story(geometry: Geometry, output_padding: tuple[int, ...], seed: int = 0) -> Story:
    """A transposed convolution step by step.

    Args:
        geometry: where the windows of the input samples lie on the output.
        output_padding: of the layer, for its formula.
        seed: of the weights.
    """
    values, weights = ramp(geometry.outputs, seed), kernel_weights(geometry.arguments.kernel, seed)
    boards = (
        result_board("input", geometry, list(map(str, values))),
        kernel_board(geometry, weights),
        padded_board("output", geometry, lambda position, source: _label(geometry, position, source), below=True),
    )
    totals: dict[int, Number] = {}
    steps = []
    for number, window in enumerate(scatter(geometry, values, weights), start=1):
        _add(totals, window)
        steps.append(_step(geometry, window, weights, totals, number))
    title = f"Transposed convolution: {sizes_text(geometry.outputs)} → {sizes_text(geometry.sizes)}"
    extra = [f"output padding {sizes_text(output_padding)}"] if any(output_padding) else []
    names = ("the input sample", "written in this step", "where a fold ends", "folded back to that colour", "lost")
    legend = legend_of(boards, *names)
    facts = tuple(transposed_facts(geometry, output_padding))
    return Story(title, subtitle(geometry, *extra), geometry.sizes, boards, tuple(steps), facts, legend)


def _label(geometry: Geometry, position: Place, source: int | None) -> str:
    """A sample begins with nothing; past an edge stands where it is folded to, or a cross where it is lost."""
    if source is None:
        return "×"
    if geometry.inside(position):
        return "0"
    return "→" + ",".join(map(str, sample_position(geometry, source)))


def _add(totals: dict[int, Number], window: Window) -> None:
    for tap, write in zip(window.taps, window.reads, strict=True):
        if tap.source is not None:
            totals[tap.source] = totals.get(tap.source, 0) + write


def _step(geometry: Geometry, window: Window, weights: list[int], totals: dict[int, Number], number: int) -> Step:
    is_row, pivot = len(geometry.sizes) == 1, result_spot(INPUT, window.place)
    taps = [spot(OUTPUT, geometry, tap.position) for tap in window.taps]
    track = [spot(KERNEL, geometry, tap.position) for tap in window.taps] if is_row else []
    marks = [
        *(Mark(where, Role.TAP, note=_signed(write)) for where, write in zip(taps, window.reads, strict=True)),
        *(Mark(where, Role.TAP, text=f"×{number_text(w)}") for where, w in zip(track, weights, strict=False)),
        *source_marks(OUTPUT, geometry, window.taps),
        Mark(pivot, Role.PIVOT),
    ]
    met = dict.fromkeys(tap.source for tap in window.taps if tap.source is not None)
    fills = [Fill(spot(OUTPUT, geometry, sample_position(geometry, s)), number_text(totals[s])) for s in met]
    links = tuple((copy, sample) for sample, copy in copy_links(OUTPUT, geometry, window.taps))
    title = f"Step {number} of {len(geometry.places)}: input {place_text(window.place)}"
    lines = (_writes(window, weights), *past_edge_lines(geometry, window.taps, "goes to", "lost"))
    return Step(title, lines, tuple(marks), tuple(fills), tuple(track or taps), pivot, links)


def _writes(window: Window, weights: list[int]) -> str:
    value = number_text(window.result)
    terms = [
        unbroken(f"{value}·{factor_text(weight)} = {number_text(write)} to {place_text(tap.position)}")
        for tap, weight, write in zip(window.taps, weights, window.reads, strict=True)
    ]
    return "; ".join(terms)


def _signed(number: Number) -> str:
    return f"+{number_text(number)}" if number >= 0 else number_text(number)

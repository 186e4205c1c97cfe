"""The story of a convolution: the kernel moves over the padded input, each window gives one output."""

from __future__ import annotations

from omniconv.explain.boards import (
    copy_links,
    kernel_board,
    padded_board,
    result_board,
    result_spot,
    source_marks,
    spot,
)
from omniconv.explain.figures import (
    PLUS,
    equals,
    factor_text,
    kernel_weights,
    number_text,
    place_text,
    ramp,
    sizes_text,
)
from omniconv.explain.formulas import convolution_facts
from omniconv.explain.geometry import Geometry
from omniconv.explain.results import Window, convolve
from omniconv.explain.story import Fill, Mark, Role, Step, Story
from omniconv.explain.titles import legend_of, past_edge_lines, subtitle

INPUT, KERNEL, OUTPUT = range(3)


def convolution_story(geometry: Geometry, seed: int = 0) -> Story:
    """A convolution step by step.

    Args:
        geometry: where its windows lie.
        seed: of the weights.
    """
    values, weights = ramp(geometry.sizes, seed), kernel_weights(geometry.arguments.kernel, seed)
    constant = number_text(geometry.arguments.border.value)
    boards = (
        padded_board("input", geometry, lambda _, source: constant if source is None else str(values[source])),
        kernel_board(geometry, weights),
        result_board("output", geometry),
    )
    windows = convolve(geometry, values, weights)
    steps = tuple(_step(geometry, window, weights, number) for number, window in enumerate(windows, start=1))
    title = f"Convolution: {sizes_text(geometry.sizes)} → {sizes_text(geometry.outputs)}"
    facts = tuple(convolution_facts(geometry))
    return Story(title, subtitle(geometry), geometry.sizes, boards, steps, facts, legend_of(boards, "output"))


def _step(geometry: Geometry, window: Window, weights: list[int], number: int) -> Step:
    is_row, pivot = len(geometry.sizes) == 1, result_spot(OUTPUT, window.place)
    constant = number_text(geometry.arguments.border.value)
    texts = [number_text(weight) for weight in weights]
    taps = [spot(INPUT, geometry, tap.position) for tap in window.taps]
    track = [spot(KERNEL, geometry, tap.position) for tap in window.taps] if is_row else []
    marks = [
        *(Mark(where, Role.TAP, note="" if is_row else f"×{text}") for where, text in zip(taps, texts, strict=True)),
        *(Mark(where, Role.TAP, text=f"×{text}") for where, text in zip(track, texts, strict=False)),
        *source_marks(INPUT, geometry, window.taps),
        Mark(pivot, Role.PIVOT),
    ]
    return Step(
        f"Step {number} of {len(geometry.places)}: output {place_text(window.place)}",
        (_sum(window, weights), *past_edge_lines(geometry, window.taps, "shows sample", constant)),
        tuple(marks),
        (Fill(pivot, number_text(window.result)),),
        tuple(track or taps),
        pivot,
        copy_links(INPUT, geometry, window.taps),
    )


def _sum(window: Window, weights: list[int]) -> str:
    terms = [f"{factor_text(read)}·{factor_text(weight)}" for read, weight in zip(window.reads, weights, strict=True)]
    return f"{PLUS.join(terms)} {equals(window.result)}"

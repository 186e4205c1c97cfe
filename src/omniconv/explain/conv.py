"""Scenes of convolutions and transposed convolutions."""

from __future__ import annotations

from dataclasses import replace

from omniconv.explain.scene import (
    Kind,
    Mark,
    Role,
    Scene,
    Step,
    Update,
    copy_links,
    kernel_panel,
    kernel_weights,
    legend,
    numbered,
    padded_cell_index,
    padded_panel,
    ramp,
    result_cell_index,
    result_panel,
    source_marks,
)
from omniconv.explain.text import (
    PLUS,
    conv_facts,
    equals,
    factor_text,
    index_text,
    number_text,
    past_edge_lines,
    sizes_text,
    subtitle,
    transposed_facts,
    unbroken,
)
from omniconv.explain.windows import Geometry, Index, Number, Window, convolve, scatter

INPUT, KERNEL, OUTPUT = range(3)  # panels


def conv_scene(geometry: Geometry, seed: int = 0) -> Scene:
    """Return the scene of a convolution: the kernel moves over the padded input, each window gives one output."""
    samples, weights = ramp(geometry.sizes, seed), kernel_weights(geometry.arguments.kernel, seed)
    constant = number_text(geometry.arguments.border.value)
    panels = (
        padded_panel("input", geometry, lambda _, source: constant if source is None else str(samples[source])),
        kernel_panel(geometry, weights),
        result_panel("output", geometry),
    )
    return Scene(
        f"Convolution: {sizes_text(geometry.sizes)} → {sizes_text(geometry.outputs)}",
        subtitle(geometry),
        geometry.sizes,
        panels,
        numbered(_conv_step(geometry, window, weights) for window in convolve(geometry, samples, weights)),
        tuple(conv_facts(geometry)),
        legend(
            panels,
            {Role.TAP: "read in this step", Role.CURRENT: "output", Role.SOURCE: "sample that is copied"},
            {Kind.COPY: "copy of the sample of the same colour", Kind.CONSTANT: "constant"},
        ),
    )


def transposed_scene(geometry: Geometry, output_padding: Index, seed: int = 0) -> Scene:
    """Return the scene of a transposed convolution: each input sample times the kernel is added to the output."""
    samples, weights = ramp(geometry.outputs, seed), kernel_weights(geometry.arguments.kernel, seed)

    def text(position: Index, source: int | None) -> str:
        if source is None:
            return "×"
        return "0" if geometry.inside(position) else "→" + ",".join(map(str, geometry.coordinates(source)))

    panels = (
        result_panel("input", geometry, list(map(str, samples))),
        kernel_panel(geometry, weights),
        padded_panel("output", geometry, text, arcs_below=True),
    )
    totals: dict[int, Number] = {}
    steps = []
    for window in scatter(geometry, samples, weights):
        for tap, value in zip(window.taps, window.values, strict=True):
            if tap.source is not None:
                totals[tap.source] = totals.get(tap.source, 0) + value
        steps.append(_transposed_step(geometry, window, weights, totals))
    more = [f"output padding {sizes_text(output_padding)}"] if any(output_padding) else []
    return Scene(
        f"Transposed convolution: {sizes_text(geometry.outputs)} → {sizes_text(geometry.sizes)}",
        subtitle(geometry, *more),
        geometry.sizes,
        panels,
        numbered(steps),
        tuple(transposed_facts(geometry, output_padding)),
        legend(
            panels,
            {Role.TAP: "written in this step", Role.CURRENT: "input sample", Role.SOURCE: "sample that is added to"},
            {Kind.COPY: "added to the sample of the same colour", Kind.CONSTANT: "dropped"},
        ),
    )


def _conv_step(geometry: Geometry, window: Window, weights: list[int]) -> Step:
    terms = [f"{factor_text(read)}·{factor_text(weight)}" for read, weight in zip(window.values, weights, strict=True)]
    constant = number_text(geometry.arguments.border.value)
    copies = past_edge_lines(geometry, window.taps, "is a copy of", constant)
    step = _window_step(geometry, window, weights, (INPUT, OUTPUT))
    return replace(
        step,
        title=f"output {index_text(window.index)}",
        lines=(f"{PLUS.join(terms)} {equals(window.result)}", *copies),
        updates=(Update(step.current, number_text(window.result)),),
    )


def _transposed_step(geometry: Geometry, window: Window, weights: list[int], totals: dict[int, Number]) -> Step:
    added = [("+" if value >= 0 else "") + number_text(value) for value in window.values]
    terms = [
        unbroken(f"{window.result}·{factor_text(weight)} = {number_text(value)} to {index_text(tap.position)}")
        for tap, weight, value in zip(window.taps, weights, window.values, strict=True)
    ]
    copies = past_edge_lines(geometry, window.taps, "is added to", "dropped")
    sources = dict.fromkeys(tap.source for tap in window.taps if tap.source is not None)
    cells = [padded_cell_index(OUTPUT, geometry, geometry.coordinates(source)) for source in sources]
    step = _window_step(geometry, window, weights, (OUTPUT, INPUT), added)
    return replace(
        step,
        title=f"input {index_text(window.index)}",
        lines=("; ".join(terms), *copies),
        updates=tuple(Update(cell, number_text(totals[source])) for cell, source in zip(cells, sources, strict=True)),
        links=tuple((copy, sample) for sample, copy in step.links),
    )


def _window_step(
    geometry: Geometry, window: Window, weights: list[int], panels: tuple[int, int], notes: list[str] | None = None
) -> Step:
    """Return a step with its marks and links, without texts; ``panels`` are those of the taps and of the windows."""
    tap_panel, window_panel = panels
    cells = [padded_cell_index(tap_panel, geometry, tap.position) for tap in window.taps]
    is_row = len(geometry.sizes) == 1  # only the kernel of a row moves, and shows the weights itself
    track = [padded_cell_index(KERNEL, geometry, tap.position) for tap in window.taps] if is_row else []
    factors = [f"×{number_text(weight)}" for weight in weights]
    notes = notes or ([""] * len(cells) if is_row else factors)
    links = copy_links(tap_panel, geometry, window.taps)
    current = result_cell_index(window_panel, window.index)
    marks = (
        *(Mark(cell, Role.TAP, note) for cell, note in zip(cells, notes, strict=True)),
        *(Mark(cell, Role.TAP, text=factor) for cell, factor in zip(track, factors, strict=False)),
        *source_marks(links),
        Mark(current, Role.CURRENT),
    )
    return Step("", (), marks, (), tuple(track or cells), current, links)

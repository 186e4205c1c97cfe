"""Scenes of convolutions and transposed convolutions."""

from __future__ import annotations

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
    """Return the scene of a convolution: the kernel moves over the padded input, each window gives one output.

    Args:
        geometry: windows on the input.
        seed: of the weights.
    """
    samples, weights = ramp(geometry.sizes, seed), kernel_weights(geometry.arguments.kernel, seed)
    constant = number_text(geometry.arguments.border.value)
    panels = (
        padded_panel("input", geometry, lambda _, source: constant if source is None else str(samples[source])),
        kernel_panel(geometry, weights),
        result_panel("output", geometry),
    )
    windows = convolve(geometry, samples, weights)
    return Scene(
        f"Convolution: {sizes_text(geometry.sizes)} → {sizes_text(geometry.outputs)}",
        subtitle(geometry),
        geometry.sizes,
        panels,
        tuple(_conv_step(geometry, window, weights, number) for number, window in enumerate(windows, start=1)),
        tuple(conv_facts(geometry)),
        legend(
            panels,
            {Role.TAP: "read in this step", Role.CURRENT: "output", Role.SOURCE: "sample that is copied"},
            {Kind.COPY: "copy of the sample of the same colour", Kind.CONSTANT: "constant"},
        ),
    )


def transposed_scene(geometry: Geometry, output_padding: Index, seed: int = 0) -> Scene:
    """Return the scene of a transposed convolution: each input sample times the kernel is added to the output.

    Args:
        geometry: windows of the input samples on the output.
        output_padding: of the layer, for its formula.
        seed: of the weights.
    """
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
    for number, window in enumerate(scatter(geometry, samples, weights), start=1):
        for tap, value in zip(window.taps, window.values, strict=True):
            if tap.source is not None:
                totals[tap.source] = totals.get(tap.source, 0) + value
        steps.append(_transposed_step(geometry, window, weights, totals, number))
    more = [f"output padding {sizes_text(output_padding)}"] if any(output_padding) else []
    return Scene(
        f"Transposed convolution: {sizes_text(geometry.outputs)} → {sizes_text(geometry.sizes)}",
        subtitle(geometry, *more),
        geometry.sizes,
        panels,
        tuple(steps),
        tuple(transposed_facts(geometry, output_padding)),
        legend(
            panels,
            {Role.TAP: "written in this step", Role.CURRENT: "input sample", Role.SOURCE: "sample that is added to"},
            {Kind.COPY: "added to the sample of the same colour", Kind.CONSTANT: "dropped"},
        ),
    )


def _conv_step(geometry: Geometry, window: Window, weights: list[int], number: int) -> Step:
    current = result_cell_index(OUTPUT, window.index)
    notes = [f"×{number_text(weight)}" for weight in weights]
    cells = [padded_cell_index(INPUT, geometry, tap.position) for tap in window.taps]
    track, track_marks = _kernel_track(geometry, window, notes)
    links = copy_links(INPUT, geometry, window.taps)
    terms = [f"{factor_text(read)}·{factor_text(weight)}" for read, weight in zip(window.values, weights, strict=True)]
    constant = number_text(geometry.arguments.border.value)
    marks = (
        *(Mark(cell, Role.TAP, note="" if track else note) for cell, note in zip(cells, notes, strict=True)),
        *track_marks,
        *source_marks(links),
        Mark(current, Role.CURRENT),
    )
    return Step(
        f"Step {number} of {len(geometry.indices)}: output {index_text(window.index)}",
        (
            f"{PLUS.join(terms)} {equals(window.result)}",
            *past_edge_lines(geometry, window.taps, "is a copy of", constant),
        ),
        marks,
        (Update(current, number_text(window.result)),),
        tuple(track or cells),
        current,
        links,
    )


def _transposed_step(
    geometry: Geometry, window: Window, weights: list[int], totals: dict[int, Number], number: int
) -> Step:
    current = result_cell_index(INPUT, window.index)
    cells = [padded_cell_index(OUTPUT, geometry, tap.position) for tap in window.taps]
    track, track_marks = _kernel_track(geometry, window, [f"×{number_text(weight)}" for weight in weights])
    links = copy_links(OUTPUT, geometry, window.taps)
    added = [("+" if value >= 0 else "") + number_text(value) for value in window.values]
    sources = dict.fromkeys(tap.source for tap in window.taps if tap.source is not None)
    terms = [
        unbroken(f"{window.result}·{factor_text(weight)} = {number_text(value)} to {index_text(tap.position)}")
        for tap, weight, value in zip(window.taps, weights, window.values, strict=True)
    ]
    marks = (
        *(Mark(cell, Role.TAP, note=note) for cell, note in zip(cells, added, strict=True)),
        *track_marks,
        *source_marks(links),
        Mark(current, Role.CURRENT),
    )
    return Step(
        f"Step {number} of {len(geometry.indices)}: input {index_text(window.index)}",
        ("; ".join(terms), *past_edge_lines(geometry, window.taps, "is added to", "dropped")),
        marks,
        tuple(
            Update(padded_cell_index(OUTPUT, geometry, geometry.coordinates(source)), number_text(totals[source]))
            for source in sources
        ),
        tuple(track or cells),
        current,
        tuple((copy, sample) for sample, copy in links),
    )


def _kernel_track(geometry: Geometry, window: Window, notes: list[str]) -> tuple[list, list[Mark]]:
    """Return the cells of the moving kernel of a row, and marks with its weights; nothing for a grid."""
    if len(geometry.sizes) > 1:
        return [], []
    track = [padded_cell_index(KERNEL, geometry, tap.position) for tap in window.taps]
    return track, [Mark(cell, Role.TAP, text=note) for cell, note in zip(track, notes, strict=True)]

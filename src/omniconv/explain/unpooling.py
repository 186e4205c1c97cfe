"""The story of unpooling: maxima are pooled with their switches, then put back where the switches point."""

from __future__ import annotations

from dataclasses import replace

from omniconv.explain.boards import padded_board, result_board, result_spot, sample_position
from omniconv.explain.figures import equals, number_text, place_text, shuffled, sizes_text
from omniconv.explain.formulas import pooling_facts, unpooling_fact
from omniconv.explain.geometry import Geometry
from omniconv.explain.pooling import Pooling, pooling_legend, pooling_steps, sample_text
from omniconv.explain.results import Number, Window
from omniconv.explain.story import Board, Cell, Fill, Kind, Mark, Role, Step, Story
from omniconv.explain.titles import subtitle

INPUT, POOLED, UNPOOLED = range(3)


def unpooling_story(geometry: Geometry, pooling: Pooling, seed: int = 0) -> Story:
    """Max pooling, then unpooling to the pooling's input size, step by step.

    Args:
        geometry: where the pooling's windows lie.
        pooling: a max pooling.
        seed: of the samples' order.

    Raises:
        InputError: a window holds no sample, so that there is no switch.
    """
    values = shuffled(geometry.sizes, seed)
    windows = pooling.windows(geometry, values)
    boards = (padded_board("input", geometry, sample_text(values, pooling)), result_board("pooled", geometry),
              _unpooled_board(geometry))  # fmt: skip
    steps = (*pooling_steps(geometry, pooling, values), *unpooling_steps(geometry, windows))
    steps = tuple(
        replace(step, title=f"Step {number} of {len(steps)}: {step.title.partition(': ')[2].replace('output', 'pool')}")
        for number, step in enumerate(steps, start=1)
    )
    sizes = " → ".join(map(sizes_text, (geometry.sizes, geometry.outputs, geometry.sizes)))
    facts = [*pooling_facts(geometry, pooling.ceil_mode), unpooling_fact(geometry), *pooling.facts]
    legend = pooling_legend(boards, pooling, "pooled")
    words = subtitle(geometry, *pooling.words)
    return Story(f"Max pooling and unpooling: {sizes}", words, geometry.sizes, boards, steps, tuple(facts), legend)


def unpooling_steps(geometry: Geometry, windows: list[Window]) -> tuple[Step, ...]:
    """One step for each pooled value; where several go to one sample, it holds their mean so far."""
    given: dict[int, list[Number]] = {}
    steps = []
    for window in windows:
        values = given.setdefault(window.switch, [])
        values.append(window.result)
        steps.append(_step(geometry, window, values))
    return tuple(steps)


def _step(geometry: Geometry, window: Window, values: list[Number]) -> Step:
    position = sample_position(geometry, window.switch)
    pivot, target = result_spot(POOLED, window.place), result_spot(UNPOOLED, position)
    mean = sum(values) / len(values)
    lines = [f"{number_text(window.result)} goes back to switch {window.switch}, sample {place_text(position)}"]
    if len(values) > 1:
        total = " + ".join(map(number_text, values))
        lines.append(f"{len(values)} windows took it; it gets their mean: ({total}) / {len(values)} {equals(mean)}")
    marks = (Mark(pivot, Role.PIVOT), Mark(target, Role.WINNER))
    fills = (Fill(target, number_text(mean), window.switch),)
    return Step(f"step: unpool {place_text(window.place)}", tuple(lines), marks, fills, (target,), pivot)


def _unpooled_board(geometry: Geometry) -> Board:
    """Zeros of the pooling's input size."""
    rows, columns = (1, *geometry.sizes)[-2:]
    cells = tuple(tuple(Cell(Kind.RESULT, "0") for _ in range(columns)) for _ in range(rows))
    start = -geometry.positions[-1].start if len(geometry.sizes) == 1 else 0
    return Board(f"unpooled {sizes_text(geometry.sizes)}", cells, core=(rows, columns), start=start)

"""The steps of an explanation as pictures: boards, the step's own arithmetic, and the facts that hold for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from omniconv.explain.brush import Brush, finished, new_canvas, text_width, wrapped
from omniconv.explain.cells import draw_arcs, draw_beam, draw_board, draw_fill, draw_legend, draw_mark, light_colours
from omniconv.explain.colours import INK, LINE, PIVOT, QUIET
from omniconv.explain.layout import WIDTH, Layout, Point, place
from omniconv.explain.story import Role, Spot, Step, Story

MARGIN, NARROWEST = 24.0, 640.0
HEAD = 66.0
LINE_HEIGHT, TEXT = 20.0, 13.0
MOST_LINES = 2
LABEL = 132.0  # room for the names of facts


@dataclass(frozen=True)
class Sheet:
    """How a picture is divided, from top to bottom: head, boards, the step, the facts.

    Args:
        layout: of the boards.
        width: of the text.
        facts: names and texts, line by line.
        step_lines: lines that the longest step takes.
        legend: place from the left, line, role or kind, and name of each entry.
    """

    layout: Layout
    width: float
    facts: tuple[tuple[str, str], ...]
    step_lines: int
    legend: tuple[tuple[float, int, str, str], ...]

    @property
    def boards_top(self) -> float:
        """Where the boards begin."""
        return HEAD + 14 * self.layout.is_row

    @property
    def step_top(self) -> float:
        """Where the step's text begins."""
        return self.boards_top + self.layout.height + 18

    @property
    def facts_top(self) -> float:
        """Where the facts begin."""
        return self.step_top + 26 + LINE_HEIGHT * self.step_lines + 14

    @property
    def height(self) -> float:
        """Of the whole."""
        return self.legend_top + 24 * (self.legend[-1][1] + 1) + 8

    @property
    def legend_top(self) -> float:
        """Where the legend begins."""
        return self.facts_top + 14 + LINE_HEIGHT * len(self.facts) + 14


def draw_steps(story: Story, every: int = 1) -> Iterator[Image.Image]:
    """One picture for each step, all of one size.

    Args:
        story: what is shown.
        every: draw the first of so many steps, from the last one backwards.

    Raises:
        InputError: the story is too large to be drawn.
    """
    sheet, colours = divide(story), light_colours(story.sizes)
    base = new_canvas(sheet.width + 2 * MARGIN, sheet.height)
    boards = _draw_base(base, sheet, story, colours)
    shown: dict[Spot, str] = {}
    for left, step in zip(range(len(story.steps) - 1, -1, -1), story.steps, strict=True):
        for fill in step.fills:
            draw_fill(boards, sheet.layout, fill, colours)
            shown[fill.spot] = fill.text
        if left % every == 0:
            yield finished(_draw_step(base, sheet, boards.shift, step, shown))


def divide(story: Story) -> Sheet:
    """Where everything stands.

    Raises:
        InputError: the story is too large to be drawn.
    """
    layout = place(story)
    words = max(NARROWEST, text_width(story.title, 19, bold=True), text_width(story.subtitle, TEXT))
    width = max(layout.width, min(words, WIDTH))
    facts = []
    for name, text in story.facts:
        lines = wrapped(text, width - LABEL, TEXT, 2)
        facts += [(name if line is lines[0] else "", line) for line in lines]
    most = max(len(_step_lines(step, width)) for step in story.steps)
    return Sheet(layout, width, tuple(facts), most, _flow(story.legend, width))


def _flow(entries: Sequence[tuple[str, str]], width: float) -> tuple[tuple[float, int, str, str], ...]:
    """The entries of a legend beside each other, on a new line where there is no room."""
    placed, left, line = [], 0.0, 0
    for kind, name in entries:
        room = 28 + text_width(name, 12)
        if left and left + room > width:
            left, line = 0.0, line + 1
        placed.append((left, line, kind, name))
        left += room + 20
    return tuple(placed)


def _draw_base(base: Image.Image, sheet: Sheet, story: Story, colours: list[str]) -> Brush:
    """What all steps share; gives the brush of the boards."""
    brush = Brush(base, (MARGIN, 0))
    brush.text((0, 36), story.title, 19, INK, "ls", bold=True)
    brush.text((0, 57), wrapped(story.subtitle, sheet.width, TEXT, 1)[0], TEXT, QUIET, "ls")
    _draw_facts(brush.moved((0, sheet.facts_top)), sheet)
    for left, line, kind, name in sheet.legend:
        draw_legend(brush.moved((left, sheet.legend_top + 24 * line)), kind, name)
    boards = brush.moved((max(sheet.width - sheet.layout.width, 0) / 2, sheet.boards_top))
    for placed in sheet.layout.boards:
        draw_board(boards, placed, colours)
    return boards


def _draw_facts(brush: Brush, sheet: Sheet) -> None:
    brush.line([(0, 0), (sheet.width, 0)], LINE)
    for number, (name, text) in enumerate(sheet.facts, start=1):
        brush.text((0, 8 + number * LINE_HEIGHT), name, TEXT, QUIET, "ls")
        brush.text((LABEL, 8 + number * LINE_HEIGHT), text, TEXT, INK, "ls")


def _draw_step(base: Image.Image, sheet: Sheet, shift: Point, step: Step, shown: dict[Spot, str]) -> Image.Image:
    image = base.copy()
    boards, layout = Brush(image, shift), sheet.layout
    draw_beam(boards, layout, step, base)
    for mark in sorted(step.marks, key=lambda mark: list(Role).index(mark.role)):
        draw_mark(boards, layout, mark, shown.get(mark.spot, layout.cell(mark.spot).text))
    draw_arcs(boards, layout, step)
    text = Brush(image, (MARGIN, sheet.step_top))
    text.text((0, 16), step.title, 14, PIVOT, "ls", bold=True)
    for number, (line, ink) in enumerate(_step_lines(step, sheet.width)):
        text.text((0, 40 + number * LINE_HEIGHT), line, TEXT, ink, "ls")
    return image


def _step_lines(step: Step, width: float) -> list[tuple[str, str]]:
    """Lines with their colours; the first text is the sum itself."""
    inks = [INK, *[QUIET] * len(step.lines)]
    parts = [wrapped(line, width, TEXT, MOST_LINES) for line in step.lines]
    return [(part, ink) for lines, ink in zip(parts, inks, strict=False) for part in lines]

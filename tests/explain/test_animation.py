"""The animation shows every step, whole, on white, within its margins, and repeats."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from omniconv.errors import InputError
from omniconv.explain.animation import gif_bytes
from omniconv.explain.asking import Words, explain_convolution, explain_pooling, explain_unpooling
from omniconv.explain.brush import text_width, wrapped
from omniconv.explain.cells import text_size
from omniconv.explain.colours import PIVOT, TAP, sample_colours
from omniconv.explain.frames import MARGIN, divide, draw_steps
from omniconv.explain.layout import LARGEST, SMALLEST, place
from omniconv.explain.story import Kind

STORIES = {
    "row": lambda: explain_convolution(Words("7", "3", "2", "1", "2")),
    "reflect": lambda: explain_convolution(Words("8", "5", "3", "2", mode="reflect")),
    "circular": lambda: explain_convolution(Words("3x5", "3", "2", "1", mode="circular")),
    "pole": lambda: explain_convolution(Words("2x4", "3", "2", "same", mode="pole,circular")),
    "upper": lambda: explain_convolution(Words("4x4", "3", "2", "same_upper"), value="5"),
    "transposed row": lambda: explain_convolution(Words("4", "3", "2", "1", mode="circular"), transposed=True),
    "transposed": lambda: explain_convolution(Words("2x3", "3", "2", "same", mode="reflect"), transposed=True),
    "maximum": lambda: explain_pooling(Words("3x5", "2"), ceil_mode=True),
    "mean": lambda: explain_pooling(Words("8", "3", "2", "1"), "average", count_include_pad=True),
    "norm": lambda: explain_pooling(Words("4x4", "2"), "lp", p="3"),
    "unpooling": lambda: explain_unpooling(Words("4x4", "3", "2", "1")),
    "unpooling row": lambda: explain_unpooling(Words("9", "3", "2", "1")),
    "one": lambda: explain_convolution(Words("1x1", "1", "1")),
    "long": lambda: explain_convolution(Words("40", "9", "8")),
    "many taps": lambda: explain_convolution(Words("11x11", "8", "3", "0")),
    "sides": lambda: explain_convolution(Words("5x6", "3", "2", "2:1,1:2", "1,2", "replicate:reflect,zeros:circular")),
}


@pytest.fixture(scope="module", params=list(STORIES))
def story(request):
    return STORIES[request.param]()


def read(content):
    with Image.open(io.BytesIO(content)) as image:
        frames = []
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            frames.append((np.asarray(image.convert("RGB")), image.info.get("duration")))
        return frames, image.info.get("loop")


def test_every_step_is_shown(story):
    frames, loop = read(gif_bytes(story, 0.5))
    drawn = [np.asarray(frame) for frame in draw_steps(story)]
    assert len(frames) == len(drawn) == len(story.steps)
    for (shown, _), whole in zip(frames, drawn, strict=True):
        assert (shown[:10] == 255).all()
        assert np.abs(shown.astype(int) - whole).mean() < 0.5
    if len(frames) > 1:
        assert loop == 0
        assert {time for _, time in frames[:-1]} == {500}
        assert frames[-1][1] == 1500


def test_nothing_is_cut_off(story):
    for frame in draw_steps(story):
        ink = np.argwhere((np.asarray(frame) < 250).any(-1))
        (top, left), (bottom, right) = ink.min(0), ink.max(0)
        assert min(top, left) >= MARGIN - 10
        assert right <= frame.width - MARGIN + 10
        assert bottom < frame.height - 8
        assert 640 <= frame.width <= 912
        assert frame.height <= 900


def test_numbers_fit_into_their_cells(story):
    layout = place(story)
    texts = [
        (cell.text, placed.cell, cell.kind) for placed in layout.boards for row in placed.board.cells for cell in row
    ]
    for step in story.steps:
        texts += [(fill.text, layout.boards[fill.spot[0]].cell, Kind.RESULT) for fill in step.fills]
        texts += [(mark.text, layout.boards[mark.spot[0]].cell, Kind.RESULT) for mark in step.marks]
    for text, cell, kind in texts:
        room = cell * (1 if kind in (Kind.SAMPLE, Kind.RESULT, Kind.WEIGHT) else 0.82)
        assert text_width(text, text_size(text, room)) <= room + 1
        assert SMALLEST <= cell <= LARGEST


def test_lines_fit_into_the_picture(story):
    sheet = divide(story)
    for line in [
        *(text for _, text in sheet.facts),
        *(line for step in story.steps for line in wrapped(step.lines[0], sheet.width, 13, 2)),
    ]:
        assert text_width(line, 13) <= sheet.width + 4


def test_boards_do_not_overlap(story):
    boxes = [placed.extent for placed in place(story).boards]
    for one, other in pairwise(boxes):
        assert one[2] < other[0] or one[3] < other[1]


def colour_at(frame, x, y):
    return "#" + bytes(np.asarray(frame)[round(y), round(x)]).hex()


def test_windows_and_outputs_are_framed_in_their_colours():
    story = STORIES["row"]()
    sheet = divide(story)
    left = MARGIN + (sheet.width - sheet.layout.width) / 2
    for step, frame in zip(story.steps, draw_steps(story), strict=True):
        for spots, colour in ((step.window, TAP), ((step.pivot,), PIVOT)):
            for spot in spots:
                x0, y0, x1, _ = sheet.layout.box(spot)
                middle = left + (x0 + x1) / 2
                column = [colour_at(frame, middle, sheet.boards_top + y0 + down) for down in (-1, 0, 1, 2, 3)]
                assert colour in column


def test_copies_are_painted_in_the_colour_of_their_sample():
    story = STORIES["circular"]()
    sheet, frame = divide(story), next(draw_steps(story))
    left = MARGIN + (sheet.width - sheet.layout.width) / 2
    light = [colour for colour, _ in sample_colours(story.sizes)]
    marked = {mark.spot for mark in story.steps[0].marks}
    for row, cells in enumerate(story.boards[0].cells):
        for column, cell in enumerate(cells):
            x0, y0, *_ = sheet.layout.box((0, row, column))
            if (0, row, column) not in marked:
                assert colour_at(frame, left + x0 + 8, sheet.boards_top + y0 + 8) == light[cell.source]


@pytest.mark.parametrize("sizes", [(7,), (48,), (5, 8), (1, 9), (16, 16)])
def test_samples_have_colours_of_their_own(sizes):
    colours = sample_colours(sizes)
    assert len(set(colours)) > 0.9 * len(colours)
    light, dark = (np.array([list(bytes.fromhex(pair[side][1:])) for pair in colours]) for side in (0, 1))
    assert light.mean(-1).min() > 165
    assert dark.mean(-1).max() < 120


def test_a_long_text_loses_its_middle_and_keeps_its_end():
    text = " + ".join(str(number) for number in range(500)) + " = 7"
    lines = wrapped(text, 300, 13, 2)
    assert len(lines) == 2
    assert lines[0].startswith("0 + 1 +")
    assert lines[1].endswith("= 7")
    assert "…" in " ".join(lines)
    assert wrapped("short", 300, 13, 2) == ["short"]


@pytest.mark.parametrize(
    ("words", "how"),
    [
        (Words("44", "3", "1"), "is too large to be drawn: 44 cells wide"),
        (Words("4x40", "3", "4"), "cells wide"),
        (Words("26x5", "26,1", "1"), "26 cells high"),
    ],
)
def test_cells_too_small_to_be_read_are_refused(words, how):
    with pytest.raises(InputError, match=how):
        gif_bytes(explain_convolution(words), 1)

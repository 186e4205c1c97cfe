"""What a story marks, writes and says is what its windows do."""

from __future__ import annotations

from collections import Counter

import pytest
from asked import asked
from hypothesis import assume, given, settings

from omniconv.errors import InputError
from omniconv.explain.asking import Words, explain_convolution, explain_pooling, explain_unpooling
from omniconv.explain.story import Kind, Role


def cell(story, spot):
    return story.boards[spot[0]].cells[spot[1]][spot[2]]


def spots(step, role, board=0):
    return [mark.spot for mark in step.marks if mark.role == role and mark.spot[0] == board]


def texts(story, board=0):
    return [[cell.text for cell in row] for row in story.boards[board].cells]


@settings(deadline=None, max_examples=80)
@given(asked(largest=5))
def test_copies_have_the_number_and_the_colour_of_their_sample(question):
    try:
        story = explain_convolution(question.words)
    except InputError:
        assume(False)
    board = story.boards[0]
    samples = {one.source: one.text for row in board.cells for one in row if one.kind == Kind.SAMPLE}
    assert list(samples.values()) == [str(number) for number in range(1, len(samples) + 1)]
    for row in board.cells:
        for one in row:
            assert one.kind in (Kind.SAMPLE, Kind.COPY, Kind.CONSTANT)
            assert one.text == (samples[one.source] if one.kind != Kind.CONSTANT else "0")


@settings(deadline=None, max_examples=80)
@given(asked(largest=5))
def test_each_step_marks_every_tap_and_every_source(question):
    try:
        story = explain_convolution(question.words)
    except InputError:
        assume(False)
    filled = Counter(fill.spot for step in story.steps for fill in step.fills)
    assert set(filled.values()) == {1}
    assert len(filled) == sum(map(len, story.boards[2].cells))
    for step in story.steps:
        taps = spots(step, Role.TAP)
        copied = [one for one in taps if cell(story, one).kind == Kind.COPY]
        assert {cell(story, one).source for one in copied} == {
            cell(story, one).source for one in spots(step, Role.SOURCE)
        }
        assert [end for _, end in step.links] == copied
        for start, end in step.links:
            assert cell(story, start).source == cell(story, end).source
            assert cell(story, start).kind == Kind.SAMPLE
        assert step.pivot == step.fills[0].spot


def test_a_convolution_of_a_row():
    story = explain_convolution(Words("7", "3", "2", "1", "2"))
    assert texts(story) == [["0", "1", "2", "3", "4", "5", "6", "7", "0"]]
    first, second, third = story.steps
    assert first.lines == ("0·2 +\u00a02·1 +\u00a04·1 =\u00a06", "past the edge: −1 is 0")
    assert second.title == "Step 2 of 3: output 1"
    assert second.lines == ("2·2 +\u00a04·1 +\u00a06·1 =\u00a014",)
    assert spots(second, Role.TAP) == [(0, 0, 2), (0, 0, 4), (0, 0, 6)]
    assert [mark.text for mark in second.marks if mark.spot[0] == 1] == ["×2", "×1", "×1"]
    assert third.fills[0].text == "14"
    assert (story.boards[2].start, story.boards[2].pitch) == (2, 2)


@pytest.mark.parametrize(
    ("mode", "padded"),
    [
        ("zeros", "0 0 1 2 3 4 0 0"),
        ("reflect", "3 2 1 2 3 4 3 2"),
        ("replicate", "1 1 1 2 3 4 4 4"),
        ("circular", "3 4 1 2 3 4 1 2"),
        ("circular:zeros", "3 4 1 2 3 4 0 0"),
    ],
)
def test_what_padded_cells_hold(mode, padded):
    assert " ".join(texts(explain_convolution(Words("4", "5", "1", "2", mode=mode)))[0]) == padded


def test_a_pole_turns_by_half_of_the_columns():
    story = explain_convolution(Words("2x4", "3", "1", "1", mode="pole,circular"))
    assert texts(story) == [
        ["2", "3", "4", "1", "2", "3"],
        ["4", "1", "2", "3", "4", "1"],
        ["8", "5", "6", "7", "8", "5"],
        ["6", "7", "8", "5", "6", "7"],
    ]
    assert "(−1, 0) shows sample (0, 2)".replace(" ", "\u00a0") in story.steps[0].lines[1]


def test_another_constant():
    story = explain_convolution(Words("2", "3", "1", "1"), value="-1.5")
    assert texts(story) == [["−1.5", "1", "2", "−1.5"]]
    assert story.steps[0].lines == ("(−1.5)·2 +\u00a01·1 +\u00a02·1 =\u00a00", "past the edge: −1 is −1.5")
    assert "mode zeros (value −1.5)" in story.subtitle


def test_a_transposed_convolution_folds_back():
    story = explain_convolution(Words("4", "3", "2", "1", mode="circular"), transposed=True, output_padding="1")
    assert texts(story, 2) == [["→7", *["0"] * 8, "→0"]]
    first = story.steps[0]
    assert first.lines == (
        "1·2 = 2 to −1; 1·1 = 1 to 0; 1·1 = 1 to 1".replace("; ", ";;").replace(" ", "\u00a0").replace(";;", "; "),
        "past the edge: −1\u00a0goes\u00a0to\u00a07",
    )
    assert first.links == (((2, 0, 0), (2, 0, 8)),)
    assert {fill.spot[2] - 1: fill.text for fill in first.fills} == {7: "2", 0: "1", 1: "1"}


def test_a_transposed_convolution_loses_what_falls_on_zeros():
    story = explain_convolution(Words("2x2", "3", "2", "1"), transposed=True)
    assert {one.text for one in story.boards[2].cells[0]} == {"×"}
    assert story.steps[0].lines[1] == "past the edge: (−1, −1), (−1, 0), (−1, 1), (0, −1), (1, −1) are lost"


def test_a_maximum_shows_its_winner_and_its_switch():
    story = explain_pooling(Words("3x4", "2", "1", "1"))
    for step in story.steps:
        (winner,) = spots(step, Role.WINNER)
        (fill,) = step.fills
        assert fill.text == cell(story, winner).text
        assert fill.source == cell(story, winner).source
        assert fill.note == f"@{fill.source}"
        assert f"= {fill.text}, switch {fill.source}" in step.lines[0]
    assert story.steps[0].lines[1] == "past the edge: 3 that never win"
    assert story.boards[0].cells[0][0].text == "−∞"


@pytest.mark.parametrize(
    ("counted", "lines"), [(False, ("3 / 1 =\u00a03", "past the edge: 1 of 2 not counted")), (True, None)]
)
def test_means_say_what_they_count(counted, lines):
    story = explain_pooling(Words("2", "2", "2", "1"), "average", count_include_pad=counted)
    value = story.boards[0].cells[0][1].text
    expected = (
        (lines[0].replace("3", value), lines[1]) if lines else (f"(0 +\u00a0{value}) / 2 =\u00a0{int(value) / 2:g}",)
    )
    assert story.steps[0].lines == expected


@pytest.mark.parametrize(
    ("p", "line"),
    [
        ("1", "{} +\u00a0{} =\u00a03"),
        ("2", "√({}² +\u00a0{}²) ≈\u00a02.24"),
        ("3", "({}^3 +\u00a0{}^3)^(1/3) ≈\u00a02.08"),
    ],
)
def test_norms_are_written_out(p, line):
    story = explain_pooling(Words("2", "2"), "lp", p=p)
    assert story.steps[0].lines == (line.format(*texts(story)[0]),)


def test_unpooling_pools_first_and_then_puts_back():
    story = explain_unpooling(Words("3", "2", "1"))
    assert [step.title for step in story.steps] == [
        "Step 1 of 4: pool 0", "Step 2 of 4: pool 1", "Step 3 of 4: unpool 0", "Step 4 of 4: unpool 1",
    ]  # fmt: skip


def test_windows_that_share_a_sample_say_so():
    story = explain_unpooling(Words("9", "3", "1"))
    shared = [step.lines[1] for step in story.steps if len(step.lines) > 1]
    assert shared
    assert all("windows took it; it gets their mean" in line for line in shared)


def test_what_hangs_over_counts_for_nothing():
    story = explain_pooling(Words("3", "2"), ceil_mode=True)
    assert [one.kind for one in story.boards[0].cells[0]] == [*[Kind.SAMPLE] * 3, Kind.BEYOND]
    assert ("beyond", "hangs over, counts for nothing") in story.legend


def test_many_samples_are_digits():
    story = explain_convolution(Words("10x10", "3", "1"))
    assert {len(text) for row in texts(story) for text in row} == {1}


def test_another_seed_draws_other_numbers():
    one, same, other = (explain_pooling(Words("4x4", "2", seed=seed)) for seed in ("1", "1", "2"))
    assert one == same
    assert texts(one) != texts(other)


def test_a_kernel_is_never_all_zeros():
    for seed in range(40):
        story = explain_convolution(Words("3", "1", "1", seed=str(seed)))
        assert story.steps[0].fills[0].text != "0"

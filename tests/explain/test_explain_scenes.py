"""Marks, updates and lines of the steps of a scene state what its windows compute."""

from __future__ import annotations

from collections import Counter

import pytest
from explain_cases import layer_cases
from hypothesis import assume, given, settings

from omniconv.errors import InputError
from omniconv.explain.api import Options, explain_conv, explain_pool, explain_unpool
from omniconv.explain.scene import Kind, Role


def cell_at(scene, index):
    panel, row, column = index
    return scene.panels[panel].cells[row][column]


def marked(step, role, panel=0):
    return [mark.cell for mark in step.marks if mark.role == role and mark.cell[0] == panel]


def texts(scene, panel=0):
    return [[cell.text for cell in row] for row in scene.panels[panel].cells]


@settings(deadline=None, max_examples=80)
@given(layer_cases(largest=5))
def test_copies_have_the_number_and_the_colour_of_their_sample(case):
    try:
        scene = explain_conv(case.options_text)
    except InputError:
        assume(False)
    panel = scene.panels[0]
    samples = {one.source: one.text for row in panel.cells for one in row if one.kind == Kind.SAMPLE}
    assert list(samples.values()) == [str(number) for number in range(1, len(samples) + 1)]
    for row in panel.cells:
        for one in row:
            assert one.kind in (Kind.SAMPLE, Kind.COPY, Kind.CONSTANT)
            assert one.text == (samples[one.source] if one.kind != Kind.CONSTANT else "0")


@settings(deadline=None, max_examples=80)
@given(layer_cases(largest=5))
def test_each_step_marks_every_tap_and_every_source(case):
    try:
        scene = explain_conv(case.options_text)
    except InputError:
        assume(False)
    written = Counter(update.cell for step in scene.steps for update in step.updates)
    assert set(written.values()) == {1}
    assert len(written) == sum(map(len, scene.panels[2].cells))
    for step in scene.steps:
        taps = marked(step, Role.TAP)
        copied = [one for one in taps if cell_at(scene, one).kind == Kind.COPY]
        assert {cell_at(scene, one).source for one in copied} == {
            cell_at(scene, one).source for one in marked(step, Role.SOURCE)
        }
        assert [end for _, end in step.links] == copied
        for start, end in step.links:
            assert cell_at(scene, start).source == cell_at(scene, end).source
            assert cell_at(scene, start).kind == Kind.SAMPLE
        assert step.current == step.updates[0].cell


def test_a_convolution_of_a_row():
    scene = explain_conv(Options("7", "3", "2", "1", "2"))
    assert texts(scene) == [["0", "1", "2", "3", "4", "5", "6", "7", "0"]]
    first, second, third = scene.steps
    assert first.lines == ("0·2 +\u00a02·1 +\u00a04·1 =\u00a06", "past the edge: −1 is 0")
    assert second.title == "Step 2 of 3: output 1"
    assert second.lines == ("2·2 +\u00a04·1 +\u00a06·1 =\u00a014",)
    assert marked(second, Role.TAP) == [(0, 0, 2), (0, 0, 4), (0, 0, 6)]
    assert [mark.text for mark in second.marks if mark.cell[0] == 1] == ["×2", "×1", "×1"]
    assert third.updates[0].text == "14"
    assert (scene.panels[2].start, scene.panels[2].pitch) == (2, 2)


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
    assert " ".join(texts(explain_conv(Options("4", "5", "1", "2", mode=mode)))[0]) == padded


def test_past_a_pole_columns_are_rolled_by_half():
    scene = explain_conv(Options("2x4", "3", "1", "1", mode="pole,circular"))
    assert texts(scene) == [
        ["2", "3", "4", "1", "2", "3"],
        ["4", "1", "2", "3", "4", "1"],
        ["8", "5", "6", "7", "8", "5"],
        ["6", "7", "8", "5", "6", "7"],
    ]
    assert "(−1, 0) is a copy of (0, 2)".replace(" ", "\u00a0") in scene.steps[0].lines[1]


def test_another_constant():
    scene = explain_conv(Options("2", "3", "1", "1"), value="-1.5")
    assert texts(scene) == [["−1.5", "1", "2", "−1.5"]]
    assert scene.steps[0].lines == ("(−1.5)·2 +\u00a01·1 +\u00a02·1 =\u00a00", "past the edge: −1 is −1.5")
    assert "mode zeros (value −1.5)" in scene.subtitle.replace("\u00a0", " ")


def test_a_transposed_convolution_adds_copies_to_their_samples():
    scene = explain_conv(Options("4", "3", "2", "1", mode="circular"), transposed=True, output_padding="1")
    assert texts(scene, 2) == [["→7", *["0"] * 8, "→0"]]
    first = scene.steps[0]
    assert first.lines == (
        "1·2 = 2 to −1; 1·1 = 1 to 0; 1·1 = 1 to 1".replace("; ", ";;").replace(" ", "\u00a0").replace(";;", "; "),
        "past the edge: −1\u00a0is\u00a0added\u00a0to\u00a07",
    )
    assert first.links == (((2, 0, 0), (2, 0, 8)),)
    assert {update.cell[2] - 1: update.text for update in first.updates} == {7: "2", 0: "1", 1: "1"}


def test_a_transposed_convolution_drops_what_falls_on_zeros():
    scene = explain_conv(Options("2x2", "3", "2", "1"), transposed=True)
    assert {one.text for one in scene.panels[2].cells[0]} == {"×"}
    assert scene.steps[0].lines[1] == "past the edge: (−1, −1), (−1, 0), (−1, 1), (0, −1), (1, −1) are dropped"


def test_a_maximum_is_marked_with_its_switch():
    scene = explain_pool(Options("3x4", "2", "1", "1"))
    for step in scene.steps:
        (maximum,) = marked(step, Role.MAXIMUM)
        (update,) = step.updates
        assert update.text == cell_at(scene, maximum).text
        assert update.source == cell_at(scene, maximum).source
        assert update.note == f"@{update.source}"
        assert f"= {update.text}, switch {update.source}" in step.lines[0]
    assert scene.steps[0].lines[1] == "past the edge: 3 of 4, ignored"
    assert scene.panels[0].cells[0][0].text == "−∞"


@pytest.mark.parametrize(
    ("counted", "lines"), [(False, ("3 / 1 =\u00a03", "past the edge: 1 of 2, not counted")), (True, None)]
)
def test_means_state_what_they_count(counted, lines):
    scene = explain_pool(Options("2", "2", "2", "1"), "average", count_include_pad=counted)
    value = scene.panels[0].cells[0][1].text
    expected = (
        (lines[0].replace("3", value), lines[1]) if lines else (f"(0 +\u00a0{value}) / 2 =\u00a0{int(value) / 2:g}",)
    )
    assert scene.steps[0].lines == expected


@pytest.mark.parametrize(
    ("p", "line"),
    [
        ("1", "{} +\u00a0{} =\u00a03"),
        ("2", "√({}² +\u00a0{}²) ≈\u00a02.24"),
        ("3", "({}^3 +\u00a0{}^3)^(1/3) ≈\u00a02.08"),
    ],
)
def test_norms_are_written_out(p, line):
    scene = explain_pool(Options("2", "2"), "lp", p=p)
    assert scene.steps[0].lines == (line.format(*texts(scene)[0]),)


def test_unpooling_pools_first_and_then_puts_back():
    scene = explain_unpool(Options("3", "2", "1"))
    assert [step.title for step in scene.steps] == [
        "Step 1 of 4: pool 0", "Step 2 of 4: pool 1", "Step 3 of 4: unpool 0", "Step 4 of 4: unpool 1",
    ]  # fmt: skip


def test_windows_with_the_same_switch_show_their_mean():
    scene = explain_unpool(Options("9", "3", "1"))
    shared = [step.lines[1] for step in scene.steps if len(step.lines) > 1]
    assert shared
    assert all("mean of the " in line for line in shared)


def test_the_overhang_is_not_counted():
    scene = explain_pool(Options("3", "2"), ceil_mode=True)
    assert [one.kind for one in scene.panels[0].cells[0]] == [*[Kind.SAMPLE] * 3, Kind.OVERHANG]
    assert ("overhang", "beyond the padding, not counted") in scene.legend


def test_many_samples_are_digits():
    scene = explain_conv(Options("10x10", "3", "1"))
    assert {len(text) for row in texts(scene) for text in row} == {1}


def test_another_seed_draws_other_numbers():
    one, same, other = (explain_pool(Options("4x4", "2", seed=seed)) for seed in ("1", "1", "2"))
    assert one == same
    assert texts(one) != texts(other)


def test_a_kernel_is_never_all_zeros():
    for seed in range(40):
        scene = explain_conv(Options("3", "1", "1", seed=str(seed)))
        assert scene.steps[0].updates[0].text != "0"

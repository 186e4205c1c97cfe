"""The arithmetic beside a picture has the user's numbers in it, and they come to the sizes of the picture."""

from __future__ import annotations

import re
from math import ceil, floor

import pytest
from asked import asked
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from omniconv.errors import InputError
from omniconv.explain.asking import Words, explain_convolution, explain_pooling, explain_unpooling


def facts(story):
    return dict(story.facts)


def test_the_convolution_of_the_readme():
    story = explain_convolution(Words("7", "3", "2", "1", "2"))
    assert story.title == "Convolution: 7 → 3"
    assert story.subtitle == "kernel 3 · stride 2 · padding 1 · dilation 2 · mode zeros"
    assert facts(story) == {
        "output": "⌊(7 + 2·1 − 2·(3 − 1) − 1) / 2⌋ + 1 = 3",
        "padding": "1 before, 1 after",
        "kernel span": "2·(3 − 1) + 1 = 5",
        "receptive field": "5; of two such layers 13",
        "multiply-adds": "3 taps · 3 outputs = 9",
    }


@pytest.mark.parametrize(
    ("words", "name", "text"),
    [
        (Words("5x8", "3", "2", "1:0,2:1"), "output height", "⌊(5 + 1 + 0 − 1·(3 − 1) − 1) / 2⌋ + 1 = 2"),
        (Words("5x8", "3", "2", "1:0,2:1"), "output width", "⌊(8 + 2 + 1 − 1·(3 − 1) − 1) / 2⌋ + 1 = 5"),
        (Words("5x8", "3", "2", "1:0,2:1"), "padding", "height 1 before, 0 after; width 2 before, 1 after"),
        (Words("5x8", "3,2", "1"), "kernel span", "height 1·(3 − 1) + 1 = 3; width 1·(2 − 1) + 1 = 2"),
        (Words("5x8", "3,2", "1"), "receptive field", "3 × 2; of two such layers 5 × 3"),
        (Words("5x8", "3", "1"), "kernel span", "1·(3 − 1) + 1 = 3 on both axes"),
        (Words("8", "3", "2", "same_upper"), "same_upper", "max((4 − 1)·2 + 3 − 8, 0) = 1"),
        (Words("8", "3", "2", "same_lower"), "padding", "1 before, 0 after"),
        (Words("7", "3", "2"), "padding", "none"),
    ],
)
def test_convolutions(words, name, text):
    assert facts(explain_convolution(words))[name] == text


@pytest.mark.parametrize(
    ("words", "extra", "name", "text"),
    [
        (Words("4", "3", "2", "1"), "1", "output", "(4 − 1)·2 − 2·1 + 1·(3 − 1) + 1 + 1 = 8"),
        (Words("4", "3", "2", "1:0"), None, "output", "(4 − 1)·2 − 1 − 0 + 1·(3 − 1) + 1 = 8"),
        (Words("4", "3", "2", "same"), None, "output", "4·2 = 8"),
        (Words("4", "3", "2", "valid"), None, "output", "(4 − 1)·2 − 2·0 + 1·(3 − 1) + 1 = 9"),
        (Words("4", "3", "2", "1"), None, "padding", "cut off: 1 before, 1 after"),
        (Words("4", "3", "2", "1", mode="circular"), None, "padding", "folded back: 1 before, 1 after"),
        (Words("4", "3", "2", "1", mode="zeros:reflect"), None, "padding", "cut off or folded back: 1 before, 1 after"),
        (Words("4", "3", "2"), None, "multiply-adds", "3 taps · 4 input samples = 12"),
    ],
)
def test_transposed_convolutions(words, extra, name, text):
    assert facts(explain_convolution(words, transposed=True, output_padding=extra))[name] == text


@pytest.mark.parametrize(
    ("words", "ceil_mode", "name", "text"),
    [
        (Words("7", "2"), False, "output", "⌊(7 + 2·0 − 1·(2 − 1) − 1) / 2⌋ + 1 = 3"),
        (Words("7", "2"), True, "output", "⌈(7 + 2·0 − 1·(2 − 1) − 1) / 2⌉ + 1 = 4"),
        (Words("7", "2"), True, "hangs over", "1 past the end"),
        (Words("5", "2", "3", "1"), True, "output",
         "⌈(5 + 2·1 − 1·(2 − 1) − 1) / 3⌉ + 1 − 1, as the last would begin past the end = 2"),
        (Words("1", "3", "1"), True, "output", "⌈max(1 + 2·0 − 1·(3 − 1) − 1, 0) / 1⌉ + 1 = 1"),
        (Words("4x4", "2"), False, "samples read", "4 a window · 4 windows = 16"),
        (Words("4x4", "2"), False, "@", "switch: flat index of the sample that won"),
    ],
)  # fmt: skip
def test_poolings(words, ceil_mode, name, text):
    assert facts(explain_pooling(words, ceil_mode=ceil_mode))[name] == text


def test_the_norm_is_written_out():
    assert facts(explain_pooling(Words("4", "2"), "lp", p="3"))["norm"] == "(Σ |x|^p)^(1/p), p = 3"


def test_the_size_of_an_unpooling():
    assert facts(explain_unpooling(Words("6", "2")))["unpooled size"] == "(3 − 1)·2 − 2·0 + 2 = 6"
    asked_for = "(3 − 1)·2 − 2·0 + 2 = 6; asked for 7, the pooling's input"
    assert facts(explain_unpooling(Words("7", "2")))["unpooled size"] == asked_for


def worth(formula):
    """Both sides of a size formula."""
    left, _, right = formula.rpartition(" = ")
    left = left.replace(", as the last would begin past the end", "").replace("−", "-").replace("·", "*")
    left = re.sub("⌊(.*)⌋", r"floor(\1)", left)
    left = re.sub("⌈(.*)⌉", r"ceil(\1)", left)
    return eval(left, {"floor": floor, "ceil": ceil, "max": max}), int(right)


@settings(deadline=None, max_examples=150)
@given(asked(largest=5), st.sampled_from(["conv", "transposed", "pool", "ceil"]))
def test_every_formula_comes_to_its_size(question, kind):
    try:
        if kind in ("conv", "transposed"):
            story = explain_convolution(question.words, transposed=kind == "transposed")
        else:
            story = explain_pooling(question.words, ceil_mode=kind == "ceil")
    except InputError:
        assume(False)
    sizes = []
    for name, text in story.facts:
        if name.startswith("output"):
            found, said = worth(text)
            assert found == said
            sizes.append(said)
    assert story.title.endswith(f"→ {' × '.join(map(str, sizes))}")

"""Facts have the user's numbers in their formulas, and each formula evaluates to the size that is drawn."""

from __future__ import annotations

import re
from math import ceil, floor

import pytest
from explain_cases import layer_cases
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from omniconv.errors import InputError
from omniconv.explain.api import Options, explain_conv, explain_pool, explain_unpool
from omniconv.explain.text import sizes_text


def facts(scene):
    return dict(scene.facts)


def test_the_convolution_of_the_readme():
    scene = explain_conv(Options("7", "3", "2", "1", "2"))
    assert scene.title == "Convolution: 7 → 3"
    assert scene.subtitle.replace("\u00a0", " ") == "kernel 3 · stride 2 · padding 1 · dilation 2 · mode zeros"
    assert facts(scene) == {
        "output": "⌊(7 + 2·1 − 2·(3 − 1) − 1) / 2⌋ + 1 = 3",
        "padding": "1 before, 1 after",
        "kernel span": "2·(3 − 1) + 1 = 5",
        "receptive field": "5; two such layers: 13",
        "multiply-adds": "3 taps · 3 outputs = 9",
    }


@pytest.mark.parametrize(
    ("options", "name", "text"),
    [
        (Options("5x8", "3", "2", "1:0,2:1"), "output height", "⌊(5 + 1 + 0 − 1·(3 − 1) − 1) / 2⌋ + 1 = 2"),
        (Options("5x8", "3", "2", "1:0,2:1"), "output width", "⌊(8 + 2 + 1 − 1·(3 − 1) − 1) / 2⌋ + 1 = 5"),
        (Options("5x8", "3", "2", "1:0,2:1"), "padding", "height 1 before, 0 after; width 2 before, 1 after"),
        (Options("5x8", "3,2", "1"), "kernel span", "height 1·(3 − 1) + 1 = 3; width 1·(2 − 1) + 1 = 2"),
        (Options("5x8", "3,2", "1"), "receptive field", "3\u00a0×\u00a02; two such layers: 5\u00a0×\u00a03"),
        (Options("5x8", "3", "1"), "kernel span", "1·(3 − 1) + 1 = 3 on both axes"),
        (Options("8", "3", "2", "same_upper"), "same_upper", "max((4 − 1)·2 + 3 − 8, 0) = 1"),
        (Options("8", "3", "2", "same_lower"), "padding", "1 before, 0 after"),
        (Options("7", "3", "2"), "padding", "none"),
    ],
)
def test_convolutions(options, name, text):
    assert facts(explain_conv(options))[name] == text


@pytest.mark.parametrize(
    ("options", "output_padding", "name", "text"),
    [
        (Options("4", "3", "2", "1"), "1", "output", "(4 − 1)·2 − 2·1 + 1·(3 − 1) + 1 + 1 = 8"),
        (Options("4", "3", "2", "1:0"), None, "output", "(4 − 1)·2 − 1 − 0 + 1·(3 − 1) + 1 = 8"),
        (Options("4", "3", "2", "same"), None, "output", "4·2 = 8"),
        (Options("4", "3", "2", "valid"), None, "output", "(4 − 1)·2 − 2·0 + 1·(3 − 1) + 1 = 9"),
        (Options("4", "3", "2", "1"), None, "padding", "cropped: 1 before, 1 after"),
        (Options("4", "3", "2", "1", mode="circular"), None, "padding", "added back: 1 before, 1 after"),
        (
            Options("4", "3", "2", "1", mode="zeros:reflect"),
            None,
            "padding",
            "cropped or added back: 1 before, 1 after",
        ),
        (Options("4", "3", "2"), None, "multiply-adds", "3 taps · 4 input samples = 12"),
    ],
)
def test_transposed_convolutions(options, output_padding, name, text):
    assert facts(explain_conv(options, transposed=True, output_padding=output_padding))[name] == text


@pytest.mark.parametrize(
    ("options", "ceil_mode", "name", "text"),
    [
        (Options("7", "2"), False, "output", "⌊(7 + 2·0 − 1·(2 − 1) − 1) / 2⌋ + 1 = 3"),
        (Options("7", "2"), True, "output", "⌈(7 + 2·0 − 1·(2 − 1) − 1) / 2⌉ + 1 = 4"),
        (Options("7", "2"), True, "overhang", "1 past the end"),
        (Options("5", "2", "3", "1"), True, "output",
         "⌈(5 + 2·1 − 1·(2 − 1) − 1) / 3⌉ + 1 − 1, as the last window would start past the end = 2"),
        (Options("1", "3", "1"), True, "output", "⌈max(1 + 2·0 − 1·(3 − 1) − 1, 0) / 1⌉ + 1 = 1"),
        (Options("4x4", "2"), False, "samples read", "4 per window · 4 windows = 16"),
        (Options("4x4", "2"), False, "@", "switch: flat index of the largest sample"),
    ],
)  # fmt: skip
def test_poolings(options, ceil_mode, name, text):
    assert facts(explain_pool(options, ceil_mode=ceil_mode))[name] == text


def test_the_norm_is_written_out():
    assert facts(explain_pool(Options("4", "2"), "lp", p="3"))["norm"] == "(Σ |x|^p)^(1/p), p = 3"


def test_the_size_of_an_unpooling():
    assert facts(explain_unpool(Options("6", "2")))["unpooled size"] == "(3 − 1)·2 − 2·0 + 2 = 6"
    expected = "(3 − 1)·2 − 2·0 + 2 = 6; output_size = 7, the input of the pooling"
    assert facts(explain_unpool(Options("7", "2")))["unpooled size"] == expected


def evaluate(formula):
    """Return both sides of a size formula."""
    left, _, right = formula.rpartition(" = ")
    left = left.replace(", as the last window would start past the end", "").replace("−", "-").replace("·", "*")
    left = re.sub("⌊(.*)⌋", r"floor(\1)", left)
    left = re.sub("⌈(.*)⌉", r"ceil(\1)", left)
    return eval(left, {"floor": floor, "ceil": ceil, "max": max}), int(right)


@settings(deadline=None, max_examples=150)
@given(layer_cases(largest=5), st.sampled_from(["conv", "transposed", "pool", "ceil"]))
def test_every_formula_evaluates_to_its_size(case, kind):
    try:
        if kind in ("conv", "transposed"):
            scene = explain_conv(case.options_text, transposed=kind == "transposed")
        else:
            scene = explain_pool(case.options_text, ceil_mode=kind == "ceil")
    except InputError:
        assume(False)
    sizes = []
    for name, text in scene.facts:
        if name.startswith("output"):
            value, stated = evaluate(text)
            assert value == stated
            sizes.append(stated)
    assert scene.title.endswith(f"→ {sizes_text(sizes)}")

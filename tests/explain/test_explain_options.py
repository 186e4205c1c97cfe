"""Options of the command line are parsed, and wrong ones raise an error of one line."""

from __future__ import annotations

import pytest

from omniconv.errors import InputError
from omniconv.explain.api import Options, explain_conv, explain_pool, explain_unpool
from omniconv.explain.parsing import parse_border, parse_numbers, parse_padding, parse_sizes


@pytest.mark.parametrize(("text", "sizes"), [("7", (7,)), ("5x8", (5, 8)), ("5X8", (5, 8)), ("1x1", (1, 1))])
def test_sizes(text, sizes):
    assert parse_sizes(text) == sizes


@pytest.mark.parametrize(
    ("text", "ndim", "numbers"), [("3", 1, (3,)), ("3", 2, (3, 3)), ("3,2", 2, (3, 2)), ("3x2", 2, (3, 2))]
)
def test_numbers(text, ndim, numbers):
    assert parse_numbers("kernel", text, ndim) == numbers


@pytest.mark.parametrize(
    ("text", "ndim", "rules"),
    [
        ("1", 2, ((1, 1), (1, 1))),
        ("1,2", 2, ((1, 1), (2, 2))),
        ("1:0,2:1", 2, ((1, 0), (2, 1))),
        ("1:0,2", 2, ((1, 0), (2, 2))),
        ("1:0", 1, ((1, 0),)),
        ("1:0", 2, ((1, 0), (1, 0))),
        ("same_upper", 2, ("same_upper", "same_upper")),
    ],
)
def test_padding(text, ndim, rules):
    assert parse_padding(text, ndim) == rules


@pytest.mark.parametrize(
    ("text", "ndim", "modes"),
    [
        ("circular", 1, (("circular", "circular"),)),
        ("reflect", 2, (("reflect", "reflect"), ("reflect", "reflect"))),
        ("pole,circular", 2, (("pole", "pole"), ("circular", "circular"))),
        ("zeros:pole,circular", 2, (("zeros", "pole"), ("circular", "circular"))),
        ("zeros:reflect", 1, (("zeros", "reflect"),)),
    ],
)
def test_modes(text, ndim, modes):
    assert parse_border(text, ndim).modes == modes


def conv(more=None, **options):
    return lambda: explain_conv(Options(**{"input": "7", "kernel": "3", "stride": "1"} | options), **more or {})


def pool(more=None, **options):
    return lambda: explain_pool(Options(**{"input": "7", "kernel": "2"} | options), **more or {})


REFUSED = [
    (conv(input="seven"), "must be N or HxW, whole numbers from 1 to 999999; write --input 7 or --input 5x8"),
    (conv(input="0"), "input='0': must be N or HxW"),
    (conv(input="5x"), "input='5x': must be N or HxW"),
    (conv(input=""), "input='': must be N or HxW"),
    (conv(input="²"), "input='²': must be N or HxW"),
    (conv(input="9" * 5000), "must be N or HxW"),
    (conv(input="4x5x6"), "input='4x5x6': has 3 axes: only rows and grids can be drawn; write --input 7"),
    (conv(input="999999999"), "input='999999999': must be N or HxW, whole numbers from 1 to 999999; write --input 7"),
    (conv(kernel="9999999"), "kernel='9999999': must be a whole number from 1 to 999999; write --kernel 3"),
    (conv(kernel="a"), "kernel='a': must be a whole number from 1 to 999999; write --kernel 3"),
    (conv(kernel="3,3"), "kernel='3,3': must be a whole number from 1 to 999999; write --kernel 3"),
    (conv(input="5x5", kernel="3,3,3"), "a whole number from 1 to 999999, or 2 of them; write --kernel 3 or 3,3"),
    (conv(kernel="0"), "kernel='0': must be a whole number from 1 to 999999"),
    (conv(kernel="-1"), "kernel='-1': must be a whole number from 1 to 999999"),
    (conv(stride="0"), "stride='0': must be a whole number from 1 to 999999; write --stride 1"),
    (conv(stride="1.5"), "stride='1.5': must be a whole number from 1 to 999999"),
    (conv(dilation="x"), "dilation='x': must be a whole number from 1 to 999999; write --dilation 1"),
    (conv(padding="smae"), "padding='smae': must be a whole number from 0 to 999999, before:after pairs of them, "
     "or one of valid, same, same_upper, same_lower; did you mean same?"),
    (conv(padding="-1"), "padding='-1': must be a whole number from 0 to 999999, before:after pairs"),
    (conv(padding="1,2"), "padding='1,2': must be a whole number from 0 to 999999, before:after pairs"),
    (conv(padding="1:2:3"), "write --padding 1 or 1:0"),
    (conv(input="5x5", padding="1,2,3"), "padding='1,2,3': must be a whole number from 0 to 999999, or 2 of them"),
    (conv(mode="cicular"), "must be one of zeros, reflect, replicate, circular, pole; did you mean circular?"),
    (conv(mode="1"), "mode='1': must be one of zeros, reflect, replicate, circular, pole; write --mode zeros"),
    (conv(mode="zeros,circular"), "'zeros,circular': must be one mode or before:after pairs; write --mode circular"),
    (conv(input="5x5", mode="a:b:c"), "mode='a:b:c': must be one mode, 2 for its axes, or before:after pairs; write "
     "--mode circular or --mode pole,circular"),
    (conv(mode="pole"), "mode='pole': has a pole, which needs rows in front of a circular last axis; write --mode "
     "pole,circular with a grid such as --input 4x8"),
    (conv(input="4x8", mode="pole"), "has a pole, which needs rows in front of a circular last axis; write --mode "
     "pole,circular"),
    (conv(input="4x8", mode="pole,zeros"), "needs rows in front of a circular last axis"),
    (conv(input="4x8", mode="circular,pole"), "needs rows in front of a circular last axis"),
    (conv(kernel="9"), "input='7': leaves no output under a kernel that spans 9; pad more, or use a smaller --kernel"),
    (conv(dilation="4"), "input='7': leaves no output under a kernel that spans 9"),
    (conv(padding="7", mode="reflect"), "padding=7: must be smaller than the axis (7 samples) to be reflected; pad "
     "less, or use --mode replicate or circular"),
    (conv(input="1", kernel="1", padding="1", mode="reflect"), "padding=1: must be smaller than the axis (1 samples)"),
    (conv(input="100"), "is too large to be drawn: 100 cells on an axis, more than 48; explain a smaller one"),
    (conv(input="999999", padding="999999"), "is too large to be drawn"),
    (conv(kernel="999999", padding="same"), "is too large to be drawn"),
    (conv(input="17x17", padding="1"), "input='17x17': has 289 windows, more than the 256 that can be shown; explain a "
     "smaller input or a larger stride"),
    (conv(seed="x"), "seed='x': must be a whole number from 0 to 999999999; write --seed 0"),
    (conv({"value": "x"}), "value='x': must be a number from -999 to 999; write --value 1"),
    (conv({"value": "nan"}), "value='nan': must be a number from -999 to 999"),
    (conv({"value": "1"}, mode="circular"), "has no meaning with --mode circular; leave it out, or use --mode zeros"),
    (conv({"value": "1", "transposed": True}), "value='1': has no meaning with --transposed, which drops"),
    (conv({"output_padding": "1"}), "output_padding='1': needs --transposed; add it, or leave this out"),
    (conv({"output_padding": "1", "transposed": True}, stride="1"), "must be smaller than stride=1 or dilation=1; use"),
    (conv({"output_padding": "a", "transposed": True}), "output_padding='a': must be a whole number from 0 to 999999; "
     "write --output-padding 1"),
    (conv({"output_padding": "1", "transposed": True}, stride="2", padding="same"), "must be 0 with padding=same, "
     "which gives size · stride; leave it out, or give --padding in numbers"),
    (conv({"transposed": True}, padding="5"), "leaves no output under a kernel that spans 3; pad less"),
    (conv({"transposed": True}, input="2", padding="3", kernel="7", mode="reflect"), "to be reflected"),
    (pool({"kind": "mean"}), "kind='mean': must be one of max, average, lp; write --kind max"),
    (pool({"kind": "averge"}), "kind='averge': must be one of max, average, lp; did you mean average?"),
    (pool({"count_include_pad": True}), "count_include_pad=True: needs --kind average; leave it out"),
    (pool({"p": "3"}), "p='3': needs --kind lp; add it, or leave this out"),
    (pool({"kind": "lp", "p": "0"}), "p='0': must be a number from 0.5 to 16; write --p 2"),
    (pool({"kind": "lp", "p": "x"}), "p='x': must be a number from 0.5 to 16"),
    (pool(padding="2"), "padding=2: must be smaller than the window, which spans 2; pad less"),
    (pool(kernel="9"), "input='7': is smaller than the window, which spans 9; pad with --padding same_upper, or"),
    (pool(input="1", dilation="3", padding="2"), "is so small that window 0 holds none of its samples; pad less"),
    (pool(kernel="a"), "kernel='a': must be a whole number from 1 to 999999"),
    (lambda: explain_unpool(Options("1", "2", dilation="3", padding="2")), "holds none of its samples"),
    (lambda: explain_unpool(Options("4x4x4", "2")), "has 3 axes"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "line"), REFUSED, ids=[line[:40] for _, line in REFUSED])
def test_refusals(make, line):
    with pytest.raises(InputError) as caught:
        make()
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_stride_of_a_pooling_is_its_window():
    assert pool(input="8", kernel="3")().title == "Max pooling: 8 → 2"
    assert pool(input="8", kernel="3", stride="1")().title == "Max pooling: 8 → 6"

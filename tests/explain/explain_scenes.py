"""Scenes of every layer, on rows and grids, that the tests of drawings run on."""

from __future__ import annotations

from omniconv.explain.api import Options, explain_conv, explain_pool, explain_unpool

SCENES = {
    "row": lambda: explain_conv(Options("7", "3", "2", "1", "2")),
    "reflect": lambda: explain_conv(Options("8", "5", "3", "2", mode="reflect")),
    "circular": lambda: explain_conv(Options("3x5", "3", "2", "1", mode="circular")),
    "pole": lambda: explain_conv(Options("2x4", "3", "2", "same", mode="pole,circular")),
    "upper": lambda: explain_conv(Options("4x4", "3", "2", "same_upper"), value="5"),
    "transposed row": lambda: explain_conv(Options("4", "3", "2", "1", mode="circular"), transposed=True),
    "transposed": lambda: explain_conv(Options("2x3", "3", "2", "same", mode="reflect"), transposed=True),
    "maximum": lambda: explain_pool(Options("3x5", "2"), ceil_mode=True),
    "mean": lambda: explain_pool(Options("8", "3", "2", "1"), "average", count_include_pad=True),
    "norm": lambda: explain_pool(Options("4x4", "2"), "lp", p="3"),
    "unpooling": lambda: explain_unpool(Options("4x4", "3", "2", "1")),
    "unpooling row": lambda: explain_unpool(Options("9", "3", "2", "1")),
    "one": lambda: explain_conv(Options("1x1", "1", "1")),
    "long": lambda: explain_conv(Options("40", "9", "8")),
    "many taps": lambda: explain_conv(Options("11x11", "8", "3", "0")),
    "sides": lambda: explain_conv(Options("5x6", "3", "2", "2:1,1:2", "1,2", "replicate:reflect,zeros:circular")),
}

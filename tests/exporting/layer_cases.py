"""Layers with all kinds of arguments to export: pairs of a name and a function that builds the layer."""

from __future__ import annotations

from functools import partial

from torch import nn

import omniconv as oc

MODES = ("zeros", "reflect", "replicate", "circular")
SPHERE = oc.Equirectangular()
POLES = ("over", "zeros", "replicate", "reflect")
SIZES = {1: (24,), 2: (24, 32), 3: (12, 14, 16)}
"""Grid at export, for each number of axes."""
OTHERS = {1: ((24,), (13,), (40,)), 2: ((24, 32), (13, 17), (30, 25)), 3: ((12, 14, 16), (10, 11, 13))}
"""Grids that the program runs on later."""

PADDINGS = (0, 2, (1, 2), ((0, 2), (3, 1)), "valid", "same", "same_upper", "same_lower")


def surfaces():
    """Yield planes of each border and panoramas of each pole mode."""
    yield from (oc.Plane(2, border=mode) for mode in MODES)
    yield from map(oc.Equirectangular, POLES)


def convolutions():
    """Yield 2-d convolutions: every padding on every border, with alternating strides, dilations and groups."""
    for index, surface in enumerate(surfaces()):
        for count, padding in enumerate(PADDINGS):
            stride, dilation = ((1, 1), (2, 1), ((1, 2), (2, 1)), (3, (1, 2)))[(index + count) % 4]
            kernel = ((3, 2), 4, 3)[(index + count) % 3]
            groups = 1 + count % 2
            yield (
                f"conv {surface} {padding} {kernel} {stride} {dilation}",
                partial(oc.nn.Conv, 4, 4, kernel, stride, padding, dilation, groups, surface=surface),
            )


def transposed():
    """Yield 2-d transposed convolutions."""
    for index, surface in enumerate(surfaces()):
        for count, padding in enumerate(PADDINGS):
            stride, dilation = ((1, 1), (2, 1), ((1, 2), (2, 1)), (3, 1))[(index + count) % 4]
            kernel, groups = ((3, 2), 4, 3)[(index + count) % 3], 1 + count % 2
            yield (
                f"transposed {surface} {padding} {kernel} {stride} {dilation}",
                partial(oc.nn.ConvTranspose, 4, 2, kernel, stride, padding, 0, dilation, groups, surface=surface),
            )


def poolings():
    """Yield 2-d poolings."""
    for surface in surfaces():
        for kind in (oc.nn.MaxPool, oc.nn.AvgPool, oc.nn.LpPool):
            for given in (
                {},
                {"kernel_size": 3, "stride": 2, "padding": 1},
                {"padding": "same_upper"},
                {"kernel_size": 3, "stride": 2, "padding": "same_lower", "ceil_mode": True},
                {"kernel_size": (3, 2), "stride": 3, "ceil_mode": True},
                {"kernel_size": 2, "stride": 1, "dilation": 2, "padding": ((0, 1), 1)},
            ):
                yield f"{kind.__name__} {surface} {given}", partial(kind, **given, surface=surface)
        yield f"count {surface}", partial(oc.nn.AvgPool, 3, 2, 1, count_include_pad=True, surface=surface)
        for given in ({}, {"kernel_size": 3, "stride": 2, "padding": "same_upper", "dilation": 2}):
            yield (
                f"switches {surface} {given}",
                partial(oc.nn.MaxPool, **given, return_switches=True, surface=surface),
            )


def pads():
    """Yield pads with one mode, and with a mode for each axis and side."""
    for mode in (
        *MODES,
        ("reflect", "circular"),
        (("circular", "zeros"), ("replicate", "reflect")),
        ("pole", "circular"),
    ):
        for amounts in (2, ((0, 3), (2, 1))):
            yield f"pad {mode} {amounts}", partial(oc.nn.Pad, amounts, mode, value=0.0 if mode == "pole" else 1.5)
    yield "pad far", partial(oc.nn.Pad, ((30, 2), (0, 40)), "circular")
    yield "pad far over the pole", partial(oc.nn.Pad, ((30, 2), (0, 40)), ("pole", "circular"))


def resizings():
    """Yield upsampling and downsampling layers."""
    for surface in surfaces():
        for mode in ("linear", "nearest"):
            for factor in (2, 3):
                yield f"up {surface} {mode} {factor}", partial(oc.nn.Upsample, factor, mode, surface=surface)
                yield f"down {surface} {mode} {factor}", partial(oc.nn.Downsample, factor, mode, surface=surface)


class PoolAndUnpool(nn.Module):
    """Max pooling followed by its unpooling."""

    def __init__(self, surface, **given):
        super().__init__()
        self.pool = oc.nn.MaxPool(**given, return_switches=True, surface=surface)
        self.unpool = oc.nn.MaxUnpool(**given, surface=self.pool.output_surface)

    def forward(self, x):
        return self.unpool(*self.pool(x), output_size=x.shape[2:])


def composed():
    """Yield layers that contain other layers."""
    for surface in (oc.Plane(), oc.Plane(border="reflect"), SPHERE):
        yield f"gated {surface}", partial(oc.nn.GatedConv, 4, 2, stride=2, surface=surface)
        yield f"coord {surface}", partial(oc.nn.CoordConv, 4, 2, radius=True, surface=surface)
        yield f"separable {surface}", partial(oc.nn.SeparableConv, 4, 2, stride=2, surface=surface)
        yield f"aspp {surface}", partial(oc.nn.ASPP, 4, 2, (2, 4), dropout=0.1, surface=surface)
        yield f"block {surface}", partial(oc.nn.ConvBlock, 4, 2, stride=2, surface=surface)
        yield f"double {surface}", partial(oc.nn.DoubleConv, 4, 2, activation="gelu", surface=surface)
        yield f"head {surface}", partial(oc.nn.OutputHead, 4, 2, 3, sigmoid=True, surface=surface)
        yield f"mean {surface}", partial(oc.nn.GlobalAvgPool, surface)
        yield f"unpool {surface}", partial(PoolAndUnpool, surface)
        yield f"unpool overlapping {surface}", partial(PoolAndUnpool, surface, kernel_size=3, stride=2, padding=1)


def other_ranks():
    """Yield layers on 1-d and 3-d grids."""
    for ndim in (1, 3):
        for surface in (oc.Plane(ndim, border=mode) for mode in MODES):
            given = {"surface": surface}
            yield f"conv {surface}", partial(oc.nn.Conv, 4, 2, 3, 2, "same_upper", **given)
            yield f"transposed {surface}", partial(oc.nn.ConvTranspose, 4, 2, **given)
            yield f"max {surface}", partial(oc.nn.MaxPool, padding="same_upper", **given)
            yield f"switches {surface}", partial(oc.nn.MaxPool, return_switches=True, **given)
            yield f"average {surface}", partial(oc.nn.AvgPool, padding="same_upper", **given)
            yield f"power {surface}", partial(oc.nn.LpPool, 3, 2, 1, **given)
            yield f"unpool {surface}", partial(PoolAndUnpool, **given)
            yield f"up {surface}", partial(oc.nn.Upsample, **given)
            yield f"down {surface}", partial(oc.nn.Downsample, **given)
            yield f"coord {surface}", partial(oc.nn.CoordConv, 4, 2, **given)
            yield f"aspp {surface}", partial(oc.nn.ASPP, 4, 2, (2,), **given)


def on_meshes():
    """Yield layers on an icosphere."""
    given = {"surface": oc.Icosphere(2)}
    yield "mesh conv", partial(oc.nn.Conv, 4, 2, **given)
    yield "mesh groups", partial(oc.nn.Conv, 4, 4, stride=2, groups=2, **given)
    yield "mesh point", partial(oc.nn.Conv, 4, 2, 1, **given)
    yield "mesh transposed", partial(oc.nn.ConvTranspose, 4, 2, **given)
    yield "mesh gated", partial(oc.nn.GatedConv, 4, 2, **given)
    yield "mesh coord", partial(oc.nn.CoordConv, 4, 2, radius=True, **given)
    yield "mesh separable", partial(oc.nn.SeparableConv, 4, 2, **given)
    yield "mesh mean", partial(oc.nn.GlobalAvgPool, **given)
    for kind in (oc.nn.MaxPool, oc.nn.AvgPool, oc.nn.LpPool):
        yield f"mesh {kind.__name__}", partial(kind, **given)
    yield "mesh switches", partial(oc.nn.MaxPool, return_switches=True, **given)
    yield "mesh unpool", partial(PoolAndUnpool, **given)
    for mode in ("linear", "nearest"):
        yield f"mesh up {mode}", partial(oc.nn.Upsample, mode=mode, **given)
        yield f"mesh down {mode}", partial(oc.nn.Downsample, mode=mode, **given)

"""Layers in programs of open sizes give what they give by themselves, at sizes that the export has not seen."""

from __future__ import annotations

from functools import partial

import layer_cases as ways
import onnx
import pytest
from programs import compare, in_packs, packed, program_of, written_and_read

import omniconv as oc

EVERY = (
    ways.convolutions, ways.transposed, ways.poolings, ways.pads, ways.resizings, ways.composed, ways.of_other_ranks,
    ways.on_meshes,
)  # fmt: skip
SPHERE, RING = oc.Equirectangular(), oc.Plane(border="circular")
MIXED = (("circular", "zeros"), ("replicate", "reflect"))
TELLING = [
    ("conv per side", partial(oc.nn.Conv, 4, 2, 4, 2, ((0, 2), (3, 1)), surface=oc.Plane(border="reflect"))),
    ("conv upper", partial(oc.nn.Conv, 4, 4, 3, 2, "same_upper", groups=2)),
    ("conv over poles", partial(oc.nn.Conv, 4, 2, (3, 2), (1, 3), "same_lower", 2, surface=SPHERE)),
    ("transposed over poles", partial(oc.nn.ConvTranspose, 4, 2, 3, 2, "same_upper", surface=SPHERE)),
    ("transposed round", partial(oc.nn.ConvTranspose, 4, 2, 4, (1, 2), 1, surface=RING)),
    ("maximum", partial(oc.nn.MaxPool, padding="same_upper", surface=oc.Plane(border="reflect"))),
    ("maximum rounded up", partial(oc.nn.MaxPool, (3, 2), 3, ceil_mode=True)),
    ("switches", partial(oc.nn.MaxPool, 3, 2, "same_upper", 2, return_switches=True, surface=SPHERE)),
    ("mean rounded up", partial(oc.nn.AvgPool, 3, 2, 1, ceil_mode=True)),
    ("norm", partial(oc.nn.LpPool, 3, 2, 1)),
    ("there and back", partial(ways.Unpooled, oc.Plane(), kernel_size=3, stride=2, padding=1)),
    ("pad by side", partial(oc.nn.Pad, ((0, 3), (2, 1)), MIXED, value=1.5)),
    ("pad more than there is", partial(oc.nn.Pad, ((30, 2), (0, 40)), ("pole", "circular"))),
    ("up", partial(oc.nn.Upsample, 2, surface=SPHERE)),
    ("up, nearest", partial(oc.nn.Upsample, 3, "nearest")),
    ("down", partial(oc.nn.Downsample, 2, surface=SPHERE)),
    ("coordinates", partial(oc.nn.CoordConv, 4, 2, radius=True, surface=SPHERE)),
    ("pyramid", partial(oc.nn.ASPP, 4, 2, (2, 9), surface=RING)),
]
QUICK = ("conv per side", "conv over poles", "maximum rounded up", "mean rounded up", "pad by side", "up")
TELLING_ON_MESHES = [case for case in ways.on_meshes() if case[0] in ("mesh conv", "mesh groups", "mesh switches")]


def try_all(cases, kinds=("torch", "onnx")):
    for ndim, named in in_packs(cases):
        mesh, module = named[0][0].startswith("mesh"), packed(named)
        program = program_of(module, ndim, mesh)
        for kind in kinds:
            run, content = written_and_read(program, kind, len(program.graph_signature.user_outputs))
            compare(module, run, ndim, mesh)
            if kind == "onnx":
                check_standard(content)


def check_standard(content):
    model = onnx.load_from_string(content)
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.functions


def test_telling_ways_in_torch():
    try_all(TELLING + TELLING_ON_MESHES, ["torch"])


def test_telling_ways_in_onnx():
    """Those that take torch's ONNX exporter little time; the others are slow."""
    try_all([case for case in TELLING if case[0] in QUICK] + TELLING_ON_MESHES[:1], ["onnx"])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_other_telling_ways_in_onnx():
    try_all([case for case in TELLING if case[0] not in QUICK] + TELLING_ON_MESHES[1:], ["onnx"])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("ways_of", EVERY, ids=lambda found: found.__name__)
def test_every_way(ways_of):
    try_all(list(ways_of()))

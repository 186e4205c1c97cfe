"""Exported layers compute the same as the layers, at sizes that the export has not seen."""

from __future__ import annotations

from functools import partial

import layer_cases as cases_of
import onnx
import pytest
from programs import check_outputs, grouped_by_ndim, in_parallel, program_of, write_and_read

import omniconv as oc

EVERY = (
    cases_of.convolutions, cases_of.transposed, cases_of.poolings, cases_of.pads, cases_of.resizings,
    cases_of.composed, cases_of.other_ranks, cases_of.on_meshes,
)  # fmt: skip
SPHERE, RING = oc.Equirectangular(), oc.Plane(border="circular")
MIXED = (("circular", "zeros"), ("replicate", "reflect"))
CASES = [
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
    ("there and back", partial(cases_of.PoolAndUnpool, oc.Plane(), kernel_size=3, stride=2, padding=1)),
    ("pad by side", partial(oc.nn.Pad, ((0, 3), (2, 1)), MIXED, value=1.5)),
    ("pad more than there is", partial(oc.nn.Pad, ((30, 2), (0, 40)), ("pole", "circular"))),
    ("up", partial(oc.nn.Upsample, 2, surface=SPHERE)),
    ("up, nearest", partial(oc.nn.Upsample, 3, "nearest")),
    ("down", partial(oc.nn.Downsample, 2, surface=SPHERE)),
    ("coordinates", partial(oc.nn.CoordConv, 4, 2, radius=True, surface=SPHERE)),
    ("pyramid", partial(oc.nn.ASPP, 4, 2, (2, 9), surface=RING)),
]
QUICK = (  # torch's ONNX exporter takes little time
    "conv per side",
    "conv over poles",
    "maximum rounded up",
    "mean rounded up",
    "pad by side",
    "up",
)
MESH_CASES = [case for case in cases_of.on_meshes() if case[0] in ("mesh conv", "mesh groups", "mesh switches")]


def check_all(cases, formats=("torch", "onnx")):
    for ndim, named in grouped_by_ndim(cases):
        mesh, module = named[0][0].startswith("mesh"), in_parallel(named)
        program = program_of(module, ndim, mesh)
        for file_format in formats:
            run, content = write_and_read(program, file_format, len(program.graph_signature.user_outputs))
            check_outputs(module, run, ndim, mesh)
            if file_format == "onnx":
                check_domains(content)


def check_domains(content):
    model = onnx.load_from_string(content)
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.functions


def test_selected_cases_in_torch():
    check_all(CASES + MESH_CASES, ["torch"])


def test_quick_cases_in_onnx():
    check_all([case for case in CASES if case[0] in QUICK] + MESH_CASES[:1], ["onnx"])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_slow_cases_in_onnx():
    check_all([case for case in CASES if case[0] not in QUICK] + MESH_CASES[1:], ["onnx"])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("cases", EVERY, ids=lambda cases: cases.__name__)
def test_every_case(cases):
    check_all(list(cases()))

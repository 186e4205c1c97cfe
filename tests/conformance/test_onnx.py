"""Layers against the node tests that ONNX publishes for backends, padding included."""

from __future__ import annotations

import warnings
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx_nodes import LAYERS, RESHAPING, run_model, run_node

import omniconv as oc
from omniconv.errors import InputError

NODE_TESTS = {
    "Conv": """basic_conv_with_padding basic_conv_without_padding conv_with_autopad_same
        conv_with_strides_and_asymmetric_padding conv_with_strides_no_padding conv_with_strides_padding""",
    "ConvTranspose": """convtranspose convtranspose_1d convtranspose_3d convtranspose_autopad_same
        convtranspose_dilations convtranspose_group_2 convtranspose_group_2_image_3 convtranspose_kernel_shape
        convtranspose_output_shape convtranspose_pad convtranspose_pads""",
    "MaxPool": """maxpool_1d_default maxpool_2d_ceil maxpool_2d_ceil_output_size_reduce_by_one maxpool_2d_default
        maxpool_2d_dilations maxpool_2d_pads maxpool_2d_precomputed_pads maxpool_2d_precomputed_same_upper
        maxpool_2d_precomputed_strides maxpool_2d_same_lower maxpool_2d_same_upper maxpool_2d_strides
        maxpool_3d_default maxpool_3d_dilations maxpool_3d_dilations_use_ref_impl
        maxpool_3d_dilations_use_ref_impl_large maxpool_with_argmax_2d_precomputed_pads
        maxpool_with_argmax_2d_precomputed_strides""",
    "AveragePool": """averagepool_1d_default averagepool_2d_ceil averagepool_2d_ceil_last_window_starts_on_pad
        averagepool_2d_default averagepool_2d_dilations averagepool_2d_pads averagepool_2d_pads_count_include_pad
        averagepool_2d_precomputed_pads averagepool_2d_precomputed_pads_count_include_pad
        averagepool_2d_precomputed_same_upper averagepool_2d_precomputed_strides averagepool_2d_same_lower
        averagepool_2d_same_upper averagepool_2d_strides averagepool_3d_default averagepool_3d_dilations_small
        averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_False
        averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_True
        averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_False
        averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True""",
    "LpPool": """lppool_1d_default lppool_2d_default lppool_2d_dilations lppool_2d_pads lppool_2d_same_lower
        lppool_2d_same_upper lppool_2d_strides lppool_3d_default""",
    "MaxUnpool": "maxunpool_export_with_output_shape maxunpool_export_without_output_shape",
    "Pad": "constant_pad constant_pad_axes constant_pad_negative_axes edge_pad reflect_pad wrap_pad",
    "GlobalAveragePool": "globalaveragepool globalaveragepool_precomputed",
    "GlobalMaxPool": "globalmaxpool globalmaxpool_precomputed",
}
NAMES = [name for names in NODE_TESTS.values() for name in names.split()]
WHOLE_NUMBERS = {"maxpool_2d_uint8"}  # not run: layers take floating-point signals only
MODEL_FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data"


@cache
def node_tests():
    """Return ONNX's node tests of omniconv's operators by name; loaded lazily, since that takes seconds."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"onnx\.backend\.test\.case\.node\.")
        found = collect_testcases()
    graphs = {case.name.removeprefix("test_"): case for case in found}
    return {
        name: case
        for name, case in graphs.items()
        if len(case.model.graph.node) == 1 and case.model.graph.node[0].op_type in NODE_TESTS
    }


def models():
    """Return models exported by PyTorch, with inputs and outputs, which ONNX publishes."""
    for path in sorted(MODEL_FOLDER.glob("pytorch-*/*/model.onnx")):
        model = onnx.load(path)
        operators = {node.op_type for node in model.graph.node} - RESHAPING
        if operators and operators <= LAYERS.keys():
            yield pytest.param(model, path.parent / "test_data_set_0", id=path.parent.name.removeprefix("test_"))


@pytest.mark.parametrize("name", NAMES)
def test_node(name):
    case = node_tests()[name]
    (node,) = case.model.graph.node
    for inputs, outputs in case.data_sets:
        for found, wanted in zip(run_node(node, inputs), outputs, strict=True):
            assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
            np.testing.assert_allclose(found, wanted, case.rtol, case.atol)


def test_every_node_test_is_listed():
    """Node tests of a later ONNX release must be added to the lists."""
    named = {name: operator for operator, names in NODE_TESTS.items() for name in names.split()}
    named |= dict.fromkeys(WHOLE_NUMBERS, "MaxPool")
    assert {name: case.model.graph.node[0].op_type for name, case in node_tests().items()} == named


@pytest.mark.parametrize("name", sorted(WHOLE_NUMBERS))
def test_unsupported_nodes_are_refused(name):
    case = node_tests()[name]
    (node,), ((inputs, _),) = case.model.graph.node, case.data_sets
    assert inputs[0].dtype == np.uint8
    with pytest.raises(InputError, match=r"must have a floating-point dtype; use x\.float\(\)"):
        run_node(node, inputs)


@pytest.mark.parametrize(("model", "folder"), list(models()))
def test_model(model, folder):
    inputs, outputs = (
        [numpy_helper.to_array(onnx.load_tensor(path)) for path in sorted(folder.glob(f"{kind}_*.pb"))]
        for kind in ("input", "output")
    )
    found, (wanted,) = run_model(model, inputs), outputs
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_no_model_is_missing():
    found = Counter(node.op_type for one in models() for node in one.values[0].graph.node if node.op_type in NODE_TESTS)
    assert found == {"Conv": 27, "ConvTranspose": 3, "MaxPool": 9, "AveragePool": 7, "Pad": 5}


def test_switches_are_read_in_the_size_asked_for_as_pytorch_does():
    """ONNX's ``maxunpool_export_with_output_shape`` differs, see ``onnx_nodes.max_unpool``."""
    values, switches = torch.tensor([[[[5.0, 6.0], [7.0, 8.0]]]]), torch.tensor([[[[5, 7], [13, 15]]]])
    wanted = F.max_unpool2d(values, switches, 2, output_size=(5, 5))
    assert torch.equal(oc.nn.MaxUnpool(2)(values, switches, (1, 1, 5, 5)), wanted)
    assert wanted[0, 0, 1, 0] == 5

"""Layers against ONNX Runtime over random attributes: uneven padding, both SAME rules, dilation, ceil mode."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx_nodes import run_node

CASES = 150
AUTO_PAD = ("NOTSET", "NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


def run_theirs(node, inputs):
    kinds = [TensorProto.FLOAT, TensorProto.INT64]
    graph = helper.make_graph(
        [node],
        "one",
        [
            helper.make_tensor_value_info(name, kinds[0], one.shape)
            for name, one in zip(node.input, inputs, strict=True)
        ],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in zip(node.output, kinds, strict=False)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip(node.input, inputs, strict=True)))


def draw(generator, operator):
    """Draw attributes and sizes whose result the specification defines.

    Left out is what ONNX Runtime does in its own way: it refuses or forgets gaps under SAME, crops where a pooling
    window under SAME is smaller than its stride (TensorFlow and JAX, as we, then do not pad), goes back to less than
    ``size · stride`` where a kernel is, and gives no windows at all where the first would hang over.
    """
    ndim = int(generator.integers(1, 4))
    kernel, strides, dilations, more = (generator.integers(least, most, ndim).tolist() for least, most in
                                        ((1, 4), (1, 4), (1, 3), (0, 5)))  # fmt: skip
    name = str(generator.choice(AUTO_PAD))
    attributes = {"auto_pad": name, "kernel_shape": kernel, "strides": strides}
    if name.startswith("SAME"):
        attributes["strides"] = [min(one, other) for one, other in zip(strides, kernel, strict=True)]
        dilations = [1] * ndim
    if name == "NOTSET":
        attributes["pads"] = [int(generator.integers(0, taps)) for taps in kernel * 2]
        attributes |= {"ceil_mode": int(generator.integers(0, 2))} if operator.endswith("Pool") else {}
    sizes = [gap * (taps - 1) + 1 + extra for taps, gap, extra in zip(kernel, dilations, more, strict=True)]
    return attributes | {"dilations": dilations}, sizes


def convolution(generator, operator):
    attributes, sizes = draw(generator, operator)
    groups = attributes["group"] = int(generator.integers(1, 3))
    channels = (6, 4 // groups) if operator == "Conv" else (4, 6 // groups)
    if operator == "ConvTranspose" and attributes["auto_pad"] in ("NOTSET", "VALID"):
        attributes["output_padding"] = [int(generator.integers(0, one)) for one in attributes["strides"]]
    shapes = (2, 4, *sizes), (*channels, *attributes["kernel_shape"]), (6,)
    return attributes, [generator.normal(size=shape).astype(np.float32) for shape in shapes]


def pooling(generator, operator):
    attributes, sizes = draw(generator, operator)
    if operator == "AveragePool":
        attributes["count_include_pad"] = int(generator.integers(0, 2))
    if operator == "LpPool":
        attributes["p"] = int(generator.integers(1, 4))
    return attributes, [generator.normal(size=(1, 1, *sizes)).astype(np.float32)]


@pytest.mark.parametrize(
    ("operator", "case"),
    [("Conv", convolution), ("ConvTranspose", convolution), ("MaxPool", pooling), ("AveragePool", pooling),
     ("LpPool", pooling)],
)  # fmt: skip
def test_operators(operator, case):
    generator = np.random.default_rng(0)
    for _ in range(CASES):
        attributes, inputs = case(generator, operator)
        outputs = ["values", "switches"] if operator == "MaxPool" else ["values"]
        node = helper.make_node(operator, [str(number) for number in range(len(inputs))], outputs, **attributes)
        for found, wanted in zip(run_node(node, inputs), run_theirs(node, inputs), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5, err_msg=str(attributes))

"""Programs as ``.onnx`` files of standard operators, run by onnxruntime."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from omniconv.errors import InputError
from omniconv.exporting.program import AXES, quiet

OPSET = 20
"""The newest that onnxruntime 1.18 knows."""
INPUT = "image"
LARGEST = 2**31 - 1
"""Bytes that a protocol buffer, and so a single ONNX file, can have."""


def check_installed() -> None:
    """The extra ``omniconv[export]`` is there.

    Raises:
        InputError: it is not.
    """
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise InputError("format", "onnx", f"needs {', '.join(missing)}", "pip install 'omniconv[export]'")


def to_bytes(program: torch.export.ExportedProgram, description: dict[str, Any], outputs: tuple[str, ...]) -> bytes:
    """The content of an ``.onnx`` file.

    Raises:
        InputError: the network is larger than an ONNX file can be.
    """
    with quiet():
        made = torch.onnx.export(
            program, input_names=[INPUT], output_names=list(outputs), opset_version=OPSET, dynamo=True, verbose=False,
            custom_translation_table={operator.floordiv: _floor_division},
        )  # fmt: skip
    model = made.model_proto  # type: ignore[union-attr]  # None only where a file name is given
    _name_axes(model.graph, _symbols(program))
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]  # what torch's exporter keeps for its authors
    for key, value in description.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value if isinstance(value, str) else json.dumps(value)
    model.producer_name, model.producer_version = "omniconv", description["omniconv"]
    if model.ByteSize() > LARGEST:
        raise InputError("format", "onnx", "cannot hold networks of 2 GiB or more", "use the format 'torch'")
    return model.SerializeToString()


def from_bytes(content: bytes) -> Callable[[Tensor], list[Tensor]]:
    """What runs the content of an ``.onnx`` file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(x: Tensor) -> list[Tensor]:
        return [torch.from_numpy(array) for array in session.run(None, {INPUT: x.numpy()})]

    return run


def _floor_division(dividend: Any, divisor: Any) -> Any:
    """Division of sizes that rounds down; torch's own translation rounds to zero."""
    from onnxscript import opset18 as op

    return op.Div(op.Sub(dividend, op.Mod(dividend, divisor)), divisor)


def _symbols(program: torch.export.ExportedProgram) -> dict[str, str]:
    """Names of the input's open axes by the symbols that torch gave them."""
    name = program.graph_signature.user_inputs[0]
    shape = next(node.meta["val"].shape for node in program.graph.nodes if node.name == name)
    names = ("batch", "channels", *AXES[len(shape) - 2])
    return {str(size): axis for size, axis in zip(shape, names, strict=True) if isinstance(size, torch.SymInt)}


def _name_axes(graph: Any, names: dict[str, str]) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_param = re.sub(
                    r"\bs\d+\b", lambda found: names.get(found[0], found[0]), dimension.dim_param
                )

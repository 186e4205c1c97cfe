"""Conversion of programs to ``.onnx`` files of standard operators, and their execution by onnxruntime."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from omniconv.checks import check_extra
from omniconv.errors import InputError, truncate
from omniconv.exporting.program import AXES, silenced_exporter

OPSET = 20
"""Version of the operator set: the newest that onnxruntime 1.18 supports."""
INPUT = "image"
MAX_BYTES = 2**31 - 1
"""Largest protocol buffer, and therefore the largest ONNX file."""


def check_installed() -> None:
    """Check that the packages of ``omniconv[export]`` are installed, without importing them.

    Raises:
        InputError: one is missing.
    """
    check_extra("export", "the format onnx", ("onnx", "onnxscript", "onnxruntime"))


def output_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return names for the outputs of a file, in which none can have the name of the input."""
    return tuple(f"{name}_output" if name == INPUT else name for name in names)


def to_bytes(
    program: torch.export.ExportedProgram,
    description: dict[str, Any],
    outputs: tuple[str, ...],
    inputs: tuple[str, ...] = (INPUT,),
) -> bytes:
    """Return the content of an ``.onnx`` file.

    Raises:
        InputError: the file would be larger than ``MAX_BYTES``, or ONNX has no operator for one of the network.
    """
    try:
        converted = _convert(program, outputs, inputs)
    except torch.onnx.errors.OnnxExporterError as error:
        reason = (error.__cause__ or error).args
        rule = f"cannot hold this network ({truncate(str(reason[0] if reason else error).splitlines()[0])})"
        raise InputError("format", "onnx", rule, "use the format 'torch'") from error
    model = converted.model_proto
    _name_axes(model.graph, _symbols(program))
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]  # debugging data of torch's exporter, with local paths
    for key, value in description.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value if isinstance(value, str) else json.dumps(value)
    model.producer_name, model.producer_version = "omniconv", description["omniconv"]
    if model.ByteSize() > MAX_BYTES:
        raise InputError("format", "onnx", "cannot hold networks of 2 GiB or more", "use the format 'torch'")
    return model.SerializeToString()


def _convert(program: torch.export.ExportedProgram, outputs: tuple[str, ...], inputs: tuple[str, ...]) -> Any:
    translations = {operator.floordiv: _floor_division, torch.ops.prims.hypot.default: _hypot}
    with silenced_exporter():
        return torch.onnx.export(
            program, input_names=list(inputs), output_names=list(outputs), opset_version=OPSET, dynamo=True,
            verbose=False, custom_translation_table=translations,  # type: ignore[arg-type]  # also takes one function
        )  # fmt: skip


def from_bytes(content: bytes) -> Callable[..., list[Tensor]]:
    """Return a function that runs the content of an ``.onnx`` file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    names = [one.name for one in session.get_inputs()]

    def run(*inputs: Tensor) -> list[Tensor]:
        arrays = {name: x.numpy() for name, x in zip(names, inputs, strict=True)}
        return [torch.from_numpy(array) for array in session.run(None, arrays)]

    return run


def _floor_division(dividend: Any, divisor: Any) -> Any:
    """Translate ``//`` on sizes; torch translates it to ONNX's Div, which rounds towards zero instead of down."""
    from onnxscript import opset18 as op

    return op.Div(op.Sub(dividend, op.Mod(dividend, divisor)), divisor)


def _hypot(first: Any, second: Any) -> Any:
    """Translate ``torch.hypot``, which ONNX lacks."""
    from onnxscript import opset18 as op

    return op.Sqrt(op.Add(op.Mul(first, first), op.Mul(second, second)))


def _symbols(program: torch.export.ExportedProgram) -> dict[str, str]:
    """Map torch's symbols of the input's dynamic axes to the names of the axes."""
    name = program.graph_signature.user_inputs[0]
    shape = next(node.meta["val"].shape for node in program.graph.nodes if node.name == name)
    names = ("batch", "channels", *AXES[len(shape) - 2])
    return {str(size): axis for size, axis in zip(shape, names, strict=True) if isinstance(size, torch.SymInt)}


def _name_axes(graph: Any, names: dict[str, str]) -> None:
    """Replace torch's symbols such as ``s0`` in the shapes of a graph by names."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            symbols = dimension.dim_param
            if symbols:
                dimension.dim_param = re.sub(r"\bs\d+\b", lambda match: names.get(match[0], match[0]), symbols)

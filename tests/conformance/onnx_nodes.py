"""ONNX nodes as omniconv layers: attributes become arguments, without padding in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from onnx import ModelProto, NodeProto, helper, numpy_helper
from torch import Tensor

import omniconv as oc

NAMES_OF_SAME = {"SAME_UPPER": "same_upper", "SAME_LOWER": "same_lower", "VALID": "valid"}
PAD_MODES = {"constant": "zeros", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}
Attributes = dict[str, object]


def run_node(node: NodeProto, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the outputs of omniconv's layer for a node."""
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    attributes = {name: value.decode() if isinstance(value, bytes) else value for name, value in attributes.items()}
    found = LAYERS[node.op_type](attributes, *(torch.from_numpy(np.array(one)) for one in inputs))
    outputs = found if isinstance(found, tuple) else (found,)
    return [output.detach().numpy() for output in outputs[: len(node.output)]]


def run_model(model: ModelProto, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """Return the output of omniconv's layers for a graph with one output."""
    values = {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}
    names = [one.name for one in model.graph.input if one.name not in values]
    values |= dict(zip(names, inputs, strict=True))
    for node in model.graph.node:
        values |= zip(node.output, run_node(node, [values[name] for name in node.input]), strict=True)
    (output,) = model.graph.output
    return values[output.name]


def padding(attributes: Attributes, ndim: int) -> str | tuple[tuple[int, int], ...]:
    """Return ``auto_pad`` as a name, or ``pads`` (first the starts, then the ends) as a pair for each axis."""
    name = attributes.get("auto_pad", "NOTSET")
    pads = attributes.get("pads", [0] * 2 * ndim)
    return NAMES_OF_SAME[name] if name != "NOTSET" else tuple(zip(pads[:ndim], pads[ndim:], strict=True))


def per_axis(attributes: Attributes, name: str, ndim: int, default: int = 1) -> tuple[int, ...]:
    return tuple(attributes.get(name, [default] * ndim))


def convolution(attributes: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    ndim, groups = x.ndim - 2, attributes.get("group", 1)
    layer = getattr(oc.nn, f"Conv{ndim}d")(
        weight.shape[1] * groups, weight.shape[0], tuple(weight.shape[2:]), per_axis(attributes, "strides", ndim),
        padding(attributes, ndim), per_axis(attributes, "dilations", ndim), groups, bias is not None,
    )  # fmt: skip
    return with_weights(layer, weight, bias)(x)


def transposed(attributes: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    ndim, groups = x.ndim - 2, attributes.get("group", 1)
    kernel, steps = tuple(weight.shape[2:]), per_axis(attributes, "strides", ndim)
    dilations, extra = per_axis(attributes, "dilations", ndim), per_axis(attributes, "output_padding", ndim, 0)
    size = attributes.get("output_shape")
    amounts = padding(attributes, ndim)
    if size is not None:
        full = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(x.shape[2:], steps, dilations, kernel, strict=True)]
        amounts = cropped(full, extra, size, attributes.get("auto_pad", "NOTSET"))
    layer = getattr(oc.nn, f"ConvTranspose{ndim}d")(
        weight.shape[0], weight.shape[1] * groups, kernel, steps, amounts, 0 if size is not None else extra, groups,
        bias is not None, dilations,
    )  # fmt: skip
    return with_weights(layer, weight, bias)(x, size)


def cropped(full: Sequence[int], extra: Sequence[int], size: Sequence[int], name: str) -> tuple[tuple[int, int], ...]:
    """Return ONNX's padding for a given ``output_shape``: the odd sample is at the end for SAME_UPPER only."""
    totals = [max(one + more - wanted, 0) for one, more, wanted in zip(full, extra, size, strict=True)]
    halves = [(total // 2, total - total // 2) for total in totals]
    return tuple(half if name == "SAME_UPPER" else half[::-1] for half in halves)


def with_weights(layer: torch.nn.Module, weight: Tensor, bias: Tensor | None) -> torch.nn.Module:
    layer.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}))
    return layer


def pooling(attributes: Attributes, ndim: int) -> dict[str, object]:
    """Return the arguments that all poolings share."""
    return {
        "kernel_size": tuple(attributes["kernel_shape"]),
        "stride": per_axis(attributes, "strides", ndim),
        "padding": padding(attributes, ndim),
        "dilation": per_axis(attributes, "dilations", ndim),
        "ceil_mode": bool(attributes.get("ceil_mode", 0)),
        "surface": oc.Plane(ndim),
    }


def max_pool(attributes: Attributes, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return maxima and indices, in column-major order for ``storage_order`` 1."""
    values, switches = oc.nn.MaxPool(**pooling(attributes, x.ndim - 2), return_switches=True)(x)
    if attributes.get("storage_order", 0):
        rows, columns = x.shape[2:]
        switches = switches % columns * rows + switches // columns
    return values, switches


def average_pool(attributes: Attributes, x: Tensor) -> Tensor:
    counted = bool(attributes.get("count_include_pad", 0))
    return oc.nn.AvgPool(**pooling(attributes, x.ndim - 2), count_include_pad=counted)(x)


def lp_pool(attributes: Attributes, x: Tensor) -> Tensor:
    return oc.nn.LpPool(**pooling(attributes, x.ndim - 2), p=float(attributes.get("p", 2)))(x)


def max_unpool(attributes: Attributes, x: Tensor, switches: Tensor, size: Tensor | None = None) -> Tensor:
    """Unpool to the smallest size, then append zeros up to ``size``, as ONNX's node test does.

    PyTorch, ONNX Runtime and omniconv interpret the switches in the grid of ``output_size`` instead.
    """
    ndim = x.ndim - 2
    arguments = pooling(attributes, ndim)
    layer = oc.nn.MaxUnpool(arguments["kernel_size"], arguments["stride"], surface=oc.Plane(ndim))
    y = layer(x, switches)
    if size is None:
        return y
    return oc.nn.Pad([(0, wanted - had) for wanted, had in zip(size.tolist()[2:], y.shape[2:], strict=True)])(y)


def pad(
    attributes: Attributes,
    x: Tensor,
    pads: Tensor | None = None,
    value: Tensor | None = None,
    axes: Tensor | None = None,
) -> Tensor:
    """Pad the grid axes; up to opset 10 amounts and value are attributes, later inputs."""
    amounts = attributes["pads"] if pads is None else pads.tolist()
    constant = attributes.get("value", 0.0) if value is None else value.item()
    chosen = range(x.ndim) if axes is None else [axis % x.ndim for axis in axes.tolist()]
    sides = dict.fromkeys(range(x.ndim), (0, 0))
    sides |= dict(zip(chosen, zip(amounts[: len(chosen)], amounts[len(chosen) :], strict=True), strict=True))
    assert sides.pop(0) == sides.pop(1) == (0, 0)
    return oc.nn.Pad(list(sides.values()), PAD_MODES[attributes.get("mode", "constant")], constant)(x)


def global_average_pool(attributes: Attributes, x: Tensor) -> Tensor:
    return oc.nn.GlobalAvgPool(oc.Plane(x.ndim - 2))(x).view(*x.shape[:2], *[1] * (x.ndim - 2))


def global_max_pool(attributes: Attributes, x: Tensor) -> Tensor:
    """Pool with one window of the size of the grid."""
    return oc.nn.MaxPool(tuple(x.shape[2:]), surface=oc.Plane(x.ndim - 2))(x)


def squeeze(attributes: Attributes, x: Tensor) -> Tensor:
    return x.squeeze(tuple(attributes["axes"]))


def unsqueeze(attributes: Attributes, x: Tensor) -> Tensor:
    (axis,) = attributes["axes"]
    return x.unsqueeze(axis)


RESHAPING = {"Squeeze", "Unsqueeze"}
LAYERS: dict[str, Callable[..., Tensor | tuple[Tensor, Tensor]]] = {
    "Conv": convolution,
    "ConvTranspose": transposed,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "LpPool": lp_pool,
    "MaxUnpool": max_unpool,
    "Pad": pad,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
}

"""The arithmetic of sizes and costs with the user's numbers in it."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from omniconv.arithmetic import multiply_adds, receptive_field
from omniconv.explain.figures import sizes_text
from omniconv.explain.geometry import Arguments, Geometry

Facts = list[tuple[str, str]]


def axis_names(ndim: int) -> tuple[str, ...]:
    """What the axes are called."""
    return ("length",) if ndim == 1 else ("height", "width")


def convolution_facts(geometry: Geometry) -> Facts:
    """Sizes, padding, span, receptive field and cost of a convolution."""
    arguments = geometry.arguments
    sizes = [_size_formula(geometry, axis) for axis in range(len(geometry.sizes))]
    return [
        *_named(sizes),
        *_paddings(geometry),
        ("kernel span", _spans(arguments)),
        ("receptive field", _field(arguments)),
        ("multiply-adds", _cost(arguments, geometry.outputs, "output")),
    ]


def transposed_facts(geometry: Geometry, output_padding: Sequence[int]) -> Facts:
    """Sizes, padding, span and cost of a transposed convolution."""
    arguments = geometry.arguments
    sizes = [_transposed_formula(geometry, axis, extra) for axis, extra in enumerate(output_padding)]
    return [
        *_named(sizes),
        *_paddings(geometry, _fate(geometry)),
        ("kernel span", _spans(arguments)),
        ("multiply-adds", _cost(arguments, geometry.outputs, "input sample")),
    ]


def pooling_facts(geometry: Geometry, ceil_mode: bool) -> Facts:
    """Sizes, padding and span of a pooling."""
    axes = range(len(geometry.sizes))
    sizes = [(_ceil_formula if ceil_mode else _size_formula)(geometry, axis) for axis in axes]
    facts = [*_named(sizes), *_paddings(geometry), ("window span", _spans(geometry.arguments))]
    if any(geometry.overhangs):
        facts.append(("hangs over", _by_axis([f"{over} past the end" for over in geometry.overhangs])))
    windows, samples = prod(geometry.outputs), prod(geometry.arguments.kernel)
    return [*facts, ("samples read", f"{samples} a window · {windows} windows = {samples * windows:,}")]


def unpooling_fact(geometry: Geometry) -> tuple[str, str]:
    """The size that unpooling gives by default, and the one that it is asked for."""
    defaults, formulas = [], []
    axes = zip(geometry.outputs, geometry.arguments.stride, geometry.arguments.spans, geometry.amounts, strict=True)
    for outputs, stride, span, sides in axes:
        defaults.append((outputs - 1) * stride - sum(sides) + span)
        formulas.append(f"({outputs} − 1)·{stride}{_taken(sides)} + {span} = {defaults[-1]}")
    asked = (
        "" if tuple(defaults) == geometry.sizes else f"; asked for {sizes_text(geometry.sizes)}, the pooling's input"
    )
    return "unpooled size", _by_axis(formulas) + asked


def _named(formulas: Sequence[str]) -> Facts:
    if len(formulas) == 2:
        return [(f"output {name}", formula) for name, formula in zip(axis_names(2), formulas, strict=True)]
    return [("output", formulas[0])]


def _size_formula(geometry: Geometry, axis: int) -> str:
    """⌊(x + 2p − d(k − 1) − 1) / s⌋ + 1."""
    stride, result = geometry.arguments.stride[axis], geometry.outputs[axis]
    return f"⌊({_room(geometry, axis)}) / {stride}⌋ + 1 = {result}"


def _ceil_formula(geometry: Geometry, axis: int) -> str:
    """The same rounded up, less a window that would begin past the axis."""
    arguments, result = geometry.arguments, geometry.outputs[axis]
    room = geometry.sizes[axis] + sum(geometry.amounts[axis]) - arguments.spans[axis]
    least = room if room > 0 else 0
    dropped = -(-least // arguments.stride[axis]) + 1 - result
    inner = f"max({_room(geometry, axis)}, 0)" if room < 0 else f"({_room(geometry, axis)})"
    rest = " − 1, as the last would begin past the end" if dropped else ""
    return f"⌈{inner} / {arguments.stride[axis]}⌉ + 1{rest} = {result}"


def _room(geometry: Geometry, axis: int) -> str:
    """Steps that a window can go: x + 2p − d(k − 1) − 1."""
    arguments = geometry.arguments
    return f"{geometry.sizes[axis]}{_added(geometry.amounts[axis])} − {_reach(arguments, axis)} − 1"


def _transposed_formula(geometry: Geometry, axis: int, extra: int) -> str:
    """(x − 1)s − 2p + d(k − 1) + 1 + output_padding, or x·s for the names of SAME."""
    arguments, inputs, result = geometry.arguments, geometry.outputs[axis], geometry.sizes[axis]
    rule, stride = arguments.padding[axis], arguments.stride[axis]
    if isinstance(rule, str) and rule != "valid":
        return f"{inputs}·{stride} = {result}"
    more = f" + {extra}" if extra else ""
    return f"({inputs} − 1)·{stride}{_taken(geometry.amounts[axis])} + {_reach(arguments, axis)} + 1{more} = {result}"


def _paddings(geometry: Geometry, verb: str = "") -> Facts:
    """Samples before and after each axis, and how a name comes to them."""
    texts = [f"{before} before, {after} after" for before, after in geometry.amounts]
    facts = [("padding", verb + _by_axis(texts))] if any(map(sum, geometry.amounts)) else [("padding", "none")]
    rules = geometry.arguments.padding
    if rules[0] in ("same_upper", "same_lower"):
        facts.append((str(rules[0]), _by_axis([_needed(geometry, axis) for axis in range(len(rules))])))
    return facts


def _fate(geometry: Geometry) -> str:
    """What a transposed convolution does with what falls past the edges."""
    modes = [mode for sides in geometry.arguments.border.modes for mode in sides]
    if "zeros" not in modes:
        return "folded back: "
    return "cut off: " if set(modes) == {"zeros"} else "cut off or folded back: "


def _needed(geometry: Geometry, axis: int) -> str:
    """How many samples a window needs beyond the axis: max((⌈x / s⌉ − 1)s + d(k − 1) + 1 − x, 0)."""
    arguments, size = geometry.arguments, geometry.sizes[axis]
    stride, reach = arguments.stride[axis], arguments.spans[axis]
    outputs = -(-size // stride)
    return f"max(({outputs} − 1)·{stride} + {reach} − {size}, 0) = {sum(geometry.amounts[axis])}"


def _spans(arguments: Arguments) -> str:
    texts = [f"{_reach(arguments, axis)} + 1 = {span}" for axis, span in enumerate(arguments.spans)]
    return _by_axis(texts)


def _field(arguments: Arguments) -> str:
    layers = list(zip(arguments.kernel, arguments.stride, arguments.dilation, strict=True))
    one, two = ([receptive_field([layer] * times) for layer in layers] for times in (1, 2))
    return f"{sizes_text(one)}; of two such layers {sizes_text(two)}"


def _cost(arguments: Arguments, positions: Sequence[int], name: str) -> str:
    taps, places = prod(arguments.kernel), prod(positions)
    total = multiply_adds(1, 1, arguments.kernel, positions)
    return f"{taps} tap{'s' * (taps > 1)} · {places} {name}{'s' * (places > 1)} = {total:,}"


def _reach(arguments: Arguments, axis: int) -> str:
    return f"{arguments.dilation[axis]}·({arguments.kernel[axis]} − 1)"


def _added(sides: tuple[int, int]) -> str:
    before, after = sides
    return f" + 2·{before}" if before == after else f" + {before} + {after}"


def _taken(sides: tuple[int, int]) -> str:
    return _added(sides).replace("+", "−")


def _by_axis(texts: Sequence[str]) -> str:
    """One text for all axes that say the same."""
    if len(set(texts)) == 1:
        return texts[0] + " on both axes" * (len(texts) > 1)
    return "; ".join(f"{name} {text}" for name, text in zip(axis_names(len(texts)), texts, strict=True))

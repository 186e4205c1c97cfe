"""Numbers, indices and formulas as text: the arithmetic of sizes and costs with the user's numbers in it."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from omniconv.arithmetic import multiply_adds, receptive_field
from omniconv.errors import pluralize
from omniconv.explain.windows import Arguments, Geometry, Index, Number, Tap

PLUS = " +\u00a0"  # lines break before the sign only
MAX_LISTED = 6  # entries of a list before "3 more"

Facts = list[tuple[str, str]]


def number_text(number: Number) -> str:
    """Return a number with a typographic minus and at most two decimals.

    Example:
        >>> number_text(-3), number_text(2.5), number_text(1 / 3)
        ('−3', '2.5', '0.33')
    """
    text = f"{number:.2f}".rstrip("0").rstrip(".") if isinstance(number, float) else str(number)
    return "0" if text == "-0" else text.replace("-", "−")


def factor_text(number: Number) -> str:
    """Return a number as a factor: negative numbers in brackets."""
    return f"({number_text(number)})" if number < 0 else number_text(number)


def equals(number: Number) -> str:
    """Return ``= 0.5`` or ``≈ 0.33``."""
    sign = "=" if round(number, 2) == number else "≈"
    return f"{sign}\u00a0{number_text(number)}"


def index_text(index: Index) -> str:
    """Return ``3`` for a row, ``(0, 2)`` for a grid."""
    inner = ", ".join(map(number_text, index))
    return inner if len(index) == 1 else f"({inner})"


def sizes_text(sizes: Sequence[int]) -> str:
    """Return ``5 × 8``, with no-break spaces."""
    return "\u00a0×\u00a0".join(map(str, sizes))


def unbroken(text: str) -> str:
    """Return a text with no-break spaces."""
    return text.replace(" ", "\u00a0")


def subtitle(geometry: Geometry, *more: str) -> str:
    """Return the arguments in one line, without those that change nothing."""
    arguments = geometry.arguments
    parts = [f"kernel {_by_value(arguments.kernel)}", f"stride {_by_value(arguments.stride)}"]
    padding = [_sides(rule) for rule in arguments.padding]
    parts.append(f"padding {_by_value(padding)}")
    if set(arguments.dilation) != {1}:
        parts.append(f"dilation {_by_value(arguments.dilation)}")
    if any(map(sum, geometry.amounts)):
        value = arguments.border.value
        parts.append(f"mode {_by_value([_sides(sides) for sides in arguments.border.modes])}")
        parts[-1] += f" (value {number_text(value)})" if value else ""
    return " · ".join(map(unbroken, [*parts, *more]))


def past_edge_lines(geometry: Geometry, taps: Sequence[Tap], copy: str, constant: str) -> tuple[str, ...]:
    """Return a line about the taps of a window past an edge, such as "5 ``copy`` 1; −1 is ``constant``", or none."""
    copies = [
        unbroken(f"{index_text(tap.position)} {copy} {index_text(geometry.coordinates(tap.source))}")
        for tap in taps
        if tap.source is not None and not tap.inside
    ]
    constants = [index_text(tap.position) for tap in taps if tap.source is None]
    parts = [_listed(copies, "; ")] if copies else []
    if constants:
        parts.append(f"{_listed(constants, ', ')} {'is' if len(constants) == 1 else 'are'} {constant}")
    return (f"past the edge: {'; '.join(parts)}",) if parts else ()


def conv_facts(geometry: Geometry) -> Facts:
    """Return sizes, padding, span, receptive field and cost of a convolution."""
    arguments = geometry.arguments
    sizes = [_size_formula(geometry, axis) for axis in range(len(geometry.sizes))]
    layers = list(zip(arguments.kernel, arguments.stride, arguments.dilation, strict=True))
    one, two = ([receptive_field([layer] * depth) for layer in layers] for depth in (1, 2))
    return [
        *_output_facts(sizes),
        *_padding_facts(geometry),
        ("kernel span", _spans(arguments)),
        ("receptive field", f"{sizes_text(one)}; two such layers: {sizes_text(two)}"),
        ("multiply-adds", _cost(arguments, geometry.outputs, "output")),
    ]


def transposed_facts(geometry: Geometry, output_padding: Sequence[int]) -> Facts:
    """Return sizes, padding, span and cost of a transposed convolution."""
    arguments = geometry.arguments
    sizes = [_transposed_formula(geometry, axis, extra) for axis, extra in enumerate(output_padding)]
    modes = {mode for sides in arguments.border.modes for mode in sides}
    verb = "cropped: " if modes == {"zeros"} else "cropped or added back: " if "zeros" in modes else "added back: "
    return [
        *_output_facts(sizes),
        *_padding_facts(geometry, verb),
        ("kernel span", _spans(arguments)),
        ("multiply-adds", _cost(arguments, geometry.outputs, "input sample")),
    ]


def pool_facts(geometry: Geometry, ceil_mode: bool) -> Facts:
    """Return sizes, padding and span of a pooling."""
    sizes = [(_ceil_formula if ceil_mode else _size_formula)(geometry, axis) for axis in range(len(geometry.sizes))]
    facts = [*_output_facts(sizes), *_padding_facts(geometry), ("window span", _spans(geometry.arguments))]
    if any(geometry.overhangs):
        facts.append(("overhang", _by_axis([f"{over} past the end" for over in geometry.overhangs])))
    windows, samples = prod(geometry.outputs), prod(geometry.arguments.kernel)
    return [*facts, ("samples read", f"{samples} per window · {windows} windows = {samples * windows:,}")]


def unpool_fact(geometry: Geometry) -> tuple[str, str]:
    """Return the default size of unpooling, and the requested one if it differs."""
    defaults, formulas = [], []
    axes = zip(geometry.outputs, geometry.arguments.stride, geometry.arguments.spans, geometry.amounts, strict=True)
    for outputs, stride, reach, sides in axes:
        defaults.append((outputs - 1) * stride - sum(sides) + reach)
        formulas.append(f"({outputs} − 1)·{stride}{_signed_sides(sides, '−')} + {reach} = {defaults[-1]}")
    differs = tuple(defaults) != geometry.sizes
    requested = f"; output_size = {sizes_text(geometry.sizes)}, the input of the pooling" if differs else ""
    return "unpooled size", _by_axis(formulas) + requested


def _output_facts(formulas: Sequence[str]) -> Facts:
    names = ("output",) if len(formulas) == 1 else ("output height", "output width")
    return list(zip(names, formulas, strict=True))


def _padding_facts(geometry: Geometry, verb: str = "") -> Facts:
    """Return samples before and after each axis, and the formula of a name that depends on the size."""
    texts = [f"{before} before, {after} after" for before, after in geometry.amounts]
    facts = [("padding", verb + _by_axis(texts) if any(map(sum, geometry.amounts)) else "none")]
    rules = geometry.arguments.padding
    if rules[0] in ("same_upper", "same_lower"):
        facts.append((str(rules[0]), _by_axis([_same_formula(geometry, axis) for axis in range(len(rules))])))
    return facts


def _size_formula(geometry: Geometry, axis: int) -> str:
    """Return ⌊(x + 2p − d(k − 1) − 1) / s⌋ + 1."""
    stride, result = geometry.arguments.stride[axis], geometry.outputs[axis]
    return f"⌊({_padded_minus_span(geometry, axis)}) / {stride}⌋ + 1 = {result}"


def _ceil_formula(geometry: Geometry, axis: int) -> str:
    """Return the formula of ``ceil_mode``, minus a window that would start past the end."""
    arguments, result = geometry.arguments, geometry.outputs[axis]
    stride = arguments.stride[axis]
    free = geometry.sizes[axis] + sum(geometry.amounts[axis]) - arguments.spans[axis]
    dropped = -(-max(free, 0) // stride) + 1 - result
    formula = _padded_minus_span(geometry, axis)
    inner = f"max({formula}, 0)" if free < 0 else f"({formula})"
    rest = " − 1, as the last window would start past the end" if dropped else ""
    return f"⌈{inner} / {stride}⌉ + 1{rest} = {result}"


def _padded_minus_span(geometry: Geometry, axis: int) -> str:
    padded = f"{geometry.sizes[axis]}{_signed_sides(geometry.amounts[axis], '+')}"
    return f"{padded} − {_span_minus_one(geometry.arguments, axis)} − 1"


def _transposed_formula(geometry: Geometry, axis: int, extra: int) -> str:
    """Return (x − 1)s − 2p + d(k − 1) + 1 + output_padding, or x·s for the names of SAME padding."""
    arguments, inputs, result = geometry.arguments, geometry.outputs[axis], geometry.sizes[axis]
    rule, stride = arguments.padding[axis], arguments.stride[axis]
    if isinstance(rule, str) and rule != "valid":
        return f"{inputs}·{stride} = {result}"
    sides, more = _signed_sides(geometry.amounts[axis], "−"), f" + {extra}" if extra else ""
    return f"({inputs} − 1)·{stride}{sides} + {_span_minus_one(arguments, axis)} + 1{more} = {result}"


def _same_formula(geometry: Geometry, axis: int) -> str:
    """Return max((⌈x / s⌉ − 1)s + d(k − 1) + 1 − x, 0), the total padding of SAME."""
    arguments, size = geometry.arguments, geometry.sizes[axis]
    stride, reach = arguments.stride[axis], arguments.spans[axis]
    return f"max(({-(-size // stride)} − 1)·{stride} + {reach} − {size}, 0) = {sum(geometry.amounts[axis])}"


def _spans(arguments: Arguments) -> str:
    return _by_axis([f"{_span_minus_one(arguments, axis)} + 1 = {span}" for axis, span in enumerate(arguments.spans)])


def _cost(arguments: Arguments, positions: Sequence[int], name: str) -> str:
    taps, count = prod(arguments.kernel), prod(positions)
    total = multiply_adds(1, 1, arguments.kernel, positions)
    return f"{pluralize(taps, 'tap')} · {pluralize(count, name)} = {total:,}"


def _span_minus_one(arguments: Arguments, axis: int) -> str:
    return f"{arguments.dilation[axis]}·({arguments.kernel[axis]} − 1)"


def _signed_sides(sides: tuple[int, int], sign: str) -> str:
    before, after = sides
    return f" {sign} 2·{before}" if before == after else f" {sign} {before} {sign} {after}"


def _by_axis(texts: Sequence[str]) -> str:
    """Return one text for all axes if they agree, otherwise one for each axis, with its name."""
    if len(set(texts)) == 1:
        return texts[0] + " on both axes" * (len(texts) > 1)
    return "; ".join(f"{name} {text}" for name, text in zip(("height", "width"), texts, strict=True))


def _by_value(values: Sequence[object]) -> str:
    """Return one value for all axes if they agree, otherwise one for each axis."""
    texts = list(map(str, values))
    return texts[0] if len(set(texts)) == 1 else ", ".join(texts)


def _sides(rule: object) -> str:
    before, after = rule if isinstance(rule, tuple) else (rule, rule)
    return str(before) if before == after else f"{before}:{after}"


def _listed(entries: Sequence[str], separator: str) -> str:
    """Return the first few entries, and how many more there are."""
    more = [f"{len(entries) - MAX_LISTED} more"] if len(entries) > MAX_LISTED else []
    return separator.join([*entries[:MAX_LISTED], *more])

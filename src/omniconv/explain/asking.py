"""What a user asks to be explained, from words to a story."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import cast, get_args

from omniconv.errors import InputError
from omniconv.explain.building import (
    convolution_geometry,
    pooling_geometry,
    require_drawable,
    transposed_geometry,
)
from omniconv.explain.convolution import convolution_story
from omniconv.explain.geometry import Arguments, Geometry
from omniconv.explain.pooling import Pooling, PoolKind, pooling_story
from omniconv.explain.story import Story
from omniconv.explain.transposed import transposed_story
from omniconv.explain.unpooling import unpooling_story
from omniconv.explain.words import (
    parse_border,
    parse_float,
    parse_numbers,
    parse_padding,
    parse_sizes,
    require_choice,
)


@dataclass(frozen=True)
class Words:
    """What every explanation is asked with, as it was written.

    Args:
        input: ``7`` or ``5x8``.
        kernel: taps, ``3`` or by axis ``3,2``.
        stride: ``1`` or by axis; the kernel's where ``None``.
        padding: ``1``, ``1,2``, ``1:0,2:1`` or a name.
        dilation: ``1`` or by axis.
        mode: ``circular``, ``pole,circular`` or ``zeros:reflect,circular``.
        seed: of the numbers that are drawn.
    """

    input: str
    kernel: str
    stride: str | None = None
    padding: str = "0"
    dilation: str = "1"
    mode: str = "zeros"
    seed: str = "0"

    def parsed(self, value: float = 0.0) -> tuple[tuple[int, ...], Arguments]:
        """Sizes of the input, and the arguments of the layer.

        Raises:
            InputError: a word that does not fit.
        """
        sizes = parse_sizes(self.input)
        axes = len(sizes)
        kernel = parse_numbers("kernel", self.kernel, axes)
        stride = kernel if self.stride is None else parse_numbers("stride", self.stride, axes)
        padding, dilation = parse_padding(self.padding, axes), parse_numbers("dilation", self.dilation, axes)
        return sizes, Arguments(kernel, stride, padding, dilation, parse_border(self.mode, axes, value))

    @property
    def drawn_from(self) -> int:
        """The seed as a number.

        Raises:
            InputError: it is none.
        """
        if not re.fullmatch(r"[0-9]{1,9}", self.seed):
            raise InputError("seed", self.seed, "must be a whole number from 0 to 999999999", "write --seed 0")
        return int(self.seed)


def explain_convolution(
    words: Words, value: str | None = None, transposed: bool = False, output_padding: str | None = None
) -> Story:
    """A convolution, or a transposed one.

    Args:
        words: its arguments.
        value: what ``zeros`` pads with.
        transposed: whether it is the adjoint.
        output_padding: of the adjoint.

    Raises:
        InputError: a word that does not fit, or options that do not fit together.
    """
    sizes, arguments = words.parsed(_constant(value, transposed))
    if value is not None and not any("zeros" in sides for sides in arguments.border.modes):
        raise InputError(
            "value", value, f"has no meaning with --mode {words.mode}", "leave it out, or use --mode zeros"
        )
    if not transposed:
        if output_padding is not None:
            raise InputError("output_padding", output_padding, "belongs to --transposed", "add it, or leave this out")
        return convolution_story(_drawable(convolution_geometry(sizes, arguments)), words.drawn_from)
    extra = parse_numbers("output_padding", output_padding or "0", len(sizes), least=0)
    return transposed_story(_drawable(transposed_geometry(sizes, arguments, extra)), extra, words.drawn_from)


def explain_pooling(
    words: Words, kind: str = "max", ceil_mode: bool = False, count_include_pad: bool = False, p: str | None = None
) -> Story:
    """A pooling.

    Args:
        words: its arguments.
        kind: ``max``, ``average`` or ``lp``.
        ceil_mode: whether sizes are rounded up.
        count_include_pad: whether means count zeros past an edge.
        p: exponent of the norm.

    Raises:
        InputError: a word that does not fit, or options that do not fit together.
    """
    require_choice("kind", kind, get_args(PoolKind))
    if count_include_pad and kind != "average":
        raise InputError("count_include_pad", True, "belongs to --kind average", "leave it out")
    if p is not None and kind != "lp":
        raise InputError("p", p, "belongs to --kind lp", "add it, or leave this out")
    rule = "must be a number from 0.5 to 16, to be drawn"
    power = 2.0 if p is None else parse_float("p", p, lambda number: 0.5 <= number <= 16, rule, "write --p 2")
    pooling = Pooling(cast(PoolKind, kind), ceil_mode, count_include_pad, power)
    return pooling_story(_pooled(words, ceil_mode), pooling, words.drawn_from)


def explain_unpooling(words: Words, ceil_mode: bool = False) -> Story:
    """Max pooling with switches, and unpooling back.

    Args:
        words: the arguments of the pooling.
        ceil_mode: whether its sizes are rounded up.

    Raises:
        InputError: a word that does not fit.
    """
    return unpooling_story(_pooled(words, ceil_mode), Pooling("max", ceil_mode), words.drawn_from)


def _constant(value: str | None, transposed: bool) -> float:
    if value is None:
        return 0.0
    if transposed:
        rule = "has no meaning with --transposed: what falls on constants is lost"
        raise InputError("value", value, rule, "leave it out")
    rule = "must be a number from -999 to 999"
    return parse_float("value", value, lambda number: abs(number) <= 999, rule, "write --value 1")


def _pooled(words: Words, ceil_mode: bool) -> Geometry:
    sizes, arguments = words.parsed()
    return _drawable(pooling_geometry(sizes, arguments, ceil_mode))


def _drawable(geometry: Geometry) -> Geometry:
    require_drawable(geometry)
    return geometry

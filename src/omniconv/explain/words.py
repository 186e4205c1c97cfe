"""Words of the command line as sizes, paddings and modes: 7 or 5x8, 1,2 or 1:0,2:1, circular or pole,circular."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

from omniconv.arithmetic import PADDING_NAMES
from omniconv.errors import InputError
from omniconv.surfaces.neighbours.border import Border

MOST = 999_999
NUMBER = re.compile(r"\d{1,6}", re.ASCII)
PAIR = re.compile(r"(\d{1,6}):(\d{1,6})", re.ASCII)
MODES: tuple[str, ...] = Border.allowed

Rule = str | tuple[int, int]
"""Padding of an axis: a name of ``omniconv.arithmetic``, or samples before and after."""


def parse_sizes(text: str) -> tuple[int, ...]:
    """``7`` as a row of seven cells, ``5x8`` as five rows of eight.

    Raises:
        InputError: it is neither.

    Example:
        >>> parse_sizes("7"), parse_sizes("5x8")
        ((7,), (5, 8))
    """
    parts = text.lower().split("x")
    if not all(NUMBER.fullmatch(part) and int(part) for part in parts):
        raise InputError(
            "input", text, f"must be N or HxW, whole numbers from 1 to {MOST}", "write --input 7 or --input 5x8"
        )
    if len(parts) > 2:
        raise InputError(
            "input", text, f"has {len(parts)} axes: only rows and grids can be drawn", "write --input 7 or --input 5x8"
        )
    return tuple(map(int, parts))


def parse_numbers(name: str, text: str, ndim: int, least: int = 1) -> tuple[int, ...]:
    """``3`` for all axes, ``3,2`` or ``3x2`` for each.

    Args:
        name: the option, for errors.
        text: what was written.
        ndim: number of axes.
        least: smallest number allowed.

    Raises:
        InputError: another number of axes, or what is no number from ``least``.
    """
    parts = re.split("[,x]", text.lower())
    if len(parts) not in (1, ndim) or not all(NUMBER.fullmatch(part) and int(part) >= least for part in parts):
        option = "--" + name.replace("_", "-")
        one = max(least, 3 if name == "kernel" else 1)
        raise InputError(
            name, text, f"must be {_numbers(least, ndim)}", f"write {option} {one}" + f" or {one},{one}" * (ndim > 1)
        )
    return _for_each(list(map(int, parts)), ndim)


def parse_padding(text: str, ndim: int) -> tuple[Rule, ...]:
    """``1`` for all sides, ``1,2`` by axis, ``1:0,2:1`` by side (before:after), or a name of padding.

    Raises:
        InputError: none of these.

    Example:
        >>> parse_padding("1:0,2", 2), parse_padding("same", 1)
        (((1, 0), (2, 2)), ('same',))
    """
    if text in PADDING_NAMES:
        return (text,) * ndim
    parts = text.split(",")
    sides = [_sides(part) for part in parts]
    if len(parts) not in (1, ndim) or None in sides:
        near = get_close_matches(text, PADDING_NAMES, n=1)
        rule = f"must be {_numbers(0, ndim)}, before:after pairs of them, or one of {', '.join(PADDING_NAMES)}"
        example = "--padding 1 or 1:0" if ndim == 1 else "--padding 1, 1,2 or 1:0,2:1"
        raise InputError("padding", text, rule, f"did you mean {near[0]}?" if near else f"write {example}")
    return _for_each(sides, ndim)


def parse_border(text: str, ndim: int, value: float = 0.0) -> Border:
    """``circular`` for all sides, ``pole,circular`` by axis, ``zeros:reflect,circular`` by side (before:after).

    Raises:
        InputError: an unknown mode, another number of axes, or ``pole`` where it has no meaning.

    Example:
        >>> parse_border("reflect:zeros,circular", 2).modes
        (('reflect', 'zeros'), ('circular', 'circular'))
    """
    axes: list[Any] = [tuple(part.split(":")) for part in text.split(",")]
    if len(axes) not in (1, ndim) or any(len(axis) > 2 for axis in axes):
        rule = "must be one mode" + f", {ndim} for its axes," * (ndim > 1) + " or before:after pairs"
        raise InputError("mode", text, rule, "write --mode circular" + " or --mode pole,circular" * (ndim > 1))
    for mode in (mode for axis in axes for mode in axis):
        require_choice("mode", mode, MODES)
    modes = _for_each([(axis[0], axis[-1]) for axis in axes], ndim)
    if "pole" in modes[-1] or (any("pole" in sides for sides in modes) and set(modes[-1]) != {"circular"}):
        cure = "write --mode pole,circular" + " with a grid such as --input 4x8" * (ndim == 1)
        raise InputError("mode", text, "has a pole, which needs rows in front of a circular last axis", cure)
    return Border(modes, value)


def parse_float(name: str, text: str, within: Callable[[float], bool], rule: str, cure: str) -> float:
    """A number that lies where it must.

    Raises:
        InputError: it is none or lies elsewhere.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or not within(number):
        raise InputError(name, text, rule, cure)
    return number


def require_choice(name: str, word: str, choices: Sequence[str]) -> None:
    """One of some words.

    Raises:
        InputError: another word; the nearest is offered.
    """
    if word not in choices:
        near = get_close_matches(word, choices, n=1)
        cure = f"did you mean {near[0]}?" if near else f"write --{name} {choices[0]}"
        raise InputError(name, word, f"must be one of {', '.join(choices)}", cure)


def _sides(part: str) -> tuple[int, int] | None:
    if NUMBER.fullmatch(part):
        return int(part), int(part)
    found = PAIR.fullmatch(part)
    return (int(found[1]), int(found[2])) if found else None


def _numbers(least: int, ndim: int) -> str:
    return f"a whole number from {least} to {MOST}" + f", or {ndim} of them" * (ndim > 1)


def _for_each(values: list[Any], ndim: int) -> tuple[Any, ...]:
    return tuple(values * ndim) if len(values) == 1 else tuple(values)

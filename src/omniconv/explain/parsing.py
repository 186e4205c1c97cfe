"""Parsing of command-line options: sizes 7 or 5x8, padding 1,2 or 1:0,2:1, modes circular or pole,circular."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from omniconv.arithmetic import PADDING_NAMES, PaddingRule
from omniconv.errors import InputError
from omniconv.surfaces.neighbours.border import Border

MAX_NUMBER = 999_999
NUMBER = re.compile(r"\d{1,6}", re.ASCII)
PAIR = re.compile(r"(\d{1,6}):(\d{1,6})", re.ASCII)


def parse_sizes(text: str) -> tuple[int, ...]:
    """Parse ``7`` as a row of seven samples, ``5x8`` as five rows of eight.

    Example:
        >>> parse_sizes("7"), parse_sizes("5x8")
        ((7,), (5, 8))
    """
    parts, cure = text.lower().split("x"), "write --input 7 or --input 5x8"
    if not all(NUMBER.fullmatch(part) and int(part) for part in parts):
        raise InputError("input", text, f"must be N or HxW, whole numbers from 1 to {MAX_NUMBER}", cure)
    if len(parts) > 2:
        raise InputError("input", text, f"has {len(parts)} axes: only rows and grids can be drawn", cure)
    return tuple(map(int, parts))


def parse_numbers(name: str, text: str, ndim: int, least: int = 1) -> tuple[int, ...]:
    """Parse ``3`` for all axes, ``3,2`` or ``3x2`` for each."""
    parts = re.split("[,x]", text.lower())
    if len(parts) not in (1, ndim) or not all(NUMBER.fullmatch(part) and int(part) >= least for part in parts):
        one = max(least, 3 if name == "kernel" else 1)
        cure = f"write --{name.replace('_', '-')} {one}" + f" or {one},{one}" * (ndim > 1)
        raise InputError(name, text, f"must be {_numbers(least, ndim)}", cure)
    return _for_each_axis(list(map(int, parts)), ndim)


def parse_padding(text: str, ndim: int) -> tuple[PaddingRule, ...]:
    """Parse ``1`` for all sides, ``1,2`` by axis, ``1:0,2:1`` by side (before:after), or a name of padding.

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
    return _for_each_axis(sides, ndim)


def parse_border(text: str, ndim: int, value: float = 0.0) -> Border:
    """Parse ``circular`` for all sides, ``pole,circular`` by axis, ``zeros:reflect,circular`` by side (before:after).

    Example:
        >>> parse_border("reflect:zeros,circular", 2).modes
        (('reflect', 'zeros'), ('circular', 'circular'))
    """
    axes: list[Any] = [tuple(part.split(":")) for part in text.split(",")]
    if len(axes) not in (1, ndim) or any(len(axis) > 2 for axis in axes):
        rule = "must be one mode" + f", {ndim} for its axes," * (ndim > 1) + " or before:after pairs"
        raise InputError("mode", text, rule, "write --mode circular" + " or --mode pole,circular" * (ndim > 1))
    for mode in (mode for axis in axes for mode in axis):
        require_choice("mode", mode, Border.allowed)
    modes = _for_each_axis([(axis[0], axis[-1]) for axis in axes], ndim)
    if "pole" in modes[-1] or (any("pole" in sides for sides in modes) and set(modes[-1]) != {"circular"}):
        cure = "write --mode pole,circular" + " with a grid such as --input 4x8" * (ndim == 1)
        raise InputError("mode", text, "has a pole, which needs rows in front of a circular last axis", cure)
    return Border(modes, value)


def parse_seed(text: str) -> int:
    """Parse a seed, a whole number from 0."""
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise InputError("seed", text, "must be a whole number from 0 to 999999999", "write --seed 0")
    return int(text)


def parse_float(name: str, text: str, least: float, most: float, example: str) -> float:
    """Parse a number from ``least`` to ``most``."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise InputError(name, text, f"must be a number from {least:g} to {most:g}", f"write --{name} {example}")
    return number


def require_choice(name: str, text: str, choices: Sequence[str]) -> None:
    """Check that a text is one of some names; the error suggests the nearest."""
    if text not in choices:
        near = get_close_matches(text, choices, n=1)
        cure = f"did you mean {near[0]}?" if near else f"write --{name} {choices[0]}"
        raise InputError(name, text, f"must be one of {', '.join(choices)}", cure)


def _sides(part: str) -> tuple[int, int] | None:
    if NUMBER.fullmatch(part):
        return int(part), int(part)
    pair = PAIR.fullmatch(part)
    return (int(pair[1]), int(pair[2])) if pair else None


def _numbers(least: int, ndim: int) -> str:
    return f"a whole number from {least} to {MAX_NUMBER}" + f", or {ndim} of them" * (ndim > 1)


def _for_each_axis(values: list[Any], ndim: int) -> tuple[Any, ...]:
    return tuple(values * ndim) if len(values) == 1 else tuple(values)

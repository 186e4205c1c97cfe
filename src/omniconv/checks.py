"""What an argument may be: a whole number, a real one, a flag, a name. Asked at every door, never in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from typing import Any

from omniconv.errors import InputError

MAX_ELEMENTS = 2**36
"""No axis, window or weight has more numbers: what is larger is a slip, and would end in want of memory."""


def to_builtin(value: Any) -> Any:
    """NumPy's whole numbers as Python's, lists of any kind as tuples; everything else as it is.

    Example:
        >>> to_builtin([3, (1, 2)])
        (3, (1, 2))
    """
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return tuple(map(to_builtin, value))
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else value


def is_integer(value: object, least: int = 1) -> bool:
    """Whether it is a whole number from ``least`` to ``MAX_ELEMENTS``; a flag is none.

    Example:
        >>> is_integer(3), is_integer(0), is_integer(True), is_integer(3.0)
        (True, False, False, False)
    """
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= MAX_ELEMENTS


def integer_rule(values: Iterable[object], least: int) -> str:
    """The rule that values break of which some are no whole numbers from ``least`` to ``MAX_ELEMENTS``."""
    too_large = any(isinstance(value, int) and value > MAX_ELEMENTS for value in values)
    return f"must be at most {MAX_ELEMENTS}" if too_large else f"must be a whole number from {least}"


def check_integer(name: str, value: Any, least: int, cure: str) -> int:
    """One whole number, NumPy's too.

    Raises:
        InputError: it is none from ``least`` to ``MAX_ELEMENTS``.
    """
    value = to_builtin(value)
    if not is_integer(value, least):
        raise InputError(name, value, integer_rule([value], least), cure)
    return value


def check_number(name: str, value: Any, within: Callable[[float], bool], rule: str, cure: str) -> float:
    """A number that lies where it must; a flag is none.

    Raises:
        InputError: it is none or lies elsewhere.

    Example:
        >>> check_number("p", 2, lambda p: p > 0, "must be above 0", "use p=2")
        2.0
    """
    number = _real(value)
    if number is None or not within(number):
        raise InputError(name, value, rule, cure)
    return number


def check_flag(name: str, value: Any) -> bool:
    """Yes or no; numbers and ``None`` count as they do in Python.

    Raises:
        InputError: a text or anything else that is neither.
    """
    if value is None or isinstance(value, bool | Integral) or type(value).__name__ in ("bool", "bool_"):  # NumPy's
        return bool(value)
    raise InputError(name, value, "must be True or False", f"use {name}=True")


def check_choice(name: str, value: Any, choices: Iterable[str], cure: str) -> str:
    """One of some names.

    Raises:
        InputError: another one, or no name.
    """
    if not isinstance(value, str) or value not in choices:
        raise InputError(name, value, f"must be one of {', '.join(choices)}", cure)
    return value


def check_channels(in_channels: Any, out_channels: Any, groups: Any, least: int = 1) -> tuple[int, int, int]:
    """Both numbers of channels from ``least``, and ``groups`` that divide them.

    Raises:
        InputError: they are not.
    """
    cure = "count the channels"
    inputs, outputs = (
        check_integer(name, value, least, cure)
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels))
    )
    groups = check_integer("groups", groups, 1, cure)
    if inputs % groups or outputs % groups:
        raise InputError(
            "groups",
            groups,
            f"must divide in_channels={inputs} and out_channels={outputs}",
            "use groups=1 or another number of channels",
        )
    return inputs, outputs, groups


def _real(value: object) -> float | None:
    if not isinstance(value, Real) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return None

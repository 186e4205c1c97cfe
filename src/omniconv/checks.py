"""Checks of user arguments: integers, numbers, flags and choices; each returns the value as a built-in Python type."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib.util import find_spec
from numbers import Integral, Real
from pathlib import Path
from shlex import quote
from typing import Any

from omniconv.errors import InputError

MAX_ELEMENTS = 2**36
"""Largest integer argument and largest number of weights: a larger value is a mistake that
would exhaust memory."""


def to_builtin(value: Any) -> Any:
    """Convert NumPy integers to ``int`` and sequences to tuples; return everything else unchanged.

    Example:
        >>> to_builtin([3, (1, 2)])
        (3, (1, 2))
    """
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return tuple(map(to_builtin, value))
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else value


def is_integer(value: object, least: int = 1) -> bool:
    """Return True for an ``int`` from ``least`` to ``MAX_ELEMENTS`` that is not a bool.

    Example:
        >>> is_integer(3), is_integer(0), is_integer(True), is_integer(3.0)
        (True, False, False, False)
    """
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= MAX_ELEMENTS


def integer_rule(values: Iterable[object], least: int) -> str:
    """Return the rule for an error about values that are not all integers from ``least`` to ``MAX_ELEMENTS``."""
    too_large = any(isinstance(value, int) and value > MAX_ELEMENTS for value in values)
    return f"must be at most {MAX_ELEMENTS}" if too_large else f"must be a whole number from {least}"


def check_integer(name: str, value: Any, least: int, cure: str) -> int:
    """Return an integer (also NumPy's) as an ``int``.

    Raises:
        InputError: it is not an integer from ``least`` to ``MAX_ELEMENTS``.
    """
    value = to_builtin(value)
    if not is_integer(value, least):
        raise InputError(name, value, integer_rule([value], least), cure)
    return value


def check_number(name: str, value: Any, is_valid: Callable[[float], bool], rule: str, cure: str) -> float:
    """Return a real number for which ``is_valid`` is true as a ``float``.

    Raises:
        InputError: it is not a number, or a bool, or ``is_valid`` is false.

    Example:
        >>> check_number("p", 2, lambda p: p > 0, "must be above 0", "use p=2")
        2.0
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        with suppress(OverflowError):  # an int above the largest float
            if is_valid(number := float(value)):
                return number
    raise InputError(name, value, rule, cure)


def check_flag(name: str, value: Any) -> bool:
    """Return a flag as a ``bool``; integers and ``None`` count as in Python.

    Raises:
        InputError: a string or another object.
    """
    is_numpy_bool = type(value).__name__ in ("bool", "bool_")  # by name, since this module does not import NumPy
    if value is None or isinstance(value, Integral) or is_numpy_bool:
        return bool(value)
    raise InputError(name, value, "must be True or False", f"use {name}=True")


def did_you_mean(value: Any, choices: Iterable[str], otherwise: str) -> str:
    """Return a cure for a wrong name: the nearest choice, or ``otherwise`` if none is near.

    Example:
        >>> did_you_mean("unett", ["classifier", "unet"], "correct the name")
        'did you mean unet?'
    """
    # Only of texts: a value of nested aliases, read from YAML, would be spelt out.
    near = get_close_matches(value, list(choices), n=1) if isinstance(value, str) else []
    return f"did you mean {near[0]}?" if near else otherwise


def check_choice(name: str, value: Any, choices: Collection[str], cure: str = "") -> str:
    """Return the value if it is one of the choices; ``cure`` is by default the most similar choice, or the first.

    Raises:
        InputError: it is none of them.
    """
    if not isinstance(value, str) or value not in choices:
        cure = cure or did_you_mean(value, choices, f"use {name}={next(iter(choices))!r}")
        raise InputError(name, value, f"must be one of {', '.join(choices)}", cure)
    return value


def check_extra(extra: str, purpose: str, modules: Iterable[str]) -> None:
    """Check that the packages of an extra of omniconv are installed, without importing them.

    Args:
        extra: its name, as in ``omniconv[export]``.
        purpose: what needs them, for the error.
        modules: the modules that are needed.

    Raises:
        InputError: one is missing; the cure works in a clone of the repository, too.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        # In a clone and an editable installation the package lies below the folder of pyproject.toml.
        root = Path(__file__).parents[2]
        is_clone = (root / "pyproject.toml").is_file() and Path(__file__).parents[1].name == "src"
        target = f"{root}[{extra}]" if is_clone else f"omniconv[{extra}]"
        rule = f"{'is' if len(missing) == 1 else 'are'} not installed, which {purpose} needs"
        raise InputError("packages", ", ".join(missing), rule, f"python -m pip install {quote(target)}")


def check_channels(in_channels: Any, out_channels: Any, groups: Any, least: int = 1) -> tuple[int, int, int]:
    """Return input channels and output channels from ``least``, and the ``groups`` that divide both.

    Raises:
        InputError: a number out of range, or ``groups`` that do not divide the channels.
    """
    inputs, outputs = (
        check_integer(name, value, least, f"give integers of at least {least}")
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels))
    )
    groups = check_integer("groups", groups, 1, "use groups=1")
    if inputs % groups or outputs % groups:
        rule = f"must divide in_channels={inputs} and out_channels={outputs}"
        raise InputError("groups", groups, rule, "use groups=1 or another number of channels")
    return inputs, outputs, groups

"""Reading of the values of settings from text, YAML and Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from omniconv.checks import did_you_mean
from omniconv.errors import InputError
from omniconv.training.setting_errors import RuleError, spell_argument, spelled

MIN_TRAINING_SIDE, MAX_TRAINING_SIDE = 8, 16_384
"""Rows or columns of the images that a network is trained on."""
AUTO, MAX_WORKERS = "auto", 64
"""Values of the setting ``workers``."""
MAX_DIGITS = 20
"""Most digits of a number that is read from text: Python refuses more than 4,300."""
MAX_IMAGE_SIDE = 2**17
"""Largest number of rows or columns of any image: of exported networks, of audits."""


def one_of(choices: Callable[[], Iterable[str]]) -> AfterValidator:
    """Validator of names; ``choices`` is called for every value, since models and tasks can be registered.

    A choice such as ``timm:NAME`` stands for every name after the colon.
    """

    def check(value: str) -> str:
        known = list(choices())
        prefixes = [choice.removesuffix("NAME") for choice in known if choice.endswith(":NAME")]
        if value not in known and not any(value.startswith(prefix) and value != prefix for prefix in prefixes):
            raise RuleError(f"must be one of {', '.join(known)}", did_you_mean(value, known, f"use {{}} {known[0]}"))
        return value

    return AfterValidator(check)


def _read_number(value: Any) -> Any:
    """Convert a string to a float: YAML reads ``1e-3`` as a string."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def some_of(choices: Iterable[str]) -> AfterValidator:
    """Validator of a tuple of names, each one of the choices and given once."""
    known = list(choices)

    def check(values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if value not in known:
                cure = did_you_mean(value, known, "use {} none for none")
                raise RuleError(f"must be among {', '.join(known)}", cure)
        if len(set(values)) < len(values):
            raise RuleError("names one twice", "name each once")
        return values

    return AfterValidator(check)


def _read_size(value: Any) -> Any:
    """Return ``(rows, columns)`` from ``256``, ``"128x256"`` or a pair; ``()`` stays."""
    if isinstance(value, int) and 0 < value <= MAX_TRAINING_SIDE and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        value = _split_size(value)
    sides = tuple(value) if isinstance(value, list | tuple) else (value,)
    is_pair = len(sides) == 2 and all(type(side) is int for side in sides)
    if sides and not (is_pair and all(MIN_TRAINING_SIDE <= side <= MAX_TRAINING_SIDE for side in sides)):
        limits = f"{MIN_TRAINING_SIDE} to {MAX_TRAINING_SIDE:,}"
        raise RuleError(f"must be rows and columns, each from {limits}", "use {} 256 or {} 128x256")
    return sides


def read_precision(value: Any) -> Any:
    """Convert 16 and 32, which YAML reads as integers, to text."""
    return str(value) if value in (16, 32) and isinstance(value, int) else value


def _read_workers(value: Any) -> Any:
    """Return ``auto``, or a number of processes, also from text."""
    number = int(value) if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value) else value
    if value != AUTO and not (type(number) is int and 0 <= number <= MAX_WORKERS):
        raise RuleError(f"must be {AUTO} or a whole number from 0 to {MAX_WORKERS}", f"use {{}} {AUTO}")
    return number


def read_path(value: Any) -> Any:
    """Return a path as text, after checking that it can be used by the system and stored in YAML."""
    value = str(value) if isinstance(value, Path) else value
    if isinstance(value, str) and "\0" in value:
        raise RuleError("must be a path, which has no NUL characters", "give the folder of images")
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise RuleError("must be a path in UTF-8, to be stored in config.yaml", "rename its folders")
    return value


def _split_size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isascii() and part.isdigit() and len(part) <= MAX_DIGITS for part in parts):
        raise RuleError("must be N or HxW in pixels", "use {} 256 or {} 128x256")
    return int(parts[0]), int(parts[-1])


def _read_names(value: Any) -> Any:
    """Return a tuple of names from a list or from ``"flip,colour"``; ``"none"`` gives an empty tuple."""
    if isinstance(value, str):
        names = tuple(part.strip() for part in value.split(",") if part.strip())
        if not names:
            raise RuleError("must be names with commas between them", "use {} none for none")
        return () if value == "none" else names
    return tuple(value) if isinstance(value, list) else value


def _read_channels(value: Any) -> Any:
    """Return a number for each channel of an image, from ``"0.5,0.4,0.3"`` or a list; ``()`` stays."""
    parts = value.split(",") if isinstance(value, str) else value
    numbers = tuple(map(_read_number, parts)) if isinstance(parts, list | tuple) else (parts,)
    valid = all(type(number) in (int, float) and isfinite(number) for number in numbers)
    if numbers and not (valid and len(numbers) == 3):
        raise RuleError("must be three numbers, with commas between them", "use {} 0.485,0.456,0.406")
    return tuple(map(float, numbers))


def _check_positive(value: tuple[float, ...]) -> tuple[float, ...]:
    if value and min(value) <= 0:
        raise RuleError("must be above 0", "use {} 0.229,0.224,0.225")
    return value


Number = Annotated[float, BeforeValidator(_read_number)]
Size = Annotated[tuple[int, ...], BeforeValidator(_read_size)]
Channels = Annotated[tuple[float, ...], BeforeValidator(_read_channels)]
PositiveChannels = Annotated[Channels, AfterValidator(_check_positive)]
Workers = Annotated[int | str, BeforeValidator(_read_workers)]
NamesGiven = Annotated[tuple[str, ...], BeforeValidator(_read_names)]
Names = Annotated[tuple[str, ...] | None, BeforeValidator(_read_names)]


def parse_size(text: str) -> tuple[int, int]:
    """Return rows and columns from ``256`` or ``128x256``.

    Raises:
        InputError: another text, or a side that is not from 1 to ``MAX_IMAGE_SIDE``.
    """
    try:
        rows, columns = _split_size(text)
    except RuleError as error:
        raise InputError("size", text, error.rule, spelled(error.cure, "size", spell_argument)) from None
    if not (1 <= rows <= MAX_IMAGE_SIDE and 1 <= columns <= MAX_IMAGE_SIDE):
        rule = f"must be from 1 to {MAX_IMAGE_SIDE:,} pixels"
        raise InputError("size", text, rule, "use size=256 or size='128x256'")
    return rows, columns

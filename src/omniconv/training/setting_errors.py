"""Errors of settings: rule and cure of an ``InputError`` from the errors of pydantic."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from omniconv.checks import did_you_mean

TYPE_NAMES: dict[Any, str] = {
    int: "a whole number", int | None: "a whole number", float: "a number", bool: "true or false", str: "text",
    tuple[int, ...]: "rows and columns", tuple[float, ...]: "three numbers",
    tuple[str, ...] | None: "a list of words", tuple[str, ...]: "a list of words",
}  # fmt: skip
Spelling = Callable[[str, str], str]
"""Function that writes a setting with a value as the user does: ``--size 256``, ``size=256`` or ``size: 256``."""


class RuleError(ValueError):
    """Error of a validator: the rule and the cure of an ``InputError``.

    In the cure ``{}`` stands for the setting as the user writes it: ``--size 256`` or ``size: 256``.
    """

    def __init__(self, rule: str, cure: str) -> None:
        super().__init__(rule)
        self.rule, self.cure = rule, cure


def spell_argument(name: str, value: str) -> str:
    """Write a setting as an argument in Python; commands convert it to their option."""
    is_literal = re.fullmatch(r"-?[\d.]+(e-?\d+)?", value) or value.lower() in ("true", "false")
    return f"{name}={value.capitalize() if value in ('true', 'false') else value if is_literal else repr(value)}"


def explain(
    settings: type[BaseModel], error: ValidationError, spell: Spelling = spell_argument
) -> tuple[str, Any, str, str]:
    """Return argument, value, rule and cure of pydantic's first error; nested settings are called ``outer.inner``.

    ``spell`` writes a setting with a value as the user does.
    """
    details = error.errors()[0]
    *outer, name = (part for part in details["loc"] if isinstance(part, str))  # without the indices in a tuple
    for part in outer:
        settings = cast(type[BaseModel], settings.model_fields[part].annotation)
    argument, value = ".".join([*outer, name]), details["input"]
    if name not in settings.model_fields:
        cure = did_you_mean(name, settings.model_fields, f"use one of {', '.join(settings.model_fields)}")
        return argument, value, "is an unknown setting", cure
    rule_error = details.get("ctx", {}).get("error")
    if isinstance(rule_error, RuleError):
        return argument, value, rule_error.rule, spelled(rule_error.cure, argument, spell)
    field = settings.model_fields[name]
    return argument, value, _rule(field), spelled(_cure(field), argument, spell)


def _cure(field: FieldInfo) -> str:
    if field.annotation is bool:
        return "use {} true or {} false"
    has_example = isinstance(field.default, int | float | str) and field.default != ""
    return f"use {{}} {field.default}" if has_example else "give a value of this type, or leave it out"


def spelled(cure: str, name: str, spell: Spelling) -> str:
    """Replace ``{} 256`` in a cure by the setting with this value, as the user writes it."""
    return re.sub(r"\{\} (\S+)", lambda match: spell(name, match[1]), cure)


def _rule(field: FieldInfo) -> str:
    """Return the rule for the value of a setting, from its type and limits."""
    words = {"ge": "from", "gt": "above", "le": "to", "lt": "and below"}
    named = ((word, getattr(part, key, None)) for part in field.metadata for key, word in words.items())
    limits = "".join(f" {word} {limit:,}" for word, limit in named if limit is not None)
    is_nested = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    return f"must be {TYPE_NAMES.get(field.annotation, 'settings' if is_nested else 'text')}{limits}"

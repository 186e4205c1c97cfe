from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from omniconv.errors import FileError, InputError, printable

ERRORS = [
    InputError("stride", 0, "must be at least 1", "use stride=1"),
    FileError("/data/a.png", "is damaged", "copy it again"),
]


def test_input_error_says_argument_value_rule_and_cure():
    assert str(ERRORS[0]) == "stride=0: must be at least 1; use stride=1"


def test_parts_of_the_message_are_attributes():
    error = InputError("classes.txt", ["a"], "must have 2; it has 1", "add one; see docs")
    assert (error.argument, error.value) == ("classes.txt", "['a']")
    assert (error.rule, error.cure) == ("must have 2; it has 1", "add one; see docs")  # also with their own semicolons
    assert (ERRORS[1].path, ERRORS[1].argument, ERRORS[1].rule) == ("/data/a.png", "", "is damaged")
    read = FileError.from_input_error("config.yaml", ERRORS[0])
    assert (read.path, read.argument, read.value, read.cure) == ("config.yaml", "stride", "0", "use stride=1")
    assert str(read) == f"config.yaml: {ERRORS[0]}"
    assert (
        str(FileError.from_input_error("2 of 3 masks, the first", ERRORS[1])) == f"2 of 3 masks, the first: {ERRORS[1]}"
    )


def test_input_error_shows_texts_in_quotes():
    assert str(InputError("mode", "cubic", "is unknown", "use 'linear'")) == "mode='cubic': is unknown; use 'linear'"


def test_file_error_starts_with_the_path():
    assert str(ERRORS[1]) == "/data/a.png: is damaged; copy it again"


@pytest.mark.parametrize(
    ("value", "shown"),
    [("a\nb", r"'a\nb'"), (np.eye(2), "array([[1., 0.], [0., 1.]])"), (10**5000, "a int"), (None, "None")],
    ids=["lines", "array", "endless", "none"],
)
def test_every_value_fits_in_one_line(value, shown):
    assert str(InputError("mode", value, "is wrong", "change it")) == f"mode={shown}: is wrong; change it"


def aliases(levels):
    """Nested list of ``9 ** levels`` words that takes the memory of ``9 * levels``, as YAML aliases make it."""
    value = ["word"] * 9
    for _ in range(levels - 1):
        value = [value] * 9
    return value


def test_nested_values_are_not_spelled_out():
    nested = aliases(40)  # spelled out: 9⁴⁰ words
    for value in (nested, {"size": nested}, (nested, nested)):
        assert len(str(InputError("size", value, "is wrong", "change it"))) < 300


def test_short_values_are_shown_in_full():
    value = {"size": (128, 256), "b": [1.5, None], "a": {"x"}}
    assert str(InputError("s", value, "is wrong", "change it")).startswith(f"s={value!r}: ")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b]0;x\x07\x1b[2J", r"\x1b]0;x\x07\x1b[2J"),
        ("a\nomniconv: b: is bad\r\t", r"a\nomniconv: b: is bad\r\t"),
        ("\u202egnp.exe\u2066", r"\u202egnp.exe\u2066"),
        ("\x85\x9b2J\u2028\x7f", r"\x85\x9b2J\u2028\x7f"),
        (os.fsdecode(b"caf\xe9"), r"caf\xe9"),
        ("\ud800", r"\ud800"),
        ("\ufeffa\u200b", r"\ufeffa\u200b"),
        ("Straße, 北京\u3000, می\u200cخواهم, e\u0301, C:\\new", "Straße, 北京\u3000, می\u200cخواهم, e\u0301, C:\\new"),
    ],
    ids=["escape sequences", "lines", "bidi", "C1", "not UTF-8", "surrogate", "invisible", "letters"],
)
def test_names_are_printed_on_one_line_that_a_terminal_does_not_act_on(name, shown):
    assert printable(name) == shown
    assert printable(shown) == shown
    assert str(FileError(f"/data/{name}", f"lacks {name}", "go")) == f"/data/{shown}: lacks {shown}; go"
    shown.encode()  # no lone surrogates are left


def test_printable_takes_paths():
    assert printable(Path("a\n")) == r"a\n"


def test_messages_are_bounded():
    assert len(str(FileError("classes.txt", "a" * 10**6, "b\n" * 10**6))) < 10_000


def test_both_are_value_errors():
    assert issubclass(InputError, ValueError)
    assert issubclass(FileError, InputError)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("carry", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_errors_cross_process_borders_whole(error, carry):
    carried = carry(error)
    assert type(carried) is type(error)
    assert str(carried) == str(error)
    assert vars(carried) == vars(error)

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from omniconv.errors import FileError, InputError

ERRORS = [
    InputError("stride", 0, "must be at least 1", "use stride=1"),
    FileError("/data/a.png", "is damaged", "copy it again"),
]


def test_input_error_says_argument_value_rule_and_cure():
    assert str(ERRORS[0]) == "stride=0: must be at least 1; use stride=1"


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


def test_both_are_value_errors():
    assert issubclass(InputError, ValueError)
    assert issubclass(FileError, InputError)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("carry", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_errors_cross_process_borders_whole(error, carry):
    carried = carry(error)
    assert type(carried) is type(error)
    assert str(carried) == str(error)

"""Errors that a user can correct."""

from __future__ import annotations

from typing import TypeVar

Error = TypeVar("Error", bound="InputError")
MAX_VALUE_LENGTH = 200
"""Longest representation of a value in an error message."""


class InputError(ValueError):
    """Invalid input; the message is one line with the argument, its value, the violated rule and how to correct it.

    Args:
        argument: the argument, option or setting that is wrong.
        value: the value received.
        rule: the rule that the value violates.
        cure: how to correct the input.

    Example:
        >>> raise InputError("stride", 0, "must be at least 1", "use stride=1 to keep every sample")
        Traceback (most recent call last):
        omniconv.errors.InputError: stride=0: must be at least 1; use stride=1 to keep every sample
    """

    def __init__(self, argument: str, value: object, rule: str, cure: str) -> None:
        super().__init__(f"{argument}={_show(value)}: {rule}; {cure}")

    def __reduce__(self) -> tuple[object, ...]:
        # Data loader workers pickle their errors, and by default unpickling would call __init__ with the message only.
        return (_rebuild, (type(self), self.args[0]))


class FileError(InputError):
    """A file or folder that cannot be used; the message starts with its path."""

    def __init__(self, path: object, rule: str, cure: str) -> None:
        ValueError.__init__(self, f"{path}: {rule}; {cure}")

    @classmethod
    def from_os_error(cls, path: object, rule: str, error: OSError, cure: str) -> FileError:
        """Return the error of a failed file access, with the reason that the system gives."""
        return cls(path, f"{rule} ({(error.strerror or str(error)).lower()})", cure)

    @classmethod
    def from_input_error(cls, path: object, error: InputError) -> FileError:
        """Return the error of an invalid input that was read from a file."""
        return _rebuild(cls, f"{path}: {error}")


def truncate(text: str) -> str:
    """Return a text without its middle if it is longer than ``MAX_VALUE_LENGTH``."""
    half, quarter = MAX_VALUE_LENGTH // 2, MAX_VALUE_LENGTH // 4
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[:half]} … {text[-quarter:]}"


def one_line(error: BaseException) -> str:
    """Return the message of another library's error on one line, or its class if the message is empty.

    Example:
        >>> one_line(ValueError("a")), one_line(MemoryError())
        ('a', 'MemoryError')
    """
    return truncate(" ".join(str(error).split()) or type(error).__name__)


def _rebuild(error_class: type[Error], text: str) -> Error:
    error = error_class.__new__(error_class)
    error.args = (text,)
    return error


def _show(value: object) -> str:
    try:
        return truncate(" ".join(line.strip() for line in repr(value).splitlines()))
    except ValueError:  # Python refuses to print an int of more than 4,300 digits
        return f"a {type(value).__name__}"

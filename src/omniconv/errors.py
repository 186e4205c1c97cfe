"""The one error class for what a user can correct."""

from __future__ import annotations

from typing import TypeVar

Error = TypeVar("Error", bound="InputError")


class InputError(ValueError):
    """Wrong input; its text is one line with the argument, the value received, the rule and the cure.

    Args:
        argument: the argument, option or setting that is wrong.
        value: the value received.
        rule: what it must be.
        cure: what to do about it.

    Example:
        >>> raise InputError("stride", 0, "must be at least 1", "use stride=1 to keep every sample")
        Traceback (most recent call last):
        omniconv.errors.InputError: stride=0: must be at least 1; use stride=1 to keep every sample
    """

    def __init__(self, argument: str, value: object, rule: str, cure: str) -> None:
        super().__init__(f"{argument}={_show(value)}: {rule}; {cure}")

    def __reduce__(self) -> tuple[object, ...]:
        # By default unpickling calls __init__ with the one text in args; errors of data loader workers are pickled.
        return (_rebuild, (type(self), self.args[0]))


class FileError(InputError):
    """A file or folder that cannot be used; the text starts with its path."""

    def __init__(self, path: object, rule: str, cure: str) -> None:
        ValueError.__init__(self, f"{path}: {rule}; {cure}")

    @classmethod
    def from_input_error(cls, path: object, error: InputError) -> FileError:
        """Return the error of wrong input that came from a file."""
        return _rebuild(cls, f"{path}: {error}")


MAX_VALUE_LENGTH = 200


def truncate(text: str) -> str:
    """Return a text for one line; of a long one the middle is left out."""
    half, quarter = MAX_VALUE_LENGTH // 2, MAX_VALUE_LENGTH // 4
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[:half]} … {text[-quarter:]}"


def one_line(error: BaseException) -> str:
    """Return the text of another library's error, or its class if it has none, on one line.

    Example:
        >>> one_line(ValueError("a")), one_line(MemoryError())
        ('a', 'MemoryError')
    """
    return truncate(" ".join(str(error).split()) or type(error).__name__)


def _rebuild(kind: type[Error], text: str) -> Error:
    error = kind.__new__(kind)
    error.args = (text,)
    return error


def _show(value: object) -> str:
    try:
        return truncate(" ".join(line.strip() for line in repr(value).splitlines()))
    except ValueError:  # Python refuses to print an int of more than 4,300 digits
        return f"a {type(value).__name__}"

"""Errors that a user can correct."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from reprlib import Repr
from typing import TYPE_CHECKING, Any
from unicodedata import category

if TYPE_CHECKING:
    from pydantic import ValidationError

MAX_VALUE_LENGTH = 200
"""Longest representation of a value in an error message."""
MAX_MESSAGE_LENGTH = 8_000
"""Longest error message: two paths of 4,096 bytes are the longest that a correct message holds."""
_JOINERS = "\u200c\u200d"
"""Zero-width (non-)joiners: Persian and Indic names and emoji are misspelt without them."""


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

    The parts of the message are attributes of the error: ``argument``, ``value``, ``rule`` and ``cure``.
    """

    def __init__(self, argument: str, value: object, rule: str, cure: str) -> None:
        self._set_parts("", argument, _show(value), rule, cure)

    def _set_parts(self, path: object, argument: str, value: str, rule: str, cure: str) -> None:
        # Texts, and the value as it is shown: exceptions must not keep tensors alive, and must pickle.
        self.path = _message(path)
        """File of a ``FileError``; else empty."""
        self.argument = argument
        """Name of the argument; empty if the file is wrong as a whole."""
        self.value = value
        """The value as the message shows it."""
        self.rule, self.cure = _message(rule), _message(cure)
        self.args = (_message(f"{self.subject}: {rule}; {cure}"),)

    @property
    def subject(self) -> str:
        """Start of the message: the path, and the argument with its value."""
        return ": ".join(filter(None, (self.path, self.argument and f"{self.argument}={self.value}")))

    def __reduce__(self) -> tuple[object, ...]:
        # Data loader workers pickle their errors, and by default unpickling would call __init__ with the message only.
        return (_rebuild, (type(self), self.args), self.__dict__)


class FileError(InputError):
    """A file or folder that cannot be used; the message starts with its path."""

    def __init__(self, path: object, rule: str, cure: str) -> None:
        self._set_parts(path, "", "", rule, cure)

    @classmethod
    def from_os_error(cls, path: object, rule: str, error: OSError, cure: str) -> FileError:
        """Return the error of a failed file access, with the reason that the system gives."""
        return cls(path, f"{rule} ({(error.strerror or str(error)).lower()})", cure)

    @classmethod
    def from_input_error(cls, path: object, error: InputError, spell: Callable[[str], str] = str) -> FileError:
        """Return the error of an invalid input that was read from a file; ``spell`` rewrites its rule and cure."""
        made = cls.__new__(cls)
        path = f"{path}: {error.path}" if error.path else path
        made._set_parts(path, error.argument, error.value, spell(error.rule), spell(error.cure))
        return made


def printable(text: object) -> str:
    """Return a text on one line in which every character that a terminal would act on is escaped.

    Names of files and classes, and texts read from files, go through it wherever they are printed or written as
    text: control characters (also newlines), bidirectional overrides and other invisible characters become
    ``\\n``, ``\\x1b`` or ``\\u202e``, and bytes that are not UTF-8 (``os.fsdecode`` makes lone surrogates of them)
    ``\\xff``, as shells write them. All other characters stay as they are, also backslashes.

    Example:
        >>> printable("b\\u00e9b\\u00e9\\x1b[2J.png"), printable("a\\n\\udcff")
        ('bébé\\\\x1b[2J.png', 'a\\\\n\\\\xff')
    """
    text = str(text)
    return text if text.isprintable() else "".join(map(_printable_character, text))


def pluralize(number: int, noun: str) -> str:
    """Return a number with its noun.

    Example:
        >>> pluralize(1, "image"), pluralize(2, "image")
        ('1 image', '2 images')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def truncate(text: str, length: int = MAX_VALUE_LENGTH) -> str:
    """Return a text without its middle if it is longer than ``length``."""
    half, quarter = length // 2, length // 4
    return text if len(text) <= length else f"{text[:half]} … {text[-quarter:]}"


def one_line(error: BaseException) -> str:
    """Return the message of another library's error on one line, or its class if the message is empty.

    Example:
        >>> one_line(ValueError("a")), one_line(MemoryError())
        ('a', 'MemoryError')
    """
    return truncate(" ".join(str(error).split()) or type(error).__name__)


def describe_error(error: BaseException) -> str:
    """Return type and message of an exception in one short line."""
    return truncate(" ".join(f"{type(error).__name__}: {error}".split()))


def validation_reason(error: ValidationError) -> str:
    """Return pydantic's first error on one line, such as ``samples.3.0: Input should be a valid string``."""
    details = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, details["loc"]))
    return truncate(f"{place}: {details['msg']}" if place else details["msg"])


def _rebuild(error_class: type[InputError], args: tuple[object, ...]) -> InputError:
    error = error_class.__new__(error_class)
    error.args = args
    return error


def _message(text: object) -> str:
    # Cut first: a name read from a file may have megabytes.
    return truncate(printable(truncate(str(text), MAX_MESSAGE_LENGTH)), MAX_MESSAGE_LENGTH)


def _printable_character(character: str) -> str:
    if character.isprintable() or character in _JOINERS or category(character) == "Zs":
        return character
    if "\udc80" <= character <= "\udcff":  # a byte that is not UTF-8, see PEP 383
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


class _BoundedRepr(Repr):
    """``repr`` that takes time for what it shows only: YAML aliases can name 9⁹ words in 300 bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxtuple = self.maxlist = self.maxdict = self.maxset = self.maxfrozenset = self.maxdeque = 20
        self.maxstring = self.maxlong = self.maxother = 2 * MAX_VALUE_LENGTH

    def repr_int(self, x: int, level: int) -> str:
        return repr(x)  # later Pythons show the address of an int of more than 4,300 digits

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        if level <= 0:
            return "{...}"
        items = [f"{self.repr1(key, level - 1)}: {self.repr1(x[key], level - 1)}" for key in islice(x, self.maxdict)]
        return "{" + ", ".join(items + ["..."] * (len(x) > self.maxdict)) + "}"  # in their order, Repr sorts them


_bounded_repr = _BoundedRepr().repr


def _show(value: object) -> str:
    try:
        return truncate(" ".join(line.strip() for line in _bounded_repr(value).splitlines()))
    except ValueError:  # Python refuses to print an int of more than 4,300 digits
        return f"a {type(value).__name__}"

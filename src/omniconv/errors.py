"""The one error that omniconv raises for what its user can mend."""


class InputError(ValueError):
    """Something the user gave does not fit; one line says what, what came, the rule and the cure.

    Args:
        argument: the argument, option or file that is wrong.
        value: what was received.
        rule: what it must be.
        cure: what to do about it.

    Example:
        >>> raise InputError("stride", 0, "must be at least 1", "use stride=1 to keep every sample")
        Traceback (most recent call last):
        omniconv.errors.InputError: stride=0: must be at least 1; use stride=1 to keep every sample
    """

    def __init__(self, argument: str, value: object, rule: str, cure: str) -> None:
        super().__init__(f"{argument}={_shown(value)}: {rule}; {cure}")

    def __reduce__(self) -> tuple[object, ...]:  # an error crosses process borders whole (data loader workers)
        return (_rebuild, (type(self), self.args[0]))


def _rebuild(kind: type[InputError], text: str) -> InputError:
    error = kind.__new__(kind)
    error.args = (text,)
    return error


def _shown(value: object) -> str:
    """A value as a part of one line."""
    try:
        return truncate(" ".join(line.strip() for line in repr(value).splitlines()))
    except ValueError:  # a number with thousands of digits
        return f"a {type(value).__name__}"


LONGEST = 200


def truncate(text: str) -> str:
    """A text that a line can hold: what is too long loses its middle."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 4 :]}"


class FileError(InputError):
    """A file or folder that cannot be used as it is; the line starts with its path."""

    def __init__(self, path: object, rule: str, cure: str) -> None:
        ValueError.__init__(self, f"{path}: {rule}; {cure}")

"""Short names of surfaces, as the command line and saved models write them: ``icosphere:5``, ``plane:ndim=3``."""

from __future__ import annotations

import re
from difflib import get_close_matches
from inspect import signature
from typing import Any, TypeVar

from omniconv.errors import InputError
from omniconv.surfaces.base import Surface
from omniconv.surfaces.cubemap.surface import Cubemap
from omniconv.surfaces.equirectangular.surface import Equirectangular
from omniconv.surfaces.healpix.surface import Healpix
from omniconv.surfaces.icosahedron.surface import Icosahedron
from omniconv.surfaces.icosphere.surface import Icosphere
from omniconv.surfaces.plane import Plane

SURFACES: dict[str, type[Surface]] = {}
"""Surfaces by short name; ``register_surface`` adds one."""

SurfaceClass = TypeVar("SurfaceClass", bound=type[Surface])


def register_surface(cls: SurfaceClass) -> SurfaceClass:
    """Make a surface known by its ``short_name`` to ``surface``, saved models and the command line.

    Can be used as a class decorator, above ``@dataclass(frozen=True)``.

    Raises:
        InputError: a short name that is taken or cannot be parsed, no ``example`` for a required argument, or a
            surface that is not hashable or whose string does not parse back.
    """
    name = cls.short_name
    if not name.isidentifier() or SURFACES.get(name, cls) is not cls:
        rule = f"must be an identifier that is not one of {', '.join(SURFACES)}"
        raise InputError("short_name", name, rule, f"set {cls.__name__}.short_name")
    missing = [option for option in _required(cls) if option not in cls.example]
    if missing:
        rule = f"needs a value for the required argument {missing[0]}"
        raise InputError("example", dict(cls.example), rule, f"set {cls.__name__}.example")
    known, SURFACES[name] = SURFACES.get(name), cls
    cure, reason = "use @dataclass(frozen=True) and the default __str__", ""
    try:
        example = cls(**cls.example)
        hash(example)
        parses_back = surface(str(example)) == example
    except (TypeError, InputError) as error:  # TypeError: not hashable, or abstract members that are not defined
        parses_back, reason = False, f" ({error})"
    if not parses_back:
        if known is None:
            del SURFACES[name]
        rule = f"must define all abstract members, be hashable and equal surface(str(…)){reason}"
        raise InputError("surface", cls.__name__, rule, cure)
    return cls


def surface(name: str | Surface) -> Surface:
    """Return the surface of a short name: ``name``, ``name:value`` or ``name:value,option=value``.

    Args:
        name: for example ``plane``, ``plane:ndim=3``, ``plane:border=zeros/circular``, ``equirectangular:poles=zeros``,
            ``icosphere:5``, ``icosahedron:5``, ``healpix:32``, ``cubemap:64``. A surface is returned unchanged.

    Raises:
        InputError: an unknown name, option or value; the message lists the known ones.

    Example:
        >>> surface("icosphere:5")
        Icosphere(level=5, laplacian='mass')
    """
    if isinstance(name, Surface):
        return name
    short_name, _, options = str(name).partition(":")
    if short_name not in SURFACES:
        near = get_close_matches(short_name, SURFACES, n=1) or ["equirectangular"]
        raise InputError("surface", name, f"must be one of {', '.join(SURFACES)}", f"did you mean {near[0]}?")
    return _build(name, SURFACES[short_name], [option for option in options.split(",") if option])


def _build(name: str, cls: type[Surface], options: list[str]) -> Surface:
    known = list(signature(cls).parameters)
    arguments: dict[str, Any] = {}
    for number, option in enumerate(options):
        key, equals, value = option.partition("=")
        if not equals and number:
            cure = f"write {known[min(number, len(known) - 1)]}={key}"
            raise InputError("surface", name, f"has {key!r} without a name", cure)
        key, value = (key, value) if equals else ((known or [""])[0], key)
        if key not in known:
            raise InputError("surface", name, f"has no option {key!r}", f"its options are {', '.join(known)}")
        if key in arguments:
            raise InputError("surface", name, f"has the option {key} twice", "keep one")
        arguments[key] = _parse(value)
    for required in _required(cls):
        if required not in arguments:
            example = cls.example[required]
            cure = f"write {cls.short_name}:{example} for {required} {example}"
            raise InputError("surface", name, f"needs a {required}", cure)
    try:
        return cls(**arguments)
    except InputError as error:
        raise _in_short_name(name, cls, arguments, error) from error


def _in_short_name(name: str, cls: type[Surface], arguments: dict[str, Any], error: InputError) -> InputError:
    """Return the error of a constructor with the option and the cure as short names write them."""
    cure = error.cure
    changed = {option: value for option, value in arguments.items() if option != error.argument}
    if near := re.fullmatch(r"did you mean ([\w/]+)\?", cure):
        changed[error.argument] = _parse(near[1])
    elif (example := re.search(r"\b(\w+)=('?)([\w/]+)\2", cure)) and example[1] in signature(cls).parameters:
        changed[example[1]] = _parse(example[3])
    try:
        cls(**(changed := {option: cls.example[option] for option in _required(cls)} | changed))
        cure = f"write {_short_name(cls, changed)}"
    except InputError:  # more than one option is wrong
        cure = _unquoted(cure)
    value = arguments.get(error.argument)
    text = "" if value is None else f" {'/'.join(value) if isinstance(value, tuple) else value}"
    return InputError("surface", name, f"{error.argument}{text} {_unquoted(error.rule)}", cure)


def _short_name(cls: type[Surface], arguments: dict[str, Any]) -> str:
    texts = {option: "/".join(value) if isinstance(value, tuple) else value for option, value in arguments.items()}
    required = _required(cls)
    options = [f"{text}" if option in required else f"{option}={text}" for option, text in texts.items()]
    return f"{cls.short_name}:{','.join(options)}" if options else cls.short_name


def _unquoted(text: str) -> str:
    return re.sub(r"'([\w/]+)'", r"\1", text)


def _required(cls: type[Surface]) -> list[str]:
    return [option.name for option in signature(cls).parameters.values() if option.default is option.empty]


def _parse(text: str) -> int | str | tuple[str, ...]:
    """Parse an integer, a word, or words separated by slashes."""
    try:
        return int(text)
    except ValueError:
        return tuple(text.split("/")) if "/" in text else text


for _cls in (Plane, Equirectangular, Icosphere, Icosahedron, Healpix, Cubemap):
    register_surface(_cls)

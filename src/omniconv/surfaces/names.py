"""Short names of surfaces, as the command line and saved models write them: ``icosphere:5``, ``plane:ndim=3``."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from inspect import signature

from omniconv.errors import InputError
from omniconv.surfaces.equirectangular import Equirectangular
from omniconv.surfaces.icosphere import Icosphere
from omniconv.surfaces.plane import Plane
from omniconv.surfaces.surface import Surface

SURFACES: dict[str, type[Surface]] = {"plane": Plane, "equirectangular": Equirectangular, "icosphere": Icosphere}


def surface(name: str | Surface) -> Surface:
    """The surface of a short name: ``name``, ``name:level`` or ``name:level,option=value``.

    Args:
        name: for example ``plane``, ``plane:ndim=3``, ``plane:border=zeros/circular``, ``equirectangular:poles=zeros``,
            ``icosphere:5``. A surface is given back as it is.

    Raises:
        InputError: an unknown name, option or value; it says what is known.

    Example:
        >>> surface("icosphere:5")
        Icosphere(level=5, laplacian='mass')
    """
    if isinstance(name, Surface):
        return name
    kind, _, rest = str(name).partition(":")
    if kind not in SURFACES:
        near = get_close_matches(kind, SURFACES, n=1) or ["equirectangular"]
        raise InputError("surface", name, f"must be one of {', '.join(SURFACES)}", f"did you mean {near[0]}?")
    return _build(name, SURFACES[kind], [part for part in rest.split(",") if part])


def _build(name: str, kind: Callable[..., Surface], parts: list[str]) -> Surface:
    options = list(signature(kind).parameters)
    arguments: dict[str, int | str | tuple[str, ...]] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        key, value = (key, value) if equals else (options[0], key)
        if key not in options:
            raise InputError("surface", name, f"has no option {key!r}", f"its options are {', '.join(options)}")
        arguments[key] = _value(value)
    if "level" in options and "level" not in arguments:
        raise InputError("surface", name, "needs a level", f"write {name.partition(':')[0]}:5 for level 5")
    return kind(**arguments)


def _value(text: str) -> int | str | tuple[str, ...]:
    """A number, a word, or words parted by slashes."""
    try:
        return int(text)
    except ValueError:
        return tuple(text.split("/")) if "/" in text else text

"""Short names of surfaces, as the command line and saved models write them: ``icosphere:5``, ``plane:ndim=3``."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from inspect import signature

from omniconv.errors import InputError
from omniconv.surfaces.base import Surface
from omniconv.surfaces.cubemap.surface import Cubemap
from omniconv.surfaces.equirectangular.surface import Equirectangular
from omniconv.surfaces.healpix.surface import Healpix
from omniconv.surfaces.icosahedron.surface import Icosahedron
from omniconv.surfaces.icosphere.surface import Icosphere
from omniconv.surfaces.plane import Plane

SURFACES: dict[str, type[Surface]] = {
    "plane": Plane,
    "equirectangular": Equirectangular,
    "icosphere": Icosphere,
    "icosahedron": Icosahedron,
    "healpix": Healpix,
    "cubemap": Cubemap,
}
EXAMPLES = {"level": 5, "nside": 32, "size": 64}
"""Values of what a surface cannot do without."""


def surface(name: str | Surface) -> Surface:
    """The surface of a short name: ``name``, ``name:level`` or ``name:level,option=value``.

    Args:
        name: for example ``plane``, ``plane:ndim=3``, ``plane:border=zeros/circular``, ``equirectangular:poles=zeros``,
            ``icosphere:5``, ``icosahedron:5``, ``healpix:32``, ``cubemap:64``. A surface is given back as it is.

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
    missing = [option.name for option in signature(kind).parameters.values() if option.default is option.empty]
    if missing and missing[0] not in arguments:
        example = EXAMPLES[missing[0]]
        cure = f"write {name.partition(':')[0]}:{example} for {missing[0]} {example}"
        raise InputError("surface", name, f"needs a {missing[0]}", cure)
    return kind(**arguments)


def _value(text: str) -> int | str | tuple[str, ...]:
    """A number, a word, or words parted by slashes."""
    try:
        return int(text)
    except ValueError:
        return tuple(text.split("/")) if "/" in text else text

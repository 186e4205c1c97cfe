"""What every whole network has: a surface, the arguments it was built with, and what images need before it."""

from __future__ import annotations

from typing import Any

from torch import nn

from omniconv.checks import is_integer, to_builtin
from omniconv.errors import InputError
from omniconv.nn.arguments import check_surface
from omniconv.surfaces import Surface

DEEPEST, WIDEST = 10, 1024


class Model(nn.Module):
    """A network that can be saved and built again.

    Args:
        surface: where its input lies.
        arguments: all arguments of its construction but the surface, as plain numbers, texts and lists.

    Attributes:
        preprocessing: what was done to images before they came in; plain data, saved with the weights.
    """

    def __init__(self, surface: Surface, **arguments: Any) -> None:
        super().__init__()
        self.surface = surface
        self.arguments = {**{name: to_builtin(value) for name, value in arguments.items()}, "surface": str(surface)}
        self.preprocessing: dict[str, Any] = {}


def check_depth(depth: int, surface: Surface) -> None:
    """There is a coarser surface for every step down."""
    check_surface(surface)
    if not is_integer(to_builtin(depth)) or depth > DEEPEST:
        raise InputError("depth", depth, f"must be a whole number from 1 to {DEEPEST}", "use depth=3")
    level = getattr(surface, "level", None)
    if level is not None and depth > level:
        raise InputError(
            "depth", depth, f"must be at most {level}, the level of {surface}", "use fewer steps or a higher level"
        )


def widths(width: int, depth: int) -> list[int]:
    """Channels of each size: doubled at every step down."""
    width = to_builtin(width)
    if not is_integer(width) or width > WIDEST:
        raise InputError("width", width, f"must be a whole number from 1 to {WIDEST}", "use width=32")
    return [width * 2**step for step in range(depth + 1)]

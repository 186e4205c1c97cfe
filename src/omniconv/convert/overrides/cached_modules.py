"""Layers without weights for the arguments of a call: built once each, as the arguments of a network do not change."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch


def product(build: Callable[..., Any], *arguments: Any) -> Any:
    """What ``build`` makes of hashable arguments; a compiler follows it itself and keeps what comes out."""
    if torch.compiler.is_compiling():
        return build(*arguments)
    return _kept(build, *arguments)


@lru_cache(maxsize=1024)
def _kept(build: Callable[..., Any], *arguments: Any) -> Any:
    return build(*arguments)

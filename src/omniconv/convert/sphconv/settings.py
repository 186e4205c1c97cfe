"""How the kernels of rows are fitted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from omniconv.errors import InputError


@dataclass(frozen=True)
class Settings:
    """How kernels are fitted; see ``to_sphconv``."""

    height: int
    turned: int
    ridge: float
    steps: int
    rate: float
    batch: int
    seed: int

    def __post_init__(self) -> None:
        for name, least in (("height", 1), ("turned", 0), ("steps", 0), ("batch", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError(name, value, f"must be a whole number from {least}", "leave it out for the usual")
        for name in ("ridge", "rate"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 < value < math.inf:
                raise InputError(name, value, "must be a number above 0", "leave it out for the usual")

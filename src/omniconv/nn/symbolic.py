"""Sizes that are left open while a layer is exported: torch's exporter gives symbols in place of numbers.

Layers ask these questions where a plain ``if`` would answer for the one size at hand and be wrong for the others.
"""

from __future__ import annotations

import torch


def is_symbolic(*numbers: object) -> bool:
    """Whether any of the numbers is a symbol."""
    return any(isinstance(number, torch.SymInt) for number in numbers)


def statically_true(condition: bool | torch.SymBool) -> bool:
    """Whether a condition holds for every size that may come; of numbers, whether it holds."""
    if isinstance(condition, bool):
        return condition
    from torch.fx.experimental.symbolic_shapes import statically_known_true  # slow to import, and seldom needed

    return statically_known_true(condition)


def to_int_if_static(number: int) -> int:
    """A number that is the same for every size, though computed from open ones, as a plain one; others as they are."""
    if isinstance(number, int):
        return number
    known = number.node.maybe_as_int()
    return number if known is None else known

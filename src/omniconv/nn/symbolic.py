"""Sizes that are symbolic while ``torch.export`` or ``torch.compile`` trace a layer for every size.

An ``if`` on such a size would specialise the program to the example's size, or fail; layers call these functions.
"""

from __future__ import annotations

import torch

from omniconv.nn import torch_private


def is_symbolic(*numbers: object) -> bool:
    """Return True if any of the numbers is a ``torch.SymInt``."""
    return any(isinstance(number, torch.SymInt) for number in numbers)


def statically_true(condition: bool | torch.SymBool) -> bool:
    """Return a ``bool`` unchanged, and True for a symbolic condition that holds for every size."""
    return condition if isinstance(condition, bool) else torch_private.statically_known_true(condition)


def to_int_if_static(number: int) -> int:
    """Return a symbolic number that is the same for every size as an ``int``, and other numbers unchanged."""
    if isinstance(number, int):
        return number
    constant = torch_private.symbolic_constant(number)
    return number if constant is None else constant

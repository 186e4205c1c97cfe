"""Findings of a conversion: changed operations, and seams that it could not remove."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One operation of a converted network.

    Attributes:
        module: qualified name of the module that called it; empty for the network itself.
        operation: name of the torch function.
        reason: description of the change, or why a seam remains.
        seam: whether the operation is not equivariant to rolling the panorama along its columns.

    Example:
        >>> print(Finding("head.flatten", "flatten", "each position has weights of its own", seam=True))
        head.flatten: flatten: each position has weights of its own
    """

    module: str
    operation: str
    reason: str
    seam: bool

    def __str__(self) -> str:
        return f"{self.module or 'the network'}: {self.operation}: {self.reason}"


class SeamWarning(UserWarning):
    """An operation of a converted network leaves a seam: it is not equivariant to rolling the panorama."""

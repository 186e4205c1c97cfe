"""Findings of a conversion: changed operations, and seams that it could not remove."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from textwrap import wrap

from omniconv.errors import pluralize

COLUMNS = ("module", "operation", "finding", "what to do")
TEXT_WIDTH = 60
"""Characters in a line of the two columns of sentences."""
WINDOWS = ("conv2d", "max_pool2d", "avg_pool2d", "lp_pool2d", "unfold")
COMBINATIONS = ("add", "radd", "iadd", "mul", "rmul", "imul", "sub", "rsub")


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

    @property
    def cure(self) -> str:
        """Advice for a seam; empty for a changed operation."""
        if not self.seam or "do not convert" in self.reason or "; use " in self.reason:
            return ""  # the reason ends with it
        name = self.operation.strip("_")
        if "padding is too small" in self.reason:
            return "give the layer padding of half its kernel, as padding=1 for 3 × 3"
        if name in COMBINATIONS:
            return "use values that are equal along the columns, or train on panoramas rolled at random"
        if name.startswith(("adaptive", "interpolate")) or name in WINDOWS:
            return "use an input width for which this size is a whole number"
        if name in ("pad", "conv_transpose2d"):
            return "keep all columns here, and crop after the network"
        if name == "grid_sample":
            return "sample coordinates that wrap, or train on panoramas rolled at random"
        return "average over the columns before this operation, or train on panoramas rolled at random"

    def __str__(self) -> str:
        return f"{self.module or 'the network'}: {self.operation}: {self.reason}"


def text_table(rows: Sequence[Sequence[str]], width: int = TEXT_WIDTH) -> str:
    """Return rows of cells as lines of aligned columns; longer texts than ``width`` are wrapped.

    Example:
        >>> print(text_table([["a", "b"], ["long", "text"]]))
        a     b
        long  text
    """
    widths = [min(max(map(len, column)), width) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
        for number in range(max(map(len, cells))):
            parts = [cell[number] if number < len(cell) else "" for cell in cells]
            lines.append("  ".join(f"{part:<{width}}" for part, width in zip(parts, widths, strict=True)).rstrip())
    return "\n".join(lines)


class ConversionReport(list[Finding]):
    """List of the findings of a conversion, which is shown as a table, seams first.

    Attributes:
        middle_change: difference of the converted network's output from the flat one's in the inner half of rows and
            columns of the example (all of an output without rows and columns), relative to its standard deviation;
            ``None`` if the network returned no floating-point numbers.
        middle_labels: share of labels that differ there, if the output has several channels, else ``None``. It means
            something if the channels are class scores and the example is an image; on noise a trained network may
            change less or more.
        has_middle: whether the output has rows and columns.

    Example:
        >>> print(ConversionReport([Finding("0", "conv2d", "padding replaced", seam=False)]))
        1 operation changed, no seam found
        module  operation  finding           what to do
        0       conv2d     padding replaced
    """

    def __init__(
        self, findings: Iterable[Finding] = (), middle_change: float | None = None, middle_labels: float | None = None,
        has_middle: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(findings)
        self.middle_change, self.middle_labels, self.has_middle = middle_change, middle_labels, has_middle

    @property
    def seams(self) -> list[Finding]:
        """Findings that leave a seam."""
        return [finding for finding in self if finding.seam]

    @property
    def headline(self) -> str:
        """Number of seams and of changed operations, and the change of the middle of the picture."""
        changed = sum(not finding.seam and bool(finding.operation != "forward") for finding in self)
        seams = len(self.seams)
        found = f"{pluralize(seams, 'seam')} left" if seams else "no seam found"
        return f"{pluralize(changed, 'operation')} changed, {found}{self._middle()}"

    def __repr__(self) -> str:
        return f"{self.headline}\n{text_table([COLUMNS, *self._cells()])}"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        def row(cells: tuple[str, ...], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        body = "".join(row(cells, "td") for cells in self._cells())
        return f"<table><caption>{escape(self.headline)}</caption>{row(COLUMNS, 'th')}{body}</table>"

    def _middle(self) -> str:
        if self.middle_change is None:
            return ""
        labels = "" if self.middle_labels is None else f", {self.middle_labels:.1%} of its labels"
        place = "the middle of the picture" if self.has_middle else "the output"
        return f"; {place} changes by {self.middle_change:.1%} of its standard deviation{labels}"

    def _cells(self) -> list[tuple[str, ...]]:
        ordered = [*self.seams, *(finding for finding in self if not finding.seam)]
        return [
            (finding.module or "(network)", finding.operation, "seam: " * finding.seam + finding.reason, finding.cure)
            for finding in ordered
        ]


class SeamWarning(UserWarning):
    """An operation of a converted network leaves a seam: it is not equivariant to rolling the panorama."""

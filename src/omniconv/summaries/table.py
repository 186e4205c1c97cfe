"""What a network is made of: a table of its layers with their sizes, receptive fields, parameters and costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from torch import nn

from omniconv.checks import is_integer, to_builtin
from omniconv.errors import InputError
from omniconv.summaries.tracing import BATCH, Visit, trace
from omniconv.surfaces import Surface

Field = tuple[int | float, ...]
HEADER = ("layer", "kind", "output", "sees", "parameters", "multiply-adds")


@dataclass(frozen=True)
class Row:
    """One call of one layer.

    Attributes:
        name: dotted path of the layer in its network.
        kind: its class.
        output: channels and grid of what comes out.
        receptive_field: input samples that an output sees, for each axis; ``math.inf`` for the whole image.
        parameters: weights and biases; 0 where a layer is called again.
        multiply_adds: multiplications, each with its addition, for one image.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    receptive_field: Field
    parameters: int
    multiply_adds: int

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        size, field = " × ".join(map(str, self.output)), _field_text(self.receptive_field)
        return self.name, self.kind, size, field, f"{self.parameters:,}", f"{self.multiply_adds:,}"


@dataclass(frozen=True)
class Summary:
    """The layers of a network and their totals; ``print`` shows them as a table.

    Attributes:
        rows: one for each call of a layer, in the order of the work.
        parameters: all weights and biases of the network, each once.
        multiply_adds: of all rows.
        receptive_field: input samples that an output of the network sees, for each axis; ``math.inf`` for all.
    """

    rows: tuple[Row, ...]
    parameters: int
    multiply_adds: int
    receptive_field: Field

    def __str__(self) -> str:
        total = ("total", "", "", _field_text(self.receptive_field), f"{self.parameters:,}", f"{self.multiply_adds:,}")
        table = [HEADER, *(row.cells() for row in self.rows), total]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(_aligned(cells, widths)).rstrip() for cells in table]
        rule = "─" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def summary(model: nn.Module, shape: Sequence[int]) -> Summary:
    """The table of a network's layers for one image; nothing is computed and the network is not changed.

    Sizes, receptive fields and costs are followed through one run on tensors without content, along every connection
    that the network really has.

    - *Receptive fields* are those of the output that sees most, with the edges left out: they may exceed the image.
      Signals that meet (a skip connection) see what both see; a step up to twice the size less one counts as to twice
      the size, so that at odd sizes an output may see up to one sample of the coarser grid more. A mesh counts in
      rings along a line: a kernel of 3, one ring, sees 3. Normalisation is not counted as seeing.
    - *Multiply-adds*: a convolution has output positions · taps · in / groups · out; a transposed one on a grid
      the same with its input positions; one on a stencil one more for each stored entry and input channel; a linear
      layer in · out. All else counts 0: pooling, resizing, normalisation, activation, attention, recurrent layers.

    Args:
        model: any network of layers of omniconv and torch.
        shape: one image without the batch, ``(channels, *grid)``; ``(channels,)`` is enough on a mesh.

    Raises:
        InputError: no network, or a shape that does not go through it.

    Example:
        >>> import omniconv as oc
        >>> table = oc.summary(oc.models.UNet(3, 2, width=8, depth=2), (3, 64, 128))
        >>> table.parameters, table.receptive_field
        (29930, (43, 43))
    """
    if not isinstance(model, nn.Module):
        raise InputError("model", type(model), "must be a network", "give a torch.nn.Module")
    shape = _complete(shape, _surface(model))
    try:
        visits, sight = trace(model, shape)
    except InputError as error:
        raise error if str(error).startswith("shape=") else _unfit(shape, error) from error
    except NotImplementedError:  # a function that torch cannot follow without content; no fault of the shape
        raise
    except (RuntimeError, ValueError, IndexError) as error:
        raise _unfit(shape, error) from error
    rows = _rows(visits)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    field = tuple(reach.field for reach in sight)
    return Summary(rows, parameters, sum(row.multiply_adds for row in rows), field)


def _rows(visits: Sequence[Visit]) -> tuple[Row, ...]:
    rows: list[Row] = []
    counted: set[int] = set()
    for visit in visits:
        new = {id(parameter): parameter.numel() for parameter in visit.parameters if id(parameter) not in counted}
        counted |= set(new)
        field = tuple(reach.field for reach in visit.sight)
        name, kind = visit.name or "(network)", type(visit.layer).__name__
        rows.append(Row(name, kind, visit.output, field, sum(new.values()), visit.cost // BATCH))
    return tuple(rows)


def _complete(shape: Any, surface: Surface | None) -> tuple[int, ...]:
    """The shape of an image, with the samples of a mesh added where they were left out."""
    numbers = to_builtin(tuple(shape)) if isinstance(shape, Sequence) else ()
    if not numbers or not all(map(is_integer, numbers)):
        raise InputError("shape", shape, "must be (channels, *grid) in whole numbers from 1", "use (3, 128, 256)")
    if surface is None:
        return numbers
    if not surface.any_size and len(numbers) == 1:
        return (*numbers, *(size for size in surface.shape if size is not None))
    if len(numbers) != surface.ndim + 1:
        raise InputError(
            "shape",
            numbers,
            f"must have {surface.ndim + 1} numbers, channels and {surface.ndim} for the grid of {surface}",
            "leave out the batch",
        )
    if any(wanted not in (None, size) for wanted, size in zip(surface.shape, numbers[1:], strict=True)):
        raise InputError(
            "shape", numbers, f"must have the grid {surface.shape} of {surface}", f"give ({numbers[0]},) alone"
        )
    return numbers


def _surface(model: nn.Module) -> Surface | None:
    surfaces = (getattr(module, "surface", None) for module in model.modules())
    return next((surface for surface in surfaces if isinstance(surface, Surface)), None)


def _unfit(shape: tuple[int, ...], error: Exception) -> InputError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return InputError(
        "shape", shape, f"does not go through the network ({reason})", "give (channels, *grid) as the network takes it"
    )


def _field_text(field: Field) -> str:
    return "all" if field and set(field) == {inf} else " × ".join("all" if side == inf else str(side) for side in field)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Words to the left, numbers to the right."""
    pairs = list(zip(cells, widths, strict=True))
    return [f"{cell:<{width}}" for cell, width in pairs[:3]] + [f"{cell:>{width}}" for cell, width in pairs[3:]]

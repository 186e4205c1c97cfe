"""Table of a network's layers with their output sizes, receptive fields, parameters and multiply-adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from torch import nn

from omniconv.checks import is_integer, to_builtin
from omniconv.errors import InputError
from omniconv.summaries.tracing import BATCH, LayerCall, trace
from omniconv.surfaces import Surface

FieldSize = tuple[int | float, ...]
COLUMNS = ("layer", "kind", "output", "receptive field", "parameters", "multiply-adds")


@dataclass(frozen=True)
class Row:
    """Call of a layer.

    Attributes:
        name: dotted path of the layer in its network.
        kind: class name of the layer.
        output: channels and grid of the output.
        receptive_field: input samples that an output depends on, for each axis; ``math.inf`` for the whole image.
        parameters: number of weights and biases; 0 for further calls of the same layer.
        multiply_adds: multiply-add operations for one image.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    receptive_field: FieldSize
    parameters: int
    multiply_adds: int

    def cells(self) -> tuple[str, ...]:
        """Return the row as text."""
        size, field = " × ".join(map(str, self.output)), _field_text(self.receptive_field)
        return self.name, self.kind, size, field, f"{self.parameters:,}", f"{self.multiply_adds:,}"


@dataclass(frozen=True)
class Summary:
    """Layers of a network and their totals; ``print`` shows them as a table.

    Attributes:
        rows: one for each call of a layer, in order of execution.
        parameters: number of weights and biases of the network, each counted once.
        multiply_adds: sum over all rows.
        receptive_field: input samples that an output depends on, for each axis; ``math.inf`` for the whole image.
    """

    rows: tuple[Row, ...]
    parameters: int
    multiply_adds: int
    receptive_field: FieldSize

    def __str__(self) -> str:
        total = ("total", "", "", _field_text(self.receptive_field), f"{self.parameters:,}", f"{self.multiply_adds:,}")
        table = [COLUMNS, *(row.cells() for row in self.rows), total]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(_aligned(cells, widths)).rstrip() for cells in table]
        rule = "─" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def summary(model: nn.Module, shape: Sequence[int]) -> Summary:
    """Return a table of a network's layers for one image, without computing anything or changing the network.

    Sizes, receptive fields and multiply-adds are traced in one run on meta tensors, along every connection of the
    network.

    - *Receptive fields* are the largest of any output sample. Image borders are ignored, so that they may exceed the
      image. A sum or concatenation (a skip connection) has the union of its inputs' fields. Upsampling to twice the
      size less one counts as upsampling to twice the size, so that at odd sizes an output may depend on up to one
      sample of the coarser grid more. On a mesh, rings of neighbours are counted along a line: a kernel of 3, one ring,
      has a field of 3. The statistics of normalization layers are not counted.
    - *Multiply-adds*: a convolution has output positions · taps · in / groups · out; a transposed convolution on a grid
      has input positions instead; on a stencil each stored entry adds one per input channel; a linear layer has
      in · out. Pooling, resizing, normalization, activation, attention and recurrent layers count 0.

    Args:
        model: any network of layers of omniconv and torch.
        shape: shape of one image without the batch, ``(channels, *grid)``; ``(channels,)`` is enough on a mesh.

    Raises:
        InputError: not a module, or a shape that the network does not take.

    Example:
        >>> import omniconv as oc
        >>> table = oc.summary(oc.models.UNet(3, 2, width=8, depth=2), (3, 64, 128))
        >>> table.parameters, table.receptive_field
        (29930, (43, 43))
    """
    if not isinstance(model, nn.Module):
        raise InputError("model", type(model), "must be a torch.nn.Module", "give a network")
    shape = _complete(shape, _surface(model))
    try:
        calls, network_field = trace(model, shape)
    except InputError as error:
        raise error if str(error).startswith("shape=") else _wrong_shape(shape, error) from error
    except NotImplementedError:  # a torch function without a meta implementation: another shape would not help
        raise
    except (RuntimeError, ValueError, IndexError) as error:
        raise _wrong_shape(shape, error) from error
    rows = _rows(calls)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Summary(rows, parameters, sum(row.multiply_adds for row in rows), tuple(axis.size for axis in network_field))


def _rows(calls: Sequence[LayerCall]) -> tuple[Row, ...]:
    rows: list[Row] = []
    counted: set[int] = set()
    for call in calls:
        new = {id(parameter): parameter.numel() for parameter in call.parameters if id(parameter) not in counted}
        counted |= set(new)
        field = tuple(axis.size for axis in call.field)
        name, kind = call.name or "(network)", type(call.layer).__name__
        rows.append(Row(name, kind, call.output, field, sum(new.values()), call.multiply_adds // BATCH))
    return tuple(rows)


def _complete(shape: Any, surface: Surface | None) -> tuple[int, ...]:
    """Return a checked shape, completed by the samples of a mesh if they were left out."""
    numbers = to_builtin(tuple(shape)) if isinstance(shape, Sequence) else ()
    if not numbers or not all(map(is_integer, numbers)):
        raise InputError("shape", shape, "must be (channels, *grid) in whole numbers from 1", "use (3, 128, 256)")
    if surface is None:
        return numbers
    if not surface.any_size and len(numbers) == 1:
        return (*numbers, *(size for size in surface.shape if size is not None))
    if len(numbers) != surface.ndim + 1:
        rule = f"must have {surface.ndim + 1} numbers, channels and {surface.ndim} for the grid of {surface}"
        raise InputError("shape", numbers, rule, "leave out the batch")
    if any(wanted not in (None, size) for wanted, size in zip(surface.shape, numbers[1:], strict=True)):
        rule = f"must have the grid {surface.shape} of {surface}"
        raise InputError("shape", numbers, rule, f"give ({numbers[0]},) alone")
    return numbers


def _surface(model: nn.Module) -> Surface | None:
    surfaces = (getattr(module, "surface", None) for module in model.modules())
    return next((surface for surface in surfaces if isinstance(surface, Surface)), None)


def _wrong_shape(shape: tuple[int, ...], error: Exception) -> InputError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    cure = "give (channels, *grid) as the network takes it"
    return InputError("shape", shape, f"is not taken by the network ({reason})", cure)


def _field_text(field: FieldSize) -> str:
    return "all" if field and set(field) == {inf} else " × ".join("all" if side == inf else str(side) for side in field)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Align text to the left and numbers to the right."""
    pairs = list(zip(cells, widths, strict=True))
    return [f"{cell:<{width}}" for cell, width in pairs[:3]] + [f"{cell:>{width}}" for cell, width in pairs[3:]]

"""A network as a program of torch's exporter, with its batch and, where the surface allows any size, its grid open."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from omniconv.errors import InputError, truncate
from omniconv.exporting.with_standard_ops import with_standard_ops

AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
"""Names of open grid axes."""


def open_program(network: nn.Module, example: Tensor, min_size: int | None) -> torch.export.ExportedProgram:
    """A network as a program of standard operators that takes any batch.

    Args:
        network: takes one signal ``(batch, channels, *grid)`` and gives one or several.
        example: such a signal.
        min_size: the smallest size of each grid axis, which all are open; ``None`` keeps the example's.

    Raises:
        InputError: the network asks for one size where sizes are open.
    """
    sizes: dict[int, Any] = {0: torch.export.Dim("batch")}
    if min_size is not None:
        names = AXES[example.ndim - 2]
        sizes |= {axis: torch.export.Dim(name, min=min_size) for axis, name in enumerate(names, start=2)}
    twin = [*example.expand(2, *example.shape[1:])]  # torch takes a batch of 1 for one that is always 1
    try:
        with quiet(), torch.no_grad():
            program = torch.export.export(
                with_standard_ops(network), (torch.stack(twin),), dynamic_shapes=(sizes,), strict=False
            )
    except (RuntimeError, ValueError, torch._dynamo.exc.UserError) as error:
        raise InputError(
            "sizes", "open" if min_size is not None else "fixed", f"cannot be exported ({_first_line(error)})",
            "export it for one size" if min_size is not None else "leave out what depends on the data",
        ) from error  # fmt: skip
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine
    return program


@contextmanager
def quiet() -> Iterator[None]:
    """Torch's exporters speak to their authors."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _first_line(error: Exception) -> str:
    lines = [line.strip(" -.") for line in str(error).splitlines() if line.strip()]
    return truncate(" ".join(lines[:2]) or type(error).__name__)

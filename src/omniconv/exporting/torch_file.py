"""Conversion of programs to ``.pt2`` files, which ``torch.export.load`` reads without omniconv."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from omniconv.exporting.program import silenced_exporter
from omniconv.nn.inspection import named_outputs

DESCRIPTION = "omniconv.json"
"""Name of the file in the archive with the description of inputs and outputs."""


def output_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return names for the outputs of a file: any are allowed."""
    return tuple(names)


def to_bytes(
    program: torch.export.ExportedProgram,
    description: dict[str, Any],
    outputs: tuple[str, ...],
    inputs: tuple[str, ...] = (),
) -> bytes:
    """Return the content of a ``.pt2`` file."""
    buffer = io.BytesIO()
    program.example_inputs = None  # would be stored in the file
    with silenced_exporter():
        torch.export.save(program, buffer, extra_files={DESCRIPTION: json.dumps(description)})
    return buffer.getvalue()


def from_bytes(content: bytes) -> Callable[..., list[Tensor]]:
    """Return a function that runs the content of a ``.pt2`` file."""
    with silenced_exporter():
        program = torch.export.load(io.BytesIO(content)).module()

    def run(*inputs: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return list(named_outputs(program(*inputs)).values())

    return run

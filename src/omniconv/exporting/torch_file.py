"""Programs as ``.pt2`` files: run by ``torch.export.load`` without omniconv."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from omniconv.exporting.program import quiet

DESCRIPTION = "omniconv.json"
"""Name of the extra file that says how the program is used."""


def to_bytes(program: torch.export.ExportedProgram, description: dict[str, Any], outputs: tuple[str, ...]) -> bytes:
    """The content of a ``.pt2`` file."""
    buffer = io.BytesIO()
    program.example_inputs = None  # a whole picture that no one needs
    with quiet():
        torch.export.save(program, buffer, extra_files={DESCRIPTION: json.dumps(description)})
    return buffer.getvalue()


def from_bytes(content: bytes) -> Callable[[Tensor], list[Tensor]]:
    """What runs the content of a ``.pt2`` file."""
    with quiet():
        program = torch.export.load(io.BytesIO(content)).module()

    def run(x: Tensor) -> list[Tensor]:
        with torch.no_grad():
            result = program(x)
        return [result] if isinstance(result, Tensor) else list(result)

    return run

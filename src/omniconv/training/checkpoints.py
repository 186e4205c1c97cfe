"""Checkpoints that are whole or not there, and that run nothing when they are read."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from omniconv.errors import FileError
from omniconv.files import atomic_write


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's reading and writing of checkpoints, through ``atomic_write`` and without pickled code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write beside, flush, rename."""
        content = io.BytesIO()  # torch's writer hides what the disk says
        torch.save(checkpoint, content)
        with atomic_write(path) as file:
            file.write(content.getbuffer())

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Callable | None = lambda storage, location: storage,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read tensors and plain data.

        Raises:
            FileError: the file is cut short or holds anything else.
        """
        try:
            return torch.load(path, map_location=map_location, weights_only=True)
        except Exception as error:  # torch raises a dozen kinds for files that are cut at different places
            raise FileError(
                path, "is damaged", "restore it from a copy, or remove it and train from the start"
            ) from error

"""Checkpoints: written atomically, read without unpickling code."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from omniconv.errors import FileError
from omniconv.files import atomic_write
from omniconv.models import Model

PARTS = ("epoch", "state_dict", "optimizer_states", "lr_schedulers", "callbacks", "loops")


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's reading and writing of checkpoints, through ``atomic_write`` and with ``weights_only``."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write the file under another name, then rename it."""
        content = io.BytesIO()  # written to memory first: torch's file writer replaces the disk's error by its own
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
            raise FileError(path, "is damaged", "restore it from a copy, or delete it to start anew") from error


def read_checkpoint(path: Path, network: Model) -> dict[str, Any]:
    """Read a checkpoint of a run, checked to be one of this network.

    Raises:
        FileError: it is damaged, or of another network.
    """
    checkpoint = AtomicCheckpointIO().load_checkpoint(path)
    if not isinstance(checkpoint, dict) or any(part not in checkpoint for part in PARTS):
        raise FileError(path, "is not a checkpoint of a training", "delete it to train from the start")
    saved = {key.removeprefix("network."): value for key, value in checkpoint["state_dict"].items()}
    for name, value in network.state_dict().items():
        if name not in saved or saved[name].shape != value.shape:
            raise FileError(
                path, f"does not belong to the network that config.yaml describes ({name} differs)",
                "restore config.yaml, or start a new run",
            )  # fmt: skip
    return checkpoint

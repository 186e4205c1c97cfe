"""Checkpoints of the training: written atomically, and read without unpickling code."""

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
    """Checkpoint plugin for Lightning that writes by ``atomic_write`` and reads with ``weights_only``."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint atomically."""
        content = io.BytesIO()  # first into memory, since torch's file writer hides the OSError of a full disk
        torch.save(checkpoint, content)
        with atomic_write(path) as file:
            file.write(content.getbuffer())

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Callable | None = lambda storage, location: storage,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read a checkpoint of tensors, numbers, strings and containers.

        Raises:
            FileError: the file is truncated or contains other objects.
        """
        try:
            return torch.load(path, map_location=map_location, weights_only=True)
        except Exception as error:  # torch raises many classes, depending on where a file is truncated
            raise FileError(path, "is damaged", "restore it from a copy, or delete it to start anew") from error


def read_checkpoint(path: Path, network: Model) -> dict[str, Any]:
    """Read a checkpoint of a run, and check that it fits the network.

    Raises:
        FileError: it is damaged, or belongs to another network.
    """
    checkpoint = AtomicCheckpointIO().load_checkpoint(path)
    if not isinstance(checkpoint, dict) or any(part not in checkpoint for part in PARTS):
        raise FileError(path, "is not a checkpoint of a training", "delete it to train from the start")
    saved = {key.removeprefix("network."): value for key, value in checkpoint["state_dict"].items()}
    for name, value in network.state_dict().items():
        if name not in saved or saved[name].shape != value.shape:
            rule = f"does not belong to the network that config.yaml describes ({name} differs)"
            raise FileError(path, rule, "restore config.yaml, or start a new run")
    return checkpoint

"""Folder that keeps the results of an unfinished conversion, from which the same call continues."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from omniconv.errors import FileError
from omniconv.files import as_path, write_bytes

KEY_FILE = "conversion.json"


class CheckpointFolder:
    """Named sets of tensors on disk, written atomically; without a path nothing is kept.

    The folder is created if it does not exist; ``key`` is the ``fingerprint`` of the conversion. A folder of another
    conversion or with other files raises FileError.
    """

    def __init__(self, path: str | Path | None, key: str) -> None:
        self.path = None if path is None else as_path(path)
        if self.path is None:
            return
        key_file = self.path / KEY_FILE
        if key_file.is_file():
            if _read_key(key_file) != key:
                rule = "holds the conversion of another network, other panoramas or other settings"
                raise FileError(self.path, rule, "give the same ones to continue it, or another out=")
        elif self.path.is_dir() and any(self.path.iterdir()):
            raise FileError(self.path, "is not empty and holds no conversion", "give a new folder as out=")
        else:
            write_bytes(key_file, json.dumps({"key": key}).encode())

    def load(self, name: str, required: str) -> dict[str, Tensor] | None:
        """Return a saved set of tensors, or ``None``; FileError if it is damaged or lacks the tensor ``required``."""
        if self.path is None or not (file := self.path / f"{name}.safetensors").is_file():
            return None
        try:
            tensors = load(file.read_bytes())
            tensors[required]
        except (SafetensorError, OSError, KeyError) as error:
            raise FileError(file, f"is damaged ({error})", "remove it, to compute its contents again") from error
        return tensors

    def save(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Write a set of tensors."""
        if self.path is not None:
            contiguous = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
            write_bytes(self.path / f"{name}.safetensors", save(contiguous))


def fingerprint(model: nn.Module, panoramas: Tensor, settings: Mapping[str, Any]) -> str:
    """Return a digest of a network, its weights, the panoramas and the settings."""
    digest = hashlib.sha256(repr(model).encode())
    for tensor in (*model.state_dict().values(), panoramas):
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    digest.update(json.dumps(dict(settings), sort_keys=True).encode())
    return digest.hexdigest()


def _read_key(path: Path) -> object:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content.get("key") if isinstance(content, dict) else None
    except (OSError, ValueError) as error:
        raise FileError(path, "is damaged", "give another out=, or remove the folder") from error

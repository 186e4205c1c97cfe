"""Folder that keeps the results of an unfinished conversion, from which the same call continues."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from omniconv.errors import FileError
from omniconv.files import as_path, read_json, write_bytes
from omniconv.models.storage import tensor_file
from omniconv.models.storage.tensor_file import TensorSpec

KEY_FILE = "conversion.json"
CURE = "remove it, to compute its contents again"


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

    def load(self, name: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor] | None:
        """Return a saved set of tensors, or ``None``.

        Raises:
            FileError: it is damaged, has NaN or infinity, or not the tensors of these names and shapes.
        """
        if self.path is None or not (file := self.path / f"{name}.safetensors").exists():
            return None

        def check_header(_: dict[str, str], found: dict[str, TensorSpec]) -> None:
            if {key: spec.shape for key, spec in found.items()} != dict(shapes):
                raise FileError(file, "is damaged (its tensors are not those of the conversion)", CURE)

        tensors = tensor_file.read(file, check_header, CURE)
        if fault := tensor_file.non_finite(tensors):
            raise FileError(file, f"is damaged ({fault})", CURE)
        return tensors

    def save(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Write a set of tensors."""
        if self.path is not None:
            write_bytes(self.path / f"{name}.safetensors", tensor_file.to_bytes(tensors, {}))


def fingerprint(model: nn.Module, panoramas: Tensor, settings: Mapping[str, Any]) -> str:
    """Return a digest of a network, its weights, the panoramas and the settings."""
    digest = hashlib.sha256(repr(model).encode())
    for tensor in (*model.state_dict().values(), panoramas):
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    digest.update(json.dumps(dict(settings), sort_keys=True).encode())
    return digest.hexdigest()


def _read_key(path: Path) -> object:
    content = read_json(path, cure="give another out=, or remove the folder")
    return content.get("key") if isinstance(content, dict) else None

"""Where a conversion keeps what it has: whole files, from which it goes on after any interruption."""

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

SETTINGS = "conversion.json"


class Folder:
    """Named sets of tensors on the disk; without a path nothing is kept.

    Args:
        path: the folder, made where it is not there.
        key: what the conversion is of, from ``fingerprint``.

    Raises:
        FileError: it holds another conversion, or cannot be written.
    """

    def __init__(self, path: str | Path | None, key: str) -> None:
        self.path = None if path is None else as_path(path)
        if self.path is None:
            return
        settings = self.path / SETTINGS
        if settings.is_file():
            if _key(settings) != key:
                rule = "holds the conversion of another network, other panoramas or other settings"
                raise FileError(self.path, rule, "give the same again to go on, or another out=")
        elif self.path.is_dir() and any(self.path.iterdir()):
            raise FileError(self.path, "is not empty and holds no conversion", "give a new folder as out=")
        else:
            write_bytes(settings, json.dumps({"key": key}).encode())

    def load(self, name: str, needed: str) -> dict[str, Tensor] | None:
        """A set of tensors, one of them called ``needed``, or ``None`` where it is not there yet.

        Raises:
            FileError: the file is damaged, or another's.
        """
        if self.path is None or not (file := self.path / f"{name}.safetensors").is_file():
            return None
        try:
            found = load(file.read_bytes())
            found[needed]  # a file of another's has none
        except (SafetensorError, OSError, KeyError) as error:
            raise FileError(file, f"is damaged ({error})", "remove it: what it held is worked out again") from error
        return found

    def save(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep a set of tensors; the file is whole or not there."""
        if self.path is not None:
            whole = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
            write_bytes(self.path / f"{name}.safetensors", save(whole))


def fingerprint(model: nn.Module, panoramas: Tensor, settings: Mapping[str, Any]) -> str:
    """A text that differs where a network, its weights, the panoramas or the settings differ."""
    digest = hashlib.sha256(repr(model).encode())
    for tensor in (*model.state_dict().values(), panoramas):
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    digest.update(json.dumps(dict(settings), sort_keys=True).encode())
    return digest.hexdigest()


def _key(path: Path) -> object:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found.get("key") if isinstance(found, dict) else None
    except (OSError, ValueError) as error:
        raise FileError(path, "is damaged", "give another out=, or remove the folder") from error

"""Checkpoints of the training: written atomically with a checksum, and read without unpickling code."""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import nn

from omniconv.errors import FileError, one_line
from omniconv.files import atomic_write, check_archive, read_bytes
from omniconv.models.storage.tensor_file import non_finite
from omniconv.training.module import IMAGES_SEEN

PARTS = ("epoch", "global_step", "state_dict", "optimizer_states", "lr_schedulers", "callbacks", "loops")
CURE = "restore it from a copy, or delete it to start anew"
MAX_BYTES = 2**30
"""Largest size of a checkpoint besides the weights; a row of metrics takes about 200 bytes."""
COPIES = 8
"""Most copies of the networks in a checkpoint; AdamW needs three: the weights and two moments."""
_MARK = b"sha256:"
"""Start of the archive's comment, the checksum of all bytes before the comment and its length."""
_DIGEST = 64


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoint plugin for Lightning that writes by ``atomic_write`` and reads with ``weights_only``.

    A checkpoint is a zip archive of torch, which does not verify the checksums inside it. A checksum of the whole file
    is stored in the archive's comment, which ``torch.load`` ignores.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint atomically."""
        content = io.BytesIO()  # first into memory, since torch's file writer hides the OSError of a full disk
        torch.save(checkpoint, content)
        archive = content.getbuffer()[:-2]  # without the length of its comment, which is 0
        comment = _MARK + hashlib.sha256(archive).hexdigest().encode()
        with atomic_write(path) as file:
            file.write(archive)
            file.write(len(comment).to_bytes(2, "little") + comment)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Callable | None = lambda storage, location: storage,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read a checkpoint of tensors, numbers, strings and containers.

        Raises:
            FileError: the file is truncated or changed, or contains other objects.
        """
        content = read_bytes(path, os.path.getsize(path) if os.path.exists(path) else 0)
        comment = content[-len(_MARK) - _DIGEST :]
        if comment.startswith(_MARK):
            digest = hashlib.sha256(memoryview(content)[: -len(comment) - 2]).hexdigest().encode()
            if comment != _MARK + digest:
                raise FileError(path, "was damaged or changed after it was written (its checksum differs)", CURE)
        try:
            if not comment.startswith(_MARK):  # written by an earlier version
                check_archive(content)
            return torch.load(io.BytesIO(content), map_location=map_location, weights_only=True)
        except Exception as error:  # torch raises many classes, depending on where a file is truncated
            raise FileError(path, "is damaged", CURE) from error


def read_checkpoint(path: Path, networks: Mapping[str, nn.Module]) -> dict[str, Any]:
    """Read a checkpoint of a run, and check that it fits its networks.

    Args:
        path: the file.
        networks: ``TrainingModule.networks``; the network itself is called ``network``.

    Raises:
        FileError: it is damaged, or belongs to other networks.
    """
    weights = sum(value.nbytes for network in networks.values() for value in network.state_dict().values())
    if path.stat().st_size > MAX_BYTES + COPIES * weights:
        raise FileError(path, "is too large for the network that config.yaml describes", CURE)
    checkpoint = AtomicCheckpointIO().load_checkpoint(path)
    if not isinstance(checkpoint, dict) or any(part not in checkpoint for part in PARTS):
        raise FileError(path, "is not a checkpoint of a training", "delete it to train from the start")
    try:
        _check_callbacks(checkpoint)
        saved = {key.removeprefix("network."): value for key, value in checkpoint["state_dict"].items()}
        for prefix, network in networks.items():
            for key, value in network.state_dict().items():
                name = key if prefix == "network" else f"{prefix}.{key}"
                if name not in saved or (saved[name].shape, saved[name].dtype) != (value.shape, value.dtype):
                    rule = f"does not belong to the network that config.yaml describes ({name} differs)"
                    raise FileError(path, rule, "restore config.yaml, or start a new run")
        if fault := non_finite(saved):
            raise ValueError(fault)
        if "average" in networks and (type(checkpoint[IMAGES_SEEN]) is not int or checkpoint[IMAGES_SEEN] < 0):
            raise ValueError("its number of images is not a whole number")
        _check_moments(checkpoint, [networks[name] for name in ("network", "adversary") if name in networks])
    except FileError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise FileError(path, f"is damaged ({one_line(error)})", CURE) from error
    return checkpoint


def _check_moments(checkpoint: dict[str, Any], trained: list[nn.Module]) -> None:
    """Check that each optimizer's moments have the shapes of its network's parameters, and no NaN or infinity."""
    if len(checkpoint["lr_schedulers"]) != len(trained):
        raise ValueError(f"it has {len(checkpoint['lr_schedulers'])} schedules for {len(trained)} optimizers")
    for network, optimizer in zip(trained, checkpoint["optimizer_states"], strict=True):
        parameters = list(network.parameters())
        for index, state in optimizer["state"].items():
            for name, value in state.items():
                if value.ndim and value.shape != parameters[index].shape:
                    raise ValueError(f"{name} of parameter {index} has the shape {tuple(value.shape)}")
            if fault := non_finite(state):
                raise ValueError(f"of parameter {index}, {fault}")


def _check_callbacks(checkpoint: dict[str, Any]) -> None:
    """Check the types of those parts that Lightning does not check."""
    epoch, step, callbacks = checkpoint["epoch"], checkpoint["global_step"], checkpoint["callbacks"]
    rows, best = callbacks["MetricsFile"]["rows"], callbacks["BestNetwork"]
    if type(epoch) is not int or type(step) is not int or step < 0 or len(rows) != epoch + 1:
        raise ValueError("its epoch is not that of its metrics")
    for number, row in enumerate(rows):
        values = [row[name] for name in ("train_loss", "rate", "seconds")]
        if row["epoch"] != number or not all(type(value) in (int, float) for value in row.values()):
            raise ValueError(f"the metrics of epoch {number + 1} are not numbers")
        if not all(map(math.isfinite, values)):
            raise ValueError(f"the metrics of epoch {number + 1} are not finite")
    if type(best["best"]) is not float or type(best.get("epoch", -1)) is not int:
        raise ValueError("the best metric is not a number")

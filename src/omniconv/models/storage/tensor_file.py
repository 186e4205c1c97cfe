"""Named tensors in a safetensors file with a checksum over all of its contents."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from omniconv.errors import FileError, one_line, truncate
from omniconv.files import open_regular, parse_json

CHECKSUM = "checksum"
"""Key of the checksum in the metadata of a file; files written before there was one are read without it."""
ALGORITHM = "sha256"
"""Fastest hash of hashlib on processors with SHA instructions: 0.08 s for 120 MB, blake2b 0.16 s, md5 0.18 s."""
MAX_HEADER_BYTES = 2**23
"""Largest header that is read: a tensor takes about 150 bytes of it."""
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
"""Dtypes of tensors that are written and read, by their name in the header."""


class TensorSpec(NamedTuple):
    """Dtype and shape of a tensor; no shape for a parameter of a lazy layer."""

    dtype: torch.dtype
    shape: tuple[int, ...] | None

    def __str__(self) -> str:
        return f"{str(self.dtype).removeprefix('torch.')} {self.shape}"


def to_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return the content of a file of tensors, on any device and in any memory format, with its checksum.

    Example:
        >>> len(to_bytes({"weight": torch.zeros(2, 3)}, {"format": "1"})) > 24
        True
    """
    plain, storages = {}, set()
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        if value.untyped_storage().data_ptr() in storages:  # safetensors refuses tensors that share memory
            value = value.clone()
        storages.add(value.untyped_storage().data_ptr())
        plain[name] = value
    return to_safetensors(plain, {**metadata, CHECKSUM: checksum(plain, metadata)})


def read(
    path: Path, check_header: Callable[[dict[str, str], dict[str, TensorSpec]], Any], cure: str
) -> dict[str, Tensor]:
    """Read a file of tensors after its header has been checked, and compare its checksum.

    Args:
        path: the file.
        check_header: called with the metadata and the dtypes and shapes before a tensor is read; raises what it finds.
        cure: how to replace a damaged file.

    Raises:
        FileError: the file does not exist, is damaged, or was changed after it was written.
    """
    _check_json(path, cure)
    try:
        with safe_open(path, framework="pt") as file:
            metadata, names = file.metadata() or {}, list(file.keys())
            check_header(metadata, {name: _spec(path, name, file.get_slice(name), cure) for name in names})
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise FileError(path, f"is damaged or not a safetensors file ({one_line(error)})", cure) from error
    stated = metadata.get(CHECKSUM)
    if stated is not None and stated != checksum(tensors, metadata):
        raise FileError(path, "was damaged or changed after it was written (its checksum differs)", cure)
    return tensors


def checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Return a digest of names, dtypes, shapes and values of contiguous CPU tensors, and of the other metadata."""
    digest = hashlib.new(ALGORITHM)
    described = sorted((key, value) for key, value in metadata.items() if key != CHECKSUM)
    digest.update(json.dumps(described).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return f"{ALGORITHM}:{digest.hexdigest()}"


def non_finite(tensors: Mapping[str, Tensor]) -> str:
    """Return a description of the first tensor with NaN or infinity, empty if all values are finite.

    Example:
        >>> non_finite({"a": torch.zeros(2), "b": torch.tensor([0.0, float("nan")])})
        'b has 1 of 2 values NaN or infinite'
    """
    for name, tensor in tensors.items():
        # A sum is finite only if all values are; it needs no mask of the tensor's size. Sums may overflow: then count.
        if tensor.is_floating_point() and not tensor.sum().isfinite():
            count = int((~tensor.isfinite()).sum())
            if count:
                return f"{name} has {count:,} of {tensor.numel():,} values NaN or infinite"
    return ""


def _check_json(path: Path, cure: str) -> None:
    """Check that a file is a regular one with a header of bounded size, which names each tensor once."""
    if not path.exists():
        raise FileError(path, "does not exist", "give the model.safetensors of a run")
    with open_regular(path) as file:
        try:
            size = int.from_bytes(file.read(8), "little")
            if size > min(MAX_HEADER_BYTES, os.fstat(file.fileno()).st_size - 8):
                raise ValueError("its header has a wrong size")
            parse_json(file.read(size))
        except (OSError, ValueError) as error:
            raise FileError(path, f"is damaged or not a safetensors file ({one_line(error)})", cure) from error


def _spec(path: Path, name: str, tensor: Any, cure: str) -> TensorSpec:
    dtype = DTYPES.get(tensor.get_dtype())
    if dtype is None:
        raise FileError(path, f"has weights of an unknown dtype ({truncate(name)}: {tensor.get_dtype()})", cure)
    return TensorSpec(dtype, tuple(tensor.get_shape()))

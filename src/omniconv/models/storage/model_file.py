"""Saving and loading of networks: weights, construction arguments and preprocessing in one safetensors file."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

from torch import nn

from omniconv.errors import FileError, InputError, one_line, truncate
from omniconv.files import as_path, atomic_write, check_utf8, parse_json
from omniconv.models.base import Model
from omniconv.models.own_code import EXAMPLE, own_code
from omniconv.models.registry import MODELS, OWN_MODELS, model_name
from omniconv.models.storage import tensor_file
from omniconv.models.storage.rebuilding import (
    build_apart,
    check_rebuildable,
    check_tensors,
    expected_tensors,
    tensor_specs,
    unwrap,
)
from omniconv.models.storage.tensor_file import TensorSpec
from omniconv.surfaces import Surface, surface

FORMAT, WITHOUT_CHECKSUM = "2", "1"
"""Format of files, and that of files which were written before they had a checksum."""
MAX_SAMPLES = 2**21
"""Most samples of a surface in a file without checksum: the tables of icosphere:9, with 2.6 million, take a minute."""
COPY_AGAIN = "copy it again or train again"
DESCRIPTION_TYPES = {"model": str, "arguments": dict, "preprocessing": dict}


def save(model: Model, path: str | Path) -> None:
    """Save a network with its construction arguments and its ``preprocessing``, atomically, with a checksum.

    The network must be the one that its class builds from its arguments: layers that were added, removed or replaced,
    changed attributes, parametrizations and pruning masks would be lost, and are refused. The network inside
    ``torch.compile``, ``DataParallel`` and ``DistributedDataParallel`` is saved. Training mode, ``requires_grad`` and
    hooks are not saved.

    Raises:
        InputError: the model is not registered, was changed after its construction, has NaN or infinity in its weights
            or weights of several dtypes, or JSON cannot express its arguments or its ``preprocessing``.
        FileError: the folder cannot be written or the disk is full.

    Example:
        >>> from omniconv.models import UNet
        >>> save(UNet(3, 2, width=4, depth=1), "/tmp/example.safetensors")
        >>> load("/tmp/example.safetensors").arguments["width"]
        4
    """
    if not isinstance(model, nn.Module):
        raise InputError("model", type(model).__name__, "must be a network", "give the network itself, not its weights")
    network: Any = unwrap(model)
    name = model_name(network)
    arguments, preprocessing = (_through_json(part, getattr(network, part)) for part in ("arguments", "preprocessing"))
    check_rebuildable(network, arguments)
    state = network.state_dict()
    if fault := tensor_file.non_finite(state):
        raise InputError("model", name, f"cannot be saved: {fault}", "train it again, with a smaller learning rate")
    text = json.dumps({"model": name, "arguments": arguments, "preprocessing": preprocessing})
    content = tensor_file.to_bytes(state, {"omniconv": FORMAT, "description": text})
    with atomic_write(path) as file:
        file.write(content)


def load(path: str | Path, *, network: Any = None, trust: bool = False) -> Model:
    """Load a network from a file, onto the CPU and in evaluation mode; the caller's random numbers stay as they are.

    The network of a run takes normalized images: their size, mean and standard deviation are in
    ``network.preprocessing``. ``oc.open_run("runs/NAME").predict(image)`` applies it.

    A file cannot import or run code: its network is one of ``MODELS``, and its weights are numbers. Dtype, shape and
    number of its tensors are compared with the network before anything of its size is read or built. The code of a
    network of your own, which the file names only, runs if you give ``network`` or ``trust``.

    Args:
        path: the file.
        network: for a network of your own, its code again: ``package.module:callable``, or the module or function.
        trust: import the code of the network that the file names.

    Raises:
        FileError: the file is missing, damaged or changed, was not written by ``save``, or has NaN or infinity in its
            weights; or its network is one of your own, and neither ``network`` nor ``trust`` is given.
        InputError: ``network`` is given for a network of omniconv, or cannot be made.
    """
    path = as_path(path)
    check_utf8(path)
    if path.is_dir():
        raise FileError(path, "is a folder", f"give its model.safetensors, or use oc.open_run({str(path)!r}) for a run")
    description: dict[str, Any] = {}

    def check_header(metadata: dict[str, str], tensors: dict[str, TensorSpec]) -> None:
        description.update(_read_description(path, metadata))
        description["arguments"] |= _own_code(path, description, network, trust)
        try:
            if metadata["omniconv"] == WITHOUT_CHECKSUM:
                _check_samples(path, surface(description["arguments"].get("surface", "plane")))
            expected = expected_tensors(description["model"], description["arguments"])
        except FileError:
            raise
        except (InputError, MemoryError) as error:
            raise _cannot_be_built(path, description["model"], error) from error
        if expected and (fault := check_tensors(tensors, *expected)):
            rule = f"contains weights that do not fit the network that it names: {fault}"
            raise FileError(path, rule, COPY_AGAIN)

    state = tensor_file.read(path, check_header, COPY_AGAIN)
    if fault := tensor_file.non_finite(state):
        raise FileError(path, f"cannot be used: {fault}", "train again, with a smaller --learning-rate")
    try:
        model = build_apart(description["model"], description["arguments"])
    except (InputError, MemoryError, RuntimeError) as error:
        if isinstance(error, InputError) and error.argument == "network":  # the user's code, not the file
            raise
        raise _cannot_be_built(path, description["model"], error) from error
    if model.built_tensors is not None and (fault := check_tensors(tensor_specs(state), model.built_tensors)):
        rule = f"contains weights that do not fit {model.code}: {fault}"
        raise FileError(path, rule, "give the code that the weights were saved with")
    dtypes = {tensor.dtype for tensor in state.values() if tensor.is_floating_point()}
    if len(dtypes) == 1:
        model.to(dtypes.pop())
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise FileError(path, "contains weights that do not fit the network that it names", COPY_AGAIN) from error
    model.preprocessing = description["preprocessing"]
    return model.eval()


def _own_code(path: Path, description: dict[str, Any], network: Any, trust: bool) -> dict[str, Any]:
    """Return the argument with the code of a network of the user's own; empty for the networks of omniconv."""
    is_own = description["model"] in OWN_MODELS
    named = description["arguments"].get("network") if is_own else None
    code = own_code(path, named or (EXAMPLE if is_own else None), network, trust)
    return {"network": code} if code else {}


def _check_samples(path: Path, on_surface: Surface) -> None:
    samples = prod(size or 1 for size in on_surface.shape)
    if samples > MAX_SAMPLES:
        rule = f"names a surface of {samples:,} samples, and has no checksum that says that this was written"
        raise FileError(path, rule, "build its network by oc.models.build, load its weights into it, and save it again")


def _through_json(name: str, value: Any) -> dict[str, Any]:
    """Return a dictionary as it is read from a file."""
    try:
        read = parse_json(json.dumps(value, allow_nan=False))
        if not isinstance(read, dict) or not _has_string_keys(value):
            raise ValueError("it must be a dictionary whose keys are strings")
        return read
    except (TypeError, ValueError, RecursionError) as error:
        rule = f"cannot be expressed in JSON ({one_line(error)})"
        raise InputError(name, value, rule, "use finite numbers, strings, lists") from error


def _has_string_keys(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_has_string_keys, value))
    return not isinstance(value, dict) or all(isinstance(key, str) and _has_string_keys(value[key]) for key in value)


def _cannot_be_built(path: Path, name: str, error: Exception) -> FileError:
    cure = "register your own model first (oc.models.register_model), or copy the file again"
    rule = f"names a network that cannot be built ({one_line(error)})"
    return FileError(path, rule, cure if name not in MODELS else COPY_AGAIN)


def _read_description(path: str | Path, metadata: dict[str, str]) -> dict[str, Any]:
    version = metadata.get("omniconv")
    if version not in (FORMAT, WITHOUT_CHECKSUM):
        rule = f"was not written by this version of omniconv (format {truncate(str(version))}, not {FORMAT})"
        raise FileError(path, rule, "give the model.safetensors of a run")
    if version == FORMAT and tensor_file.CHECKSUM not in metadata:
        raise FileError(path, "was changed after it was written (its checksum is missing)", COPY_AGAIN)
    try:
        description = parse_json(metadata["description"])
        parts = {key: description[key] for key in DESCRIPTION_TYPES}
    except (KeyError, TypeError, ValueError):
        parts = {}
    if not parts or any(not isinstance(parts[key], type_) for key, type_ in DESCRIPTION_TYPES.items()):
        raise FileError(path, "does not name its network", COPY_AGAIN)
    return parts

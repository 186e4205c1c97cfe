"""Saving and loading of networks: weights, construction arguments and preprocessing in one safetensors file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omniconv.errors import FileError, InputError
from omniconv.files import as_path, atomic_write
from omniconv.models import tensor_file
from omniconv.models.base import Model
from omniconv.models.registry import MODELS, get_model, model_name
from omniconv.models.tensor_file import TensorSpec
from omniconv.surfaces import surface

FORMAT = "1"
COPY_AGAIN = "copy it again or train again"
DESCRIPTION_TYPES = {"model": str, "arguments": dict, "preprocessing": dict}


def build(name: str, arguments: dict[str, Any]) -> Model:
    """Build a network from its name in ``MODELS`` and its arguments, the surface as its short name.

    Raises:
        InputError: an unknown name or argument.

    Example:
        >>> build("unet", {"in_channels": 3, "out_channels": 2, "surface": "icosphere:4"}).total_stride
        8
    """
    model = get_model(name)
    arguments = arguments | {"surface": surface(arguments.get("surface", "plane"))}
    try:
        return model(**arguments)
    except TypeError as error:
        raise InputError("model", name, f"does not take these arguments ({error})", "check their names") from error


def save(model: Model, path: str | Path) -> None:
    """Save a network with its construction arguments and its ``preprocessing``, atomically.

    Raises:
        InputError: the model is not registered, or JSON cannot express its ``preprocessing``.
        FileError: the folder cannot be written or the disk is full.

    Example:
        >>> from omniconv.models import UNet
        >>> save(UNet(3, 2, width=4, depth=1), "/tmp/example.safetensors")
        >>> load("/tmp/example.safetensors").arguments["width"]
        4
    """
    name, preprocessing = model_name(model), model.preprocessing
    state = model.state_dict()
    if fault := tensor_file.non_finite(state):
        raise InputError("model", name, f"cannot be saved: {fault}", "train it again, with a smaller learning rate")
    try:
        text = json.dumps({"model": name, "arguments": model.arguments, "preprocessing": preprocessing})
    except (TypeError, ValueError) as error:
        rule = f"cannot be expressed in JSON ({error})"
        raise InputError("preprocessing", preprocessing, rule, "use numbers, strings, lists") from error
    content = tensor_file.to_bytes(state, {"omniconv": FORMAT, "description": text})
    with atomic_write(path) as file:
        file.write(content)


def load(path: str | Path) -> Model:
    """Load a network from a file, onto the CPU and in evaluation mode.

    The network of a run takes normalized images: their size, mean and standard deviation are in
    ``network.preprocessing``. ``oc.open_run("runs/NAME").predict(image)`` applies it.

    A file cannot import or run code: its network is one of ``MODELS``, and its weights are numbers.

    Raises:
        FileError: the file is missing, truncated, or was not written by ``save``.
    """
    path = as_path(path)
    if path.is_dir():
        raise FileError(path, "is a folder", f"give its model.safetensors, or use oc.open_run({str(path)!r}) for a run")
    description: dict[str, Any] = {}

    def check_header(metadata: dict[str, str], tensors: dict[str, TensorSpec]) -> None:
        description.update(_read_description(path, metadata))

    state = tensor_file.read(path, check_header, COPY_AGAIN)
    try:
        model = build(description["model"], description["arguments"])
    except (InputError, MemoryError, RuntimeError) as error:
        own = description["model"] not in MODELS
        cure = "register your own model first (oc.models.register_model), or copy the file again" if own else COPY_AGAIN
        raise FileError(path, f"names a network that cannot be built ({error})", cure) from error
    dtypes = {tensor.dtype for tensor in state.values() if tensor.is_floating_point()}
    if len(dtypes) == 1:
        model.to(dtypes.pop())
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise FileError(path, "contains weights that do not fit the network that it names", COPY_AGAIN) from error
    model.preprocessing = description["preprocessing"]
    return model.eval()


def _read_description(path: str | Path, metadata: dict[str, str]) -> dict[str, Any]:
    version = metadata.get("omniconv")
    if version != FORMAT:
        rule = f"was not written by this version of omniconv (format {version}, not {FORMAT})"
        raise FileError(path, rule, "give the model.safetensors of a run")
    try:
        description = json.loads(metadata["description"])
        parts = {key: description[key] for key in DESCRIPTION_TYPES}
    except (KeyError, TypeError, ValueError, RecursionError):
        parts = {}
    if not parts or any(not isinstance(parts[key], type_) for key, type_ in DESCRIPTION_TYPES.items()):
        raise FileError(path, "does not name its network", COPY_AGAIN)
    return parts

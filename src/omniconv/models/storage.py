"""Networks in files: weights, construction and preprocessing in one safetensors file, never a pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from omniconv.errors import FileError, InputError
from omniconv.files import as_path, atomic_write
from omniconv.models.base import Model
from omniconv.models.classifier import Classifier
from omniconv.models.unet import UNet
from omniconv.surfaces import surface

MODELS: dict[str, type[Model]] = {"classifier": Classifier, "unet": UNet}
"""The closed list of networks that a file may name."""

FORMAT = "1"
_DESCRIBED = {"model": str, "arguments": dict, "preprocessing": dict}


def build(name: str, arguments: dict[str, Any]) -> Model:
    """A network from its name in ``MODELS`` and plain arguments, its surface a short name.

    Raises:
        InputError: an unknown name or argument.
    """
    if name not in MODELS:
        raise InputError("model", name, f"must be one of {', '.join(MODELS)}", "correct the name")
    plain = dict(arguments)
    where = surface(plain.pop("surface", "plane"))
    try:
        return MODELS[name](**plain, surface=where)
    except TypeError as error:
        raise InputError("model", name, f"does not take these arguments ({error})", "check their names") from error


def save(model: Model, path: str | Path) -> None:
    """Write a network with the arguments it was built with and its ``preprocessing``; the file is whole or not there.

    Raises:
        InputError: a network that is not one of omniconv's, or ``preprocessing`` that is not plain data.
        FileError: the folder cannot be written or the disk is full.

    Example:
        >>> save(UNet(3, 2, width=4, depth=1), "/tmp/example.safetensors")
        >>> load("/tmp/example.safetensors").arguments["width"]
        4
    """
    names = [name for name, kind in MODELS.items() if type(model) is kind]
    if not names:
        raise InputError(
            "model", type(model).__name__, f"must be one of {', '.join(MODELS)}", "save its state_dict yourself"
        )
    description = {"model": names[0], "arguments": model.arguments, "preprocessing": model.preprocessing}
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    try:
        text = json.dumps(description)
    except (TypeError, ValueError) as error:
        raise InputError(
            "preprocessing", model.preprocessing, f"must be plain data ({error})", "use numbers, texts, lists"
        ) from error
    content = to_bytes(tensors, metadata={"omniconv": FORMAT, "description": text})
    with atomic_write(path) as file:
        file.write(content)


def load(path: str | Path) -> Model:
    """The network in a file, on the CPU, in evaluation mode.

    Nothing that the file names is imported or run: its network comes from a closed list, its weights are plain numbers.

    Raises:
        FileError: no such file, a file cut short, or one that omniconv did not write.
    """
    path = as_path(path)
    try:
        with safe_open(path, framework="pt") as file:
            description = _description(path, file.metadata())
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no mapping, has only keys()
    except FileNotFoundError:
        raise FileError(path, "is not there", "give the model.safetensors of a run") from None
    except (SafetensorError, OSError) as error:
        raise FileError(path, f"is damaged or no safetensors file ({error})", "copy it again or train again") from error
    try:
        model = build(description["model"], description["arguments"])
    except (InputError, MemoryError, RuntimeError) as error:
        raise FileError(
            path, f"names a network that cannot be built ({error})", "copy it again or train again"
        ) from error
    precisions = {tensor.dtype for tensor in state.values() if tensor.is_floating_point()}
    if len(precisions) == 1:
        model.to(precisions.pop())
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise FileError(
            path, "holds weights that do not fit the network it names", "copy it again or train again"
        ) from error
    model.preprocessing = description["preprocessing"]
    return model.eval()


def _description(path: str | Path, metadata: dict[str, str] | None) -> dict[str, Any]:
    version = (metadata or {}).get("omniconv")
    if version != FORMAT:
        raise FileError(
            path,
            f"was not written by this omniconv (format {version}, not {FORMAT})",
            "give the model.safetensors of a run",
        )
    try:
        description = json.loads((metadata or {})["description"])
        result = {key: description[key] for key in _DESCRIBED}
    except (KeyError, TypeError, ValueError, RecursionError):
        result = {}
    if not result or any(not isinstance(result[key], kind) for key, kind in _DESCRIBED.items()):
        raise FileError(path, "does not say which network it holds", "copy it again or train again")
    return result

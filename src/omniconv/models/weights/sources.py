"""State dicts from files, torchvision and timm."""

from __future__ import annotations

import logging
import pickle
import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from omniconv.checks import check_extra
from omniconv.errors import FileError, InputError, one_line
from omniconv.files import as_path, parse_json
from omniconv.models.base import read_normalization
from omniconv.models.storage import tensor_file
from omniconv.run_folder import RunFolder

TORCH_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt")
NESTED_KEYS = (
    "state_dict", "model", "model_state_dict", "model_state", "network", "weights", "teacher", "student",
)  # fmt: skip
"""Keys of checkpoints of training scripts that have the weights, in the order in which they are tried."""
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
"""Normalization of RGB values in 0 … 1 in the training recipes of torchvision."""
PUBLISHERS = ("torchvision", "timm")
"""Names of weights that are downloaded; all others are files."""
TORCHVISION_URL = "https://download.pytorch.org/models/"
TORCHVISION_FILES = {
    "resnet18": "resnet18-f37072fd.pth", "resnet34": "resnet34-b627a593.pth", "resnet50": "resnet50-0676ba61.pth",
    "resnet101": "resnet101-63fe2227.pth",
}  # fmt: skip
"""Files of ``IMAGENET1K_V1``; the end of a name is the start of the file's SHA-256, which torch.hub compares."""


class Weights(NamedTuple):
    """State dict, and the mean and standard deviation of the images that it was trained with, if they are known."""

    state: dict[str, Tensor]
    normalization: dict[str, list[float]] | None
    origin: str


def read_weights(network: nn.Module, source: Any) -> Weights:
    """Return the state dict of a file, of ``"torchvision"`` or ``"timm"``, or one that is given.

    Raises:
        InputError: the source is none of these, or its weights cannot be downloaded.
        FileError: the file cannot be read or holds more than tensors.
    """
    if isinstance(source, str) and source in PUBLISHERS:
        return _DOWNLOADS[source](_published_name(network, source))
    if isinstance(source, nn.Module):
        rule, cure = "must be a file or a state dict", "use network.state_dict()"
        raise InputError("weights", type(source).__name__, rule, cure)
    if isinstance(source, Mapping):
        return Weights(_unnested(source, "weights"), None, "a state dict")
    path = as_path(source)
    if RunFolder(path).model.is_file():
        path = RunFolder(path).model
    metadata: dict[str, str] = {}
    state = _read_file(path, metadata)
    # Every run has a model.safetensors: its folder tells which one it is.
    origin = str(Path(*path.parts[-2:])) if path.name == RunFolder(path.parent).model.name else path.name
    return Weights(state, _read_normalization(metadata), origin)


def _read_normalization(metadata: Mapping[str, str]) -> dict[str, list[float]] | None:
    """Return the normalization in the description of a file of ``oc.save``, if it has one."""
    try:
        preprocessing = parse_json(metadata["description"])["preprocessing"]
        return read_normalization(preprocessing)
    except (KeyError, TypeError, ValueError):
        return None


def _read_file(path: Path, metadata: dict[str, str]) -> dict[str, Tensor]:
    """Return the tensors of a file, and add the metadata of a safetensors file to ``metadata``."""
    cure = "give a .safetensors file or a state dict saved by torch.save"
    if not path.is_file():
        names = f"{', '.join(map(repr, PUBLISHERS))} or an existing file"
        raise FileError(path, "is a folder" if path.is_dir() else "does not exist", f"give {names}")
    if path.suffix == ".safetensors":
        return tensor_file.read(path, lambda found, tensors: metadata.update(found), cure)
    if path.suffix not in TORCH_SUFFIXES:
        suffixes = ", ".join((".safetensors", *TORCH_SUFFIXES))
        raise FileError(path, f"must end with {suffixes}", cure)
    try:
        with warnings.catch_warnings():
            # torch warns that a TorchScript file is opened by torch.jit, and refuses it in the next line
            warnings.simplefilter("ignore", UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a damaged file the unpickler raises what its bytes lead to, such as IndexError
        if not (isinstance(error, pickle.UnpicklingError | RuntimeError) and "weights" in str(error).lower()):
            raise FileError(path, f"is damaged or not a file of torch.save ({one_line(error)})", cure) from error
        rule = "holds a pickled or scripted network, not weights alone, and reading it could run code"
        cure = "where you trust it, write its weights: torch.save(network.state_dict(), 'weights.pth')"
        raise FileError(path, rule, cure) from error
    if not isinstance(content, Mapping):
        raise FileError(path, f"holds a {type(content).__name__}, not a state dict", cure)
    try:
        return _unnested(content, str(path))
    except InputError as error:
        raise FileError.from_input_error(path, error) from error


def _unnested(content: Mapping[str, Any], name: str) -> dict[str, Tensor]:
    """Return the state dict in a checkpoint: the content itself, or what is below one of ``NESTED_KEYS``."""
    tensors = {key: value for key, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        for key in NESTED_KEYS:
            if isinstance(content.get(key), Mapping):
                return _unnested(content[key], name)
        rule = f"has no tensors, neither itself nor below {', '.join(NESTED_KEYS)}"
        raise InputError("weights", sorted(map(str, content)), rule, "give the state dict itself")
    return {str(key): value.detach() for key, value in tensors.items()}


def _published_name(network: nn.Module, source: str) -> str:
    name = getattr(network, "published_name", None)
    if name is None or (source == "torchvision" and name not in TORCHVISION_FILES):
        rule = f"has no weights for a {type(network).__name__} with these arguments"
        cure = "use a ResNet or its encoder with width=64, or give a file"
        raise InputError("weights", source, rule, cure)
    return name


def _from_torchvision(name: str) -> Weights:
    url = TORCHVISION_URL + TORCHVISION_FILES[name]
    try:
        state = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:  # no network, a full disk, or another hash
        cure = f"download {url} on a machine with a network, and give the file"
        raise _not_downloaded("torchvision", name, error, cure) from error
    return Weights(state, IMAGENET, f"torchvision {name} (ImageNet, IMAGENET1K_V1)")


def import_timm(purpose: str) -> Any:
    """Import timm, which takes 2 s.

    Raises:
        InputError: it is not installed, or does not fit the installed versions of torch and torchvision.
    """
    check_extra("timm", purpose, ["timm"])
    try:
        return import_module("timm")
    except Exception as error:  # a torchvision built for another torch fails at its import by a RuntimeError
        rule = f"cannot be imported, which {purpose} needs ({one_line(error)})"
        raise InputError("packages", "timm", rule, "install torchvision and timm for this version of torch") from error


def _from_timm(name: str) -> Weights:
    timm = import_timm("weights='timm'")
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(logging.ERROR)  # it warns of each of twelve attempts, for a minute
    try:
        network = timm.create_model(name, pretrained=True)
    except Exception as error:  # huggingface_hub raises the errors of several HTTP libraries
        cure = f"run timm.create_model({name!r}, pretrained=True) on a machine with a network, and give its state dict"
        raise _not_downloaded("timm", name, error, cure) from error
    finally:
        hub.setLevel(level)
    recipe: Any = network.pretrained_cfg
    normalization = {key: [float(value) for value in recipe[key]] for key in ("mean", "std")}
    return Weights(network.state_dict(), normalization, f"timm {recipe.get('hf_hub_id') or name}")


def _not_downloaded(source: str, name: str, error: Exception, cure: str) -> InputError:
    return InputError("weights", source, f"could not be downloaded for {name} ({one_line(error)})", cure)


_DOWNLOADS = dict(zip(PUBLISHERS, (_from_torchvision, _from_timm), strict=True))

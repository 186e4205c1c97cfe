"""Networks rebuilt from their construction arguments, to compare them with other networks and with files.

``save`` compares a network with its rebuilt form on the meta device, which has no weights: changes that the arguments
do not tell would be lost. ``load`` compares the header of a file with the network that it describes, also on the meta
device, before the tables of its surface are computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from omniconv.errors import InputError, one_line, truncate
from omniconv.models.base import Model
from omniconv.models.registry import OWN_MODELS, get_model, model_name
from omniconv.models.storage.tensor_file import DTYPES, TensorSpec
from omniconv.surfaces import Surface, surface

NOT_COMPARED = frozenset({"training", "inplace"})
"""Attributes of modules that may differ: ``load`` sets evaluation mode, and ``inplace`` changes no value."""
OWN_CLASS = "derive a class whose arguments describe the change and register it (oc.models.register_model)"
SETTINGS = (bool, int, float, complex, str, bytes, torch.dtype, Surface, FunctionType, BuiltinFunctionType)
"""Types of attributes that are compared."""
CURES = {
    "parametrizations": "fold it by torch.nn.utils.parametrize.remove_parametrizations",
    "_mask": "make the pruning permanent by torch.nn.utils.prune.remove",
    "_g": "fold it by torch.nn.utils.remove_weight_norm",
    "_v": "fold it by torch.nn.utils.remove_weight_norm or remove_spectral_norm",
    "_u": "fold it by torch.nn.utils.remove_spectral_norm",
    "_orig": "fold it by torch.nn.utils.prune.remove or remove_spectral_norm",
}
"""Cures for what torch's utilities add to layers, by a part or the end of the names of their tensors."""


def build(name: str, arguments: dict[str, Any]) -> Model:
    """Build a network from its name in ``MODELS`` and its arguments, the surface as its short name.

    Raises:
        InputError: an unknown name or argument.

    Example:
        >>> build("unet", {"in_channels": 3, "out_channels": 2, "surface": "icosphere:4"}).total_stride
        8
    """
    return _build(name, arguments, surface(arguments.get("surface", "plane")))


def build_apart(name: str, arguments: dict[str, Any]) -> Model:
    """Build a network on the CPU, without a change to the random numbers of the caller.

    Raises:
        InputError: an unknown name or argument.
    """
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        return build(name, arguments)


def expected_tensors(name: str, arguments: dict[str, Any]) -> tuple[dict[str, TensorSpec], bool] | None:
    """Return the tensors of a described network, computed without its surface's tables, and if their shapes are exact.

    ``None`` for a network of a registered class that cannot be built on the meta device, and for one of the user's own,
    whose code may need the values of its tensors.

    Raises:
        InputError: an unknown name or argument.
    """
    if name in OWN_MODELS:
        return None
    whole = surface(arguments.get("surface", "plane"))
    network = _build_on_meta(name, arguments, whole.outline())
    if network is None:
        return None
    return tensor_specs(network.state_dict()), not whole.weights_have_rows


def check_tensors(found: Mapping[str, TensorSpec], expected: Mapping[str, TensorSpec], exact: bool = True) -> str:
    """Return how the tensors of a file differ from those of a network, empty if they fit.

    Floating-point tensors may all have another dtype than the network has by default, the same for all.
    """
    if missing := next((key for key in expected if key not in found), ""):
        return f"{missing} is missing"
    if more := next((key for key in found if key not in expected), ""):
        return f"{truncate(more)} is not part of it"
    floating = {key for key in found if expected[key].dtype.is_floating_point}
    dtypes = {found[key].dtype for key in floating}
    is_uniform = len(dtypes) <= 1 and all(dtype.is_floating_point for dtype in dtypes)
    for key, (dtype, shape) in expected.items():
        own = found[key]
        same_dtype = own.dtype == dtype or (is_uniform and key in floating)
        if not same_dtype or not _fits(own.shape, shape, exact):
            return f"{key} is {own}, not {TensorSpec(dtype, shape)}"
    return ""


def unwrap(model: nn.Module) -> nn.Module:
    """Return the network inside ``torch.compile``, ``DataParallel`` and ``DistributedDataParallel``."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(compiled := model._modules.get("_orig_mod"), nn.Module):
            model = compiled
        else:
            return model


def check_rebuildable(model: Model, arguments: dict[str, Any]) -> None:
    """Check that a network is the one that its class builds from its arguments, as they are read from a file.

    Raises:
        InputError: it is sharded or has no weights, or was changed after its construction.
    """
    name = model_name(model)
    if any(is_lazy(parameter) for parameter in model.parameters()):
        raise InputError("model", name, "has layers without weights", "run it on an input first")
    state = model.state_dict()
    for key, value in state.items():
        _check_plain(name, key, value)
    specs = tensor_specs(state)
    if model.built_tensors is not None:
        if fault := check_tensors(specs, model.built_tensors):
            rule = f"cannot be saved: {fault}, as its code built it"
            raise InputError("model", name, rule, "change the code of the network, not the network")
        return
    try:
        rebuilt = _build_on_meta(name, arguments, surface(arguments["surface"])) or build_apart(name, arguments)
    except (InputError, KeyError) as error:
        rule = f"cannot be saved: its arguments do not rebuild it ({one_line(error)})"
        raise InputError("model", name, rule, "leave model.arguments as the constructor recorded them") from error
    if difference := _difference(model, rebuilt):
        rule, cure = difference
        raise InputError("model", name, f"cannot be saved: {rule}", cure)
    if fault := check_tensors(specs, tensor_specs(rebuilt.state_dict())):
        rule = f"cannot be saved: {fault}, as its arguments say"
        raise InputError("model", name, rule, "convert it to one dtype (model.float()), or " + OWN_CLASS)


def _build(name: str, arguments: Mapping[str, Any], on_surface: Surface) -> Model:
    model = get_model(name)
    try:
        return model(**{**arguments, "surface": on_surface})
    except TypeError as error:
        raise InputError("model", name, f"does not take these arguments ({error})", "check their names") from error


def _build_on_meta(name: str, arguments: Mapping[str, Any], on_surface: Surface) -> Model | None:
    try:
        with torch.device("meta"):
            return _build(name, arguments, on_surface)
    except InputError:
        raise
    except Exception:  # a constructor of another program may need the values of its tensors
        return None


def _check_plain(name: str, key: str, value: Any) -> None:
    if not isinstance(value, Tensor):
        rule = f"cannot be saved: {key} of its state is a {type(value).__name__}, not a tensor"
        raise InputError("model", name, rule, "keep it as an argument of the constructor")
    if value.is_meta:
        raise InputError("model", name, f"cannot be saved: {key} is on the meta device", "load its weights first")
    if type(value) not in (Tensor, nn.Parameter, nn.Buffer) or value.layout != torch.strided:
        rule = f"cannot be saved: {key} is a {type(value).__name__} of layout {value.layout}"
        cure = "gather or convert the weights into the plain network first (model.load_state_dict)"
        raise InputError("model", name, rule, cure)
    if value.dtype not in DTYPES.values():
        rule = f"cannot be saved: {key} has the dtype {value.dtype}"
        raise InputError("model", name, rule, "convert it, for example by model.float()")


def _difference(model: Model, rebuilt: Model) -> tuple[str, str] | None:
    """Return what a network has that its rebuilt form lacks, or the reverse, and a cure; ``None`` if they are equal."""
    if model.arguments != rebuilt.arguments:
        cure = "leave model.arguments as the constructor recorded them"
        return f"its arguments {model.arguments} are {rebuilt.arguments} after rebuilding it", cure
    keys, other_keys = model.state_dict().keys(), rebuilt.state_dict().keys()
    if added := next((key for key in keys if key not in other_keys), ""):
        undo = next((cure for part, cure in CURES.items() if part in added.split(".") or added.endswith(part)), "")
        return f"{added} was added after its construction", undo or OWN_CLASS
    modules, others = (dict(network.named_modules(remove_duplicate=False)) for network in (model, rebuilt))
    if added := next((key for key in modules if key not in others), ""):
        return f"the layer {added} was added after its construction", OWN_CLASS
    for key, other in others.items():
        if key not in modules:
            return f"the layer {key} was removed", OWN_CLASS
        if type(modules[key]) is not type(other):
            given, wanted = type(modules[key]).__name__, type(other).__name__
            return f"{key or 'it'} is a {given}, where its arguments give a {wanted}", OWN_CLASS
        if attribute := _changed_attribute(modules[key], other):
            return f"{f'{key}.' if key else ''}{attribute} after its construction", OWN_CLASS
    if missing := next((key for key in other_keys if key not in keys), ""):
        return f"{missing} was removed", OWN_CLASS
    if _ties(model) != _ties(rebuilt):
        return "layers share their parameters since its construction, or no longer share them", OWN_CLASS
    return None


def _changed_attribute(module: nn.Module, other: nn.Module) -> str:
    own, known = vars(module), vars(other)
    for name, value in known.items():
        if name.startswith("_") or name in NOT_COMPARED or not _is_setting(value):
            continue
        if name not in own:
            return f"{name} was removed"
        if not _is_setting(own[name]) or _setting(own[name]) != _setting(value):
            return f"{name} was changed from {value!r} to {own[name]!r}"
    replaced = (name for name in own if name not in known and not name.startswith("_") and hasattr(type(module), name))
    return next((f"{name} was replaced" for name in replaced), "")


def _is_setting(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_setting, value))
    return value is None or isinstance(value, SETTINGS)


def _setting(value: Any) -> Any:
    """Return a comparable form of an attribute: functions by name, since lambdas are new in each network."""
    if isinstance(value, list | tuple):
        return [_setting(part) for part in value]
    return (value.__module__, value.__qualname__) if isinstance(value, FunctionType | BuiltinFunctionType) else value


def _ties(model: nn.Module) -> set[frozenset[str]]:
    """Return the sets of names of parameters and buffers that are one tensor."""
    names: dict[int, list[str]] = {}
    tensors = (*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False))
    kept = model.state_dict().keys()
    for name, tensor in tensors:
        if name in kept:  # buffers that are not saved are derived, and may be shared by equal layers
            names.setdefault(id(tensor), []).append(name)
    return {frozenset(same) for same in names.values() if len(same) > 1}


def tensor_specs(tensors: Mapping[str, Tensor]) -> dict[str, TensorSpec]:
    """Return dtype and shape of each tensor of a state dict."""
    return {key: _spec(value) for key, value in tensors.items()}


def _spec(tensor: Tensor) -> TensorSpec:
    return TensorSpec(tensor.dtype, None if is_lazy(tensor) else tuple(tensor.shape))


def _fits(shape: tuple[int, ...] | None, expected: tuple[int, ...] | None, exact: bool) -> bool:
    if shape is None or expected is None or shape == expected:
        return True
    if exact or len(shape) != len(expected) or not shape:
        return False
    return shape[:-1] == expected[:-1] and shape[-1] >= expected[-1]

"""Use of a network without side effects: copies, the caller's random state, and the tensors of its output."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from omniconv.errors import InputError, one_line


def copy_network(network: nn.Module, argument: str = "model", cure: str = "") -> nn.Module:
    """Return a deep copy of a network.

    Args:
        network: the network.
        argument: name of the argument for errors.
        cure: another way out than to change the network, for errors.

    Raises:
        InputError: it cannot be copied, for example because a computed tensor is an attribute, as the old
            ``torch.nn.utils.weight_norm`` leaves it.
    """
    try:
        return deepcopy(network)
    except Exception as error:  # attributes of the user's modules may raise anything
        name = _computed_tensor(network)
        if name is None:
            rule, own = f"cannot be copied ({one_line(error)})", "remove the attribute that cannot be copied"
        else:
            rule = f"cannot be copied: {name} is a computed tensor, as torch.nn.utils.weight_norm and prune leave it"
            own = "use torch.nn.utils.parametrizations, or remove_weight_norm or prune.remove first"
        cure = f"{own}, or {cure}" if cure else own
        raise InputError(argument, type(network).__name__, rule, cure) from error


def _computed_tensor(network: nn.Module) -> str | None:
    """Return the name of an attribute that is a tensor with a history, which torch does not copy."""
    for prefix, module in network.named_modules():
        for name, value in [*vars(module).items(), *module._buffers.items()]:
            if isinstance(value, Tensor) and not value.is_leaf:
                return f"{prefix}.{name}" if prefix else name
    return None


class FunctionObserver(TorchFunctionMode):
    """Mode that observes the functions that a network calls, also where a converted network replaces them."""

    def observe(
        self, function: Callable[..., Any], args: Sequence[Any], options: dict[str, Any], run: Callable[..., Any]
    ) -> Any:
        """Return ``run(*args, **options)``, which replaces a call of ``function``."""
        raise NotImplementedError

    def add_multiply_adds(self, count: int) -> None:
        """Count operations of ``run`` that ``function`` does not have."""


@contextmanager
def preserved_random_state() -> Iterator[None]:
    """Restore the random states of Python, NumPy and torch (CPU and CUDA) at the end of the block.

    Networks may draw random numbers when they run, and torch's exporters do; functions that only look at a network must
    not change what the caller draws next.
    """
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002


def named_outputs(output: Any, name: str = "output") -> dict[str, Tensor]:
    """Return the tensors in nested mappings, sequences and dataclasses by the keys that lead to them.

    Keys are joined by dots; positions in sequences are keys after the name of their container, or ``name`` at the top:
    ``output_0``, ``features_1``. Entries that are ``None`` are left out.

    Raises:
        InputError: it contains anything else, two tensors of one name, or no tensor.

    Example:
        >>> sorted(named_outputs({"out": torch.zeros(1), "aux": (torch.zeros(1), None, torch.zeros(1))}))
        ['aux_0', 'aux_2', 'out']
        >>> list(named_outputs(torch.zeros(1), "logits"))
        ['logits']
    """
    outputs: dict[str, Tensor] = {}
    for key, tensor in _walk(output, "", name):
        if key in outputs:
            raise InputError("model", key, "is the name of two of the network's outputs", "rename one of them")
        outputs[key] = tensor
    if not outputs:
        raise InputError("model", type(output).__name__, "is returned by the network and contains no tensor",
                         "return tensors, alone or in dictionaries and tuples")  # fmt: skip
    return outputs


def parts_of(value: Any) -> Mapping[Any, Any]:
    """Return the entries of a mapping, sequence, named tuple or dataclass by key, index or name; empty for the rest.

    Example:
        >>> parts_of(["a", "b"]), parts_of("a")
        ({0: 'a', 1: 'b'}, {})
    """
    if isinstance(value, Mapping):
        return value
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    if isinstance(value, list | tuple):
        return dict(enumerate(value))
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return {}


def iterate_tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested mappings, sequences and dataclasses."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from iterate_tensors(part)
    elif isinstance(value, Mapping) or is_dataclass(value):
        for part in parts_of(value).values():
            yield from iterate_tensors(part)


def _walk(value: Any, prefix: str, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield prefix or name, value
    elif isinstance(value, list) or type(value) is tuple:
        for index, part in enumerate(value):
            yield from _walk(part, f"{prefix or name}_{index}", name)
    elif isinstance(value, Mapping | tuple) or is_dataclass(value):
        for key, part in parts_of(value).items():
            yield from _walk(part, f"{prefix}.{key}" if prefix else str(key), name)
    elif value is not None:
        rule = f"is in the network's output and has the type {type(value).__name__}"
        raise InputError("model", prefix or name, rule, "return tensors, alone or in dictionaries and tuples")

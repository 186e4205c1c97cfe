"""Any network as a function of one panorama: numbers in, numbers out, whatever lies between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from omniconv.errors import InputError, truncate
from omniconv.inference.predictor import Predictor
from omniconv.models import Model
from omniconv.surfaces import Surface, panorama

Answer = Callable[[np.ndarray], np.ndarray]
"""From a panorama ``(C, H, W)`` to a map ``(K, H', W')``, or to ``(K, 1, 1)`` where one answer is for the whole."""
Output = str | int | None


@contextmanager
def answering(model: Any, output: Output = None) -> Iterator[Answer]:
    """A network as a function of one panorama, in evaluation mode and without gradients for so long.

    Args:
        model: a module, or any function, that takes ``(1, C, H, W)`` and gives a map ``(1, K, H', W')`` or
            ``(1, H', W')``, or a vector ``(1, K)``; a network of ``oc.models`` on any surface; a ``Predictor``.
        output: which of several outputs: a key or a place; by default the first tensor.

    Raises:
        InputError: what is no network, or none for pictures. What it gives raises one too that cannot be used: an
            error of its own, another shape, numbers that are none.
    """
    if isinstance(model, Predictor):
        with _resting(model.model):
            yield lambda image: _checked(_on_panorama(model.preprocessing.surface, model.logits(image), image), model)
        return
    if not callable(model):
        rule = "must be a module, or a function of panoramas (batch, channels, height, width)"
        raise InputError("model", type(model).__name__, rule, "give a torch.nn.Module")
    where = _surface(model)
    with _resting(model):
        yield lambda image: _checked(_run(model, image, where, output), model)


def check_panoramas(panoramas: Any) -> np.ndarray:
    """Panoramas as float32 ``(batch, channels, height, width)``.

    Raises:
        InputError: another shape or kind, none at all, or numbers that are none.
    """
    array = panoramas.detach().cpu().numpy() if isinstance(panoramas, Tensor) else np.asarray(panoramas)
    array = array[None] if array.ndim == 3 else array
    if array.ndim != 4 or array.size == 0 or array.dtype.kind != "f":
        rule = "must be floating-point pictures (batch, channels, height, width), at least one"
        raise InputError("panoramas", f"{array.dtype} {array.shape}", rule, "put channels first and divide by 255")
    if min(array.shape[2:]) < 2:
        raise InputError("panoramas", array.shape, "must be at least 2 pixels high and wide", "give larger ones")
    if not np.isfinite(array).all():
        raise InputError("panoramas", array.shape, "hold NaN or infinity", "replace what is missing")
    return np.ascontiguousarray(array, dtype=np.float32)


def name_of(model: Any) -> str:
    """What errors and reports call a network."""
    inner = model.model if isinstance(model, Predictor) else model
    return getattr(inner, "__name__", type(inner).__name__)


def _surface(model: Any) -> Surface | None:
    """The surface that panoramas are brought to, where the network does not take them as they are."""
    if not isinstance(model, Model):
        return None
    where = model.surface
    if where.any_size and where.ndim != 2:
        raise InputError("model", str(where), f"takes signals of {where.ndim} axes, not panoramas",
                         "give a network on plane, equirectangular or another surface of pictures")  # fmt: skip
    return where


@contextmanager
def _resting(model: Any) -> Iterator[None]:
    """In evaluation mode; every part is left as it was found."""
    parts = list(model.modules()) if isinstance(model, nn.Module) else []
    training = [part for part in parts if part.training]
    try:
        for part in training:
            part.training = False
        yield
    finally:
        for part in training:
            part.training = True


def _run(model: Any, image: np.ndarray, where: Surface | None, output: Output) -> Tensor:
    signal = image if where is None or where.any_size else where.from_equirectangular(image)
    x = _like_weights(torch.from_numpy(np.ascontiguousarray(signal))[None], model)
    try:
        with torch.inference_mode():
            result = model(x)
    except (Exception, SystemExit) as error:  # other people's networks raise what they like
        if isinstance(error, MemoryError) or "out of memory" in str(error):
            raise
        reason = truncate(" ".join(f"{type(error).__name__}: {error}".split()))
        cure = "give panoramas of a size and with channels that it takes; on the command line by --size HxW"
        raise InputError(
            "model", name_of(model), f"cannot take a panorama of {_by(image.shape)} ({reason})", cure
        ) from error
    found = _chosen(result, output)
    if found.shape[:1] != (1,) or found.ndim < 2 or found.numel() == 0 or not found.is_floating_point():
        raise _strange(found, model)
    found = found[0].detach().float().cpu()
    found = found if where is None else _on_panorama(where, found, image)
    if found.ndim > 3:
        raise _strange(found[None], model)
    return found


def _strange(found: Tensor, model: Any) -> InputError:
    rule = f"gives {str(found.dtype).removeprefix('torch.')} of shape {tuple(found.shape)} for one panorama"
    return InputError("model", name_of(model), rule, "let it give floating-point scores (1, K, H, W) or (1, K)")


def _like_weights(x: Tensor, model: Any) -> Tensor:
    """On the device and in the precision of the network's own numbers."""
    if not isinstance(model, nn.Module):
        return x
    own = next((part for part in chain(model.parameters(), model.buffers()) if part.is_floating_point()), x)
    return x.to(own.device, own.dtype)


def _chosen(result: Any, output: Output) -> Tensor:
    """The tensor that counts among several."""
    if isinstance(result, Tensor) and output is None:
        return result
    named: Any = result if isinstance(result, Mapping) else dict(enumerate(result)) if _is_row(result) else {}
    if output is not None:
        if output not in named:
            there = ", ".join(map(str, named)) or "one tensor alone"
            raise InputError("output", output, f"is none of the network's outputs ({there})", "choose one of them")
        return _chosen(named[output], None)
    for part in named.values():
        if isinstance(part, Tensor | Mapping) or _is_row(part):
            return _chosen(part, None)
    raise InputError("model", type(result).__name__, "is what the network gives, and it holds no tensor",
                     "wrap it in a module that gives a tensor")  # fmt: skip


def _is_row(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _on_panorama(where: Surface, found: Tensor, image: np.ndarray) -> Tensor:
    """A map on a surface of one size as a map on the panorama; all else as it is."""
    if where.any_size or found.ndim == 1:
        return found
    height, width = image.shape[-2:]
    return torch.from_numpy(panorama.resize(where.to_equirectangular(found.numpy(), height), height, width))


def _checked(found: Tensor, model: Any) -> np.ndarray:
    """As a map in float64, refused where a number is none."""
    if not bool(torch.isfinite(found).all()):
        raise InputError("model", name_of(model), "gives numbers that are none (NaN or infinity)",
                         "check its weights, and how it wants its input scaled")  # fmt: skip
    shape = {1: (-1, 1, 1), 2: (1, *found.shape)}.get(found.ndim, found.shape)
    return found.reshape(shape).double().numpy()


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))

"""Networks, predictors and functions as functions of one panorama, from array to array."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from omniconv.audit.difference import has_class_scores
from omniconv.errors import InputError, truncate
from omniconv.inference.predictor import Predictor
from omniconv.models import Model
from omniconv.models.registry import IMAGE_OUTPUTS
from omniconv.nn.inspection import parts_of, preserved_random_state
from omniconv.surfaces import Surface, panorama

PanoramaFunction = Callable[[np.ndarray], np.ndarray]
"""Map a panorama ``(C, H, W)`` to a dense output ``(K, H', W')``, or to ``(K, 1, 1)`` for one output per image."""
OutputKey = str | int | None


@contextmanager
def panorama_function(model: Any, output: OutputKey = None) -> Iterator[PanoramaFunction]:
    """Yield a network as a function of one panorama; it is in evaluation mode inside the context.

    The network is a module or any function from ``(1, C, H, W)`` to a map ``(1, K, H', W')`` or ``(1, H', W')`` or to a
    vector ``(1, K)``; a network of ``oc.models`` on any surface; or a ``Predictor``. The yielded function raises
    ``InputError`` when the network raises, or returns another shape or dtype or non-finite values.
    """
    if isinstance(model, Predictor):
        module, surface = model.model, model.preprocessing.surface

        def run(image: np.ndarray) -> Tensor:
            return _to_panorama(surface, model.run_network(image), image)

    elif callable(model):
        module, run = model, partial(_run, model, _input_surface(model), output)
    else:
        rule = "must be a module, or a function of panoramas (batch, channels, height, width)"
        raise InputError("model", type(model).__name__, rule, "give a torch.nn.Module")
    with preserved_random_state(), _evaluation_mode(module):
        yield lambda image: _checked(run(image), model_name(model))


def scores_classes(model: Any, output: np.ndarray, classes: bool | None) -> bool:
    """Return whether an output ``(K, H, W)`` is compared as class scores: never that of a network that returns images.

    ``classes`` decides if it is given, as in ``shift_error``.
    """
    role = getattr(model.model if isinstance(model, Predictor) else model, "output", "dense")
    returns_image = role in IMAGE_OUTPUTS and role != "dense"
    return has_class_scores(output, False if classes is None and returns_image else classes)


def check_panoramas(panoramas: Any) -> np.ndarray:
    """Return panoramas as float32 ``(batch, channels, height, width)``."""
    if isinstance(panoramas, list | tuple) and len({np.shape(part) for part in panoramas}) > 1:
        shapes = sorted({np.shape(part) for part in panoramas})
        raise InputError("panoramas", shapes, "must all have one size", "resize them, or audit each size by itself")
    array = panoramas.detach().cpu().numpy() if isinstance(panoramas, Tensor) else np.asarray(panoramas)
    array = array[None] if array.ndim == 3 else array
    if array.ndim != 4 or array.size == 0 or array.dtype.kind != "f":
        rule = "must be floating-point images (batch, channels, height, width), at least one"
        raise InputError("panoramas", f"{array.dtype} {array.shape}", rule, "put channels first and divide by 255")
    if min(array.shape[2:]) < 2:
        raise InputError("panoramas", array.shape, "must be at least 2 pixels high and wide", "give larger ones")
    if not np.isfinite(array).all():
        raise InputError("panoramas", array.shape, "must not contain NaN or infinity", "replace missing values")
    return np.ascontiguousarray(array, dtype=np.float32)


def model_name(model: Any) -> str:
    """Return the name of a network for errors and reports."""
    inner = model.model if isinstance(model, Predictor) else model
    return getattr(inner, "__name__", type(inner).__name__)


def describe_error(error: BaseException) -> str:
    """Return type and message of an exception in one short line."""
    return truncate(" ".join(f"{type(error).__name__}: {error}".split()))


def _input_surface(model: Any) -> Surface | None:
    """Surface of an omniconv network; ``None`` for any other model, which takes the panorama itself."""
    if not isinstance(model, Model):
        return None
    surface = model.surface
    if surface.any_size and surface.ndim != 2:
        raise InputError("model", str(surface), f"takes signals of {surface.ndim} axes, not panoramas",
                         "give a network on plane, equirectangular or another surface of images")  # fmt: skip
    return surface


@contextmanager
def _evaluation_mode(model: Any) -> Iterator[None]:
    # Each submodule's flag is restored by itself: model.train() would also switch frozen parts (a BatchNorm that the
    # user put into evaluation mode) to training.
    modules = [m for m in model.modules() if m.training] if isinstance(model, nn.Module) else []
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module in modules:
            module.training = True


def _run(model: Any, surface: Surface | None, key: OutputKey, image: np.ndarray) -> Tensor:
    signal = image if surface is None or surface.any_size else surface.from_equirectangular(image)
    x = _like_weights(torch.from_numpy(np.ascontiguousarray(signal))[None], model)
    try:
        with torch.inference_mode():
            result = model(x)
    except (Exception, SystemExit) as error:  # the user's forward may raise anything
        if isinstance(error, MemoryError) or "out of memory" in str(error):
            raise
        size = " × ".join(map(str, image.shape))
        rule = f"cannot take a panorama of {size} ({describe_error(error)})"
        cure = "give panoramas of a supported size and number of channels"
        raise InputError("model", model_name(model), rule, cure) from error
    batch = _select_output(result, key)
    if batch.shape[:1] != (1,) or batch.ndim < 2 or batch.numel() == 0 or not batch.is_floating_point():
        raise _unusable(batch, model)
    output = batch[0].detach().float().cpu()
    output = output if surface is None else _to_panorama(surface, output, image)
    if output.ndim > 3:
        raise _unusable(output[None], model)
    return output


def _unusable(output: Tensor, model: Any) -> InputError:
    rule = f"returns {str(output.dtype).removeprefix('torch.')} of shape {tuple(output.shape)} for one panorama"
    return InputError("model", model_name(model), rule, "return floating-point scores (1, K, H, W) or (1, K)")


def _like_weights(x: Tensor, model: Any) -> Tensor:
    """Move x to the device and dtype of the model's first floating-point parameter or buffer."""
    if not isinstance(model, nn.Module):
        return x
    tensors = chain(model.parameters(), model.buffers())
    reference = next((tensor for tensor in tensors if tensor.is_floating_point()), x)
    return x.to(reference.device, reference.dtype)


def _select_output(result: Any, key: OutputKey) -> Tensor:
    """Return the output of a key, or the first tensor of nested mappings and sequences."""
    if isinstance(result, Tensor) and key is None:
        return result
    outputs = parts_of(result)
    if isinstance(key, int) and key not in outputs:  # a named tuple
        outputs = dict(enumerate(outputs.values()))
    if key is not None:
        if key not in outputs:
            names = ", ".join(map(str, outputs)) or "a single tensor"
            raise InputError("output", key, f"must be one of the network's outputs ({names})", "choose one of them")
        return _select_output(outputs[key], None)
    for part in outputs.values():
        if isinstance(part, Tensor) or parts_of(part):
            return _select_output(part, None)
    raise InputError("model", type(result).__name__, "is returned by the network and contains no tensor",
                     "wrap the network in a module that returns a tensor")  # fmt: skip


def _to_panorama(surface: Surface, output: Tensor, image: np.ndarray) -> Tensor:
    """Resample a dense output on a surface of fixed size to the panorama; return any other output unchanged."""
    if surface.any_size or output.ndim == 1:
        return output
    height, width = image.shape[-2:]
    return torch.from_numpy(panorama.resize(surface.to_equirectangular(output.numpy(), height), height, width))


def _checked(output: Tensor, name: str) -> np.ndarray:
    """Return an output as float64 ``(K, H, W)`` and refuse non-finite values."""
    if not bool(torch.isfinite(output).all()):
        raise InputError("model", name, "returns NaN or infinity", "check its weights and the scaling of its input")
    shape = {1: (-1, 1, 1), 2: (1, *output.shape)}.get(output.ndim, output.shape)
    return output.reshape(shape).double().numpy()
